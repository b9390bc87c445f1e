"""Training on several devices of one machine, or on several machines, with TensorFlow.

The recipe's batch is the global batch: each device takes an equal share of it, gradients are those of
its mean loss, batch norm takes its statistics over all of it. So a run gives the numbers that one
device with the global batch would give, up to rounding.

One worker, the chief, reads and writes files, and sends what it reads to the others. Steps are taken by
`tf.distribute` in a loop of our own, as Keras' `fit` cannot serve several workers.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from newnet_tf.task import Metrics, Task
from newnet_tf.training import checkpoint
from newnet_tf.training.distributed import cluster
from newnet_tf.training.distributed.collectives import Collectives
from newnet_tf.training.distributed.single_process import SingleProcess
from newnet_tf.training.evaluator import evaluate_batches
from newnet_tf.training.run_files import Diverged, TrainingStopped
from newnet_tf.utils.lazy import LazyModule, keras

tf = LazyModule("tensorflow")
MIRRORED, MULTIWORKER = STRATEGIES = ("mirrored", "multiworker")
FORWARDED = (Diverged, TrainingStopped, ValueError)  # errors whose type other workers raise too
SEED, SEED_STRIDE = "seed_generator_state", 1_000_003  # between the seeds of two devices


def mirrored(devices: list[str] | None = None) -> "Strategy":
    """Returns the strategy for several devices of this machine, in this process.

    Args:
        devices: list of str, e.g. `["GPU:0", "GPU:1"]`. Default: all GPUs.

    Raises:
        ValueError: if there is no GPU and no device was given, or Keras runs on another backend.
    """
    _check_backend()
    if devices is None and not tf.config.list_logical_devices("GPU"):
        raise ValueError(
            f"`{MIRRORED}` must have GPUs to train on; a CPU is trained on without a strategy. "
            "Received: a machine without GPU"
        )
    return Strategy(tf.distribute.MirroredStrategy(devices))


def multiworker(workers: str | None = None, index: int | None = None) -> "Strategy":
    """Returns the strategy for several processes, each with all GPUs of its machine or with its CPU.

    All processes call it at their beginning: TensorFlow must not have computed anything yet. It waits
    until all are connected.

    Args:
        workers: str, `"host:port,host:port"`, the chief first. Default: those of `TF_CONFIG`.

        index: int, which of them this is. Default: that of `TF_CONFIG`.

    Raises:
        ValueError: as `cluster.resolve_cluster`; if TensorFlow has computed before; on another backend.
    """
    _check_backend()
    resolved = cluster.resolve_cluster(workers, index)
    os.environ.setdefault(cluster.VARIABLE, resolved.config)
    try:
        inner = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if workers is not None:
            del os.environ[cluster.VARIABLE]
        raise ValueError(
            f"`{MULTIWORKER}` must be created before TensorFlow computes anything in the process. "
            f"Received: {error}"
        ) from error
    return Strategy(inner, resolved)


class Strategy(SingleProcess):
    """Several devices that train together, in one process or in several.

    Args:
        inner: `tf.distribute.Strategy`.

        workers: `cluster.Cluster`. Default: this process only.

    Example:
        >>> strategy = multiworker("10.0.0.1:2222,10.0.0.2:2222", index)
        >>> with strategy.scope():
        ...     model = newnet_tf.create_model("newnet_small", classifier_activation=None)
        >>> shard = {"num_shards": strategy.workers, "shard_index": strategy.index}
        >>> loader = ImageLoader(dataset, preprocess, batch_size=recipe.batch_size, **shard)
        >>> fit(model, loader, recipe, "runs/one", strategy=strategy)
    """

    def __init__(self, inner, workers: cluster.Cluster | None = None):
        self.inner, self.replicas = inner, inner.num_replicas_in_sync
        self.workers, self.index = (len(workers.addresses), workers.index) if workers else (1, 0)
        self.is_chief = self.index == 0
        self.devices = self.replicas // self.workers  # of this process
        self.first_replica = self.index * self.devices
        self.collectives = Collectives(inner, self.workers, self.index, self.first_replica)

    def __str__(self) -> str:
        return f"{self.workers} workers with {self.devices} devices each"

    def check(self, model, loader) -> None:
        super().check(model, loader)
        if loader.batch_size % self.replicas:
            raise ValueError(
                f"`batch_size` must be a multiple of the devices ({self.replicas}: {self}), which "
                f"share it equally. Received: batch_size={loader.batch_size}"
            )
        created = self.inner.extended.variable_created_in_scope
        if not all(created(variable.value) for variable in model.variables):
            raise ValueError(
                "`model` must be built in the strategy's scope: with strategy.scope(): ... "
                f"Received: {model.name}, built outside"
            )

    def scope(self) -> contextlib.AbstractContextManager:
        return self.inner.scope()

    @contextlib.contextmanager
    def synchronized(self, model, on: bool = True) -> Iterator[None]:
        """Sets whether batch norm takes its statistics over the global batch, inside the context.

        A model is saved without that flag: it has no effect in inference, and other backends than
        TensorFlow refuse it.
        """
        norms = [x for x in _layers(model) if isinstance(x, keras.layers.BatchNormalization)]
        before = [layer.synchronized for layer in norms]
        for layer in norms:
            layer.synchronized = on
        try:
            yield
        finally:
            for layer, was in zip(norms, before, strict=True):
                layer.synchronized = was

    def run_on_chief(self, function: Callable):
        """Calls `function` on the chief; returns what it returns, or raises what it raises, everywhere.

        Args:
            function: callable without arguments; what it returns must be JSON for the other workers.
        """
        if self.workers == 1:
            return function()
        message, failure = {}, None
        if self.is_chief:
            try:
                message = {"value": function()}
            except Exception as error:
                failure = error
                kind = next((k for k in FORWARDED if isinstance(error, k)), TrainingStopped)
                message = {"error": str(error), "kind": kind.__name__}
        received = self.collectives.gather_texts(json.dumps(message) if self.is_chief else "")[0]
        if failure is not None:
            raise failure
        message = json.loads(received)
        if "error" in message:
            raise {k.__name__: k for k in FORWARDED}[message["kind"]](message["error"])
        return message["value"]

    def broadcast(self, trained, fingerprint: Mapping[str, object]) -> None:
        """Gives all devices the chief's state, but random seeds of their own for dropout.

        Raises:
            ValueError: if a worker has another recipe, dataset, model or task than the chief.
        """
        texts = self.collectives.gather_texts(json.dumps(fingerprint))
        settings = [json.loads(text) for text in texts]
        for index, other in enumerate(settings):
            if differing := checkpoint.differences(settings[0], other):
                raise ValueError(
                    f"all workers must be started with the same settings; worker {index} has others "
                    f"than worker 0. Received: {'; '.join(differing)}"
                )
        state = checkpoint.state(trained).values()
        for variable in state:
            variable.assign(self.collectives.broadcast(keras.ops.convert_to_numpy(variable)))
        seeds = [variable for variable in state if variable.path.endswith(SEED)]
        tf.function(lambda: self.inner.run(_set_own_seeds, args=(seeds,)))()

    def make_step(self, trained) -> Callable:
        """Returns the step of all devices; see `trainer.single_step`.

        Args:
            trained: compiled Keras model of `compile_model`, created in this strategy's scope.
        """
        optimizer = trained.optimizer
        is_scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)

        def replica_step(images, targets):
            with tf.GradientTape() as tape:
                outputs = trained(images, training=True)
                losses = trained.compute_losses(targets, outputs)
                # a device's share of the mean over the global batch; the optimizer adds gradients up
                losses = {name: value * (1.0 / self.replicas) for name, value in losses.items()}
                scaled = optimizer.scale_loss(losses["loss"])
            variables = trained.trainable_variables
            gradients = tape.gradient(scaled, variables)
            if is_scaled:
                gradients = _all_or_none(gradients)
            optimizer.apply(gradients, variables)
            metrics = trained.task.batch_metrics(targets, outputs)
            return losses | {name: value / self.replicas for name, value in metrics.items()}

        @tf.function(reduce_retracing=True)
        def global_step(images, targets):
            values = self.inner.run(replica_step, (images, targets))
            return {n: self.inner.reduce("SUM", v, axis=None) for n, v in values.items()}

        def step(images, targets):
            with self.collectives.detect_lost_workers():
                values = global_step(self._split_batch(images), self._split_batch(targets))
                return {name: value.numpy() for name, value in values.items()}

        return step

    def make_evaluator(self, trained, task: Task) -> Callable:
        """Returns a callable that evaluates the model on all workers' shards.

        Each worker evaluates its own on its first device; the metrics are added up in the same order
        everywhere.
        """
        predict = tf.function(lambda images: trained(images, training=False), reduce_retracing=True)

        def evaluate(batches) -> Metrics:
            own = evaluate_batches(predict, batches, task)
            total = task.metrics()
            for text in self.collectives.gather_texts(json.dumps(own.state())):
                part = task.metrics()
                part.load_state(json.loads(text))
                total = total + part
            return total

        return evaluate

    def _split_batch(self, batch):
        """Returns this worker's share of a batch, an array or a mapping, split over its devices."""
        size = len(tf.nest.flatten(batch)[0]) // self.devices

        def part(context):
            start = (context.replica_id_in_sync_group - self.first_replica) * size
            return tf.nest.map_structure(lambda array: array[start : start + size], batch)

        return self.inner.experimental_distribute_values_from_function(part)


def _set_own_seeds(seeds: list) -> None:
    """Moves a device's random seeds away from those of the others; the first keeps its own."""
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    for variable in seeds:
        seed = tf.convert_to_tensor(variable.value)
        variable.assign(seed + tf.cast([number * SEED_STRIDE, 0], seed.dtype))


def _all_or_none(gradients: list) -> list:
    """Returns gradients, or NaN on all devices where those of one are not finite.

    Each device decides by its own gradients whether the loss was scaled too high and the step is left
    out; they must decide alike.
    """
    finite = tf.reduce_all(
        [tf.reduce_all(tf.math.is_finite(g)) for g in gradients if g is not None]
    )
    context = tf.distribute.get_replica_context()
    broken = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(~finite, tf.float32))
    return [None if g is None else tf.where(broken > 0, np.nan, g) for g in gradients]


def _layers(model) -> Iterator:
    """Gives a model's layers, and those of models inside of it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def _check_backend() -> None:
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "a strategy must run on Keras' TensorFlow backend. Received: KERAS_BACKEND="
            f"{keras.backend.backend()}"
        )

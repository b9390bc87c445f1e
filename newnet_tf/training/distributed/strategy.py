"""Training on several devices of one machine, or on several machines, with TensorFlow.

The recipe's batch is the joint batch: each device takes an equal share of it, gradients are those of
its mean loss, batch norm takes its statistics over all of it. So a run gives the numbers that one
device with the joint batch would give, but for rounding.

One worker, the chief, alone reads and writes files; what it finds it tells the others. Steps are taken
by `tf.distribute` in a loop of our own, as Keras' `fit` cannot serve several workers.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from newnet_tf.training import checkpoint
from newnet_tf.training.distributed import cluster
from newnet_tf.training.distributed.collectives import Collectives
from newnet_tf.training.distributed.single_process import SingleProcess
from newnet_tf.training.metrics import EvalResult, MetricSums, tally
from newnet_tf.training.run_files import Diverged, TrainingStopped
from newnet_tf.utils.lazy import LazyModule, keras

tf = LazyModule("tensorflow")
MIRRORED, MULTIWORKER = STRATEGIES = ("mirrored", "multiworker")
TOLD = (Diverged, TrainingStopped, ValueError)  # kinds of error that keep theirs on the way
SEED, STRIDE = "seed_generator_state", 1_000_003  # between the seeds of two devices


def mirrored(devices: list[str] | None = None) -> "Strategy":
    """Returns the strategy for several devices of this machine, in this process.

    Args:
        devices: list of str, e.g. `["GPU:0", "GPU:1"]`; default: all GPUs.

    Raises:
        ValueError: where there is no GPU and no device was given, or on another backend of Keras.
    """
    _check_backend()
    if devices is None and not tf.config.list_logical_devices("GPU"):
        raise ValueError(
            f"`{MIRRORED}` must have GPUs to train on; one CPU is trained on without a strategy. "
            "Received: a machine without"
        )
    return Strategy(tf.distribute.MirroredStrategy(devices))


def multiworker(workers: str | None = None, index: int | None = None) -> "Strategy":
    """Returns the strategy for several processes, each with all GPUs of its machine or with its CPU.

    All processes call it, at their beginning: TensorFlow must not have computed anything yet. It
    waits until all are there.

    Args:
        workers: str, `"host:port,host:port"`, the chief first; index: int, which of them this is.
            Default: what `TF_CONFIG` says.

    Raises:
        ValueError: as `cluster.given`; where TensorFlow has computed before; on another backend.
    """
    _check_backend()
    found = cluster.given(workers, index)
    os.environ.setdefault(cluster.VARIABLE, found.config)
    try:
        inner = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if workers is not None:
            del os.environ[cluster.VARIABLE]
        raise ValueError(
            f"`{MULTIWORKER}` must be begun before TensorFlow computes anything in the process. "
            f"Received: {error}"
        ) from error
    return Strategy(inner, found)


class Strategy(SingleProcess):
    """Several devices that train together, in one process or in several.

    Args:
        inner: `tf.distribute.Strategy`. found: `cluster.Cluster`; default: this process alone.

    Example:
        >>> strategy = multiworker("10.0.0.1:2222,10.0.0.2:2222", index)
        >>> with strategy.scope():
        ...     model = newnet_tf.create("newnet_small", classifier_activation=None)
        >>> data = Images(source, record, recipe, workers=strategy.workers, index=strategy.index)
        >>> train(model, data, recipe, "runs/one", strategy=strategy)
    """

    def __init__(self, inner, found: cluster.Cluster | None = None):
        self.inner, self.replicas = inner, inner.num_replicas_in_sync
        self.workers, self.index = (len(found.addresses), found.index) if found else (1, 0)
        self.is_chief = self.index == 0
        self.devices = self.replicas // self.workers  # of this process
        self.first = self.index * self.devices  # its number among all
        self.exchange = Collectives(inner, self.workers, self.index, self.first)

    def __str__(self) -> str:
        return f"{self.workers} workers with {self.devices} devices each"

    def check(self, model, data) -> None:
        super().check(model, data)
        if data.batch % self.replicas:
            raise ValueError(
                f"`batch` must be a multiple of the devices ({self.replicas}: {self}), who share it "
                f"equally. Received: batch={data.batch}"
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
        """Has batch norm take its statistics over the joint batch, or says that it does not.

        A network is saved without that flag: it is of no use in inference, and other backends than
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

    def chief(self, function: Callable):
        """Has the chief call `function`; returns what it gives, or raises what it raises, everywhere.

        Args:
            function: callable without arguments; what it returns must be JSON for the others.
        """
        if self.workers == 1:
            return function()
        said, failure = {}, None
        if self.is_chief:
            try:
                said = {"value": function()}
            except Exception as error:
                failure = error
                kind = next((k for k in TOLD if isinstance(error, k)), TrainingStopped)
                said = {"error": str(error), "kind": kind.__name__}
        told = self.exchange.texts(json.dumps(said) if self.is_chief else "")[0]
        if failure is not None:
            raise failure
        told = json.loads(told)
        if "error" in told:
            raise {k.__name__: k for k in TOLD}[told["kind"]](told["error"])
        return told["value"]

    def spread(self, trained, fingerprint: Mapping[str, object]) -> None:
        """Gives all devices the chief's state, but random numbers of their own for dropout.

        Raises:
            ValueError: where workers have other recipes, data or networks than the chief.
        """
        said = [json.loads(text) for text in self.exchange.texts(json.dumps(fingerprint))]
        for index, other in enumerate(said):
            if differing := checkpoint.differences(said[0], other):
                raise ValueError(
                    f"all workers must be started with the same settings; worker {index} has others "
                    f"than worker 0. Received: {'; '.join(differing)}"
                )
        state = checkpoint.state(trained).values()
        for variable in state:
            variable.assign(self.exchange.from_chief(keras.ops.convert_to_numpy(variable)))
        seeds = [variable for variable in state if variable.path.endswith(SEED)]
        tf.function(lambda: self.inner.run(_own_seeds, args=(seeds,)))()

    def make_step(self, trained) -> Callable:
        """Returns the step of all devices; see `loop.single_step`.

        Args:
            trained: compiled Keras model, made in this strategy's scope.
        """
        optimizer = trained.optimizer
        is_scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)

        def one(images, targets):
            with tf.GradientTape() as tape:
                logits = trained(images, training=True)
                # Keras divides it by the number of devices, and the optimizer adds gradients up.
                loss = trained.compute_loss(x=images, y=targets, y_pred=logits, training=True)
                scaled = optimizer.scale_loss(loss)
            variables = trained.trainable_variables
            gradients = tape.gradient(scaled, variables)
            if is_scaled:
                gradients = _all_or_none(gradients)
            optimizer.apply(gradients, variables)
            hits = tf.reduce_mean(keras.metrics.categorical_accuracy(targets, logits))
            return tf.stack([loss, hits / self.replicas])

        @tf.function(reduce_retracing=True)
        def all_of_them(images, targets):
            return self.inner.reduce("SUM", self.inner.run(one, (images, targets)), axis=None)

        def step(images, targets):
            with self.exchange.together():
                found = all_of_them(self._divided(images), self._divided(targets)).numpy()
            return {"loss": found[0], "accuracy": found[1]}

        return step

    def make_evaluator(self, trained) -> Callable:
        """Returns a callable that judges the network on all workers' shares.

        Each worker judges its own on its first device; the sums are added up in the same order
        everywhere.
        """
        predict = tf.function(lambda images: trained(images, training=False), reduce_retracing=True)

        def judged(batches) -> EvalResult:
            own = tally(predict, batches)
            texts = self.exchange.texts(json.dumps(dataclasses.asdict(own)))
            return sum((MetricSums(**json.loads(text)) for text in texts), MetricSums()).judged

        return judged

    def _divided(self, batch):
        """Returns this worker's share of a batch, divided among its devices."""
        size = len(batch) // self.devices

        def part(context):
            start = (context.replica_id_in_sync_group - self.first) * size
            return batch[start : start + size]

        return self.inner.experimental_distribute_values_from_function(part)


def _own_seeds(seeds: list) -> None:
    """Moves a device's random numbers away from those of the others; the first keeps its own."""
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    for variable in seeds:
        seed = tf.convert_to_tensor(variable.value)
        variable.assign(seed + tf.cast([number * STRIDE, 0], seed.dtype))


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

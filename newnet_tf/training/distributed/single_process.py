"""What a run asks of the processes that train it, answered for a single process."""

import contextlib
from collections.abc import Callable, Mapping

from newnet_tf.task import Task
from newnet_tf.training.evaluator import evaluate_batches


class SingleProcess:
    """Training in one process; `strategy.Strategy` replaces it for several, with the same methods."""

    workers, is_chief = 1, True

    def check(self, model, loader) -> None:
        """Checks that model and loader suit the workers.

        Args:
            model: Keras model.

            loader: as in `trainer.fit`.

        Raises:
            ValueError: if the loader is not one shard of as many as there are workers.
        """
        shards = getattr(loader, "num_shards", 1)
        if shards != self.workers:
            raise ValueError(
                f"`loader` must have a shard for each of the {self.workers} workers: "
                f"ImageLoader(..., num_shards=..., shard_index=...). Received: num_shards={shards}"
            )

    def scope(self) -> contextlib.AbstractContextManager:
        """Returns the context in which models and optimizers are created."""
        return contextlib.nullcontext()

    def synchronized(self, model, on: bool = True) -> contextlib.AbstractContextManager:
        """Returns the context in which batch norm's statistics are (or are not) over the global batch.

        Args:
            model: Keras model.

            on: bool. Default: True.
        """
        return contextlib.nullcontext()

    def run_on_chief(self, function: Callable):
        """Calls `function` on one worker only; returns its result on all of them.

        Args:
            function: callable without arguments.
        """
        return function()

    def broadcast(self, trained, fingerprint: Mapping[str, object]) -> None:
        """Gives all workers the chief's state, if their settings are the same.

        Args:
            trained: compiled Keras model.

            fingerprint: mapping, the settings.
        """

    def make_evaluator(self, trained, task: Task) -> Callable:
        """Returns a callable, batches of this worker's shard -> `Metrics` of all workers' shards.

        Args:
            trained: compiled Keras model.

            task: `Task`.
        """
        return lambda batches: evaluate_batches(trained.predict_on_batch, batches, task)

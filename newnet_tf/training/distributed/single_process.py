"""What a run asks of the processes that train it, and how a single one answers."""

import contextlib
from collections.abc import Callable, Mapping

from newnet_tf.training.metrics import judge


class SingleProcess:
    """How one process trains; `strategy.Strategy` puts several in its place, with the same methods."""

    workers, is_chief = 1, True

    def check(self, model, data) -> None:
        """Raises ValueError for a model or data that are not made for these workers."""
        found = getattr(data, "workers", 1)
        if found != self.workers:
            raise ValueError(
                f"`data` must be shared by as many workers as train ({self.workers}): "
                f"Images(..., workers=..., index=...). Received: workers={found}"
            )

    def scope(self) -> contextlib.AbstractContextManager:
        """Returns the context in which models and optimizers are made."""
        return contextlib.nullcontext()

    def synchronized(self, model, on: bool = True) -> contextlib.AbstractContextManager:
        """Returns the context in which batch norm is (or is not) over the joint batch."""
        return contextlib.nullcontext()

    def chief(self, function: Callable):
        """Returns what `function` gives; of several workers one alone calls it, for all."""
        return function()

    def spread(self, trained, fingerprint: Mapping[str, object]) -> None:
        """Gives all workers the same state, if they train the same; there is but one."""

    def make_evaluator(self, trained) -> Callable:
        """Returns a callable, (images, labels) of the own share -> `EvalResult` of all workers' shares."""
        return lambda batches: judge(trained, batches)

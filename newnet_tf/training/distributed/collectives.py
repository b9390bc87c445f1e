"""What workers tell each other, over the same lines on which they add up gradients.

Everything goes as float32 numbers from 0 to 255, which every device can add: bytes, placed where the
others have zeros.
"""

import contextlib
from collections.abc import Iterator

import numpy as np

from newnet_tf.training.run_files import TrainingStopped
from newnet_tf.utils.lazy import LazyModule

tf = LazyModule("tensorflow")
LOST = ("UnavailableError", "DeadlineExceededError", "AbortedError", "CanceledError")
TOLD = 200  # letters of TensorFlow's reason


class Collectives:
    """Words and arrays between workers; all of them must call the same methods in the same order.

    Args:
        inner: `tf.distribute.Strategy`. workers, index: int, how many, and which one this is.
        first: int, number of this worker's first device among all devices.
    """

    def __init__(self, inner, workers: int, index: int, first: int):
        self.inner, self.workers, self.index, self.first = inner, workers, index, first

    def texts(self, text: str) -> list[str]:
        """Returns the texts of all workers, in their order.

        Args:
            text: str, this worker's.
        """
        if self.workers == 1:
            return [text]
        data, sizes = np.frombuffer(text.encode(), np.uint8), np.zeros((self.workers, 4))
        sizes[self.index] = np.frombuffer(np.uint32(len(data)).tobytes(), np.uint8)
        sizes = self._sum(sizes).view(np.uint32)[:, 0]
        table = np.zeros((self.workers, sizes.max()))
        table[self.index, : len(data)] = data
        rows = zip(self._sum(table), sizes, strict=True)
        return [row[:size].tobytes().decode() for row, size in rows]

    def from_chief(self, value: np.ndarray) -> np.ndarray:
        """Returns worker 0's array, bit by bit.

        Args:
            value: array, of the same shape and type for all workers.
        """
        if self.workers == 1:
            return value
        data = np.frombuffer(value.tobytes(), np.uint8)
        told = self._sum(data if self.index == 0 else np.zeros_like(data))
        return np.frombuffer(told.tobytes(), value.dtype).reshape(value.shape)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Says in plain words that a worker is gone, where TensorFlow says that a line is broken.

        Raises:
            TrainingStopped: where it is.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self.workers == 1 or type(error).__name__ not in LOST:
                raise
            reason = " ".join(error.message.rpartition("aborted by: ")[2].split())
            raise TrainingStopped(
                "all workers must stay until the end of a run. Start all of them again with "
                f"--resume: they go on from the last checkpoint. Received: {reason[:TOLD]}"
            ) from error

    def _sum(self, data: np.ndarray) -> np.ndarray:
        """Adds up all workers' arrays of bytes."""

        def part(context):
            is_own = context.replica_id_in_sync_group == self.first
            return tf.constant(data if is_own else np.zeros_like(data), tf.float32)

        with self.together():
            parts = self.inner.experimental_distribute_values_from_function(part)
            return self.inner.reduce("SUM", parts, axis=None).numpy().astype(np.uint8)

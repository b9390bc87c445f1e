"""Texts and arrays between workers, over the connections that add up gradients.

Everything is sent as float32 numbers from 0 to 255, which every device can add: bytes, placed where the
other workers have zeros.
"""

import contextlib
from collections.abc import Iterator

import numpy as np

from newnet_tf.training.run_files import TrainingStopped
from newnet_tf.utils.lazy import LazyModule

tf = LazyModule("tensorflow")
LOST_WORKER = ("UnavailableError", "DeadlineExceededError", "AbortedError", "CancelledError")
REASON_LENGTH = 200  # letters of TensorFlow's message


class Collectives:
    """Collective operations; all workers must call the same methods in the same order.

    Args:
        strategy: `tf.distribute.Strategy`.

        workers: int, number of workers.

        index: int, which of them this is.

        first_replica: int, number of this worker's first device among all devices.
    """

    def __init__(self, strategy, workers: int, index: int, first_replica: int):
        self.strategy, self.workers = strategy, workers
        self.index, self.first_replica = index, first_replica

    def gather_texts(self, text: str) -> list[str]:
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

    def broadcast(self, value: np.ndarray) -> np.ndarray:
        """Returns worker 0's array, bit by bit.

        Args:
            value: array, of the same shape and type for all workers.
        """
        if self.workers == 1:
            return value
        data = np.frombuffer(value.tobytes(), np.uint8)
        received = self._sum(data if self.index == 0 else np.zeros_like(data))
        return np.frombuffer(received.tobytes(), value.dtype).reshape(value.shape)

    @contextlib.contextmanager
    def detect_lost_workers(self) -> Iterator[None]:
        """Replaces TensorFlow's error of a lost connection by a message that says what to do.

        Raises:
            TrainingStopped: if a worker is lost.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self.workers == 1 or type(error).__name__ not in LOST_WORKER:
                raise
            reason = " ".join(error.message.rpartition("aborted by: ")[2].split())
            raise TrainingStopped(
                "all workers must stay until the end of a run. Start all of them again with "
                f"--resume: they resume from the last checkpoint. Received: {reason[:REASON_LENGTH]}"
            ) from error

    def _sum(self, data: np.ndarray) -> np.ndarray:
        """Adds up all workers' arrays of bytes."""

        def part(context):
            is_own = context.replica_id_in_sync_group == self.first_replica
            return tf.constant(data if is_own else np.zeros_like(data), tf.float32)

        with self.detect_lost_workers():
            parts = self.strategy.experimental_distribute_values_from_function(part)
            return self.strategy.reduce("SUM", parts, axis=None).numpy().astype(np.uint8)

"""Top-1 error and cross entropy of a split: exact sums, which batches and workers add up."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass
class MetricSums:
    """Sums over images.

    Args:
        images: int, number of images.

        wrong: int, images whose top-1 prediction is wrong.

        loss: float, sum of the images' cross entropies.

    Example:
        >>> sums = MetricSums()
        >>> sums.update(np.array([0, 1]), np.array([[2.0, 0.0], [1.0, 0.0]]))
        >>> sums.result()["error"]
        50.0
    """

    images: int = 0
    wrong: int = 0
    loss: float = 0.0

    def update(self, label: np.ndarray, outputs: np.ndarray) -> None:
        """Adds a batch.

        Args:
            label: int array (images,), the classes.

            outputs: float array (images, classes), the logits.
        """
        logits, label = np.asarray(outputs, np.float64), np.asarray(label)
        own = logits[np.arange(len(label)), label]
        top = logits.max(axis=1, keepdims=True)
        loss = float((np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0] - own).sum())
        self.images += len(label)
        self.wrong += int((logits.argmax(axis=1) != label).sum())
        self.loss += loss

    def __add__(self, other: "MetricSums") -> "MetricSums":
        return MetricSums(
            self.images + other.images, self.wrong + other.wrong, self.loss + other.loss
        )

    def result(self) -> dict[str, float]:
        """Returns `{"error": top-1 error in percent, "loss": mean cross entropy}`.

        Raises:
            ValueError: if there is no image.
        """
        if not self.images:
            raise ValueError("there must be a readable image to test on. Received: none")
        return {"error": 100 * self.wrong / self.images, "loss": self.loss / self.images}

    def state(self) -> dict[str, float]:
        """Returns the sums by name."""
        return dataclasses.asdict(self)

    def load_state(self, state: Mapping[str, float]) -> None:
        """Replaces the sums by those of `state()`."""
        self.images, self.wrong, self.loss = state["images"], state["wrong"], state["loss"]

"""Two models on the same images, compared image by image.

A paired comparison detects far smaller differences than two separate accuracies do.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from newnet_tf.evaluation.intervals import newcombe


class TopOneResult(Protocol):
    """A result that `compare` takes, such as `classification.result.ClassificationResult`."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Names of the images."""

    @property
    def labels(self) -> np.ndarray:
        """Int array of shape (n,), the classes of the images."""

    @property
    def topk(self) -> np.ndarray:
        """Int array of shape (n, k), the predicted classes, the best first."""


@dataclass(frozen=True)
class PairedComparison:
    """The top-1 predictions of two models for the same images.

    Args:
        both: int, images that both classify correctly.

        first_only: int, images that only the first classifies correctly.

        second_only: int, images that only the second classifies correctly.

        neither: int, images that none classifies correctly.

        agree: int, images for which both predict the same class, correct or not.
    """

    both: int
    first_only: int
    second_only: int
    neither: int
    agree: int

    @property
    def n(self) -> int:
        """Number of images."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def difference(self) -> float:
        """Accuracy of the second minus accuracy of the first, in percentage points."""
        return 100 * (self.second_only - self.first_only) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of `difference` in percentage points, see `intervals.newcombe`."""
        low, high = newcombe(self.both, self.second_only, self.first_only, self.neither)
        return 100 * low, 100 * high

    @property
    def agreement(self) -> float:
        """Percentage of the images for which both predict the same class."""
        return 100 * self.agree / self.n

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.difference:+.2f} points (95 %: {low:+.2f} to {high:+.2f}), n = {self.n}: "
            f"{self.first_only} lost, {self.second_only} won, agreement {self.agreement:.2f} %"
        )


def compare(first: TopOneResult, second: TopOneResult) -> PairedComparison:
    """Compares the top-1 predictions of two models, image by image.

    Args:
        first: result of one model, e.g. the Keras model.

        second: result of the other on the same images and labels, e.g. an exported file.

    Returns:
        A `PairedComparison`.

    Raises:
        ValueError: if the two results are not of the same images and labels.

    Example:
        >>> print(compare(keras_result, tflite_result))
        -0.25 points (95 %: -1.38 to +0.78), n = 400: 2 lost, 1 won, agreement 99.00 %
    """
    if first.paths != second.paths or not np.array_equal(first.labels, second.labels):
        raise ValueError(
            "`first` and `second` must be results of the same images and labels. "
            f"Received: {len(first.paths)} and {len(second.paths)} images, "
            f"{len(set(first.paths) & set(second.paths))} in common"
        )
    a, b = (result.topk[:, 0] == result.labels for result in (first, second))
    agree = first.topk[:, 0] == second.topk[:, 0]
    return PairedComparison(*(int(c.sum()) for c in (a & b, a & ~b, ~a & b, ~a & ~b, agree)))

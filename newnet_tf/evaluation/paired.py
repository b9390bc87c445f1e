"""Two models on the same images, compared image by image.

A paired comparison detects far smaller differences than two separate accuracies do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from newnet_tf.evaluation.intervals import newcombe

MIN_DIFFERENCE = 5.0  # points of mAP50 below which one training run of each model proves nothing


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


class BoxResult(Protocol):
    """A result that `compare_detectors` takes, such as `detection.result.DetectionResult`."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Names of the images."""

    @property
    def truths(self) -> Sequence[Mapping[str, np.ndarray]]:
        """True boxes of each image."""

    def resampled_map50(self, counts: np.ndarray) -> np.ndarray:
        """Returns mAP50 in percent of samples of the images, given how often each counts."""


@dataclass(frozen=True)
class DetectorComparison:
    """The mean average precision of two detectors on the same images, with a bootstrap interval.

    Args:
        n: int, number of images.

        first, second: float, mAP50 of each in percent.

        interval: tuple of two floats, 95 % interval of `difference` in percentage points: images drawn
            with replacement, the same ones for both.

        std: float, standard deviation of the difference over these samples.

        first_std: float, standard deviation of `first` over these samples.
    """

    n: int
    first: float
    second: float
    interval: tuple[float, float]
    std: float
    first_std: float

    @property
    def difference(self) -> float:
        """mAP50 of the second minus mAP50 of the first, in percentage points."""
        return self.second - self.first

    def __str__(self) -> str:
        low, high = self.interval
        text = (
            f"{self.difference:+.1f} points of mAP50 (95 %: {low:+.1f} to {high:+.1f}), n = {self.n}; "
            f"mAP50 {self.first:.1f} % has a standard deviation of {self.first_std:.1f}"
        )
        if abs(self.difference) < MIN_DIFFERENCE:
            text += (
                f". These are two sets of weights: less than {MIN_DIFFERENCE:.0f} points between one "
                "training run each prove nothing of architectures or recipes"
            )
        return text


def compare_detectors(
    first: BoxResult, second: BoxResult, samples: int = 1000, seed: int = 0
) -> DetectorComparison:
    """Compares the mAP50 of two detectors by a paired bootstrap over the images.

    Args:
        first: result of one model, e.g. the Keras model.

        second: result of the other on the same images and boxes, e.g. an exported file.

        samples: int, number of samples, each of as many images as there are. Default: 1000.

        seed: int, decides the samples. Default: 0.

    Returns:
        A `DetectorComparison`.

    Raises:
        ValueError: if the two results are not of the same images and boxes.

    Example:
        >>> print(compare_detectors(keras_result, tflite_result))

    Source: Efron and Tibshirani, "An introduction to the bootstrap" (1993), chapter 13.
    """
    same = first.paths == second.paths and all(
        np.array_equal(a["boxes"], b["boxes"])
        for a, b in zip(first.truths, second.truths, strict=False)
    )
    if not same:
        raise ValueError(
            "`first` and `second` must be results of the same images and boxes. "
            f"Received: {len(first.paths)} and {len(second.paths)} images, "
            f"{len(set(first.paths) & set(second.paths))} in common"
        )
    n, random = len(first.paths), np.random.default_rng(seed)
    counts = random.multinomial(n, np.full(n, 1 / n), size=samples)
    counts = np.concatenate([np.ones((1, n), int), counts])
    a, b = (result.resampled_map50(counts) for result in (first, second))
    differences = (b - a)[1:]
    low, high = np.percentile(differences, [2.5, 97.5])
    return DetectorComparison(
        n=n,
        first=float(a[0]),
        second=float(b[0]),
        interval=(float(low), float(high)),
        std=float(differences.std()),
        first_std=float(a[1:].std()),
    )

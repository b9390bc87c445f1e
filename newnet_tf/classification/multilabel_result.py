"""Multi-label predictions image by image: mean average precision, micro-F1, each class by itself."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from newnet_tf.classification.multilabel import as_probabilities
from newnet_tf.classification.multilabel_metrics import (
    average_precision,
    mean_average_precision,
    micro_f1,
)
from newnet_tf.data.host_loader import Sample
from newnet_tf.data.images import SkippedImage


@dataclass(frozen=True, eq=False)
class MultilabelResult:
    """The predictions of a model for images with several classes each.

    Args:
        paths: tuple of str, names of the n images.

        labels: bool array (n, classes).

        probabilities: float array (n, classes), the probability of each class.

        skipped: tuple of `SkippedImage`, images that could not be read; they count nowhere.

        model: str, the model's name.

        weights: str, tag or file name of its weights.

        precision: str, e.g. `"int8-full"`.

        dataset: str, name of the dataset.

        split: str, name of the split.

        class_names: tuple with one str for each class of the model; () if unknown.

    Example:
        >>> result = newnet_tf.evaluate("runs/scenes", "labels.csv")
        >>> result.metrics, result.class_table()
    """

    paths: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    skipped: tuple[SkippedImage, ...] = ()
    model: str = ""
    weights: str = ""
    precision: str = ""
    dataset: str = ""
    split: str = ""
    class_names: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.paths)

    @functools.cached_property
    def average_precision(self) -> np.ndarray:
        """Average precision of each class in 0-1; NaN for a class that no image has."""
        return average_precision(self.labels, self.probabilities)

    @property
    def predicted(self) -> np.ndarray:
        """bool array (n, classes): whether the probability is above 0.5."""
        return self.probabilities > 0.5

    @property
    def metrics(self) -> dict[str, float]:
        """Mean average precision and micro-F1 at 0.5 in percent, `{"mAP": ..., "micro_f1": ...}`."""
        return {
            "mAP": 100 * mean_average_precision(self.labels, self.probabilities),
            "micro_f1": 100 * micro_f1(self.labels, self.predicted),
        }

    def class_table(self) -> list[dict[str, object]]:
        """Returns the lines of a table: the figures of each class, the lowest average precision first.

        Precision and recall are those at a probability of 0.5.
        """
        order = np.argsort(np.nan_to_num(self.average_precision, nan=2.0), kind="stable")
        hits = (self.labels & self.predicted).sum(axis=0)
        predicted, n = self.predicted.sum(axis=0), self.labels.sum(axis=0)
        return [
            {
                "class": self.class_names[i] if self.class_names else f"class {i}",
                "n": int(n[i]),
                "AP": f"{100 * self.average_precision[i]:.1f}" if n[i] else "",
                "precision": f"{100 * hits[i] / predicted[i]:.1f}" if predicted[i] else "",
                "recall": f"{100 * hits[i] / n[i]:.1f}" if n[i] else "",
            }
            for i in order
        ]

    def __str__(self) -> str:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        title = f"{self.model} on {self.dataset}, {self.split}: " if self.dataset else ""
        figures = self.metrics
        return (
            f"{title}mAP {figures['mAP']:.2f} %, micro-F1 {figures['micro_f1']:.2f} %, n = "
            f"{self.n}{skipped}"
        )


@dataclass(frozen=True)
class MultilabelComparison:
    """The predictions of two models for the same images.

    Args:
        n: int, number of images.

        first, second: float, mean average precision of each in percent.

        agreement: float, percentage of the labels for which both are on the same side of 0.5.
    """

    n: int
    first: float
    second: float
    agreement: float

    @property
    def difference(self) -> float:
        """Mean average precision of the second minus that of the first, in percentage points."""
        return self.second - self.first

    def __str__(self) -> str:
        return (
            f"{self.difference:+.2f} points of mAP, n = {self.n}, agreement {self.agreement:.2f} %"
        )


def compare_multilabel(first: MultilabelResult, second: MultilabelResult) -> MultilabelComparison:
    """Compares the predictions of two models.

    Args:
        first: result of one model, e.g. the Keras model.

        second: result of the other on the same images and labels, e.g. an exported file.

    Raises:
        ValueError: if the two results are not of the same images and labels.
    """
    if first.paths != second.paths or not np.array_equal(first.labels, second.labels):
        raise ValueError(
            "`first` and `second` must be results of the same images and labels. "
            f"Received: {first.n} and {second.n} images"
        )
    figures = (result.metrics["mAP"] for result in (first, second))
    agreement = 100 * float((first.predicted == second.predicted).mean())
    return MultilabelComparison(first.n, *figures, agreement)


class MultilabelEvaluator:
    """Collects the outputs for images, see `evaluation.loop.Evaluator`.

    Args:
        classes: int, number of the model's classes.

        class_index: the model's class for each class of the data, see `class_matching.match_classes`.
            Default: the same.

        output_type: `"logits"` or `"sigmoid"`, what the outputs are. Default: `"logits"`.
    """

    def __init__(
        self,
        classes: int,
        class_index: Sequence[int] | None = None,
        output_type: str = "logits",
    ):
        self.classes, self.class_index, self.output_type = classes, class_index, output_type
        self._names: list[str] = []
        self._labels: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []

    def update(self, samples: Sequence[Sample], outputs: object) -> None:
        """Adds a batch: `outputs` are scores of shape (n, classes)."""
        scores = np.asarray(outputs)
        if scores.shape != (len(samples), self.classes) or not np.isfinite(scores).all():
            raise ValueError(
                f"`predict` must return ({len(samples)}, {self.classes}) finite scores. "
                f"Received: shape={scores.shape}"
            )
        labels = np.zeros(scores.shape, bool)
        for row, sample in zip(labels, samples, strict=True):
            own = np.atleast_1d(sample.label)
            if own.shape != (self.classes if self.class_index is None else len(self.class_index),):
                raise ValueError(
                    "labels must be a row of 0 and 1, one for each class (a multi-label dataset). "
                    f"Received: {sample.label!r} of {sample.name}"
                )
            chosen = np.flatnonzero(own)
            row[chosen if self.class_index is None else np.asarray(self.class_index)[chosen]] = True
        self._labels.append(labels)
        self._probabilities.append(as_probabilities(scores, self.output_type))
        self._names.extend(sample.name for sample in samples)

    def result(self, skipped: tuple[SkippedImage, ...] = ()) -> MultilabelResult:
        """Returns the result of all batches."""
        labels, scores = np.concatenate(self._labels), np.concatenate(self._probabilities)
        return MultilabelResult(tuple(self._names), labels, scores, skipped)

"""Mean average precision, micro-F1 and cross entropy of multi-label predictions. NumPy only."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def average_precision(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns the average precision of each class.

    The mean of the precision at the rank of each positive image, in the order of falling scores; images
    of equal scores have one rank. (Area under the precision-recall curve without interpolation, as
    scikit-learn's `average_precision_score`.)

    Args:
        labels: array (images, classes) of 0 and 1.

        scores: float array (images, classes), higher is more likely.

    Returns:
        float64 array (classes,), values in 0-1; NaN for a class without a positive image.
    """
    labels, scores = np.asarray(labels, bool), np.asarray(scores)
    result = np.full(labels.shape[1], np.nan)
    for i in np.flatnonzero(labels.any(axis=0)):
        order = np.argsort(-scores[:, i], kind="stable")
        hits, ranked = np.cumsum(labels[order, i]), scores[order, i]
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of each score
        precision = hits[last] / (last + 1)
        result[i] = (precision * np.diff(hits[last], prepend=0)).sum() / hits[-1]
    return result


def mean_average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns the mean of `average_precision` over the classes that have a positive image.

    NaN if there is none.
    """
    values = average_precision(labels, scores)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def micro_f1(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Returns F1 of all labels of all images together, in 0-1.

    Args:
        labels, predicted: arrays (images, classes) of 0 and 1.
    """
    labels, predicted = np.asarray(labels, bool), np.asarray(predicted, bool)
    total = int(labels.sum()) + int(predicted.sum())
    return 2 * int((labels & predicted).sum()) / total if total else 1.0


def binary_cross_entropy(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Returns the binary cross entropy of each label.

    Args:
        labels: array of 0 and 1.

        logits: float array of the same shape.
    """
    logits = np.asarray(logits, np.float64)
    return np.logaddexp(0, logits) - np.asarray(labels) * logits


class MultilabelSums:
    """Labels and logits of a split, which batches and workers add up.

    Average precision is no sum over images, so all scores are kept.

    Example:
        >>> metrics = MultilabelSums()
        >>> metrics.update(np.array([[1, 0], [1, 1]]), np.array([[2.0, -1.0], [1.0, 3.0]]))
        >>> metrics.result()["mAP"]
        100.0
    """

    def __init__(self):
        self._labels: list[np.ndarray] = []
        self._logits: list[np.ndarray] = []

    def update(self, label: np.ndarray, outputs: np.ndarray) -> None:
        """Adds a batch.

        Args:
            label: array (images, classes) of 0 and 1.

            outputs: float array (images, classes), the logits.
        """
        self._labels.append(np.asarray(label, bool))
        self._logits.append(np.asarray(outputs, np.float32))

    def __add__(self, other: "MultilabelSums") -> "MultilabelSums":
        both = MultilabelSums()
        both._labels = self._labels + other._labels
        both._logits = self._logits + other._logits
        return both

    def result(self) -> dict[str, float]:
        """Returns `{"mAP": ..., "micro_f1": ..., "loss": ...}`, the first two in percent.

        Raises:
            ValueError: if there is no image, or no image has a class.
        """
        if not self._labels:
            raise ValueError("there must be a readable image to test on. Received: none")
        labels, logits = np.concatenate(self._labels), np.concatenate(self._logits)
        if not labels.any():
            raise ValueError("an image to test on must have a class. Received: none")
        return {
            "mAP": 100 * mean_average_precision(labels, logits),
            "micro_f1": 100 * micro_f1(labels, logits > 0),
            "loss": float(binary_cross_entropy(labels, logits).mean()),
        }

    def state(self) -> dict[str, Any]:
        """Returns labels and logits as JSON values."""
        return {
            "labels": [row for labels in self._labels for row in labels.astype(int).tolist()],
            "logits": [row for logits in self._logits for row in logits.tolist()],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Replaces labels and logits by those of `state()`."""
        self._labels = [np.array(state["labels"], bool)] if state["labels"] else []
        self._logits = [np.array(state["logits"], np.float32)] if state["logits"] else []

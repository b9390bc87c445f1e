"""The table `newnet_tf/results/accuracy.csv`: measured accuracies."""

import os
from pathlib import Path
from typing import Protocol

from newnet_tf import results

KEYS = ("model", "weights", "precision", "data")


class AccuracyResult(Protocol):
    """A result that `save_accuracy` takes, such as `ClassificationResult`."""

    @property
    def n(self) -> int:
        """Number of images."""

    @property
    def top(self) -> tuple[int, ...]:
        """The k of each top-k accuracy."""

    @property
    def skipped(self) -> tuple:
        """Images that could not be read."""

    def accuracy(self, k: int = 1) -> float:
        """Returns top-k accuracy in percent."""

    def interval(self, k: int = 1) -> tuple[float, float]:
        """Returns its 95 % interval in percent."""


def save_accuracy(
    result: AccuracyResult,
    model: str,
    data: str,
    precision: str = "fp32",
    weights: str = "",
    note: str = "",
    folder: str | os.PathLike | None = None,
) -> Path:
    """Writes a result into the table; a row of the same model, weights, precision and data is replaced.

    Args:
        result: `ClassificationResult`.

        model: str, the model's name.

        data: str, which images, e.g. `"imagenet_v2"`.

        precision: str, e.g. `"int8-full"`. Default: `"fp32"`.

        weights: str, tag or file name of the weights.

        note: str, for the table's last column.

        folder: folder of the table. Default: the package's own results.

    Returns:
        Path of the table.
    """
    low, high = result.interval(1)
    row = {
        "model": model,
        "weights": weights,
        "precision": precision,
        "data": data,
        "n": result.n,
        "skipped": len(result.skipped),
        "top1": f"{result.accuracy(1):.2f}",
        "top1_low": f"{low:.2f}",
        "top1_high": f"{high:.2f}",
        "top5": f"{result.accuracy(5):.2f}" if 5 in result.top else "",
        "note": note,
    }
    return results.record("accuracy", [row], KEYS, folder)

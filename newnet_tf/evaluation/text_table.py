"""The table `newnet_tf/results/text.csv`: measured H-mean of text detectors."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from newnet_tf import results

KEYS = ("model", "weights", "precision", "data")


class WordResult(Protocol):
    """A result that `save_text` takes, such as `text.evaluation.result.TextResult`."""

    @property
    def n(self) -> int:
        """Number of images."""

    @property
    def counts(self) -> Any:
        """`WordCounts` of all images together."""

    @property
    def ignored(self) -> int:
        """Number of words that are ignored."""

    @property
    def skipped(self) -> tuple:
        """Images that could not be read."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Figures in percent."""


def save_text(
    result: WordResult,
    model: str,
    data: str,
    precision: str = "fp32",
    weights: str = "",
    note: str = "",
    folder: str | os.PathLike | None = None,
) -> Path:
    """Writes a result into the table; a row of the same model, weights, precision and data is replaced.

    Args:
        result: `TextResult`.

        model: str, the model's name.

        data: str, the data, and what was changed in how it is read, such as another magnification.

        precision: str, of the model's numbers, e.g. `"int8-full"`. Default: `"fp32"`.

        weights: str, tag or file name of the weights.

        note: str, for the table's last column.

        folder: folder of the table. Default: the package's own results.

    Returns:
        Path of the table.
    """
    row = {
        "model": model,
        "weights": weights,
        "precision": precision,
        "data": data,
        "n": result.n,
        "skipped": len(result.skipped),
        "words": result.counts.truths,
        "ignored": result.ignored,
        "matched": result.counts.matched,
        "found": result.counts.found,
        "hmean": f"{result.metrics['hmean']:.2f}",
        "word_precision": f"{result.metrics['precision']:.2f}",
        "word_recall": f"{result.metrics['recall']:.2f}",
        "note": note,
    }
    return results.record("text", [row], KEYS, folder)

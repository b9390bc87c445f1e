"""The tables of measured results, `newnet_tf/results/accuracy.csv`, `detection.csv`, `text.csv`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from newnet_tf import results

KEYS = ("model", "weights", "precision", "data")


class TableResult(Protocol):
    """A result that `save_result` takes, such as `ClassificationResult`."""

    table: str

    @property
    def n(self) -> int:
        """Number of images."""

    @property
    def skipped(self) -> tuple:
        """Images that could not be read."""

    def table_row(self) -> Mapping[str, object]:
        """Returns the columns of its table that are its own."""


def save_result(
    result: TableResult,
    model: str,
    data: str,
    precision: str = "fp32",
    weights: str = "",
    note: str = "",
    folder: str | os.PathLike | None = None,
) -> Path:
    """Writes a result into its table; a row of the same model, weights, precision and data is replaced.

    Args:
        result: `ClassificationResult`, `DetectionResult` or `TextResult`.

        model: str, the model's name.

        data: str, which images, e.g. `"voc, validation"`, and what was changed in how they are read,
            such as another magnification.

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
        **result.table_row(),
        "note": note,
    }
    return results.record(result.table, [row], KEYS, folder)

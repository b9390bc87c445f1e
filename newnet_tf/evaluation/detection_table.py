"""The table `newnet_tf/results/detection.csv`: measured average precision."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from newnet_tf import results

KEYS = ("model", "weights", "precision", "data")
FIGURES = (
    "mAP",
    "mAP50",
    "mAP75",
    "AR100",
    "VOC_mAP50",
    "mAP_with_difficult",
    "mAP50_with_difficult",
)


class BoxResult(Protocol):
    """A result that `save_detection` takes, such as `detection.result.DetectionResult`."""

    @property
    def n(self) -> int:
        """Number of images."""

    @property
    def boxes(self) -> int:
        """Number of true boxes that count."""

    @property
    def difficult(self) -> int:
        """Number of difficult boxes."""

    @property
    def skipped(self) -> tuple:
        """Images that could not be read."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Figures in percent."""


def save_detection(
    result: BoxResult,
    model: str,
    data: str,
    precision: str = "fp32",
    weights: str = "",
    note: str = "",
    folder: str | os.PathLike | None = None,
) -> Path:
    """Writes a result into the table; a row of the same model, weights, precision and data is replaced.

    Args:
        result: `DetectionResult`.

        model: str, the model's name.

        data: str, which images, e.g. `"voc, validation"`.

        precision: str, e.g. `"int8-full"`. Default: `"fp32"`.

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
        "boxes": result.boxes,
        "difficult": result.difficult,
        **{name: f"{result.metrics[name]:.2f}" for name in FIGURES if name in result.metrics},
        "note": note,
    }
    return results.record("detection", [row], KEYS, folder)

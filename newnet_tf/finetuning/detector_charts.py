"""The precision-recall curves of a detector, as one chart."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from newnet_tf.detection.evaluation.average_precision import RECALLS
from newnet_tf.utils.palette import BLUE, FAINT, GRID, INK, RED
from newnet_tf.visualization import charts

COLUMNS, MAX_CLASSES = 6, 47  # panels a row; classes with a panel of their own
PANEL = 1.65  # inches


def precision_recall(precision: np.ndarray, class_names: Sequence[str]) -> Any:
    """Returns a chart of precision over recall: a panel of the mean, and one for each class.

    The class with the lowest average precision comes first; with more than 47 classes only the lowest
    47 are drawn. Classes without a box to detect are left out.

    Args:
        precision: float array (classes, 101), `DetectionResult.precision_recall`.

        class_names: str for each class.

    Returns:
        matplotlib figure.
    """
    present = np.flatnonzero(~np.isnan(precision[:, 0]))
    average = precision[present].mean(axis=1)
    ordered = present[np.argsort(average, kind="stable")][:MAX_CLASSES]
    panels = [("all classes, mean", precision[present].mean(axis=0), RED)]
    panels += [(class_names[i].replace("_", " "), precision[i], BLUE) for i in ordered]
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    chart = charts.figure(max(PANEL * columns, 5.0), (PANEL + 0.25) * rows + 0.4)
    grid = chart.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (name, values, color) in zip(grid.flat, panels, strict=False):
        axes.fill_between(RECALLS, values, color=color, alpha=0.12, lw=0)
        axes.plot(RECALLS, values, color=color, lw=1.6)
        axes.set_title(
            f"{name}\nAP50 {100 * values.mean():.1f} %", fontsize=8, color=INK, loc="left"
        )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xticks((0, 0.5, 1))
        axes.set_yticks((0, 0.5, 1))
        axes.grid(color=GRID)
        axes.tick_params(colors=FAINT, labelcolor=INK, labelsize=7, length=0)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    chart.supxlabel("recall", fontsize=9, color=INK)
    chart.supylabel("precision", fontsize=9, color=INK)
    return chart

"""A detector's boxes image by image, and their average precision.

The detections of every image are kept, so that two models can be compared on the same images
(`evaluation.paired.compare_detectors`).
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from newnet_tf.data.images import SkippedImage
from newnet_tf.detection.evaluation import metrics
from newnet_tf.detection.evaluation.average_precision import (
    ClassMatches,
    match_detections,
    precision_at_recalls,
    resampled_average_precision,
)
from newnet_tf.detection.evaluation.coco_eval import CocoFigures
from newnet_tf.detection.postprocess import Detections

SAVED = (  # figures in `results/detection.csv`
    "mAP",
    "mAP50",
    "mAP75",
    "AR100",
    "VOC_mAP50",
    "mAP_with_difficult",
    "mAP50_with_difficult",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class DetectionResult:
    """The detections of a model in labeled images.

    Args:
        paths: tuple of str, names of the n images.

        truths: tuple of n mappings of arrays, their true boxes, see `data.boxes`; classes are the
            model's.

        detections: tuple of n `Detections`: the best 100 of each image with a score above 0.001, in
            pixels of the original image.

        classes: int, number of the model's classes.

        skipped: tuple of `SkippedImage`, images that could not be read; they count nowhere.

        left_out: tuple of str, the dataset's classes that the model does not have; their boxes count
            nowhere.

        seconds: float, wall time of the evaluation.

        model: str, the model's name.

        weights: str, tag or file name of its weights.

        precision: str, e.g. `"int8-full"`.

        dataset: str, name of the dataset.

        split: str, name of the split.

        class_names: tuple with one str for each class of the model; () if unknown.

    Example:
        >>> result = newnet_tf.evaluate("runs/cars", "cars_voc")
        >>> result.metrics["mAP50"], result.class_table()
    """

    table: ClassVar[str] = "detection"  # of `newnet_tf/results`

    paths: tuple[str, ...]
    truths: tuple[Mapping[str, np.ndarray], ...]
    detections: tuple[Detections, ...]
    classes: int
    skipped: tuple[SkippedImage, ...] = ()
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0
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

    @property
    def boxes(self) -> int:
        """Number of true boxes that are neither difficult nor crowds."""
        return sum(int((~_ignored(truth)).sum()) for truth in self.truths)

    @property
    def difficult(self) -> int:
        """Number of difficult boxes."""
        return sum(int(truth["difficult"].sum()) for truth in self.truths)

    @property
    def crowds(self) -> int:
        """Number of crowd boxes."""
        return sum(int(truth["crowd"].sum()) for truth in self.truths)

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of `metrics.figures` in percent: `mAP`, `mAP50`, `mAP75`, `AR100`, ..."""
        return self._figures[0]

    @property
    def by_class(self) -> CocoFigures:
        """Average precision and recall of each class in 0-1."""
        return self._figures[1]

    @property
    def precision_recall(self) -> np.ndarray:
        """Precision of each class at an IoU of 0.5 and recalls of 0, 0.01, ... 1: COCO's curves.

        Returns:
            float64 array (classes, 101), 0 to 1; NaN for a class without a box to detect. The mean of a
            row is the class's average precision at that IoU.
        """
        return np.concatenate([precision_at_recalls(matches) for matches in self._matches])

    def table_row(self) -> dict[str, object]:
        """Returns the columns of `detection.csv` that are its own."""
        figures = {name: f"{self.metrics[name]:.2f}" for name in SAVED if name in self.metrics}
        return {"boxes": self.boxes, "difficult": self.difficult, **figures}

    def class_table(self) -> list[dict[str, object]]:
        """Returns the lines of a table: the figures of each class, the lowest average precision first.

        Classes without a box are left out. `n` is the number of boxes that are neither difficult nor
        crowds.
        """
        found = self.by_class
        average = found.precision.mean(axis=0)
        present = np.flatnonzero(~np.isnan(average))
        counts = np.zeros(self.classes, int)
        for truth in self.truths:
            np.add.at(counts, truth["classes"][~_ignored(truth)], 1)
        return [
            {
                "class": self.class_names[i] if self.class_names else f"class {i}",
                "n": int(counts[i]),
                "AP": f"{100 * average[i]:.1f}",
                "AP50": f"{100 * found.precision[0, i]:.1f}",
                "AP75": f"{100 * found.precision[5, i]:.1f}",
                "AR100": f"{100 * found.recall[:, i].mean():.1f}",
            }
            for i in sorted(present, key=lambda i: average[i])
        ]

    def resampled_map50(self, counts: np.ndarray) -> np.ndarray:
        """Returns mAP50 in percent with images that count several times, for bootstrap intervals.

        Args:
            counts: int array (samples, n), how often each image counts in each sample.

        Returns:
            float64 array (samples,).
        """
        return 100 * resampled_average_precision(self._matches, counts)

    @functools.cached_property
    def _figures(self) -> tuple[dict[str, float], CocoFigures]:
        return metrics.figures(self.truths, self.detections, self.classes)

    @functools.cached_property
    def _matches(self) -> list[ClassMatches]:
        return match_detections(self.truths, self.detections, self.classes)

    def __str__(self) -> str:
        title = f"{self.model} on {self.dataset}, {self.split}: " if self.dataset else ""
        values = self.metrics
        names = ("mAP", "mAP50", "mAP75", "AR100")
        figures = ", ".join(f"{name} {values[name]:.1f} %" for name in names)
        lines = [f"{title}{figures}, n = {self.n}", self._counts()]
        if "mAP_with_difficult" in values:
            lines.append(
                f"difficult boxes counted: mAP {values['mAP_with_difficult']:.1f} %, "
                f"mAP50 {values['mAP50_with_difficult']:.1f} %"
            )
        return "\n".join(lines)

    def _counts(self) -> str:
        parts = [f"VOC's mAP50 {self.metrics['VOC_mAP50']:.1f} %", f"{self.boxes} boxes"]
        ignored = {"difficult": self.difficult, "crowds": self.crowds}
        parts += [f"{count} {name} ignored" for name, count in ignored.items() if count]
        if self.left_out:
            parts.append(f"{len(self.left_out)} classes left out")
        if self.skipped:
            parts.append(f"{len(self.skipped)} images skipped")
        return ", ".join([*parts, f"{self.seconds:.1f} s"])


def _ignored(truth: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.asarray(truth["difficult"], bool) | np.asarray(truth["crowd"], bool)

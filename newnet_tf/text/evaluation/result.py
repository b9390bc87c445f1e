"""A text detector's words image by image, and their H-mean."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from newnet_tf.data.images import SkippedImage
from newnet_tf.data.words import IGNORE
from newnet_tf.text.evaluation.icdar import WordCounts, add_counts, count_matches, figures
from newnet_tf.text.postprocess import Words


@dataclass(frozen=True, eq=False, kw_only=True)
class TextResult:
    """The words that a model found in labeled images, evaluated by ICDAR's protocol.

    Args:
        paths: tuple of str, names of the n images.

        truths: tuple of n mappings, their true words, see `data.words`.

        words: tuple of n `Words`, in pixels of the original image.

        skipped: tuple of `SkippedImage`, images that could not be read; they count nowhere.

        seconds: float, wall time of the evaluation.

        model: str, the model's name.

        weights: str, tag or file name of its weights.

        precision: str, e.g. `"int8-full"`.

        dataset: str, name of the dataset.

        split: str, name of the split.

        class_names: tuple of one str.

    Example:
        >>> result = newnet_tf.evaluate("craft_lite", "icdar2015")
        >>> result.metrics["hmean"], result.counts.matched
    """

    table: ClassVar[str] = "text"  # of `newnet_tf/results`

    paths: tuple[str, ...]
    truths: tuple[Mapping[str, np.ndarray], ...]
    words: tuple[Words, ...]
    skipped: tuple[SkippedImage, ...] = ()
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

    @functools.cached_property
    def by_image(self) -> tuple[WordCounts, ...]:
        """`WordCounts` of each image."""
        pairs = zip(self.truths, self.words, strict=True)
        return tuple(count_matches(truth, found.polygons)[0] for truth, found in pairs)

    @property
    def counts(self) -> WordCounts:
        """`WordCounts` of all images together."""
        return add_counts(self.by_image)

    @property
    def ignored(self) -> int:
        """Number of words that are ignored."""
        return sum(int(np.asarray(truth[IGNORE]).sum()) for truth in self.truths)

    @property
    def metrics(self) -> dict[str, float]:
        """`"hmean"`, `"precision"` and `"recall"` in percent."""
        return figures(self.counts)

    def table_row(self) -> dict[str, object]:
        """Returns the columns of `text.csv` that are its own."""
        counts, figures_ = self.counts, self.metrics
        return {
            "words": counts.truths,
            "ignored": self.ignored,
            "matched": counts.matched,
            "found": counts.found,
            "hmean": f"{figures_['hmean']:.2f}",
            "word_precision": f"{figures_['precision']:.2f}",
            "word_recall": f"{figures_['recall']:.2f}",
        }

    def class_table(self) -> list[dict[str, object]]:
        """Returns the lines of a table of classes: none, there is only one."""
        return []

    def image_table(self) -> list[dict[str, object]]:
        """Returns the lines of a table: the counts of each image, the most errors first.

        Errors are words that were missed, and found polygons that match no word.
        """
        rows = [
            {
                "image": path,
                "words": counts.truths,
                "found": counts.found,
                "matched": counts.matched,
                "missed": counts.truths - counts.matched,
                "wrong": counts.found - counts.matched,
            }
            for path, counts in zip(self.paths, self.by_image, strict=True)
        ]
        return sorted(rows, key=lambda row: -(row["missed"] + row["wrong"]))

    def __str__(self) -> str:
        title = f"{self.model} on {self.dataset}, {self.split}: " if self.dataset else ""
        values, counts = self.metrics, self.counts
        first = (
            f"{title}H-mean {values['hmean']:.1f} %, precision {values['precision']:.1f} %, "
            f"recall {values['recall']:.1f} %, n = {self.n}"
        )
        parts = [
            f"{counts.matched} of {counts.truths} words found",
            f"{counts.found - counts.matched} of {counts.found} polygons wrong",
        ]
        if self.ignored:
            parts.append(f"{self.ignored} words ignored")
        if self.skipped:
            parts.append(f"{len(self.skipped)} images skipped")
        return "\n".join([first, ", ".join([*parts, f"{self.seconds:.1f} s"])])

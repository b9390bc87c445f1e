"""Classification accuracy image by image: top-k with an interval, by class, confusion matrix.

The predicted classes of every image are kept, so that two models can be compared on the same images
(`evaluation.paired.compare`).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from newnet_tf.data.images import SkippedImage
from newnet_tf.evaluation.intervals import wilson


@dataclass(frozen=True, eq=False)
class ClassificationResult:
    """The predictions of a model for labeled images, and their accuracy.

    Args:
        paths: tuple of str, names of the n images.

        labels: int array of shape (n,), their classes.

        topk: int array of shape (n, max(top)), the predicted classes, the best first.

        top: tuple of int, the k of each top-k accuracy. Default: (1,).

        skipped: tuple of `SkippedImage`, images that could not be read; they count nowhere.

        model: str, the model's name.

        weights: str, tag or file name of its weights.

        precision: str, e.g. `"int8-full"`.

        dataset: str, name of the dataset.

        split: str, name of the split.

        class_names: tuple with one str for each class of the model; () if unknown.

    Example:
        >>> result = newnet_tf.evaluate("efficientnet_lite0", "imagenet_v2")
        >>> result.accuracy(), result.interval(), result.metrics
    """

    table: ClassVar[str] = "accuracy"  # of `newnet_tf/results`

    paths: tuple[str, ...]
    labels: np.ndarray
    topk: np.ndarray
    top: tuple[int, ...] = (1,)
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

    @property
    def metrics(self) -> dict[str, float]:
        """Top-k accuracies in percent, e.g. `{"top1": 74.8, "top5": 92.1}`."""
        return {f"top{k}": self.accuracy(k) for k in self.top}

    def hits(self, k: int = 1) -> np.ndarray:
        """Returns a bool array of shape (n,): whether the class is among the best `k`."""
        if k not in self.top:
            raise ValueError(f"`k` must be among {self.top}. Received: k={k!r}")
        return (self.topk[:, :k] == self.labels[:, None]).any(axis=1)

    def accuracy(self, k: int = 1) -> float:
        """Returns top-`k` accuracy in percent."""
        return 100 * float(self.hits(k).mean())

    def interval(self, k: int = 1) -> tuple[float, float]:
        """Returns the 95 % interval of `accuracy(k)` in percent (Wilson's score interval)."""
        low, high = wilson(int(self.hits(k).sum()), self.n)
        return 100 * low, 100 * high

    def table_row(self) -> dict[str, object]:
        """Returns the columns of `accuracy.csv` that are its own."""
        low, high = self.interval(1)
        return {
            "top1": f"{self.accuracy(1):.2f}",
            "top1_low": f"{low:.2f}",
            "top1_high": f"{high:.2f}",
            "top5": f"{self.accuracy(5):.2f}" if 5 in self.top else "",
        }

    def by_class(self) -> list["ClassResult"]:
        """Returns the top-1 result of each class that occurs, the worst first."""
        classes, hits = [], self.hits()
        for label in np.unique(self.labels):
            members = self.labels == label
            wrong = self.topk[members & ~hits, 0]
            predicted, counts = np.unique(wrong, return_counts=True)
            most = int(counts.argmax()) if len(counts) else None
            classes.append(
                ClassResult(
                    label=int(label),
                    n=int(members.sum()),
                    hits=int(hits[members].sum()),
                    top_confusion=None if most is None else int(predicted[most]),
                    count=0 if most is None else int(counts[most]),
                )
            )
        return sorted(classes, key=lambda c: (c.hits / c.n, -c.n, c.label))

    def class_table(self) -> list[dict[str, object]]:
        """Returns the lines of a table: the accuracy of each class, the worst first."""
        return [
            {
                "class": self._class_name(row.label),
                "n": row.n,
                "top-1": f"{row.accuracy:.1f}",
                "low": f"{row.interval[0]:.1f}",
                "high": f"{row.interval[1]:.1f}",
                "most often confused with": ""
                if row.top_confusion is None
                else f"{self._class_name(row.top_confusion)} ({row.count})",
            }
            for row in self.by_class()
        ]

    def confusion(self, classes: int) -> np.ndarray:
        """Returns the confusion matrix.

        Args:
            classes: int, number of classes.

        Returns:
            int array of shape (classes, classes): rows are true classes, columns predicted ones.
        """
        counts = np.zeros((classes, classes), int)
        np.add.at(counts, (self.labels, self.topk[:, 0]), 1)
        return counts

    def _class_name(self, label: int) -> str:
        return self.class_names[label] if self.class_names else f"class {label}"

    def __str__(self) -> str:
        accuracies = []
        for k in self.top:
            low, high = self.interval(k)
            accuracies.append(f"top-{k} {self.accuracy(k):.2f} % (95 %: {low:.2f} to {high:.2f})")
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        title = f"{self.model} on {self.dataset}, {self.split}: " if self.dataset else ""
        return f"{title}{', '.join(accuracies)}, n = {self.n}{skipped}"


@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """The top-1 result of the images of one class.

    Args:
        label: int, the class.

        n: int, number of its images.

        hits: int, number of those that were classified correctly.

        top_confusion: int, the wrong class that was predicted most often; None without errors.

        count: int, how often it was predicted.
    """

    label: int
    n: int
    hits: int
    top_confusion: int | None
    count: int

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy in percent."""
        return 100 * self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of `accuracy` in percent (Wilson's score interval)."""
        low, high = wilson(self.hits, self.n)
        return 100 * low, 100 * high

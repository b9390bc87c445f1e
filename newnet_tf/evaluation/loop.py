"""Accuracy on labeled images: top-k with an interval, and paired comparison.

A predictor is any callable from a float32 batch (n, size, size, channels) to scores (n, classes): a
Keras model, a TFLite runner, a lambda. What it predicts is kept image by image, so that two can
be compared on the same images, which tells far smaller differences apart than two percentages do.
"""

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf import results
from newnet_tf.data.host_loader import Sample, each_batch
from newnet_tf.data.images import SkippedImage
from newnet_tf.data.preprocess import preprocess_image
from newnet_tf.evaluation.intervals import newcombe, wilson
from newnet_tf.models.config import PreprocessConfig


@dataclass(frozen=True, eq=False)
class Result:
    """How a predictor did, image by image.

    Args:
        paths: tuple of str, the images judged. labels: int array (n,), their classes.
        topk: int array (n, max(top)), the predicted classes, best first.
        top: tuple of int, the k's asked for.
        skipped: tuple of `SkippedImage`, images that could not be read; they count nowhere.
    """

    paths: tuple[str, ...]
    labels: np.ndarray
    topk: np.ndarray
    top: tuple[int, ...] = (1,)
    skipped: tuple[SkippedImage, ...] = ()

    @property
    def n(self) -> int:
        """Number of images judged."""
        return len(self.paths)

    def hits(self, k: int = 1) -> np.ndarray:
        """Returns a bool for each image: is its class among the best `k`?"""
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

    def by_class(self) -> list["ClassResult"]:
        """Returns how each class that occurs did by top-1, the worst first."""
        found, hits = [], self.hits()
        for label in np.unique(self.labels):
            members = self.labels == label
            wrong = self.topk[members & ~hits, 0]
            taken, times = np.unique(wrong, return_counts=True)
            worst = int(times.argmax()) if len(times) else None
            found.append(
                ClassResult(
                    label=int(label),
                    n=int(members.sum()),
                    hits=int(hits[members].sum()),
                    top_confusion=None if worst is None else int(taken[worst]),
                    count=0 if worst is None else int(times[worst]),
                )
            )
        return sorted(found, key=lambda c: (c.hits / c.n, -c.n, c.label))

    def confusion(self, classes: int) -> np.ndarray:
        """Returns counts of shape (classes, classes): rows are true classes, columns predicted."""
        counts = np.zeros((classes, classes), int)
        np.add.at(counts, (self.labels, self.topk[:, 0]), 1)
        return counts

    def __str__(self) -> str:
        lines = []
        for k in self.top:
            low, high = self.interval(k)
            lines.append(f"top-{k} {self.accuracy(k):.2f} % (95 %: {low:.2f} to {high:.2f})")
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"{', '.join(lines)}, n = {self.n}{skipped}"


@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """How the images of one class did, by top-1.

    Args:
        label: int, the class. n: int, its images. hits: int, those that were right.
        top_confusion: int, the class that the others were most often taken for; None without others.
        count: int, how often.
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
        """The 95 % interval of `accuracy` in percent (Wilson's score interval)."""
        low, high = wilson(self.hits, self.n)
        return 100 * low, 100 * high


@dataclass(frozen=True)
class PairedComparison:
    """Two predictors on the same images, by top-1.

    Args:
        both, first_only, second_only, neither: int, images that both, only one, or none got
            right.
        agree: int, images for which both predicted the same class, right or wrong.
    """

    both: int
    first_only: int
    second_only: int
    neither: int
    agree: int

    @property
    def n(self) -> int:
        """Number of images compared."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def difference(self) -> float:
        """The second's accuracy minus the first's, in percentage points."""
        return 100 * (self.second_only - self.first_only) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of `difference`, in points, by Newcombe's method 10; see `newcombe`."""
        low, high = newcombe(self.both, self.second_only, self.first_only, self.neither)
        return 100 * low, 100 * high

    @property
    def agreement(self) -> float:
        """Images with the same predicted class, in percent."""
        return 100 * self.agree / self.n

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.difference:+.2f} points (95 %: {low:+.2f} to {high:+.2f}), n = {self.n}: "
            f"{self.first_only} lost, {self.second_only} won, agreement {self.agreement:.2f} %"
        )


def evaluate(
    predict: Callable,
    paths: Sequence[str | os.PathLike],
    labels: Sequence[int],
    preprocess: PreprocessConfig,
    batch_size: int = 32,
    top: Sequence[int] = (1, 5),
) -> Result:
    """Measures top-k accuracy; shows progress on stderr.

    Images that cannot be read are skipped, counted and named in one warning.

    Args:
        predict: callable, float32 (n, size, size, channels) -> scores (n, classes), n <= `batch_size`.
        paths: image files. labels: an int for each, its class.
        preprocess: `cards.Preprocess` of the predictor's weights.
        batch_size: int, images a call.
        top: ints, the k's of top-k.

    Returns:
        A `Result`.

    Raises:
        ValueError: for labels that do not fit, scores of another shape or not finite, or when no
            image could be read.

    Example:
        >>> paths, labels, _ = labeled_files("samples")
        >>> print(evaluate(model, paths, labels, card.preprocess))
    """
    paths = list(paths)
    if not paths:
        raise ValueError("`paths` must hold at least one image. Received: none")
    labels = class_labels(labels, len(paths), "paths")
    samples = (Sample(os.fspath(p), int(c), p) for p, c in zip(paths, labels, strict=True))
    prepare = functools.partial(preprocess_image, preprocess=preprocess)
    return judge(lambda x: predict(np.stack(x)), samples, len(paths), prepare, batch_size, top)


def judge(
    predict: Callable,
    samples: Iterable[Sample],
    total: int,
    prepare: Callable,
    batch_size: int = 32,
    top: Sequence[int] = (1, 5),
) -> Result:
    """Measures top-k accuracy on images that lie anywhere; shows progress on stderr.

    Args:
        predict: callable, list of prepared images, at most `batch_size` -> scores (n, classes).
        images: `data.host.Image`s. total: int, how many, for the progress bar.
        prepare: callable, uint8 array (height, width, 3) -> an image as `predict` takes it.
        batch_size: int, images a call. top: ints, the k's of top-k.

    Returns:
        A `Result`. Images that cannot be read are skipped, counted and named in one warning.

    Raises:
        ValueError: for labels that are no class, scores of another shape or not finite, or when no
            image could be read.
    """
    top, kept, ranked = tuple(top), [], []
    if not top or min(top) < 1 or batch_size < 1:
        raise ValueError(
            f"`top` and `batch_size` must be positive. Received: {top=}, {batch_size=}"
        )

    def count(found, images):
        scores = _scores(predict(images), len(images), max(top))
        highest = max(sample.label for sample in found)
        if highest >= scores.shape[1]:
            raise ValueError(
                f"labels must lie in 0 to {scores.shape[1] - 1}, as there are scores. "
                f"Received: {highest}"
            )
        ranked.append(np.argsort(-scores, axis=1, kind="stable")[:, : max(top)])
        kept.extend((sample.name, sample.label) for sample in found)

    bad = each_batch(count, samples, total, prepare, batch_size, "Evaluating")
    if not kept:
        reason = bad[0].reason if bad else "none"
        raise ValueError(f"there must be a readable image. Received: {reason}")
    names, labels = zip(*kept, strict=True)
    return Result(names, np.array(labels), np.concatenate(ranked), top, bad)


def compare(first: Result, second: Result) -> PairedComparison:
    """Compares two predictors on the same images by top-1, image by image.

    Args:
        first, second: `Result`s of `evaluate` on the same paths and labels.

    Raises:
        ValueError: if they were not judged on the same images.
    """
    if first.paths != second.paths or not np.array_equal(first.labels, second.labels):
        raise ValueError(
            "`first` and `second` must be judged on the same images and labels. "
            f"Received: {first.n} and {second.n} images, "
            f"{len(set(first.paths) & set(second.paths))} in common"
        )
    a, b = first.hits(), second.hits()
    counts = [int(c.sum()) for c in (a & b, a & ~b, ~a & b, ~a & ~b)]
    return PairedComparison(*counts, agree=int((first.topk[:, 0] == second.topk[:, 0]).sum()))


def record(
    result: Result,
    model: str,
    data: str,
    precision: str = "fp32",
    weights: str = "",
    note: str = "",
    folder: str | os.PathLike | None = None,
) -> Path:
    """Writes a result into the table `accuracy` of `newnet_tf.results`.

    A row with the same model, weights, precision and data is replaced.

    Args:
        result: `Result`. model: str, the card's name. data: str, which images.
        precision: str, e.g. `"int8-full"`. weights: str, their tag. note: str.
        folder: where the table lives; default: the package's own results.
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
    return results.record("accuracy", [row], ("model", "weights", "precision", "data"), folder)


def class_labels(labels: Sequence[int], n: int, beside: str) -> np.ndarray:
    """Returns `labels` as an array of `n` ints from 0, or says that they do not fit `beside`."""
    found = np.asarray(labels)
    if found.shape != (n,) or not np.issubdtype(found.dtype, np.integer) or (found < 0).any():
        raise ValueError(
            f"`labels` must be one int >= 0 for each of `{beside}` ({n}). "
            f"Received: shape={found.shape}, dtype={found.dtype}"
        )
    return found


def _scores(scores, n: int, deepest: int) -> np.ndarray:
    found = np.asarray(scores)
    if found.ndim != 2 or len(found) != n or found.shape[1] < deepest:
        raise ValueError(
            f"`predict` must return ({n}, classes), with at least {deepest} classes for `top`. "
            f"Received: shape={found.shape}"
        )
    if not np.isfinite(found).all():
        raise ValueError("`predict` must return finite scores. Received: NaN or infinity")
    return found

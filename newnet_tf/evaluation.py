"""Accuracy on labelled pictures: top-k with an interval, and paired comparison.

A predictor is any callable from a float32 batch (n, size, size, channels) to scores (n, classes): a
Keras model, a TFLite runner, a lambda. What it predicts is kept picture by picture, so that two can
be compared on the same pictures, which tells far smaller differences apart than two percentages do.
"""

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf import results
from newnet_tf.cards import Preprocess
from newnet_tf.data.images import BadImage, read_images
from newnet_tf.data.preprocess import apply

Z95 = 1.959963984540054  # normal quantile of a two-sided 95 % interval


@dataclass(frozen=True, eq=False)
class Result:
    """How a predictor did, picture by picture.

    Args:
        paths: tuple of str, the pictures judged. labels: int array (n,), their classes.
        ranked: int array (n, max(top)), the predicted classes, best first.
        top: tuple of int, the k's asked for.
        skipped: tuple of `BadImage`, pictures that could not be read; they count nowhere.
    """

    paths: tuple[str, ...]
    labels: np.ndarray
    ranked: np.ndarray
    top: tuple[int, ...] = (1,)
    skipped: tuple[BadImage, ...] = ()

    @property
    def n(self) -> int:
        """Number of pictures judged."""
        return len(self.paths)

    def hits(self, k: int = 1) -> np.ndarray:
        """Returns a bool for each picture: is its class among the best `k`?"""
        if k not in self.top:
            raise ValueError(f"`k` must be among {self.top}. Received: k={k!r}")
        return (self.ranked[:, :k] == self.labels[:, None]).any(axis=1)

    def accuracy(self, k: int = 1) -> float:
        """Returns top-`k` accuracy in per cent."""
        return 100 * float(self.hits(k).mean())

    def interval(self, k: int = 1) -> tuple[float, float]:
        """Returns the 95 % interval of `accuracy(k)` in per cent (Wilson's score interval)."""
        low, high = wilson(int(self.hits(k).sum()), self.n)
        return 100 * low, 100 * high

    def __str__(self) -> str:
        lines = []
        for k in self.top:
            low, high = self.interval(k)
            lines.append(f"top-{k} {self.accuracy(k):.2f} % (95 %: {low:.2f} to {high:.2f})")
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"{', '.join(lines)}, n = {self.n}{skipped}"


@dataclass(frozen=True)
class Paired:
    """Two predictors on the same pictures, by top-1.

    Args:
        both, first_only, second_only, neither: int, pictures that both, only one, or none got
            right.
        agree: int, pictures for which both predicted the same class, right or wrong.
    """

    both: int
    first_only: int
    second_only: int
    neither: int
    agree: int

    @property
    def n(self) -> int:
        """Number of pictures compared."""
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
        """Pictures with the same predicted class, in per cent."""
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
    preprocess: Preprocess,
    batch: int = 32,
    top: Sequence[int] = (1, 5),
) -> Result:
    """Measures top-k accuracy; shows progress on stderr.

    Pictures that cannot be read are skipped, counted and named in one warning.

    Args:
        predict: callable, float32 (n, size, size, channels) -> scores (n, classes), n <= `batch`.
        paths: picture files. labels: an int for each, its class.
        preprocess: `cards.Preprocess` of the predictor's weights.
        batch: int, pictures a call.
        top: ints, the k's of top-k.

    Returns:
        A `Result`.

    Raises:
        ValueError: for labels that do not fit, scores of another shape or not finite, or when no
            picture could be read.

    Example:
        >>> paths, labels, _ = labelled_files("samples")
        >>> print(evaluate(model, paths, labels, card.preprocess))
    """
    paths, top = list(paths), tuple(top)
    if not paths:
        raise ValueError("`paths` must hold at least one picture. Received: none")
    labels = class_labels(labels, len(paths), "paths")
    if not top or min(top) < 1 or batch < 1:
        raise ValueError(f"`top` and `batch` must be positive. Received: {top=}, {batch=}")
    reader = read_images(paths)
    ranked, kept = [], []
    for positions, images in _batches(shown(reader, "Evaluating"), preprocess, batch):
        scores = _scores(predict(images), len(images), max(top))
        if labels.max() >= scores.shape[1]:
            raise ValueError(
                f"`labels` must lie in 0 to {scores.shape[1] - 1}, as there are scores. "
                f"Received: {labels.max()}"
            )
        ranked.append(np.argsort(-scores, axis=1, kind="stable")[:, : max(top)])
        kept += positions
    if not kept:
        raise ValueError(f"`paths` must hold a readable picture. Received: {reader.bad[0].reason}")
    names = tuple(os.fspath(paths[i]) for i in kept)
    return Result(names, labels[kept], np.concatenate(ranked), top, tuple(reader.bad))


def compare(first: Result, second: Result) -> Paired:
    """Compares two predictors on the same pictures by top-1, picture by picture.

    Args:
        first, second: `Result`s of `evaluate` on the same paths and labels.

    Raises:
        ValueError: if they were not judged on the same pictures.
    """
    if first.paths != second.paths or not np.array_equal(first.labels, second.labels):
        raise ValueError(
            "`first` and `second` must be judged on the same pictures and labels. "
            f"Received: {first.n} and {second.n} pictures, "
            f"{len(set(first.paths) & set(second.paths))} in common"
        )
    a, b = first.hits(), second.hits()
    counts = [int(c.sum()) for c in (a & b, a & ~b, ~a & b, ~a & ~b)]
    return Paired(*counts, agree=int((first.ranked[:, 0] == second.ranked[:, 0]).sum()))


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
        result: `Result`. model: str, the card's name. data: str, which pictures.
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


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Returns Wilson's 95 % score interval of a proportion."""
    p, z2 = hits / n, Z95**2
    middle = p + z2 / (2 * n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z2 / n)), min(1.0, (middle + half) / (1 + z2 / n))


def newcombe(both: int, first_only: int, second_only: int, neither: int) -> tuple[float, float]:
    """Returns a 95 % interval of p_first - p_second, two proportions of the same n things.

    Newcombe's method 10 (Statistics in Medicine 17, 1998, 2635-2650): Wilson's limits of both, put
    together with their correlation. Unlike Wald's it does not shrink to nothing without flips.
    """
    n = both + first_only + second_only + neither
    hits = both + first_only, both + second_only
    (p, q), ((p_low, p_high), (q_low, q_high)) = [h / n for h in hits], [wilson(h, n) for h in hits]
    margins = math.prod((hits[0], n - hits[0], hits[1], n - hits[1]))
    excess = both * neither - first_only * second_only
    if excess > 0:
        excess = max(excess - n / 2, 0)  # continuity correction
    correlation = excess / math.sqrt(margins) if margins else 0.0

    def joined(a, b):
        return math.sqrt(max(a * a - 2 * correlation * a * b + b * b, 0.0))

    return p - q - joined(p - p_low, q_high - q), p - q + joined(p_high - p, q - q_low)


def class_labels(labels: Sequence[int], n: int, beside: str) -> np.ndarray:
    """Returns `labels` as an array of `n` ints from 0, or says that they do not fit `beside`."""
    found = np.asarray(labels)
    if found.shape != (n,) or not np.issubdtype(found.dtype, np.integer) or (found < 0).any():
        raise ValueError(
            f"`labels` must be one int >= 0 for each of `{beside}` ({n}). "
            f"Received: shape={found.shape}, dtype={found.dtype}"
        )
    return found


def shown(items: Sized, title: str) -> Iterator:
    """Iterates over `items` with a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import track

    yield from track(items, title, total=len(items), console=Console(file=sys.stderr))


def _batches(pictures, preprocess: Preprocess, batch: int) -> Iterator:
    """Yields (positions, float32 batch)."""
    positions, images = [], []
    for position, image in pictures:
        positions.append(position)
        images.append(apply(image, preprocess))
        if len(images) == batch:
            yield positions, np.stack(images)
            positions, images = [], []
    if images:
        yield positions, np.stack(images)


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

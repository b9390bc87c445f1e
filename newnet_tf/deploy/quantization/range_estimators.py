"""Choice of a map's range from a histogram of its values: what lies outside is clipped.

256 steps over a wide range are coarse, over a narrow one they clip. Zero always stays inside, and is
one of the steps, as TFLite asks.
"""

from collections.abc import Callable

import numpy as np

from newnet_tf.deploy.export_config import RANGES

BINS = 2048
STEPS = 256
PERCENTILE = 99.999
SHRINKS = np.linspace(0.25, 1, 31)  # shares of the full range that are tried
EMPTY = 1e-9  # a share that stands for none in a logarithm

Range = tuple[float, float]


def min_max(counts: np.ndarray, low: float, high: float) -> Range:
    """Returns the whole range, from the least value to the largest."""
    return low, high


def percentile(counts: np.ndarray, low: float, high: float) -> Range:
    """Returns the range without 0.001 % of the values at either end.

    Args:
        counts: integer array (`BINS`,), values in equal bins from `low` to `high`.
        low, high: float, at most and at least 0.
    """
    edges = np.linspace(low, high, BINS + 1)
    below = np.cumsum(counts) / counts.sum()
    first = np.searchsorted(below, 1 - PERCENTILE / 100)
    last = np.searchsorted(below, PERCENTILE / 100)
    return min(edges[first], 0.0), max(edges[last + 1], 0.0)


def least_squares(counts: np.ndarray, low: float, high: float) -> Range:
    """Returns the range whose rounding and clipping errors have the least sum of squares.

    Arguments are those of `percentile`. A value inside is off by step² / 12 in the mean.
    """
    edges = np.linspace(low, high, BINS + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    ends = [low * SHRINKS if low < 0 else np.zeros(1), high * SHRINKS if high > 0 else np.zeros(1)]
    below = [(counts * np.clip(end - middle, 0, None) ** 2).sum() for end in ends[0]]
    above = [(counts * np.clip(middle - end, 0, None) ** 2).sum() for end in ends[1]]
    steps = (ends[1][None] - ends[0][:, None]) / (STEPS - 1)
    errors = np.add.outer(below, above) + counts.sum() * steps**2 / 12
    errors[steps <= 0] = np.inf
    lower, upper = np.unravel_index(errors.argmin(), errors.shape)
    return float(ends[0][lower]), float(ends[1][upper])


def entropy(counts: np.ndarray, low: float, high: float) -> Range:
    """Returns the range whose 256 steps tell most of the distribution: least divergence.

    Both ends shrink alike; zeros, which every range keeps exactly, do not count. Source: Migacz,
    "8-bit Inference with TensorRT", GTC 2017. Arguments are those of `percentile`.
    """
    counts = counts.astype(np.float64)
    zero = round(-low / (high - low) * BINS)
    counts[min(zero, BINS - 1)] = 0
    found = []
    for share in SHRINKS:
        first, end = round(zero - zero * share), round(zero + (BINS - zero) * share)
        inside = counts[first:end]
        if inside.any():
            clipped = inside.copy()
            clipped[0] += counts[:first].sum()
            clipped[-1] += counts[end:].sum()
            found.append((_divergence(clipped, inside), share))
    share = min(found)[1] if found else 1.0
    return low * share, high * share


def _divergence(exact: np.ndarray, inside: np.ndarray) -> float:
    """Kullback-Leibler divergence of a distribution from its image in `STEPS` steps."""
    part = np.arange(len(inside)) * STEPS // len(inside)
    totals = np.bincount(part, inside, STEPS)
    filled = np.bincount(part, inside > 0, STEPS)
    told = np.where(inside > 0, (totals / np.maximum(filled, 1))[part], 0)
    shares, told = exact / exact.sum(), told / told.sum()
    known = shares > 0
    return float((shares[known] * np.log(shares[known] / np.maximum(told[known], EMPTY))).sum())


METHODS: dict[str, Callable[[np.ndarray, float, float], Range]] = dict(
    zip(RANGES, (least_squares, min_max, percentile, entropy), strict=True)
)

"""Choice of an activation range from a histogram of its values; values outside are clipped.

An 8-bit tensor has 256 steps: over a wide range they are coarse, over a narrow one values are clipped.
Zero always lies inside, and is one of the steps, as TFLite requires.
"""

from collections.abc import Callable

import numpy as np

from newnet_tf.deploy.export_options import CALIBRATION_METHODS

BINS = 2048
STEPS = 256
PERCENTILE = 99.999
FRACTIONS = np.linspace(0.25, 1, 31)  # of the full range, that are tried
MIN_PROBABILITY = 1e-9  # in place of 0 in a logarithm

Range = tuple[float, float]


def min_max(counts: np.ndarray, low: float, high: float) -> Range:
    """Returns the full range, from the minimum to the maximum."""
    return low, high


def percentile(counts: np.ndarray, low: float, high: float) -> Range:
    """Returns the range without 0.001 % of the values at either end.

    Args:
        counts: int array (`BINS`,), values in equal bins from `low` to `high`.

        low: float, at most 0.

        high: float, at least 0.
    """
    edges = np.linspace(low, high, BINS + 1)
    cumulative = np.cumsum(counts) / counts.sum()
    first = np.searchsorted(cumulative, 1 - PERCENTILE / 100)
    last = np.searchsorted(cumulative, PERCENTILE / 100)
    return min(edges[first], 0.0), max(edges[last + 1], 0.0)


def mse(counts: np.ndarray, low: float, high: float) -> Range:
    """Returns the range with the least mean squared error of rounding and clipping.

    A value inside has a mean squared error of step² / 12.

    Args:
        counts, low, high: as of `percentile`.
    """
    edges = np.linspace(low, high, BINS + 1)
    centers = (edges[:-1] + edges[1:]) / 2
    lows = low * FRACTIONS if low < 0 else np.zeros(1)
    highs = high * FRACTIONS if high > 0 else np.zeros(1)
    below = [(counts * np.clip(end - centers, 0, None) ** 2).sum() for end in lows]
    above = [(counts * np.clip(centers - end, 0, None) ** 2).sum() for end in highs]
    steps = (highs[None] - lows[:, None]) / (STEPS - 1)
    errors = np.add.outer(below, above) + counts.sum() * steps**2 / 12
    errors[steps <= 0] = np.inf
    lower, upper = np.unravel_index(errors.argmin(), errors.shape)
    return float(lows[lower]), float(highs[upper])


def entropy(counts: np.ndarray, low: float, high: float) -> Range:
    """Returns the range whose 256 steps keep most of the distribution: the least divergence.

    Both ends shrink by the same factor. Zeros, which every range keeps exactly, do not count.
    Source: Migacz, "8-bit Inference with TensorRT", GTC 2017.

    Args:
        counts, low, high: as of `percentile`.
    """
    counts = counts.astype(np.float64)
    zero = round(-low / (high - low) * BINS)
    counts[min(zero, BINS - 1)] = 0
    candidates = []
    for fraction in FRACTIONS:
        first, end = round(zero - zero * fraction), round(zero + (BINS - zero) * fraction)
        inside = counts[first:end]
        if inside.any():
            clipped = inside.copy()
            clipped[0] += counts[:first].sum()
            clipped[-1] += counts[end:].sum()
            candidates.append((_divergence(clipped, inside), fraction))
    fraction = min(candidates)[1] if candidates else 1.0
    return low * fraction, high * fraction


def _divergence(exact: np.ndarray, inside: np.ndarray) -> float:
    """Returns the Kullback-Leibler divergence of a distribution from itself in `STEPS` steps."""
    step = np.arange(len(inside)) * STEPS // len(inside)
    totals = np.bincount(step, inside, STEPS)
    filled = np.bincount(step, inside > 0, STEPS)
    quantized = np.where(inside > 0, (totals / np.maximum(filled, 1))[step], 0)
    exact, quantized = exact / exact.sum(), quantized / quantized.sum()
    positive = exact > 0
    ratio = exact[positive] / np.maximum(quantized[positive], MIN_PROBABILITY)
    return float((exact[positive] * np.log(ratio)).sum())


METHODS: dict[str, Callable[[np.ndarray, float, float], Range]] = dict(
    zip(CALIBRATION_METHODS, (mse, min_max, percentile, entropy), strict=True)
)

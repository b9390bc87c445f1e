"""Confidence intervals of proportions. Standard library only."""

import math

Z95 = 1.959963984540054  # normal quantile of a two-sided 95 % interval


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

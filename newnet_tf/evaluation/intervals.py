"""Confidence intervals of proportions. Standard library only."""

import math

Z95 = 1.959963984540054  # normal quantile of a two-sided 95 % interval


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Returns the 95 % score interval of a proportion.

    Args:
        hits: int, number of successes, 0 to `n`.

        n: int, number of trials, 1 or more.

    Returns:
        Two floats in 0 to 1, the lower and the upper limit.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
        (1927).
    """
    p, z2 = hits / n, Z95**2
    middle = p + z2 / (2 * n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z2 / n)), min(1.0, (middle + half) / (1 + z2 / n))


def newcombe(both: int, first_only: int, second_only: int, neither: int) -> tuple[float, float]:
    """Returns a 95 % interval of the difference between two proportions of the same items.

    Wilson's limits of both proportions are combined by their correlation (method 10). Unlike Wald's
    interval, its width is not 0 when no item differs.

    Args:
        both: int, items that are a success in both.

        first_only: int, items that are a success in the first only.

        second_only: int, items that are a success in the second only.

        neither: int, items that are a success in neither.

    Returns:
        Two floats, the limits of `p_first - p_second`.

    Source: Newcombe, "Improved confidence intervals for the difference between binomial proportions
        based on paired data", Statistics in Medicine 17 (1998), 2635-2650.
    """
    n = both + first_only + second_only + neither
    hits = both + first_only, both + second_only
    (p, q), ((p_low, p_high), (q_low, q_high)) = [h / n for h in hits], [wilson(h, n) for h in hits]
    margins = math.prod((hits[0], n - hits[0], hits[1], n - hits[1]))
    excess: float = both * neither - first_only * second_only
    if excess > 0:
        excess = max(excess - n / 2, 0)  # continuity correction
    correlation = excess / math.sqrt(margins) if margins else 0.0

    def combine(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * correlation * a * b + b * b, 0.0))

    return p - q - combine(p - p_low, q_high - q), p - q + combine(p_high - p, q - q_low)

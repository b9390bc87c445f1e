"""The Pareto front of cost against accuracy."""

from collections.abc import Sequence

Pair = tuple[float, float]  # cost, accuracy


def dominates(first: Pair, second: Pair) -> bool:
    """Whether `first` costs no more than `second`, is at least as accurate, and is not equal to it."""
    return first[0] <= second[0] and first[1] >= second[1] and tuple(first) != tuple(second)


def front(points: Sequence[Pair]) -> list[int]:
    """Returns the indices of the points that no other point dominates, cheapest first.

    Args:
        points: pairs of (cost, accuracy). Equal points are on the front together.

    Returns:
        list of int.

    Example:
        >>> front([(1, 70), (2, 69), (3, 75)])
        [0, 2]
    """
    on_front = [i for i, p in enumerate(points) if not any(dominates(q, p) for q in points)]
    return sorted(on_front, key=lambda i: points[i])

"""Which of many networks nothing else beats: the Pareto front of cost against accuracy."""

from collections.abc import Sequence

Pair = tuple[float, float]


def dominates(first: Pair, second: Pair) -> bool:
    """Whether `first` costs no more, is no worse, and differs: pairs of (cost, accuracy)."""
    return first[0] <= second[0] and first[1] >= second[1] and tuple(first) != tuple(second)


def front(points: Sequence[Pair]) -> list[int]:
    """Returns the numbers of the points that no other dominates, the cheapest first.

    Args:
        points: pairs of (cost, accuracy). Equal points are on the front together.

    Example:
        >>> front([(1, 70), (2, 69), (3, 75)])
        [0, 2]
    """
    found = [i for i, p in enumerate(points) if not any(dominates(q, p) for q in points)]
    return sorted(found, key=lambda i: points[i])

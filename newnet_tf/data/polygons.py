"""Geometry of polygons: area, order of corners, smallest rectangle, overlap. NumPy only.

A polygon is a float array (corners, 2) of x and y in pixels, y downward; its edges do not cross.
Clockwise is as it is seen on the screen.
"""

import numpy as np


def signed_area(polygon: np.ndarray) -> float:
    """Returns the area of a polygon, negative if its corners run counterclockwise.

    Args:
        polygon: float array (corners, 2).
    """
    x, y = np.asarray(polygon, np.float64).T
    return 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def clockwise(polygon: np.ndarray) -> np.ndarray:
    """Returns a polygon with its corners clockwise, from the same first corner.

    Args:
        polygon: float array (corners, 2).
    """
    if signed_area(polygon) >= 0:
        return polygon
    return np.concatenate([polygon[:1], polygon[:0:-1]])


def from_top_left(polygon: np.ndarray) -> np.ndarray:
    """Returns a polygon with its corners clockwise, from the one with the least x + y.

    Args:
        polygon: float array (corners, 2).
    """
    ordered = clockwise(polygon)
    return np.roll(ordered, -int(ordered.sum(axis=1).argmin()), axis=0)


def is_convex(polygon: np.ndarray) -> bool:
    """Returns whether no corner of a polygon points inward.

    Args:
        polygon: float array (corners, 2).
    """
    edges = np.roll(polygon, -1, axis=0) - polygon
    turns = _cross(edges, np.roll(edges, -1, axis=0))
    return bool((turns >= 0).all() or (turns <= 0).all())


def convex_hull(points: np.ndarray) -> np.ndarray:
    """Returns the convex hull of points: Andrew's monotone chain (1979).

    Args:
        points: float array (n, 2).

    Returns:
        float64 array (corners, 2), clockwise; a point or a line for points without area.
    """
    ordered = np.unique(np.asarray(points, np.float64), axis=0)
    if len(ordered) < 3:
        return ordered

    def chain(rows):
        kept: list[np.ndarray] = []
        for point in rows:
            while len(kept) > 1 and _cross(kept[-1] - kept[-2], point - kept[-1]) <= 0:
                kept.pop()
            kept.append(point)
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]))


def smallest_rectangle(points: np.ndarray) -> np.ndarray:
    """Returns the rectangle of least area around points, one side along an edge of their hull.

    Args:
        points: float array (n, 2), not all on a line.

    Returns:
        float64 array (4, 2), corners clockwise from the top left.
    """
    hull = convex_hull(points)
    edges = np.roll(hull, -1, axis=0) - hull
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    u, v = hull @ along.T, hull @ across.T  # (corners, edges)
    areas = np.ptp(u, axis=0) * np.ptp(v, axis=0)
    best = int(areas.argmin())
    u, v = u[:, best], v[:, best]
    corners = np.array(
        [(u.min(), v.min()), (u.max(), v.min()), (u.max(), v.max()), (u.min(), v.max())]
    )
    return from_top_left(corners @ np.stack([along[best], across[best]]))


def intersection_area(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the area that two polygons have in common; they need not be convex.

    Polygons that are not convex are sums of triangles, some of them negative.

    Args:
        first, second: float arrays (corners, 2).
    """
    first, second = (clockwise(np.asarray(polygon, np.float64)) for polygon in (first, second))
    if (first.max(0) <= second.min(0)).any() or (second.max(0) <= first.min(0)).any():
        return 0.0
    total = 0.0
    for part, sign in _convex_parts(first):
        for other, other_sign in _convex_parts(second):
            total += sign * other_sign * _convex_intersection(part, other)
    return max(total, 0.0)


def polygon_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the intersection of two polygons over their union; 0 if both have no area.

    Args:
        first, second: float arrays (corners, 2).
    """
    common = intersection_area(first, second)
    union = abs(signed_area(first)) + abs(signed_area(second)) - common
    return common / union if union > 0 else 0.0


def turn_points(points: np.ndarray, orientation: int, height: int, width: int) -> np.ndarray:
    """Returns where points of a stored image are in the image as it is seen.

    Args:
        points: float array (..., 2), x and y in pixels of the stored image.

        orientation: int in 1 to 8, of EXIF.

        height, width: int, of the stored image.
    """
    x, y = np.moveaxis(np.asarray(points), -1, 0)
    x = x if orientation in (1, 4, 5, 6) else width - x
    y = y if orientation in (1, 2, 5, 8) else height - y
    return np.stack([y, x] if orientation >= 5 else [x, y], axis=-1)


def _convex_parts(polygon: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Returns clockwise convex polygons with a sign, whose signed sum is the polygon."""
    if is_convex(polygon):
        return [(polygon, 1)]
    parts = []
    for i in range(1, len(polygon) - 1):
        triangle = polygon[[0, i, i + 1]]
        if area := signed_area(triangle):
            parts.append((clockwise(triangle), 1 if area > 0 else -1))
    return parts


def _convex_intersection(subject: np.ndarray, clip: np.ndarray) -> float:
    """Returns the common area of two clockwise convex polygons (Sutherland and Hodgman, 1974)."""
    for start, end in zip(clip, np.roll(clip, -1, axis=0), strict=True):
        side = _cross(end - start, subject - start)  # positive inside
        inside = side >= 0
        if inside.all():
            continue
        if not inside.any():
            return 0.0
        kept = []
        for i, point in enumerate(subject):
            before = i - 1
            if inside[i] != inside[before]:
                share = side[before] / (side[before] - side[i])
                kept.append(subject[before] + share * (point - subject[before]))
            if inside[i]:
                kept.append(point)
        subject = np.array(kept)
    return abs(signed_area(subject))


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]

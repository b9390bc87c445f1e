"""Perspective maps between the unit square and quadrilaterals, many at a time. NumPy only."""

import numpy as np

MIN_AREA = 1e-3  # square pixels; a smaller quadrilateral has no perspective map


def square_to_quads(quads: np.ndarray) -> np.ndarray:
    """Returns the matrices that map the unit square to quadrilaterals.

    Args:
        quads: float array (n, 4, 2), corners x, y of images of (0, 0), (1, 0), (1, 1), (0, 1); with
            an area, see `has_area`.

    Returns:
        float64 array (n, 3, 3): (x, y, 1) of the square, times a matrix, is a point in homogeneous
        coordinates. Source: Heckbert, Fundamentals of Texture Mapping and Image Warping, 1989.
    """
    quads = np.asarray(quads, np.float64).reshape(-1, 4, 2)
    p0, p1, p2, p3 = quads.transpose(1, 0, 2)
    along, down, rest = p1 - p2, p3 - p2, p0 - p1 + p2 - p3
    area = cross(along, down)
    g, h = cross(rest, down) / area, cross(along, rest) / area
    matrix = np.ones((len(quads), 3, 3))
    matrix[:, :2, 0] = p1 - p0 + g[:, None] * p1
    matrix[:, :2, 1] = p3 - p0 + h[:, None] * p3
    matrix[:, :2, 2] = p0
    matrix[:, 2, 0], matrix[:, 2, 1] = g, h
    return matrix


def map_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns points (..., 2) mapped by a perspective matrix (3, 3), float64 of the same shape."""
    x, y = points[..., 0], points[..., 1]
    top = matrix[:2, 0] * x[..., None] + matrix[:2, 1] * y[..., None] + matrix[:2, 2]
    return top / (matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2])[..., None]


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the cross product of vectors (..., 2)."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def has_area(quads: np.ndarray) -> np.ndarray:
    """Returns which quadrilaterals (n, 4, 2) can be mapped: finite, convex, wide; bool (n,)."""
    quads = np.asarray(quads, np.float64).reshape(-1, 4, 2)
    edges = np.roll(quads, -1, axis=1) - quads
    turns = cross(edges, np.roll(edges, -1, axis=1))
    with np.errstate(invalid="ignore"):
        return np.isfinite(quads).all(axis=(1, 2)) & (
            (turns > MIN_AREA).all(axis=1) | (turns < -MIN_AREA).all(axis=1)
        )

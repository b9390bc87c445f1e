"""Placement of the names of points in a chart, without overlap of names and points."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from newnet_tf.utils.palette import FAINT, INK

MARKER, MARGIN = 6.0, 2.0  # points: half the width of a marker, margin around a name
FAR = 15.0  # points; a thin line connects a marker with a name that is farther away
RINGS = (8.0, 14.0, 22.0, 32.0, 44.0, 58.0, 74.0, 92.0, 112.0, 134.0)
DIRECTIONS, SWEEPS, STEPS = 24, 6, 12
COVER_COST = 10.0  # of a square point under a name
LINE_COST = 12.0  # of two points of the line under a name
CROSSING_COST = 60.0  # of a connecting line across a name or marker
LEADER_COST = 12.0  # of a connecting line


@dataclass(frozen=True)
class Label:
    """A point in data coordinates and the name to write next to it."""

    x: float
    y: float
    text: str
    color: str = INK
    bold: bool = False


def write(
    axes, labels: Sequence[Label], font_size: float = 9, line: Sequence[tuple[float, float]] = ()
) -> list:
    """Writes a name next to each point of a finished chart.

    Each name takes the cheapest of many positions around its point. Then each may move again, for
    several rounds. A thin line connects a name with its point if they are far from each other.

    Args:
        axes: matplotlib axes, complete but for the names.

        labels: `Label`s, at least one.

        font_size: float, points.

        line: corners of a line in the chart that names should not cover.

    Returns:
        List of the matplotlib text artists, in the order of `labels`.
    """
    axes.figure.draw_without_rendering()  # computes the layout
    scale = axes.figure.dpi / 72
    points = np.array([axes.transData.transform((one.x, one.y)) for one in labels]) / scale
    texts = [_text(axes, one, font_size) for one in labels]
    extents = np.array([text.get_window_extent().size for text in texts]) / scale
    corners = np.array([axes.transData.transform(corner) for corner in line]) / scale
    frame = np.array(axes.get_window_extent().extents) / scale
    boxes = place(points, extents, frame, corners)
    for text, point, box in zip(texts, points, boxes, strict=True):
        text.set_position(_center(box) - point)
        text.arrow_patch.set_visible(bool(_distance(point, box) > FAR))
    return texts


def place(points, extents, frame, corners=()) -> np.ndarray:
    """Finds a position for each name. All lengths are in points (1/72 inch).

    Args:
        points: array of shape (n, 2).

        extents: array of shape (n, 2), width and height of each name.

        frame: array of shape (4,): left, bottom, right and top of the area for names.

        corners: array of shape (m, 2), corners of a line that names should not cover.

    Returns:
        Array of shape (n, 4): left, bottom, right and top of each name, with a margin.
    """
    markers = np.concatenate([points - MARKER, points + MARKER], axis=1)
    places = [_candidates(p, e + 2 * MARGIN, frame) for p, e in zip(points, extents, strict=True)]
    line = _along(corners)
    fixed = [_fixed_cost(i, points[i], boxes, markers, line) for i, boxes in enumerate(places)]
    chosen = np.array([boxes[0] for boxes in places])
    crowd = (np.linalg.norm(points[:, None] - points, axis=-1) < 60).sum(1)
    order = np.argsort(-crowd, kind="stable")
    for _ in range(SWEEPS):
        before = chosen.copy()
        for i in order:
            others = np.delete(chosen, i, axis=0), np.delete(points, i, axis=0)
            cost = fixed[i] + _cost(points[i], places[i], *others)
            chosen[i] = places[i][np.argmin(cost)]
        if np.array_equal(chosen, before):
            break
    return chosen


def _text(axes, one: Label, font_size: float):
    line = {"arrowstyle": "-", "color": FAINT, "lw": 0.6, "shrinkA": 0, "shrinkB": 4}
    text = axes.annotate(
        one.text,
        (one.x, one.y),
        (0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=font_size,
        color=one.color,
        fontweight="bold" if one.bold else "normal",
        zorder=5,
        arrowprops=line,
    )
    text.arrow_patch.set_visible(False)
    text.set_in_layout(False)
    return text


def _candidates(point, extent, frame) -> np.ndarray:
    """Returns the boxes on rings around a point that are inside the frame."""
    angles = 2 * math.pi * np.arange(DIRECTIONS) / DIRECTIONS
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centers = np.concatenate([point + ways * (radius + extent / 2) for radius in RINGS])
    boxes = np.concatenate([centers - extent / 2, centers + extent / 2], axis=1)
    inside = np.all(boxes[:, :2] >= frame[:2], axis=1) & np.all(boxes[:, 2:] <= frame[2:], axis=1)
    return boxes[inside] if inside.any() else boxes


def _along(corners) -> np.ndarray:
    """Returns points along a line, with steps of at most two points: array (n, 2)."""
    parts = [np.empty((0, 2))]
    for start, end in itertools.pairwise(corners):
        steps = math.ceil(math.dist(start, end) / 2)
        parts.append(start + np.linspace(0, 1, steps + 1)[:, None] * (end - start))
    return np.concatenate(parts)


def _fixed_cost(index: int, point, boxes, markers, line) -> np.ndarray:
    """Returns the cost of each position without other names: distance, covered markers and line."""
    others = np.delete(markers, index, axis=0)
    distance = _distance(point, boxes)
    crossed = _crossings(point, boxes, others).sum(1)
    far = distance > FAR
    covered = _overlap(boxes, markers).sum(1)
    struck = np.all((line > boxes[:, None, :2]) & (line < boxes[:, None, 2:]), axis=-1).sum(1)
    return (
        distance
        + COVER_COST * covered
        + LINE_COST * struck
        + far * (LEADER_COST + CROSSING_COST * crossed)
    )


def _cost(point, boxes, others, owners) -> np.ndarray:
    """Returns the cost of each position given the other names: overlap, and connecting lines."""
    far = _distance(point, boxes) > FAR
    far_others = _distance(owners, others) > FAR
    across = _crossings(point, boxes, others).sum(1) * far
    under = np.zeros(len(boxes))
    for owner, other in zip(owners[far_others], others[far_others], strict=True):
        under += _crossings(owner, other[None], boxes)[0]
        under += _crossed(point, _center(boxes), owner, _center(other)) * far
    return COVER_COST * _overlap(boxes, others).sum(1) + CROSSING_COST * (across + under)


def _crossings(point, boxes, obstacles) -> np.ndarray:
    """Returns whether the line from a point to each box's center enters each obstacle: (n, m)."""
    shares = np.arange(1, STEPS)[:, None, None] / STEPS
    way = point + shares * (_center(boxes) - point)
    low, high = obstacles[None, None, :, :2], obstacles[None, None, :, 2:]
    inside = np.all((way[:, :, None] > low) & (way[:, :, None] < high), axis=-1)
    return inside.any(0)


def _crossed(start, ends, first, last) -> np.ndarray:
    """Returns whether the lines from `start` to `ends` cross the one from `first` to `last`: (n,)."""

    def orientation(a, b, c):
        return np.sign((b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0])

    opposite = orientation(first, last, start) * orientation(first, last, ends) < 0
    return opposite & (orientation(start, ends, first) * orientation(start, ends, last) < 0)


def _overlap(boxes, others) -> np.ndarray:
    """Returns the areas of overlap of boxes, (n, m)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=-1)


def _distance(point, box) -> np.ndarray:
    """Returns the distance from points to the nearest edge of boxes; 0 inside."""
    gap = np.maximum(np.maximum(box[..., :2] - point, point - box[..., 2:]), 0)
    return np.linalg.norm(gap, axis=-1)


def _center(box) -> np.ndarray:
    return (box[..., :2] + box[..., 2:]) / 2

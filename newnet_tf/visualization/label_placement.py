"""Names beside points of a drawing that keep clear of each other and of all points."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

INK, FAINT = "#1c2733", "#5b6b7b"
MARKER, AIR = 6.0, 2.0  # points: half a marker's side, air around a name
FAR = 15.0  # points from a marker to its name; beyond, a thin line leads there
RINGS = (8.0, 14.0, 22.0, 32.0, 44.0, 58.0, 74.0, 92.0, 112.0, 134.0)
DIRECTIONS, SWEEPS, STEPS = 24, 6, 12
COVERING, STRIKING = 10.0, 12.0  # costs: of a square point, of two points of a line under a name
CROSSING, LEADING = 60.0, 12.0  # costs: of a leading line across a name or marker, of one at all


@dataclass(frozen=True)
class Label:
    """A point in an axes' own units and the name beside it."""

    x: float
    y: float
    text: str
    color: str = INK
    bold: bool = False


def write(
    axes, labels: Sequence[Label], size: float = 9, line: Sequence[tuple[float, float]] = ()
) -> list:
    """Writes a name beside each point, in a finished drawing.

    Each name takes the cheapest of many places around its point; after all have one, each may move
    again, a few times over. A name that ends up far from its point is joined to it by a thin line.

    Args:
        axes: of a figure that is finished but for this. labels: one or more.
        size: float, of the names, in points. line: corners of a drawn line that names should keep off.

    Returns:
        The text artists, in the order of `labels`.
    """
    axes.figure.draw_without_rendering()  # settles the layout
    scale = axes.figure.dpi / 72
    points = np.array([axes.transData.transform((one.x, one.y)) for one in labels]) / scale
    texts = [_text(axes, one, size) for one in labels]
    extents = np.array([text.get_window_extent().size for text in texts]) / scale
    corners = np.array([axes.transData.transform(corner) for corner in line]) / scale
    frame = np.array(axes.get_window_extent().extents) / scale
    boxes = place(points, extents, frame, corners)
    for text, point, box in zip(texts, points, boxes, strict=True):
        text.set_position(_middle(box) - point)
        text.arrow_patch.set_visible(bool(_distance(point, box) > FAR))
    return texts


def place(points, extents, frame, corners=()) -> np.ndarray:
    """Finds a place for each name; all lengths in points.

    Args:
        points: array (n, 2). extents: array (n, 2), width and height of each name.
        frame: array (4,): left, bottom, right, top that names must stay inside of.
        corners: array (m, 2) of a line that names should keep off.

    Returns:
        Array (n, 4): left, bottom, right, top of each name, with some air.
    """
    markers = np.concatenate([points - MARKER, points + MARKER], axis=1)
    places = [_places(p, e + 2 * AIR, frame) for p, e in zip(points, extents, strict=True)]
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


def _text(axes, one: Label, size: float):
    line = {"arrowstyle": "-", "color": FAINT, "lw": 0.6, "shrinkA": 0, "shrinkB": 4}
    text = axes.annotate(
        one.text,
        (one.x, one.y),
        (0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=size,
        color=one.color,
        fontweight="bold" if one.bold else "normal",
        zorder=5,
        arrowprops=line,
    )
    text.arrow_patch.set_visible(False)
    text.set_in_layout(False)
    return text


def _places(point, extent, frame) -> np.ndarray:
    """Boxes on rings around a point, those inside the frame."""
    angles = 2 * math.pi * np.arange(DIRECTIONS) / DIRECTIONS
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    middles = np.concatenate([point + ways * (radius + extent / 2) for radius in RINGS])
    boxes = np.concatenate([middles - extent / 2, middles + extent / 2], axis=1)
    inside = np.all(boxes[:, :2] >= frame[:2], axis=1) & np.all(boxes[:, 2:] <= frame[2:], axis=1)
    return boxes[inside] if inside.any() else boxes


def _along(corners) -> np.ndarray:
    """Points along a line, two points apart at most: (n, 2)."""
    parts = [np.empty((0, 2))]
    for start, end in itertools.pairwise(corners):
        steps = math.ceil(math.dist(start, end) / 2)
        parts.append(start + np.linspace(0, 1, steps + 1)[:, None] * (end - start))
    return np.concatenate(parts)


def _fixed_cost(me: int, point, boxes, markers, line) -> np.ndarray:
    """What each place costs, wherever the other names are: distance, markers and line under it."""
    others = np.delete(markers, me, axis=0)
    distance = _distance(point, boxes)
    crossed = _crossings(point, boxes, others).sum(1)
    far = distance > FAR
    covered = _overlap(boxes, markers).sum(1)
    struck = np.all((line > boxes[:, None, :2]) & (line < boxes[:, None, 2:]), axis=-1).sum(1)
    return distance + COVERING * covered + STRIKING * struck + far * (LEADING + CROSSING * crossed)


def _cost(point, boxes, others, owners) -> np.ndarray:
    """What each place costs beside the other names: covering, and lines across names."""
    far = _distance(point, boxes) > FAR
    led = _distance(owners, others) > FAR
    across = _crossings(point, boxes, others).sum(1) * far
    under = np.zeros(len(boxes))
    for owner, other in zip(owners[led], others[led], strict=True):
        under += _crossings(owner, other[None], boxes)[0]
        under += _crossed(point, _middle(boxes), owner, _middle(other)) * far
    return COVERING * _overlap(boxes, others).sum(1) + CROSSING * (across + under)


def _crossings(point, boxes, obstacles) -> np.ndarray:
    """Whether the line from a point to the middle of each box enters each obstacle: (n, m)."""
    shares = np.arange(1, STEPS)[:, None, None] / STEPS
    way = point + shares * (_middle(boxes) - point)
    low, high = obstacles[None, None, :, :2], obstacles[None, None, :, 2:]
    inside = np.all((way[:, :, None] > low) & (way[:, :, None] < high), axis=-1)
    return inside.any(0)


def _crossed(start, ends, first, last) -> np.ndarray:
    """Whether the lines from `start` to each of `ends` cross the one from `first` to `last`: (n,)."""

    def side(a, b, c):
        return np.sign((b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0])

    apart = side(first, last, start) * side(first, last, ends) < 0
    return apart & (side(start, ends, first) * side(start, ends, last) < 0)


def _overlap(boxes, others) -> np.ndarray:
    """Areas that boxes share, (n, m)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=-1)


def _distance(point, box) -> np.ndarray:
    """From points to the nearest edge of boxes; 0 inside."""
    gap = np.maximum(np.maximum(box[..., :2] - point, point - box[..., 2:]), 0)
    return np.linalg.norm(gap, axis=-1)


def _middle(box) -> np.ndarray:
    return (box[..., :2] + box[..., 2:]) / 2

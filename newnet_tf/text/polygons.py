"""Polygons around curved words, as CRAFT's authors make them (arXiv 1904.01941, figure 7).

The component of a word is turned upright. Eleven sections of equal width divide it; in every second one
the tallest column is a control point. Through each control point a line of one height runs at right
angles to the line of centers, and the first and the last line are moved outward until they leave the
component. The ends of these lines are the polygon.
"""

import math

import numpy as np

from newnet_tf.text.opencv import import_cv2

CONTROLS = 5
SECTIONS = 2 * CONTROLS + 1
MIN_SIDE = 10  # cells of the quadrilateral
STRAIGHT = 0.7  # of the height: words that fill more of it in a column are straight
EXPANSION = 1.45  # of the median height
NARROW = 0.25  # of the height: the least width of a section
SHIFTS = np.arange(0.5, 2.0, 0.2)  # of the height, by which the ends are moved outward
LAST_SHIFT = 2.0 - 2 * 0.2


def follow_text(component: np.ndarray, quadrilateral: np.ndarray) -> np.ndarray | None:
    """Returns a polygon that follows a curved word.

    Args:
        component: bool array (height, width), the cells of the word.

        quadrilateral: float32 array (4, 2), its rectangle, clockwise from the top left, in cells.

    Returns:
        float32 array (14, 2), clockwise from the left end of the upper line, in cells; None for a word
        that is small, straight or too irregular, whose quadrilateral stands for it.

    Raises:
        ImportError: if OpenCV is not installed.
    """
    cv2 = import_cv2()
    top_left, top_right, bottom_right, _ = quadrilateral
    width = int(np.linalg.norm(top_left - top_right) + 1)
    height = int(np.linalg.norm(top_right - bottom_right) + 1)
    if width < MIN_SIDE or height < MIN_SIDE:
        return None
    upright = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    turn = cv2.getPerspectiveTransform(np.ascontiguousarray(quadrilateral, np.float32), upright)
    mask = cv2.warpPerspective(  # int32, as the authors' labels: uint8 is sampled at other places
        component.astype(np.int32), turn, (width, height), flags=cv2.INTER_NEAREST
    ).astype(bool)
    columns = _columns(mask)
    if not columns or max(bottom - top + 1 for _, top, bottom in columns) > height * STRAIGHT:
        return None
    controls = _control_points(columns, width)
    if controls is None:
        return None
    points, heights, centers = controls
    if width / SECTIONS < max(heights) * NARROW:
        return None
    half = float(np.median(heights)) * EXPANSION / 2
    lines = _lines(points, centers, half)
    ends = _outer_lines(cv2, mask, points, lines, half)
    lines = np.concatenate([ends[:1], lines, ends[1:]])
    polygon = np.concatenate([lines[:, :2], lines[::-1, 2:]])
    back = np.column_stack([polygon, np.ones(len(polygon))]) @ np.linalg.inv(turn).T
    return (back[:, :2] / back[:, 2:]).astype(np.float32)


def _columns(mask: np.ndarray) -> list[tuple[int, int, int]]:
    """Returns (x, first row, last row) of each column with two cells or more."""
    chosen = np.flatnonzero(mask.sum(axis=0) >= 2)
    first = mask[:, chosen].argmax(axis=0)
    last = len(mask) - 1 - mask[::-1, chosen].argmax(axis=0)
    return list(zip(chosen.tolist(), first.tolist(), last.tolist(), strict=True))


def _control_points(columns: list[tuple[int, int, int]], width: int) -> tuple | None:
    """Returns (points, heights, centers), or None if a section has no column.

    Points are the (x, y) of the control points, heights those of their columns, centers the mean
    (x, y) of the columns of each section.
    """
    centers, counts = np.zeros((SECTIONS, 2)), np.zeros(SECTIONS, int)
    points: list[tuple[int, float] | None] = [None] * CONTROLS
    heights = [0] * CONTROLS
    section, step = 0, width / SECTIONS
    for x, top, bottom in columns:
        if (section + 1) * step <= x:
            if not counts[section]:
                break
            section += 1
        middle, height = (top + bottom) * 0.5, bottom - top + 1
        centers[section] += x, middle
        counts[section] += 1
        control = section // 2
        if section % 2 and height > heights[control]:
            points[control], heights[control] = (x, middle), height
    if None in points:
        return None
    done = counts > 0
    done[section] = False  # the columns of the last section are divided last, as the authors do
    centers[done] /= counts[done, None]
    centers[-1] /= max(counts[section], 1)
    return points, heights, centers


def _lines(points: list, centers: np.ndarray, half: float) -> np.ndarray:
    """Returns the line across the text at each control point: (x, y) above and (x, y) below."""
    lines = []
    for i, (x, y) in enumerate(points):
        dx, dy = centers[2 * i + 2] - centers[2 * i]
        angle = -math.atan2(dy, dx) if dx else 0.0
        across, along = half * math.sin(angle), half * math.cos(angle)
        lines.append((x - across, y - along, x + across, y + along))
    return np.array(lines)


def _outer_lines(cv2, mask: np.ndarray, points: list, lines: np.ndarray, half: float) -> np.ndarray:
    """Returns the first and the last line, moved outward until they leave the component."""

    def slope(first, second):
        return (second[1] - first[1]) / (second[0] - first[0])

    gradients = (
        slope(points[0], points[1]) + slope(points[1], points[2]),
        slope(points[-1], points[-2]) + slope(points[-2], points[-3]),
    )
    found = []
    for line, gradient, sign in zip(lines[[0, -1]], gradients, (-1, 1), strict=True):
        for shift in SHIFTS:
            dx = 2 * half * shift
            moved = line + sign * np.array([dx, gradient * dx] * 2)
            drawn = np.zeros(mask.shape, np.uint8)
            x1, y1, x2, y2 = (int(value) for value in moved)
            cv2.line(drawn, (x1, y1), (x2, y2), 1, thickness=1)
            if shift >= LAST_SHIFT or not (mask & drawn.view(bool)).any():
                break
        found.append(moved)
    return np.array(found)

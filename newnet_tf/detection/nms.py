"""Greedy non-maximum suppression within classes, in NumPy.

Classes do not suppress each other. So one pass over the candidates of all classes in the order of their
scores keeps, class by class, what a pass over each class alone keeps, and the first `max_detections` of
it are the best of all classes.
"""

import numpy as np

BLOCK = 128  # candidates whose overlaps are computed at a time: arrays of 64 KB stay in the cache


def greedy_nms(
    boxes: np.ndarray, classes: np.ndarray, iou_threshold: float, max_detections: int
) -> np.ndarray:
    """Returns the boxes that no box of the same class with a higher score overlaps too much.

    Args:
        boxes: float array (n, 4), corners x1, y1, x2, y2 in any unit, the highest score first.

        classes: int array (n,), the class of each box.

        iou_threshold: float in (0, 1], a box is dropped if its IoU with one that is kept is higher.

        max_detections: int, the most boxes to keep.

    Returns:
        int array, indices of the boxes that are kept, in order.

    Example:
        >>> boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 3], [5, 5, 9, 9]], float)
        >>> greedy_nms(boxes, np.zeros(3, int), 0.5, 100)
        array([0, 2])
    """
    kept = np.zeros(0, np.intp)
    sides = np.ascontiguousarray(np.asarray(boxes).T)
    for start in range(0, len(boxes), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(boxes)))
        if len(kept):
            overlaps = _too_close(sides, classes, block, kept, iou_threshold)
            block = block[~overlaps.any(axis=1)]
        chosen = _first_come(_too_close(sides, classes, block, block, iou_threshold))
        kept = np.concatenate([kept, block[chosen]])[:max_detections]
        if len(kept) == max_detections:
            break
    return kept


def _too_close(
    sides: np.ndarray,
    classes: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    iou_threshold: float,
) -> np.ndarray:
    """Returns a bool array (rows, columns): the same class, and an IoU above the threshold.

    Args:
        sides: float array (4, n), x1, y1, x2 and y2 of all boxes.

        classes: int array (n,).

        rows, columns: int arrays, indices of boxes.

        iou_threshold: float.
    """
    x1, y1, x2, y2 = sides[:, columns]
    u1, v1, u2, v2 = sides[:, rows, None]
    width, height = np.minimum(x2, u2), np.minimum(y2, v2)
    width -= np.maximum(x1, u1)
    height -= np.maximum(y1, v1)
    np.maximum(width, 0, out=width)
    np.maximum(height, 0, out=height)
    common = np.multiply(width, height, out=width)
    union = np.add((x2 - x1) * (y2 - y1), (u2 - u1) * (v2 - v1), out=height)
    union -= common
    union *= sides.dtype.type(iou_threshold)
    return (common > union) & (classes[rows][:, None] == classes[columns])


def _first_come(close: np.ndarray) -> list[int]:
    """Returns the rows that stay if each row that stays drops those it is close to.

    Args:
        close: bool array (n, n), symmetric.
    """
    size = (close.shape[1] + 7) // 8
    packed = np.packbits(close, axis=1, bitorder="little").tobytes()
    kept, dropped = [], 0  # a set of rows is the bits of an int: some 50 times faster than arrays
    for row in range(len(close)):
        if not dropped >> row & 1:
            kept.append(row)
            dropped |= int.from_bytes(packed[row * size : (row + 1) * size], "little")
    return kept

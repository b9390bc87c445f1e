"""How much boxes overlap. NumPy only."""

import numpy as np


def box_ious(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray | None = None) -> np.ndarray:
    """Returns the IoU of boxes with others, in float64.

    Args:
        boxes, others: float arrays (n, 4) and (m, 4), corners x1, y1, x2, y2.

        crowd: bool array (m,), which of `others` hold many objects: for these the share of the box
            that lies in it. Default: None, none.

    Returns:
        float64 array (n, m); 0 where there is no area.
    """
    first, second = np.asarray(boxes, np.float64)[:, None], np.asarray(others, np.float64)[None]
    low = np.maximum(first[..., :2], second[..., :2])
    sides = np.maximum(np.minimum(first[..., 2:], second[..., 2:]) - low, 0)
    common = sides[..., 0] * sides[..., 1]
    area, other = ((b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1]) for b in (first, second))
    union = area + other - common
    if crowd is not None:
        union = np.where(crowd, area, union)
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)

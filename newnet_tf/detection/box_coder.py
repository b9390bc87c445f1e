"""The code in which a single-shot detector predicts boxes: offsets from anchors (Faster R-CNN).

The center moves by `t * size / 10`, sides grow by `exp(t / 5)`. Columns of the code: ty, tx, th, tw in
style `tf`, tx, ty, tw, th in style `torchvision`. Needs NumPy only.
"""

import math

import numpy as np

from newnet_tf.detection.config import TF

CENTER_SCALE, SIDE_SCALE = 10.0, 5.0
MAX_SIDE_CODE = math.log(1000 / 16)  # torchvision's bound of `t / 5` of the sides
Y_FIRST = [1, 0, 3, 2]
MIN_SIDE = 1e-8


def encode(boxes: np.ndarray, anchors: np.ndarray, style: str) -> np.ndarray:
    """Returns the code of boxes.

    Args:
        boxes: float array (..., 4), corners x1, y1, x2, y2 in fractions of the image.

        anchors: float array (..., 4), as of `anchors.make_anchors`, one for each box.

        style: str, among `config.STYLES`.

    Returns:
        float32 array (..., 4).
    """
    boxes, anchors = np.asarray(boxes, np.float64), np.asarray(anchors, np.float64)
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], MIN_SIDE)
    moved = CENTER_SCALE * (centers - anchors[..., :2]) / anchors[..., 2:]
    grown = SIDE_SCALE * np.log(sides / anchors[..., 2:])
    code = np.concatenate([moved, grown], axis=-1).astype(np.float32)
    return code[..., Y_FIRST] if style == TF else code


def decode(encodings: np.ndarray, anchors: np.ndarray, style: str) -> np.ndarray:
    """Returns the boxes that `encode` describes.

    Args:
        encodings: float array (..., 4).

        anchors: float array (..., 4), as of `anchors.make_anchors`, one for each box.

        style: str, among `config.STYLES`.

    Returns:
        float32 array (..., 4), corners x1, y1, x2, y2 in fractions of the image, which may lie outside
        of it.
    """
    code = np.asarray(encodings, np.float32)
    code = code[..., Y_FIRST] if style == TF else code
    growth = np.minimum(code[..., 2:] / np.float32(SIDE_SCALE), np.float32(MAX_SIDE_CODE))
    half = np.exp(growth) * anchors[..., 2:] / 2
    centers = code[..., :2] / np.float32(CENTER_SCALE) * anchors[..., 2:] + anchors[..., :2]
    return np.concatenate([centers - half, centers + half], axis=-1)

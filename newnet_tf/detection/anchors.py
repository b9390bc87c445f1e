"""Anchors (default boxes) of single-shot detectors (SSD, arXiv 1512.02325, section 2.2).

Each cell of each feature map has a few boxes of fixed sizes around its center. Scales grow on a line
from 0.2 of the image on the first map to 0.95 on the last; a box of scale s and aspect ratio a has the
width s * sqrt(a) and the height s / sqrt(a).

- `tf` (Object Detection API, `reduce_boxes_in_lowest_layer`): on the first map three boxes, scale 0.1
  with ratio 1 and the map's scale with ratios 2 and 1/2; on the others ratios 1, 2, 1/2, 3, 1/3, and
  then ratio 1 at the geometric mean of this and the next scale (after the last: 1).
- `torchvision` (`DefaultBoxGenerator`): six boxes everywhere, ratio 1 at the map's scale and at the
  geometric mean, then 2, 1/2, 3, 1/3; no side is longer than the image.

Needs NumPy only.
"""

import functools
import math

import numpy as np

from newnet_tf.detection.config import TF, DetectionConfig

MIN_SCALE, MAX_SCALE = 0.2, 0.95
LOWEST_SCALE = 0.1  # of the first box of the first map, style `tf`
RATIOS = (2.0, 1 / 2, 3.0, 1 / 3)


@functools.lru_cache(maxsize=16)
def make_anchors(config: DetectionConfig) -> np.ndarray:
    """Returns the anchors of a detector.

    Args:
        config: `DetectionConfig`.

    Returns:
        float32 array (anchors, 4), read-only: center x, center y, width and height in fractions of
        the image. Feature maps in order, of each its cells row by row, of each cell its boxes.
    """
    count = len(config.feature_sizes)
    step = (MAX_SCALE - MIN_SCALE) / (count - 1)
    scales = [MIN_SCALE + step * i for i in range(count)] + [1.0]
    parts = []
    for i, size in enumerate(config.feature_sizes):
        sides = np.array(_box_sides(config.style, i, scales[i], scales[i + 1]))
        centers = (np.arange(size) + 0.5) / size
        y, x = np.meshgrid(centers, centers, indexing="ij")
        cells = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
        boxes = np.broadcast_to(sides, (len(cells), *sides.shape))
        parts.append(
            np.concatenate([np.broadcast_to(cells, boxes.shape), boxes], -1).reshape(-1, 4)
        )
    anchors = np.concatenate(parts).astype(np.float32)
    anchors.flags.writeable = False
    return anchors


@functools.lru_cache(maxsize=16)
def anchor_corners(config: DetectionConfig) -> np.ndarray:
    """Returns the anchors of a detector as float32 (anchors, 4), corners x1, y1, x2, y2; read-only."""
    centers, half = config.anchors[:, :2], config.anchors[:, 2:] / 2
    corners = np.concatenate([centers - half, centers + half], axis=-1)
    corners.flags.writeable = False
    return corners


def _box_sides(style: str, index: int, scale: float, following: float) -> list[tuple[float, float]]:
    """Returns (width, height) of the boxes of a cell.

    Args:
        style: str, among `config.STYLES`.

        index: int, number of the feature map, from 0.

        scale, following: float, scales of this and the next feature map.
    """
    between = math.sqrt(scale * following)
    wide = [_sides(scale, ratio) for ratio in RATIOS]
    if style != TF:
        boxes = [_sides(scale, 1.0), _sides(between, 1.0), *wide]
        return [(min(width, 1.0), min(height, 1.0)) for width, height in boxes]
    if index == 0:
        return [_sides(LOWEST_SCALE, 1.0), *wide[:2]]
    return [_sides(scale, 1.0), *wide, _sides(between, 1.0)]


def _sides(scale: float, ratio: float) -> tuple[float, float]:
    return scale * math.sqrt(ratio), scale / math.sqrt(ratio)

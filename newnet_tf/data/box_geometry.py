"""Positions in a model's input and in the original image: how `PreprocessConfig` moves boxes.

A position is a distance from the left or upper edge, not the number of a pixel: the image's right edge
lies at its width. Sampling at pixel corners (`half_pixel_centers=False`) does not change positions, as
in TensorFlow's Object Detection API, whose boxes are fractions of the image. Needs NumPy only.
"""

import numpy as np

from newnet_tf.data.resize import plan_axis
from newnet_tf.models.config import FIT, PreprocessConfig


def to_original(
    boxes: np.ndarray, image_size: tuple[int, int], preprocess: PreprocessConfig
) -> np.ndarray:
    """Returns boxes of a model's input in pixels of the original image.

    Args:
        boxes: float array (..., 4), corners x1, y1, x2, y2 in fractions of the input, whose size with
            `resize_mode="fit"` the image decides.

        image_size: (height, width) of the original image, with EXIF orientation applied.

        preprocess: `PreprocessConfig`.

    Returns:
        float array of the same shape; nothing is clipped.

    Example:
        >>> config = PreprocessConfig(image_size=320, resize_mode="stretch")
        >>> to_original(np.array([0.25, 0.5, 0.75, 1.0]), (480, 640), config)
        array([160., 240., 480., 480.])
    """
    scale, shift = _affine(image_size, preprocess)
    return np.asarray(boxes) * scale + shift


def to_input(
    boxes: np.ndarray, image_size: tuple[int, int], preprocess: PreprocessConfig
) -> np.ndarray:
    """Returns boxes of the original image in fractions of a model's input: undoes `to_original`.

    Args:
        boxes: float array (..., 4), corners x1, y1, x2, y2 in pixels of the original image.

        image_size, preprocess: as in `to_original`.

    Returns:
        float array of the same shape; what a crop cuts off lies outside of 0-1.
    """
    scale, shift = _affine(image_size, preprocess)
    return (np.asarray(boxes) - shift) / scale


def _affine(image_size: tuple[int, int], preprocess: PreprocessConfig) -> tuple[np.ndarray, ...]:
    """Returns (scale, shift), arrays (4,) for x, y, x, y: pixels are fractions * scale + shift."""
    height, width = (int(side) for side in image_size)
    if min(height, width) < 1:
        raise ValueError(f"`image_size` must be (height, width) in pixels. Received: {image_size}")
    scales, shifts = [], []
    for length, other in ((width, height), (height, width)):
        plan = plan_axis(length, other, preprocess, min)
        zoom = plan.extent / plan.resized
        scales.append(
            (plan.shown if preprocess.resize_mode == FIT else preprocess.image_size) * zoom
        )
        shifts.append(plan.start + plan.offset * zoom)
    return np.array(scales * 2), np.array(shifts * 2)

"""How one axis of an image is resized and cropped; resizing without antialiasing.

NumPy and TensorFlow compute the same numbers: bilinear interpolation in float32.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from newnet_tf.models.config import STRETCH, PreprocessConfig

LONGEST = 64  # of an image's long side over its short side; what is longer is cropped


class AxisPlan(NamedTuple):
    """One axis: `extent` pixels from `start` are resized to `resized`, and cropped from `offset`."""

    start: object
    extent: object
    resized: object
    offset: object


def plan_axis(length, other, preprocess: PreprocessConfig, minimum: Callable) -> AxisPlan:
    """Plans how one axis of an image is resized and cropped.

    Args:
        length: the axis' length, a Python int or an int tensor.

        other: the length of the other axis.

        preprocess: `PreprocessConfig`.

        minimum: callable of two lengths, `min` or `tf.minimum`.
    """
    extent = minimum(length, LONGEST * other)
    if preprocess.resize_mode == STRETCH:
        return AxisPlan(
            (length - extent) // 2, extent, 0 * extent + preprocess.image_size, 0 * extent
        )
    resized = preprocess.resize * extent // minimum(length, other)
    spare = resized - preprocess.image_size
    return AxisPlan((length - extent) // 2, extent, resized, (spare + spare // 2 % 2) // 2)


def tf_interpolate(pixels, y: AxisPlan, x: AxisPlan, preprocess: PreprocessConfig):
    """Resizes without antialiasing and crops, in TensorFlow.

    Args:
        pixels: tensor (height, width, channels), any numeric type, of the extents of `y` and `x`.

        y, x: `AxisPlan` of int tensors.

        preprocess: `PreprocessConfig`.

    Returns:
        float32 (size, size, channels).
    """
    import tensorflow as tf

    resized = tf.raw_ops.ResizeBilinear(
        images=pixels[None],
        size=tf.stack([y.resized, x.resized]),
        half_pixel_centers=preprocess.half_pixel_centers,
    )
    size = preprocess.image_size
    cropped = resized[0, y.offset : y.offset + size, x.offset : x.offset + size]
    return tf.ensure_shape(cropped, (size, size, pixels.shape[-1]))


def interpolate(
    pixels: np.ndarray, y: AxisPlan, x: AxisPlan, preprocess: PreprocessConfig
) -> np.ndarray:
    """Resizes without antialiasing and crops, as `tf_interpolate` does; only what the crop shows."""
    (top, bottom, down), (left, right, across) = (_samples(plan, preprocess) for plan in (y, x))
    down, across = (
        lerp.reshape(shape + (1,) * (pixels.ndim - 2))
        for lerp, shape in ((down, (-1, 1)), (across, (1, -1)))
    )

    def row(lines):
        first, second = (
            pixels[np.ix_(lines, columns)].astype(np.float32) for columns in (left, right)
        )
        return first + (second - first) * across

    first, second = row(top), row(bottom)
    return first + (second - first) * down


def _samples(plan: AxisPlan, preprocess: PreprocessConfig) -> tuple[np.ndarray, ...]:
    """Returns for each pixel of a crop's axis the two that it lies between, and its distance to the
    first."""
    scale = np.float32(plan.extent) / np.float32(plan.resized)
    place = plan.offset + np.arange(preprocess.image_size, dtype=np.float32)
    half = np.float32(0.5 if preprocess.half_pixel_centers else 0)
    place = (place + half) * scale - half
    floor = np.floor(place)
    first = np.maximum(floor.astype(np.int64), 0)
    second = np.minimum(np.ceil(place).astype(np.int64), plan.extent - 1)
    return first, second, place - floor

"""How one axis of an image is resized and cropped; resizing without antialiasing.

NumPy and TensorFlow compute the same numbers: bilinear interpolation in float32.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from newnet_tf.models.config import FIT, FIT_MULTIPLE, LETTERBOX, STRETCH, PreprocessConfig

LONGEST = 64  # of an image's long side over its short side; what is longer is cropped


class AxisPlan(NamedTuple):
    """One axis: `extent` pixels from `start` are resized to `resized`, of which `shown` from `offset`
    are seen, at the beginning of the model's input."""

    start: object
    extent: object
    resized: object
    offset: object
    shown: object


def plan_axis(length, other, preprocess: PreprocessConfig, minimum: Callable) -> AxisPlan:
    """Plans how one axis of an image is resized and cropped.

    Args:
        length: the axis' length, a Python int or an int tensor.

        other: the length of the other axis.

        preprocess: `PreprocessConfig`.

        minimum: callable of two lengths, `min` or `tf.minimum`.
    """
    size, extent = preprocess.image_size, minimum(length, LONGEST * other)
    start, offset = (length - extent) // 2, 0 * extent
    if preprocess.resize_mode == STRETCH:
        return AxisPlan(start, extent, offset + size, offset, offset + size)
    if preprocess.resize_mode in (LETTERBOX, FIT):
        across = minimum(other, LONGEST * length)
        longest = extent + across - minimum(extent, across)
        if preprocess.resize_mode == LETTERBOX:
            resized = _at_least(1, (size * extent + longest // 2) // longest, minimum)
        else:
            percent = round(100 * preprocess.magnification)  # whole numbers: the same in TensorFlow
            target = minimum(offset + size, longest * percent // 100)
            multiples = (target * extent // longest + FIT_MULTIPLE // 2) // FIT_MULTIPLE
            resized = _at_least(1, multiples, minimum) * FIT_MULTIPLE
        return AxisPlan(start, extent, resized, offset, resized)
    resized = preprocess.resize * extent // minimum(length, other)
    spare = resized - size
    return AxisPlan(start, extent, resized, (spare + spare // 2 % 2) // 2, offset + size)


def _at_least(least: int, value, minimum: Callable):
    """Returns the larger of two, where only the smaller of two can be told."""
    return -minimum(0 * value - least, -value)


def tf_interpolate(pixels, y: AxisPlan, x: AxisPlan, preprocess: PreprocessConfig):
    """Resizes without antialiasing and crops, in TensorFlow.

    Args:
        pixels: tensor (height, width, channels), any numeric type, of the extents of `y` and `x`.

        y, x: `AxisPlan` of int tensors.

        preprocess: `PreprocessConfig`.

    Returns:
        float32 (y.shown, x.shown, channels).
    """
    import tensorflow as tf

    resized = tf.raw_ops.ResizeBilinear(
        images=pixels[None],
        size=tf.stack([y.resized, x.resized]),
        half_pixel_centers=preprocess.half_pixel_centers,
    )
    return resized[0, y.offset : y.offset + y.shown, x.offset : x.offset + x.shown]


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
    place = plan.offset + np.arange(plan.shown, dtype=np.float32)
    half = np.float32(0.5 if preprocess.half_pixel_centers else 0)
    place = (place + half) * scale - half
    floor = np.floor(place)
    first = np.maximum(floor.astype(np.int64), 0)
    second = np.minimum(np.ceil(place).astype(np.int64), plan.extent - 1)
    return first, second, place - floor

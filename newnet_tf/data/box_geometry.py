"""Positions in a model's input and in the original image: how `PreprocessConfig` moves boxes.

A position is a distance from the left or upper edge, not the number of a pixel: the image's right edge
lies at its width. Sampling at pixel corners (`half_pixel_centers=False`) does not change positions, as
in TensorFlow's Object Detection API, whose boxes are fractions of the image. Needs NumPy only.
"""

import numpy as np

from newnet_tf.data.resize import AxisPlan, plan_axis
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


def points_to_original(
    points: np.ndarray,
    image_size: tuple[int, int],
    preprocess: PreprocessConfig,
    input_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Returns points of a model's input in pixels of the original image.

    Args:
        points: float array (..., 2), x and y in pixels of the input.

        image_size: (height, width) of the original image, with EXIF orientation applied.

        preprocess: `PreprocessConfig`.

        input_size: (height, width) of the input, with `resize_mode="fit"`. Default: None, what
            `preprocess` makes of the image.

    Returns:
        float array of the same shape; nothing is clipped.

    Example:
        >>> config = PreprocessConfig(image_size=640, resize_mode="letterbox")
        >>> points_to_original(np.array([320.0, 90.0]), (720, 1280), config)
        array([640., 180.])
    """
    zoom, shift = _zoom(image_size, preprocess, input_size)
    return np.asarray(points) * zoom + shift


def points_to_input(
    points: np.ndarray,
    image_size: tuple[int, int],
    preprocess: PreprocessConfig,
    input_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Returns points of the original image in pixels of a model's input: undoes `points_to_original`.

    Args:
        points: float array (..., 2), x and y in pixels of the original image.

        image_size, preprocess, input_size: as in `points_to_original`.

    Returns:
        float array of the same shape; nothing is clipped.
    """
    zoom, shift = _zoom(image_size, preprocess, input_size)
    return (np.asarray(points) - shift) / zoom


def _affine(image_size: tuple[int, int], preprocess: PreprocessConfig) -> tuple[np.ndarray, ...]:
    """Returns (scale, shift), arrays (4,) for x, y, x, y: pixels are fractions * scale + shift."""
    zoom, shift = _zoom(image_size, preprocess)
    size = np.array([preprocess.image_size] * 2)
    if preprocess.resize_mode == FIT:
        size = np.array([plan.resized for plan in _plans(image_size, preprocess)])
    return np.tile(size * zoom, 2), np.tile(shift, 2)


def _zoom(
    image_size: tuple[int, int],
    preprocess: PreprocessConfig,
    input_size: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (zoom, shift), arrays (2,) for x and y: pixels are pixels of the input * zoom + shift."""
    plans = _plans(image_size, preprocess)
    resized = [plan.resized for plan in plans]
    if input_size is not None and preprocess.resize_mode == FIT:
        resized = list(input_size)[::-1]
    zoom = np.array([plan.extent / side for plan, side in zip(plans, resized, strict=True)])
    return zoom, np.array(
        [plan.start + plan.offset * z for plan, z in zip(plans, zoom, strict=True)]
    )


def _plans(image_size: tuple[int, int], preprocess: PreprocessConfig) -> list[AxisPlan]:
    """Returns the `AxisPlan` of x and of y."""
    height, width = (int(side) for side in image_size)
    if min(height, width) < 1:
        raise ValueError(f"`image_size` must be (height, width) in pixels. Received: {image_size}")
    pairs = ((width, height), (height, width))
    return [plan_axis(length, other, preprocess, min) for length, other in pairs]

"""RandAugment with timm's fifteen operations and magnitudes of 0 to 10.

Each operation of an image is drawn independently, and applied with probability 0.5, as in timm; what
a magnitude means (`operation_arguments`) is timm's too. Translations are by whole pixels.

Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space"
(NeurIPS 2020).
"""

import functools
import math

import tensorflow as tf

from newnet_tf.data.augment import color_ops

NAMES = (
    "auto_contrast",
    "equalize",
    "invert",
    "rotate",
    "posterize",
    "solarize",
    "solarize_add",
    "saturation",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
PROBABILITY = 0.5  # that an operation is applied


def rand_augment(
    image,
    seed,
    fill: tuple[float, float, float],
    count: int = 2,
    magnitude: float = 9.0,
    magnitude_std: float = 0.5,
    increasing: bool = False,
):
    """Applies random operations to an image.

    Args:
        image: float32 (height, width, 3), whole pixel values in 0-255.

        seed: int tensor (2,).

        fill: three floats, the color of pixels from outside of the image.

        count: int, number of operations. Default: 2.

        magnitude, magnitude_std, increasing: as in `Augmentation`.

    Returns:
        float32 tensor of the same shape, whole pixel values.
    """
    draws = tf.random.stateless_uniform((count, 3), seed)
    spread = tf.random.stateless_normal((count,), seed + tf.constant((1, 0), seed.dtype))
    magnitudes = tf.clip_by_value(magnitude + magnitude_std * spread, 0.0, 10.0)
    chosen = tf.cast(draws[:, 0] * len(NAMES), tf.int32)
    step = _compiled_step(tuple(fill), increasing)
    for number in range(count):
        sign = tf.where(draws[number, 2] < 0.5, -1.0, 1.0)
        is_applied = draws[number, 1] < PROBABILITY
        image = step(image, chosen[number], is_applied, magnitudes[number], sign)
    return image


def apply_operation(
    image, name: str, magnitude, sign=1.0, fill=(128.0, 128.0, 128.0), increasing=False
):
    """Applies one operation.

    Args:
        image: float32 (height, width, 3), whole pixel values.

        name: str, among `NAMES`.

        magnitude: float in 0-10.

        sign: 1 or -1, the direction, for operations that have two. Default: 1.

        fill, increasing: as in `rand_augment`.
    """
    value = operation_arguments(magnitude, sign, increasing).get(name)
    if name in ("rotate", "shear_x", "shear_y"):
        return affine(image, _matrix(name, value, tf.shape(image)), fill)
    if name in ("translate_x", "translate_y"):
        return translate(image, value, name == "translate_x", fill)
    operation = getattr(color_ops, name)
    return operation(image) if value is None else operation(image, value)


def operation_arguments(magnitude, sign, increasing: bool) -> dict:
    """Returns the argument of each operation that has one: {name: float scalar}."""
    share = tf.cast(magnitude, tf.float32) / 10.0
    posterized = tf.floor(share * 4.0)  # bits kept
    threshold = tf.minimum(256.0, tf.floor(share * 256.0))
    factor = tf.maximum(0.1, 1.0 + sign * 0.9 * share) if increasing else 0.1 + 1.8 * share
    return {
        "rotate": sign * 30.0 * share,
        "posterize": 4.0 - posterized if increasing else posterized,
        "solarize": 256.0 - threshold if increasing else threshold,
        "solarize_add": tf.minimum(128.0, tf.floor(share * 110.0)),
        "shear_x": sign * 0.3 * share,
        "shear_y": sign * 0.3 * share,
        "translate_x": sign * 0.45 * share,
        "translate_y": sign * 0.45 * share,
        **dict.fromkeys(("saturation", "contrast", "brightness", "sharpness"), factor),
    }


def affine(image, matrix, fill):
    """Transforms an image, bilinear.

    Args:
        image: float32 (height, width, 3). fill: as in `rand_augment`.
        matrix: six floats, from coordinates of the output to those of the input, counted from the
            corner of the first pixel, as in Pillow.
    """
    a, b, c, d, e, f = tf.unstack(matrix)
    # TensorFlow counts from the center of the first pixel, Pillow from its corner.
    c, f = c + 0.5 * (a + b) - 0.5, f + 0.5 * (d + e) - 0.5
    fill = tf.constant(fill, tf.float32)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=color_ops.by_channel(image, tf.ones((3,)), -fill)[None],
        transforms=tf.stack([a, b, c, d, e, f, 0.0, 0.0])[None],
        output_shape=tf.shape(image)[:2],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )[0]
    return tf.floor(color_ops.by_channel(moved, tf.ones((3,)), fill) + 0.5)


def translate(image, share, is_across: bool, fill):
    """Moves an image by a share of its width or height, rounded to pixels; positive: left or up."""
    shape = tf.shape(image)
    extent = shape[1] if is_across else shape[0]
    pixels = tf.cast(tf.round(share * tf.cast(extent, tf.float32)), tf.int32)
    before, after = tf.maximum(-pixels, 0), tf.maximum(pixels, 0)
    rest = image[:, after : extent - before] if is_across else image[after : extent - before]
    length = before + after
    band = (shape[0], length) if is_across else (length, shape[1])
    band = tf.broadcast_to(tf.constant(fill, tf.float32), (*band, 3))
    axis = 1 if is_across else 0
    moved = tf.cond(
        pixels < 0, lambda: tf.concat([band, rest], axis), lambda: tf.concat([rest, band], axis)
    )
    return tf.ensure_shape(moved, image.shape)


def _matrix(name, value, shape):
    """Returns Pillow's six coefficients: a rotation about the center, or a shear."""
    if name == "shear_x":
        return tf.stack([1.0, value, 0.0, 0.0, 1.0, 0.0])
    if name == "shear_y":
        return tf.stack([1.0, 0.0, 0.0, value, 1.0, 0.0])
    angle = -value * (math.pi / 180)
    cos, sin = tf.cos(angle), tf.sin(angle)
    y, x = tf.unstack(tf.cast(shape[:2], tf.float32) / 2.0)
    return tf.stack([cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y])


@functools.lru_cache(maxsize=16)
def _compiled_step(fill, increasing):
    """Returns a `tf.function` that applies the operation of a number, or none."""

    def step(image, chosen, is_applied, magnitude, sign):
        def branch(name):
            return lambda: tf.ensure_shape(
                apply_operation(image, name, magnitude, sign, fill, increasing), image.shape
            )

        number = tf.where(is_applied, chosen, len(NAMES))
        return tf.switch_case(number, [*map(branch, NAMES), lambda: tf.identity(image)])

    return tf.function(step, autograph=False, reduce_retracing=True)

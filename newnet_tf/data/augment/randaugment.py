"""RandAugment on gray levels: timm's fifteen operations, magnitudes 0 to 10.

Each of an image's operations is drawn anew, and applied with probability one half, as timm does. What
a magnitude means is timm's too (`amounts`). Translations are by whole pixels.
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
APPLIED = 0.5


def rand_augment(
    image,
    seed,
    fill: tuple[float, float, float],
    count: int = 2,
    magnitude: float = 9.0,
    magnitude_std: float = 0.5,
    increasing: bool = False,
):
    """Applies `count` random operations.

    Args:
        image: float32 (height, width, 3), whole levels. seed: int tensor (2,).
        fill: three levels, color of what comes in from outside.
        count, magnitude, magnitude_std, increasing: see `Augmentation`.
    """
    draws = tf.random.stateless_uniform((count, 3), seed)
    spread = tf.random.stateless_normal((count,), seed + tf.constant((1, 0), seed.dtype))
    levels = tf.clip_by_value(magnitude + magnitude_std * spread, 0.0, 10.0)
    chosen = tf.cast(draws[:, 0] * len(NAMES), tf.int32)
    step = _stepping(tuple(fill), increasing)
    for number in range(count):
        sign = tf.where(draws[number, 2] < 0.5, -1.0, 1.0)
        is_applied = draws[number, 1] < APPLIED
        image = step(image, chosen[number], is_applied, levels[number], sign)
    return image


def apply(image, name: str, level, sign=1.0, fill=(128.0, 128.0, 128.0), increasing=False):
    """Applies one operation.

    Args:
        image: float32 (height, width, 3), whole levels. name: among `NAMES`.
        level: float in 0-10. sign: 1 or -1, which way, for operations that have two.
        fill, increasing: as in `rand_augment`.
    """
    amounts = amount(level, sign, increasing)
    if name in amounts:
        amounts = amounts[name]
    if name in ("rotate", "shear_x", "shear_y"):
        return affine(image, _matrix(name, amounts, tf.shape(image)), fill)
    if name in ("translate_x", "translate_y"):
        return translate(image, amounts, name == "translate_x", fill)
    operation = getattr(color_ops, name)
    return operation(image) if name in ("auto_contrast", "equalize", "invert") else (
        operation(image, amounts)
    )  # fmt: skip


def amount(level, sign, increasing: bool) -> dict:
    """Returns what a magnitude means for each operation that has one."""
    share = tf.cast(level, tf.float32) / 10.0
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
    """Maps output to input by `matrix` (six floats, in pixel edges, as Pillow has it), bilinear."""
    a, b, c, d, e, f = tf.unstack(matrix)
    # TensorFlow counts from the middle of the first pixel, Pillow from its edge.
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
    """Moves by `share` of the side, to whole pixels; positive shows what lies right or below."""
    shape = tf.shape(image)
    side = shape[1] if is_across else shape[0]
    pixels = tf.cast(tf.round(share * tf.cast(side, tf.float32)), tf.int32)
    before, after = tf.maximum(-pixels, 0), tf.maximum(pixels, 0)
    kept = image[:, after : side - before] if is_across else image[after : side - before]
    length = before + after
    band = (shape[0], length) if is_across else (length, shape[1])
    band = tf.broadcast_to(tf.constant(fill, tf.float32), (*band, 3))
    axis = 1 if is_across else 0
    moved = tf.cond(
        pixels < 0, lambda: tf.concat([band, kept], axis), lambda: tf.concat([kept, band], axis)
    )
    return tf.ensure_shape(moved, image.shape)


def _matrix(name, value, shape):
    """Returns Pillow's six coefficients: a rotation about the middle, or a shear."""
    if name == "shear_x":
        return tf.stack([1.0, value, 0.0, 0.0, 1.0, 0.0])
    if name == "shear_y":
        return tf.stack([1.0, 0.0, 0.0, value, 1.0, 0.0])
    angle = -value * (math.pi / 180)
    cos, sin = tf.cos(angle), tf.sin(angle)
    y, x = tf.unstack(tf.cast(shape[:2], tf.float32) / 2.0)
    return tf.stack([cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y])


@functools.lru_cache(maxsize=16)
def _stepping(fill, increasing):
    """Returns a graph that applies the operation of a number, or none."""

    def step(image, chosen, is_applied, level, sign):
        def branch(name):
            return lambda: tf.ensure_shape(
                apply(image, name, level, sign, fill, increasing), image.shape
            )

        number = tf.where(is_applied, chosen, len(NAMES))
        return tf.switch_case(number, [*map(branch, NAMES), lambda: tf.identity(image)])

    return tf.function(step, autograph=False, reduce_retracing=True)

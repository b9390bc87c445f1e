"""Decoding and cropping in one step, in `tf.data`: only what a crop shows is decoded.

Results are float32 in gray levels (0-255), of shape (size, size, 3). What is not JPEG is decoded whole.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from newnet_tf.data.preprocess import plan_axis
from newnet_tf.models.config import PreprocessConfig

ATTEMPTS = 10  # torchvision's number of tries at a crop of random area and aspect
REDUCTIONS = (1, 2, 4, 8)  # what libjpeg decodes to for less than the whole price
SUPPORT = {"bicubic": 2.0, "bilinear": 1.0}
KERNELS = {"bicubic": "keyscubic", "bilinear": "triangle"}
CHROMA = 2  # pixels around a window, since JPEG's color is interpolated from neighbors
DCT = "INTEGER_ACCURATE"  # as Pillow's, and no slower than TensorFlow's default


class Opened(NamedTuple):
    """An image of known size, of which a part can be had without the rest.

    Args:
        shape: int32 tensor (2,), height and width.
        cut: callable, int32 box (4,) of top, left, height, width -> uint8 (height, width, 3).
        data: string scalar, what is encoded, or None. is_jpeg: bool scalar, whether `data` is JPEG.
    """

    shape: object
    cut: Callable
    data: object = None
    is_jpeg: object = False


def opened(image) -> Opened:
    """Opens a string scalar (encoded) or uint8 (height, width, 3); an `Opened` stays as it is."""
    if isinstance(image, Opened):
        return image
    if image.dtype == tf.uint8:
        image = tf.ensure_shape(image, (None, None, 3))
        return Opened(tf.shape(image)[:2], lambda box: _part(image, box))

    def by_others():
        return tf.io.decode_image(image, channels=3, expand_animations=False), True

    return opened_jpeg(image, tf.io.is_jpeg(image), by_others)[0]


def opened_jpeg(data, is_jpeg, otherwise: Callable):
    """Opens what is most likely JPEG.

    Args:
        data: string scalar. is_jpeg: bool scalar, whether to decode it as JPEG.
        otherwise: callable -> (uint8 (height, width, 3), bool), the pixels of what is not JPEG, and
            whether they are its own.

    Returns:
        An `Opened`, and that bool (True for JPEG).
    """

    def of_others():
        pixels, is_own = otherwise()
        return tf.shape(pixels)[:2], pixels, is_own

    def of_jpeg():
        nothing = tf.zeros((0, 0, 3), tf.uint8)
        return tf.image.extract_jpeg_shape(data)[:2], nothing, True

    shape, pixels, is_own = tf.cond(is_jpeg, of_jpeg, of_others)
    pixels = tf.ensure_shape(pixels, (None, None, 3))

    def cut(box):
        return tf.cond(is_jpeg, lambda: _decoded(data, box), lambda: _part(pixels, box))

    return Opened(shape, cut, data, is_jpeg), tf.ensure_shape(is_own, ())


def _part(pixels, box):
    return tf.slice(pixels, tf.concat([box[:2], [0]], 0), tf.concat([box[2:], [3]], 0))


def _decoded(data, box, reduction: int = 1):
    return tf.image.decode_and_crop_jpeg(data, box // reduction, 3, reduction, dct_method=DCT)


def random_box(shape, seed, scale: tuple[float, float], ratio: tuple[float, float]):
    """Draws torchvision's random resized crop: area uniform, aspect uniform in its logarithm.

    Args:
        shape: int32 tensor (2,), the image's height and width. seed: int tensor (2,).
        scale: bounds of the crop's part of the area. ratio: bounds of width / height.

    Returns:
        int32 tensor (4,): top, left, height, width. An image in which none of ten draws fits is
        cropped at its center, with the nearest aspect that is allowed.
    """
    size = tf.cast(shape, tf.float32)
    area, aspect, *places = tf.unstack(tf.random.stateless_uniform((4, ATTEMPTS), seed))
    low, high = (0.5 * math.log(bound) for bound in ratio)
    root = tf.exp(aspect * (high - low) + low)
    side = tf.sqrt(tf.reduce_prod(size) * (area * (scale[1] - scale[0]) + scale[0]))
    sides = tf.round(tf.stack([side / root, side * root]))  # (2, attempts): heights, widths
    fits = tf.reduce_all((sides <= size[:, None]) & (sides >= 1.0), axis=0)
    widest = tf.round(size[::-1] * tf.constant((1.0 / ratio[0], ratio[1]), tf.float32))
    widest = tf.maximum(tf.minimum(widest, size), 1.0)
    last = tf.concat([widest, (0.5, 0.5)], 0)[:, None]  # what fits always, after the attempts
    tries = tf.concat([tf.concat([sides, tf.stack(places)], 0), last], 1)
    first = tf.argmax(tf.concat([tf.cast(fits, tf.int32), (1,)], 0))
    kept, place = tf.split(tf.gather(tries, first, axis=1), 2)
    corner = tf.minimum(tf.floor(place * (size - kept + 1.0)), size - kept)
    return tf.cast(tf.concat([corner, kept], 0), tf.int32)


def resized_crop(image, choose: Callable, size: int, interpolation: str = "bilinear"):
    """Crops where `choose` says and resizes to (size, size).

    A JPEG crop at least twice `size` is decoded at half, a quarter or an eighth of the resolution,
    which averages pixels (and moves the crop to whole ones of those); other crops so large are
    resized with antialiasing. Smaller crops are sampled without (less than two pixels a sample), as
    is usual in training.

    Args:
        image: as in `opened`.
        choose: callable, int32 (2,) of height and width -> int32 (4,): top, left, height, width.
        size: int. interpolation: `"bilinear"` or `"bicubic"`.
    """
    image = opened(image)
    box = choose(image.shape)
    folds = tf.reduce_min(box[2:]) // size

    def resized(crop, antialias=False):
        # TensorFlow resizes floats faster than bytes, by more than it takes to make them.
        crop = tf.cast(tf.ensure_shape(crop, (None, None, 3)), tf.float32)
        return tf.image.resize(crop, (size, size), interpolation, antialias=antialias)

    def of_large():
        if image.data is None:
            return resized(image.cut(box), antialias=True)
        step = tf.searchsorted(tf.constant(REDUCTIONS[1:]), folds[None], side="right")[0]
        step = tf.where(image.is_jpeg, step, 0)
        reduced = [lambda r=r: _decoded(image.data, box, r) for r in REDUCTIONS[1:]]
        crop = tf.switch_case(step, [lambda: image.cut(box), *reduced])
        is_large = tf.reduce_min(tf.shape(crop)[:2]) >= 2 * size
        return tf.cond(is_large, lambda: resized(crop, antialias=True), lambda: resized(crop))

    crop = tf.cond(folds >= 2, of_large, lambda: resized(image.cut(box)))
    return tf.clip_by_value(crop, 0.0, 255.0) if interpolation == "bicubic" else crop


def center_crop(image, preprocess: PreprocessConfig):
    """Resizes the short side and crops the center, as `preprocess.crop_image` does.

    Only the rows and columns that the crop depends on are decoded and resized (antialiased, one axis
    after the other, columns first). Pillow takes rows first and rounds and clips between the two, so
    that the results differ by a level here and there, and by more where bicubic's overshoot meets
    black or white. Measured on 156 photographs: 0.26 level on average, 99.9 % of values within 6.

    Args:
        image: as in `opened`. preprocess: `cards.Preprocess`.

    Returns:
        float32 (size, size, 3), whole gray levels.
    """
    image, size = opened(image), preprocess.image_size
    plan = plan_axis(image.shape, image.shape[::-1], preprocess, tf.minimum)  # both axes at once
    scale = tf.cast(plan.length, tf.float32) / tf.cast(plan.kept, tf.float32)
    offset = tf.cast(plan.offset, tf.float32)
    reach = SUPPORT[preprocess.interpolation] * tf.maximum(1.0, 1.0 / scale) + CHROMA
    first = tf.cast(tf.floor(offset / scale - reach), tf.int32)
    last = tf.cast(tf.math.ceil((offset + size) / scale + reach), tf.int32)
    first = tf.clip_by_value(first, 0, plan.kept - 1)
    last = tf.clip_by_value(last, first + 1, plan.kept)
    translation = tf.cast(first, tf.float32) * scale - offset
    pixels = image.cut(tf.concat([plan.start + first, last - first], 0))
    shape = tf.shape(pixels)

    def along(lines, axis):
        return tf.raw_ops.ScaleAndTranslate(
            images=lines,
            size=(1, size),
            scale=tf.stack([1.0, scale[axis]]),
            translation=tf.stack([0.0, translation[axis]]),
            kernel_type=KERNELS[preprocess.interpolation],
            antialias=True,
        )

    # The other axis is laid into the channels, which the kernel handles several times faster.
    rows = along(tf.reshape(pixels, (1, 1, shape[0], shape[1] * 3)), 0)
    rows = tf.transpose(tf.reshape(rows, (size, shape[1], 3)), (1, 0, 2))
    both = along(tf.reshape(rows, (1, 1, shape[1], size * 3)), 1)
    levels = tf.clip_by_value(tf.round(both), 0.0, 255.0)
    return tf.transpose(tf.reshape(levels, (size, size, 3)), (1, 0, 2))

"""Decoding and cropping in one step, in `tf.data`: only what a crop shows is decoded.

Results are float32 pixel values (0-255) of shape (size, size, 3). What is not JPEG is decoded whole.
EXIF orientation is applied, as phones and browsers do: a crop is chosen in the turned image, decoded
where it is in the stored one, and then turned.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from newnet_tf.data import orientation as exif
from newnet_tf.data.resize import AxisPlan, plan_axis, tf_interpolate
from newnet_tf.models.config import CENTER_CROP, STRETCH, PreprocessConfig

ATTEMPTS = 10  # torchvision's number of tries at a crop of random area and aspect
REDUCTIONS = (1, 2, 4, 8)  # by which libjpeg decodes at a lower resolution, for less time
SUPPORT = {"bicubic": 2.0, "bilinear": 1.0}
KERNELS = {"bicubic": "keyscubic", "bilinear": "triangle"}
CHROMA = 2  # pixels around a window, since JPEG's color is interpolated from neighbors


class EncodedImage(NamedTuple):
    """An image of known size, of which a crop can be decoded without the rest.

    Args:
        shape: int32 tensor (2,), height and width, with EXIF orientation applied.

        decode: callable, int32 box (4,) of top, left, height, width in the stored image, and a
            reduction among `REDUCTIONS` -> uint8 (height, width, 3), as stored. Only JPEG can be
            reduced.

        is_jpeg: bool scalar, or False where that is known.

        orientation: int32 scalar, how the stored image is to be turned, or None where it is not.
    """

    shape: object
    decode: Callable
    is_jpeg: object = False
    orientation: object = None

    def stored_box(self, box):
        """Returns where a box of the turned image is in the stored one."""
        if self.orientation is None:
            return box
        return exif.stored_box(box, self.shape, self.orientation)

    def orient(self, pixels):
        """Turns a crop of the stored image."""
        return pixels if self.orientation is None else exif.orient(pixels, self.orientation)

    def crop(self, box):
        """Returns a crop of the turned image, uint8 (height, width, 3)."""
        return self.orient(self.decode(self.stored_box(box)))


def open_image(image) -> EncodedImage:
    """Returns an `EncodedImage` of any image.

    Args:
        image: string scalar (an encoded image), uint8 tensor (height, width, 3), or `EncodedImage`,
            which is returned as it is.
    """
    if isinstance(image, EncodedImage):
        return image
    if image.dtype == tf.uint8:
        image = tf.ensure_shape(image, (None, None, 3))
        return EncodedImage(tf.shape(image)[:2], lambda box, reduction=1: _slice(image, box))
    return open_jpeg(image, tf.io.is_jpeg(image), lambda: (exif.decode_other(image), True))[0]


def open_jpeg(data, is_jpeg, decode_other: Callable) -> tuple[EncodedImage, object]:
    """Returns an `EncodedImage` of what is most likely JPEG.

    Args:
        data: string scalar.

        is_jpeg: bool scalar, whether to decode it as JPEG.

        decode_other: callable -> (uint8 (height, width, 3), bool), the pixels of what is not JPEG
            with EXIF orientation applied, and whether they could be decoded.

    Returns:
        (`EncodedImage`, bool scalar): the bool is that of `decode_other`, True for JPEG.
    """

    def other():
        pixels, is_readable = decode_other()
        return tf.shape(pixels)[:2], tf.constant(exif.STORED), pixels, is_readable

    def jpeg():
        orientation = exif.jpeg_orientation(data)
        shape = exif.oriented_shape(tf.image.extract_jpeg_shape(data)[:2], orientation)
        return shape, orientation, tf.zeros((0, 0, 3), tf.uint8), True

    shape, orientation, pixels, is_readable = tf.cond(is_jpeg, jpeg, other)
    pixels = tf.ensure_shape(pixels, (None, None, 3))

    def decode_jpeg(box, reduction):
        return tf.image.decode_and_crop_jpeg(
            data, box // reduction, 3, reduction, dct_method=exif.DCT
        )

    def decode(box, reduction=1):
        if reduction > 1:
            return decode_jpeg(box, reduction)
        return tf.cond(is_jpeg, lambda: decode_jpeg(box, 1), lambda: _slice(pixels, box))

    return EncodedImage(shape, decode, is_jpeg, orientation), tf.ensure_shape(is_readable, ())


def _slice(pixels, box):
    return tf.slice(pixels, tf.concat([box[:2], [0]], 0), tf.concat([box[2:], [3]], 0))


def random_box(shape, seed, scale: tuple[float, float], ratio: tuple[float, float]):
    """Draws torchvision's random resized crop: area uniform, aspect ratio uniform in its logarithm.

    Args:
        shape: int32 tensor (2,), height and width of the image.

        seed: int tensor (2,).

        scale: two floats in 0-1, bounds of the share of the image's area.

        ratio: two floats, bounds of width / height.

    Returns:
        int32 tensor (4,): top, left, height, width. If none of ten draws fits, it is the crop at the
        center, with the nearest aspect ratio that is allowed.
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
    last = tf.concat([widest, (0.5, 0.5)], 0)[:, None]  # always fits; after the attempts
    tries = tf.concat([tf.concat([sides, tf.stack(places)], 0), last], 1)
    first = tf.argmax(tf.concat([tf.cast(fits, tf.int32), (1,)], 0))
    extent, place = tf.split(tf.gather(tries, first, axis=1), 2)
    corner = tf.minimum(tf.floor(place * (size - extent + 1.0)), size - extent)
    return tf.cast(tf.concat([corner, extent], 0), tf.int32)


def resized_crop(image, choose: Callable, size: int, interpolation: str = "bilinear"):
    """Crops an image and resizes the crop to (size, size).

    A JPEG crop of at least twice `size` is decoded at half, a quarter or an eighth of the resolution,
    which averages pixels (and moves the crop to whole ones of those). Other crops so large are
    resized with antialiasing. Smaller crops are resized without (less than two pixels a sample), as
    is usual in training.

    Args:
        image: as in `open_image`.

        choose: callable, int32 (2,) of height and width -> int32 (4,): top, left, height, width.

        size: int, height and width of the result.

        interpolation: `"bilinear"` or `"bicubic"`. Default: `"bilinear"`.

    Returns:
        float32 (size, size, 3), pixel values.
    """
    image = open_image(image)
    box = choose(image.shape)
    folds = tf.reduce_min(box[2:]) // size
    box = image.stored_box(box)

    def resize(crop, antialias=False):
        # TensorFlow resizes floats faster than bytes, by more than the conversion takes.
        crop = tf.cast(tf.ensure_shape(crop, (None, None, 3)), tf.float32)
        return tf.image.resize(crop, (size, size), interpolation, antialias=antialias)

    def large():
        if image.is_jpeg is False:
            return resize(image.decode(box), antialias=True)
        step = tf.searchsorted(tf.constant(REDUCTIONS[1:]), folds[None], side="right")[0]
        step = tf.where(image.is_jpeg, step, 0)
        crop = tf.switch_case(step, [lambda r=r: image.decode(box, r) for r in REDUCTIONS])
        is_large = tf.reduce_min(tf.shape(crop)[:2]) >= 2 * size
        return tf.cond(is_large, lambda: resize(crop, antialias=True), lambda: resize(crop))

    crop = tf.cond(folds >= 2, large, lambda: resize(image.decode(box)))
    crop = tf.ensure_shape(image.orient(crop), (size, size, 3))  # turned last: it is small here
    return tf.clip_by_value(crop, 0.0, 255.0) if interpolation == "bicubic" else crop


def center_crop(image, preprocess: PreprocessConfig):
    """Resizes the short side and crops the center, as `preprocess.crop_image` does.

    Only the rows and columns that the crop depends on are decoded and resized (antialiased, one axis
    after the other, columns first). Pillow resizes rows first, and rounds and clips between the two,
    so that the results differ by 1 here and there, and by more where bicubic overshoots black or
    white. Measured on 156 photographs: 0.26 on average, 99.9 % of values within 6.

    Args:
        image: as in `open_image`.

        preprocess: `PreprocessConfig`, whose `resize_mode` is `"center_crop"` or `"stretch"`.

    Returns:
        float32 (size, size, 3), whole pixel values; with `antialias=False` unrounded ones, equal to
        `preprocess.resize_image`'s.
    """
    if preprocess.resize_mode not in (CENTER_CROP, STRETCH):
        raise ValueError(
            f"`resize_mode` of this pipeline must be {CENTER_CROP!r} or {STRETCH!r}. "
            f"Received: {preprocess.resize_mode!r}"
        )
    image, size = open_image(image), preprocess.image_size
    plan = plan_axis(image.shape, image.shape[::-1], preprocess, tf.minimum)  # both axes at once
    if not preprocess.antialias:
        pixels = image.crop(tf.concat([plan.start, plan.extent], 0))
        y, x = (AxisPlan(*(values[axis] for values in plan)) for axis in (0, 1))
        resized = tf_interpolate(tf.ensure_shape(pixels, (None, None, 3)), y, x, preprocess)
        return tf.ensure_shape(resized, (size, size, 3))
    scale = tf.cast(plan.resized, tf.float32) / tf.cast(plan.extent, tf.float32)
    offset = tf.cast(plan.offset, tf.float32)
    reach = SUPPORT[preprocess.interpolation] * tf.maximum(1.0, 1.0 / scale) + CHROMA
    first = tf.cast(tf.floor(offset / scale - reach), tf.int32)
    last = tf.cast(tf.math.ceil((offset + size) / scale + reach), tf.int32)
    first = tf.clip_by_value(first, 0, plan.extent - 1)
    last = tf.clip_by_value(last, first + 1, plan.extent)
    translation = tf.cast(first, tf.float32) * scale - offset
    pixels = image.crop(tf.concat([plan.start + first, last - first], 0))
    shape = tf.shape(pixels)

    def resize_axis(lines, axis):
        return tf.raw_ops.ScaleAndTranslate(
            images=lines,
            size=(1, size),
            scale=tf.stack([1.0, scale[axis]]),
            translation=tf.stack([0.0, translation[axis]]),
            kernel_type=KERNELS[preprocess.interpolation],
            antialias=True,
        )

    # The other axis is moved into the channels, which the kernel computes several times faster.
    rows = resize_axis(tf.reshape(pixels, (1, 1, shape[0], shape[1] * 3)), 0)
    rows = tf.transpose(tf.reshape(rows, (size, shape[1], 3)), (1, 0, 2))
    both = resize_axis(tf.reshape(rows, (1, 1, shape[1], size * 3)), 1)
    levels = tf.clip_by_value(tf.round(both), 0.0, 255.0)
    return tf.transpose(tf.reshape(levels, (size, size, 3)), (1, 0, 2))

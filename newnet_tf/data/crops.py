"""Decoding and cropping in one step, in `tf.data`: only what a crop shows is decoded.

Pictures are string scalars (encoded) or uint8 tensors (height, width, 3). Results are float32 in grey
levels (0-255), of shape (size, size, 3). What is not JPEG is decoded whole.
"""

from collections.abc import Callable

import tensorflow as tf

from newnet_tf.cards import Preprocess
from newnet_tf.data.preprocess import plan_axis

ATTEMPTS = 10  # torchvision's number of tries at a crop of random area and aspect
REDUCTIONS = (1, 2, 4, 8)  # what libjpeg decodes to for less than the whole price
SUPPORT = {"bicubic": 2.0, "bilinear": 1.0}
KERNELS = {"bicubic": "keyscubic", "bilinear": "triangle"}
CHROMA = 2  # pixels around a window, since JPEG's colour is interpolated from neighbours


def random_box(height, width, seed, scale: tuple[float, float], ratio: tuple[float, float]):
    """Draws torchvision's random resized crop: area uniform, aspect uniform in its logarithm.

    Args:
        height, width: int32 scalars, the picture's. seed: int tensor (2,).
        scale: bounds of the crop's part of the area. ratio: bounds of width / height.

    Returns:
        int32 tensor (4,): top, left, height, width. A picture in which none of ten draws fits is
        cropped at its centre, with the nearest aspect that is allowed.
    """
    draws = tf.random.stateless_uniform((3, ATTEMPTS), seed)
    size = tf.cast(tf.stack([height, width]), tf.float32)
    area = size[0] * size[1] * (scale[0] + (scale[1] - scale[0]) * draws[0])
    low, high = (tf.math.log(float(bound)) for bound in ratio)
    root = tf.exp(0.5 * (low + (high - low) * draws[1]))
    side = tf.sqrt(area)
    sides = tf.round(tf.stack([side / root, side * root]))  # (2, attempts): heights, widths
    fits = tf.reduce_all((sides <= size[:, None]) & (sides >= 1), axis=0)
    chosen = tf.argmax(tf.cast(fits, tf.int32))
    drawn = sides[:, chosen]
    aspect = tf.clip_by_value(size[1] / size[0], *map(float, ratio))
    widest = tf.round(tf.stack([size[1] / aspect, size[0] * aspect]))
    widest = tf.maximum(tf.minimum(widest, size), 1.0)
    any_fits = fits[chosen]
    kept = tf.where(any_fits, drawn, widest)
    places = tf.where(any_fits, draws[2, :2], 0.5)
    corner = tf.minimum(tf.floor(places * (size - kept + 1)), size - kept)
    return tf.cast(tf.concat([corner, kept], 0), tf.int32)


def resized_crop(image, choose: Callable, size: int, interpolation: str = "bilinear"):
    """Crops where `choose` says and resizes to (size, size).

    A JPEG crop at least twice `size` is decoded at half, a quarter or an eighth of the resolution,
    which averages pixels (and moves the crop to whole ones of those); other crops so large are
    resized with antialiasing. Smaller crops are sampled without (less than two pixels a sample), as
    is usual in training.

    Args:
        image: string scalar or uint8 (height, width, 3).
        choose: callable, (height, width) -> int32 (4,): top, left, height, width.
        size: int. interpolation: `"bilinear"` or `"bicubic"`.
    """

    def of_jpeg():
        shape = tf.image.extract_jpeg_shape(image)
        box = choose(shape[0], shape[1])
        folds = tf.minimum(box[2], box[3]) // size
        step = tf.searchsorted(tf.constant(REDUCTIONS[1:]), folds[None], side="right")[0]

        def decoded(reduction):
            window = box // reduction
            return lambda: tf.image.decode_and_crop_jpeg(image, window, 3, ratio=reduction)

        return tf.cond(
            step > 0,
            lambda: tf.switch_case(step, [decoded(r) for r in REDUCTIONS]),
            decoded(1),
        )

    def of_pixels(pixels):
        shape = tf.shape(pixels)
        top, left, height, width = tf.unstack(choose(shape[0], shape[1]))
        return pixels[top : top + height, left : left + width]

    crop = _either(image, of_jpeg, of_pixels)
    crop.set_shape((None, None, 3))
    is_large = tf.reduce_min(tf.shape(crop)[:2]) >= 2 * size
    resized = tf.cond(
        is_large,
        lambda: tf.image.resize(crop, (size, size), interpolation, antialias=True),
        lambda: tf.image.resize(crop, (size, size), interpolation),
    )
    return tf.clip_by_value(resized, 0.0, 255.0) if interpolation == "bicubic" else resized


def centre_crop(image, preprocess: Preprocess):
    """Resizes the short side and crops the centre, as `preprocess.crop_image` does.

    Only the rows and columns that the crop depends on are decoded and resized (antialiased, one axis
    after the other, columns first). Pillow takes rows first and rounds and clips between the two, so
    that the results differ by a level here and there, and by more where bicubic's overshoot meets
    black or white. Measured on 156 photographs: 0.26 level on average, 99.9 % of values within 6.

    Args:
        image: string scalar or uint8 (height, width, 3). preprocess: `cards.Preprocess`.

    Returns:
        float32 (size, size, 3), whole grey levels.
    """
    size = preprocess.size

    def window(plan):
        scale = tf.cast(plan.length, tf.float32) / tf.cast(plan.kept, tf.float32)
        reach = SUPPORT[preprocess.interpolation] * tf.maximum(1.0, 1.0 / scale) + CHROMA
        offset = tf.cast(plan.offset, tf.float32)
        first = tf.cast(tf.floor(offset / scale - reach), tf.int32)
        last = tf.cast(tf.math.ceil((offset + size) / scale + reach), tf.int32)
        first = tf.clip_by_value(first, 0, plan.kept - 1)
        last = tf.clip_by_value(last, first + 1, plan.kept)
        translation = tf.cast(first, tf.float32) * scale - offset
        return plan.start + first, last - first, scale, translation

    def windows(height, width):
        return (
            window(plan_axis(height, width, preprocess, tf.minimum)),
            window(plan_axis(width, height, preprocess, tf.minimum)),
        )

    def of_jpeg():
        shape = tf.image.extract_jpeg_shape(image)
        y, x = windows(shape[0], shape[1])
        box = tf.stack([y[0], x[0], y[1], x[1]])
        method = "INTEGER_ACCURATE"
        return tf.image.decode_and_crop_jpeg(image, box, 3, dct_method=method), *y[2:], *x[2:]

    def of_pixels(pixels):
        shape = tf.shape(pixels)
        y, x = windows(shape[0], shape[1])
        return pixels[y[0] : y[0] + y[1], x[0] : x[0] + x[1]], *y[2:], *x[2:]

    pixels, y_scale, y_shift, x_scale, x_shift = _either(image, of_jpeg, of_pixels)
    shape = tf.shape(pixels)

    def along(lines, scale, shift):
        return tf.raw_ops.ScaleAndTranslate(
            images=lines,
            size=(size, 1),
            scale=tf.stack([scale, 1.0]),
            translation=tf.stack([shift, 0.0]),
            kernel_type=KERNELS[preprocess.interpolation],
            antialias=True,
        )

    # The other axis is laid into the channels, which the kernel handles several times faster.
    rows = along(tf.reshape(pixels, (1, shape[0], 1, shape[1] * 3)), y_scale, y_shift)
    rows = tf.transpose(tf.reshape(rows, (size, shape[1], 3)), (1, 0, 2))
    both = along(tf.reshape(rows, (1, shape[1], 1, size * 3)), x_scale, x_shift)
    levels = tf.clip_by_value(tf.floor(both + 0.5), 0.0, 255.0)
    return tf.transpose(tf.reshape(levels, (size, size, 3)), (1, 0, 2))


def _either(image, of_jpeg: Callable, of_pixels: Callable):
    """Runs what fits a picture: an encoded JPEG, another encoded picture, or pixels."""
    if image.dtype == tf.uint8:
        return of_pixels(tf.ensure_shape(image, (None, None, 3)))

    def of_others():
        pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
        return of_pixels(tf.ensure_shape(pixels, (None, None, 3)))

    return tf.cond(tf.io.is_jpeg(image), of_jpeg, of_others)

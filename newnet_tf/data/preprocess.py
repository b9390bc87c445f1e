"""One `cards.Preprocess` record in every form: host, `tf.data`, inside a graph.

All forms follow one rule, torchvision's `Resize(short side)` then `CenterCrop`: the short side
becomes `resize`, the long side `resize * long // short`, and the crop begins at half of what is left
over, halves rounded to even. An image longer than `LONGEST` times its short side is cut to that
about its center first, so that a 1 x 20,000 strip needs no more memory than a panorama.

The host form resizes with Pillow and equals torchvision on the same pixels. The `tf.data` form
resizes with `tf.image` (antialiased) in Pillow's two passes, across then down, each rounded to whole
gray levels: it differs by one level here and there. JPEG files are decoded with libjpeg's accurate
DCT in both, which gives equal pixels; TensorFlow's default does not.

A record of one channel turns images to gray before they are resized, as Pillow's `convert("L")`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from newnet_tf.data.images import read_image
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import keras

LONGEST = 64
LUMA = (19595, 38470, 7471)  # red, green, blue in 65536ths


def crop_image(image: object, preprocess: PreprocessConfig, exif: bool = True) -> np.ndarray:
    """Resizes and crops one image: all of the preprocessing but the normalization.

    Args:
        image: path, bytes, PIL image or uint8 array, as `images.read_image` takes them.
        preprocess: `cards.Preprocess`.
        exif: bool, whether to apply EXIF orientation. Default: True.

    Returns:
        uint8 array of shape (size, size, channels).

    Raises:
        ImageError: for what is no image.
    """
    pixels = read_image(image, exif)
    height, width = pixels.shape[:2]
    y, x = plan_axis(height, width, preprocess, min), plan_axis(width, height, preprocess, min)
    pixels = pixels[y.start : y.start + y.kept, x.start : x.start + x.kept]
    method = Image.Resampling[preprocess.interpolation.upper()]
    resized = Image.fromarray(np.ascontiguousarray(pixels))
    resized = resized if preprocess.channels == 3 else resized.convert("L")
    resized = resized.resize((x.length, y.length), method)
    box = (x.offset, y.offset, x.offset + preprocess.image_size, y.offset + preprocess.image_size)
    return np.array(resized.crop(box)).reshape(preprocess.shape)


def preprocess_image(image: object, preprocess: PreprocessConfig, exif: bool = True) -> np.ndarray:
    """Prepares one image for a network, with Pillow and NumPy only.

    Args:
        image, preprocess, exif: as in `crop_image`.

    Returns:
        float32 array of shape (size, size, channels).
    """
    return normalize(crop_image(image, preprocess, exif), preprocess)


def normalize(x: object, preprocess: PreprocessConfig) -> object:
    """Normalizes pixels: `(x / 255 - mean) / std` by channel. It never resizes.

    Args:
        x: array (or nested list), or tensor of Keras' backend, or symbolic Keras tensor, of shape
            (..., channels) with values in 0-255, any numeric type.
        preprocess: `cards.Preprocess`.

    Returns:
        float32 of the same shape: a NumPy array for an array or list, else a tensor.

    Raises:
        ValueError: if the last dimension is not the record's number of channels.
    """
    on_host = isinstance(x, (np.ndarray, list, tuple))
    x = np.asarray(x) if on_host else x
    _check_channels(x.shape, preprocess)
    scale = np.asarray(preprocess.scale, np.float32)
    offset = np.asarray(preprocess.offset, np.float32)
    if on_host:
        return x.astype(np.float32) * scale + offset
    return keras.ops.add(keras.ops.multiply(keras.ops.cast(x, "float32"), scale), offset)


def normalization_layer(x: object, preprocess: PreprocessConfig) -> object:
    """Normalizes inside a model, for graphs that take raw pixels; it never resizes.

    Args:
        x: Keras tensor of shape (batch, height, width, channels), uint8 or float, values in 0-255.
        preprocess: `cards.Preprocess`.

    Returns:
        float32 Keras tensor: `x` after one built-in `Rescaling` layer named `normalize`. (Not
        `Normalization`, which ONNX export does not take.)

    Raises:
        ValueError: if the last dimension is not the record's number of channels.
    """
    _check_channels(x.shape, preprocess)
    scale, offset = list(preprocess.scale), list(preprocess.offset)
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="normalize")(x)


def tf_preprocess(preprocess: PreprocessConfig) -> Callable:
    """Returns the preprocessing as a function for `tf.data.Dataset.map` and serving signatures.

    The function takes one image, a uint8 tensor of shape (height, width, 3) or, gray, (height,
    width, 1), or a string scalar with the bytes of a JPEG, PNG, GIF (first frame) or BMP file, and
    returns a float32 tensor of shape (size, size, channels). EXIF orientation is not applied:
    TensorFlow's decoders do not read it.

    Args:
        preprocess: `cards.Preprocess`.

    Example:
        >>> files = tf.data.Dataset.list_files("photos/*.jpg")
        >>> ready = files.map(tf.io.read_file).map(tf_preprocess(Preprocess())).batch(32)
    """
    import tensorflow as tf

    size, channels = preprocess.image_size, preprocess.channels

    def along(pixels, plan, other):
        """One of Pillow's passes and its crop: a side of `plan` to `size`, in whole levels.

        The other sides are laid into the channels, which `tf.image` handles several times faster.
        """
        lines = tf.reshape(pixels, (1, plan.kept, 1, other * channels))
        lines = tf.image.resize(lines, (plan.length, 1), preprocess.interpolation, antialias=True)
        lines = tf.reshape(lines[0, plan.offset : plan.offset + size], (size, other, channels))
        return tf.clip_by_value(tf.floor(lines + 0.5), 0.0, 255.0)

    def transform(image):
        image = tf.convert_to_tensor(image)
        pixels = _decode(tf, image) if image.dtype == tf.string else image
        is_gray = pixels.shape.rank == 3 and pixels.shape[-1] == 1
        shape = (None, None, 1 if is_gray else 3)
        if pixels.dtype != tf.uint8 or not pixels.shape.is_compatible_with(shape):
            raise ValueError(
                "`image` must be uint8 of shape (height, width, 3 or 1), or encoded bytes. "
                f"Received: dtype={pixels.dtype.name}, shape={pixels.shape}"
            )
        pixels = tf.ensure_shape(pixels, shape)
        if pixels.shape[-1] != channels:
            pixels = tf.repeat(pixels, 3, axis=-1) if is_gray else _gray(tf, pixels)
        height, width = tf.unstack(tf.shape(pixels)[:2])
        y = plan_axis(height, width, preprocess, tf.minimum)
        x = plan_axis(width, height, preprocess, tf.minimum)
        pixels = pixels[y.start : y.start + y.kept, x.start : x.start + x.kept]
        columns = along(tf.transpose(pixels, (1, 0, 2)), x, y.kept)
        pixels = along(tf.transpose(columns, (1, 0, 2)), y, size)
        return pixels * preprocess.scale + preprocess.offset

    return transform


class Transform:
    """The preprocessing of one set of weights, ready to use: images in, a network's input out.

    Args:
        record: `cards.Preprocess`.

    Attributes:
        record: the record. tf: the same as a function of one tensor, see `tf_preprocess`.

    Example:
        >>> transform = Transform(Preprocess())
        >>> transform("cat.jpg").shape, transform(["cat.jpg", "dog.png"]).shape
        ((1, 224, 224, 3), (2, 224, 224, 3))
    """

    def __init__(self, record: PreprocessConfig):
        self.record = record

    def __call__(self, images: object) -> np.ndarray:
        """Prepares one image, or a list of them.

        Args:
            images: path, bytes, PIL image or uint8 array of shape (height, width, 3) or (height,
                width, 1); or a list, tuple or rank-4 array of such.

        Returns:
            float32 array of shape (n, size, size, channels), n = 1 for one image.

        Raises:
            ImageError: for what is no image. ValueError: for an empty list.
        """
        many = isinstance(images, (list, tuple)) or getattr(images, "ndim", 3) == 4
        batch: Sequence[object] = images if many else [images]
        if not len(batch):
            raise ValueError("`images` must hold at least one image. Received: none")
        return np.stack([preprocess_image(image, self.record) for image in batch])

    @functools.cached_property
    def tf(self) -> Callable:
        return tf_preprocess(self.record)

    def __repr__(self) -> str:
        r = self.record
        steps = f"short side to {r.resize} ({r.interpolation}), center {r.image_size} x {r.size}"
        return f"Transform({steps}, minus mean {r.mean}, by std {r.std})"


class Axis(NamedTuple):
    """One side: keep `kept` pixels from `start`, resize them to `length`, crop from `offset`."""

    start: object
    kept: object
    length: object
    offset: object


def plan_axis(side, other, preprocess: PreprocessConfig, minimum: Callable) -> Axis:
    """Plans one side of an image, in Python ints or, with `tf.minimum`, in tensors."""
    kept = minimum(side, LONGEST * other)
    length = preprocess.resize * kept // minimum(side, other)
    spare = length - preprocess.image_size
    return Axis((side - kept) // 2, kept, length, (spare + spare // 2 % 2) // 2)


def _decode(tf, data):
    def jpeg():
        return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")

    def other():
        return tf.io.decode_image(data, channels=3, expand_animations=False)

    return tf.cond(tf.io.is_jpeg(data), jpeg, other)


def _gray(tf, pixels):
    """Luma (ITU-R 601) in 16-bit fractions, rounded: the very levels of Pillow's `convert("L")`."""
    weighted = tf.reduce_sum(tf.cast(pixels, tf.int32) * LUMA, axis=-1, keepdims=True)
    return tf.cast((weighted + 0x8000) // 0x10000, tf.uint8)


def _check_channels(shape, preprocess: PreprocessConfig):
    channels = preprocess.channels
    if not len(shape) or shape[-1] != channels:
        raise ValueError(f"`x` must be of shape (..., {channels}). Received: shape={tuple(shape)}")

"""A `PreprocessConfig` applied to images: on the host, in `tf.data`, inside a model.

All forms follow one rule, torchvision's `Resize(short side)` and then `CenterCrop`: the short side
becomes `resize`, the long side `resize * long // short`, and the crop begins at half of what is left
over, halves rounded to even; or, with `resize_mode="stretch"`, both sides become `image_size`; with
`"letterbox"` the long side does, and the rest is black; with `"fit"` the image decides the size. An
image longer than `LONGEST` times its short side is first cropped to that about its center, so that an
image of 1 x 20,000 pixels needs no more memory than a panorama.
EXIF orientation is applied before, as phones and browsers do.

With `antialias=False` pixels are interpolated in float32 and not rounded, on the host and in TensorFlow
with the same numbers. The rest is said of antialiased images.

On the host Pillow resizes, with results equal to torchvision's on the same pixels: the width, then the
height, each rounded to whole pixel values. In TensorFlow `tf.image` resizes (antialiased) in the same
two passes: results differ by 1 here and there. Both decode JPEG files with libjpeg's accurate DCT,
which gives equal pixels; TensorFlow's default does not.

With a config of one channel, images become gray before they are resized, as by Pillow's
`convert("L")`.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from newnet_tf.data.images import read_image
from newnet_tf.data.resize import interpolate, plan_axis, tf_interpolate
from newnet_tf.models.config import FIT, LETTERBOX, RGB, PreprocessConfig
from newnet_tf.utils.lazy import keras

LUMA = (19595, 38470, 7471)  # weights of red, green and blue in 65536ths


def crop_image(image: object, preprocess: PreprocessConfig, exif: bool = True) -> np.ndarray:
    """Resizes and crops one image: all of the preprocessing except the normalization.

    Args:
        image: path, bytes, PIL image or uint8 array, as `images.read_image` takes them.

        preprocess: `PreprocessConfig`.

        exif: bool, whether to apply EXIF orientation. Default: True.

    Returns:
        uint8 array of shape (size, size, channels), with `resize_mode="fit"` (height, width,
        channels); rounded, with `antialias=False`.

    Raises:
        ImageError: for what is not a readable image.
    """
    pixels = resize_image(image, preprocess, exif)
    return pixels if pixels.dtype == np.uint8 else np.round(pixels).astype(np.uint8)


def resize_image(image: object, preprocess: PreprocessConfig, exif: bool = True) -> np.ndarray:
    """Resizes and crops one image to the pixel values that are normalized.

    Args:
        image, preprocess, exif: as in `crop_image`.

    Returns:
        Array of a shape as of `crop_image`: uint8, or with `antialias=False` float32 in 0-255.

    Raises:
        ImageError: for what is not a readable image.
    """
    pixels = read_image(image, exif)
    height, width = pixels.shape[:2]
    y, x = plan_axis(height, width, preprocess, min), plan_axis(width, height, preprocess, min)
    pixels = pixels[y.start : y.start + y.extent, x.start : x.start + x.extent]
    if preprocess.channels == 1:
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))
    shape = (y.shown, x.shown, preprocess.channels)
    if not preprocess.antialias:
        return _letterbox(interpolate(pixels, y, x, preprocess).reshape(shape), preprocess)
    method = Image.Resampling[preprocess.interpolation.upper()]
    resized = Image.fromarray(np.ascontiguousarray(pixels))
    # Pillow 13 would begin with the rows where that is faster, which rounds other values.
    resized = resized.resize((x.resized, y.extent), method)
    resized = resized.resize((x.resized, y.resized), method)
    box = (x.offset, y.offset, x.offset + x.shown, y.offset + y.shown)
    return _letterbox(np.array(resized.crop(box)).reshape(shape), preprocess)


def _letterbox(pixels: np.ndarray, preprocess: PreprocessConfig) -> np.ndarray:
    """Returns pixels with black ones at the right and below, with `resize_mode="letterbox"`."""
    if preprocess.resize_mode != LETTERBOX:
        return pixels
    padded = np.zeros(preprocess.shape, pixels.dtype)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return padded


def preprocess_image(image: object, preprocess: PreprocessConfig, exif: bool = True) -> np.ndarray:
    """Resizes, crops and normalizes one image with Pillow and NumPy alone.

    Args:
        image, preprocess, exif: as in `crop_image`.

    Returns:
        float32 array of shape (size, size, channels).

    Raises:
        ImageError: for what is not a readable image.
    """
    return normalize(resize_image(image, preprocess, exif), preprocess)


def normalize(x: object, preprocess: PreprocessConfig) -> object:
    """Normalizes pixels: `(x / 255 - mean) / std` by channel. It never resizes.

    Args:
        x: array (or nested list), tensor of Keras' backend, or symbolic Keras tensor, of shape
            (..., channels), any numeric type, values in 0-255, channels in the order red, green, blue.

        preprocess: `PreprocessConfig`.

    Returns:
        float32 of the same shape, channels in the order of `preprocess`: a NumPy array for an array or
        list, else a tensor.

    Raises:
        ValueError: if the last dimension is not the number of channels of `preprocess`.
    """
    on_host = isinstance(x, (np.ndarray, list, tuple))
    x = np.asarray(x) if on_host else x
    _check_channels(x.shape, preprocess)
    scale = np.asarray(preprocess.scale, np.float32)
    offset = np.asarray(preprocess.offset, np.float32)
    if on_host:
        x = x.astype(np.float32)
        return (x if preprocess.channel_order == RGB else x[..., ::-1]) * scale + offset
    x = keras.ops.cast(x, "float32")
    x = x if preprocess.channel_order == RGB else keras.ops.flip(x, axis=-1)
    return keras.ops.add(keras.ops.multiply(x, scale), offset)


def normalization_layer(x: object, preprocess: PreprocessConfig) -> object:
    """Normalizes inside a model, for models that take raw pixels; it never resizes.

    Args:
        x: Keras tensor of shape (batch, height, width, channels), uint8 or float, values in 0-255.

        preprocess: `PreprocessConfig`.

    Returns:
        float32 Keras tensor: the output of one built-in `Rescaling` layer named `normalize`, after a
        flip of the channels for BGR. (ONNX export does not support `Normalization`.)

    Raises:
        ValueError: if the last dimension is not the number of channels of `preprocess`.
    """
    _check_channels(x.shape, preprocess)
    scale, offset = list(preprocess.scale), list(preprocess.offset)
    x = x if preprocess.channel_order == RGB else keras.ops.flip(x, axis=-1)
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="normalize")(x)


def tf_preprocess(preprocess: PreprocessConfig) -> Callable:
    """Returns the preprocessing as a function for `tf.data.Dataset.map` and serving signatures.

    Args:
        preprocess: `PreprocessConfig`.

    Returns:
        Callable. It takes one image: a uint8 tensor of shape (height, width, 3) or, gray, (height,
        width, 1), or a string scalar with the bytes of a JPEG, PNG, GIF (first frame) or BMP file,
        whose EXIF orientation it applies. It returns a float32 tensor of shape (size, size,
        channels).

    Example:
        >>> files = tf.data.Dataset.list_files("photos/*.jpg")
        >>> images = files.map(tf.io.read_file).map(tf_preprocess(card.preprocess)).batch(32)
    """
    import tensorflow as tf

    size, channels = preprocess.image_size, preprocess.channels

    def resize_axis(pixels, plan, other):
        """One of Pillow's passes and its crop: the first axis to `size`, in whole pixel values.

        The other axis is moved into the channels, which `tf.image` computes several times faster.
        """
        lines = tf.reshape(pixels, (1, plan.extent, 1, other * channels))
        lines = tf.image.resize(lines, (plan.resized, 1), preprocess.interpolation, antialias=True)
        lines = lines[0, plan.offset : plan.offset + plan.shown]
        lines = tf.reshape(lines, (plan.shown, other, channels))
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
        pixels = pixels[y.start : y.start + y.extent, x.start : x.start + x.extent]
        if preprocess.antialias:
            columns = resize_axis(tf.transpose(pixels, (1, 0, 2)), x, y.extent)
            pixels = resize_axis(tf.transpose(columns, (1, 0, 2)), y, x.shown)
        else:
            pixels = tf_interpolate(pixels, y, x, preprocess)
        if preprocess.resize_mode == LETTERBOX:
            pixels = tf.pad(pixels, [[0, size - y.shown], [0, size - x.shown], [0, 0]])
        fixed = None if preprocess.resize_mode == FIT else size
        pixels = tf.ensure_shape(pixels, (fixed, fixed, channels))
        if preprocess.channel_order != RGB:
            pixels = tf.reverse(pixels, (2,))
        return pixels * preprocess.scale + preprocess.offset

    return transform


class Transform:
    """The preprocessing of a model: images in, the model's input out.

    Args:
        preprocess: `PreprocessConfig`.

    Attributes:
        preprocess: the `PreprocessConfig`.

        tf: the same preprocessing as a function of one tensor, see `tf_preprocess`.

    Example:
        >>> transform = Transform(PreprocessConfig())
        >>> transform("cat.jpg").shape, transform(["cat.jpg", "dog.png"]).shape
        ((1, 224, 224, 3), (2, 224, 224, 3))
    """

    def __init__(self, preprocess: PreprocessConfig):
        self.preprocess = preprocess

    def __call__(self, images: object) -> np.ndarray:
        """Resizes, crops and normalizes one image, or several.

        Args:
            images: path, bytes, PIL image or uint8 array of shape (height, width, 3) or (height,
                width, 1); or a list, tuple or array of rank 4 of such.

        Returns:
            float32 array of shape (n, size, size, channels), n = 1 for one image.

        Raises:
            ImageError: for what is not a readable image.

            ValueError: for an empty list.
        """
        many = isinstance(images, (list, tuple)) or getattr(images, "ndim", 3) == 4
        batch: Sequence[object] = images if many else [images]
        if not len(batch):
            raise ValueError("`images` must hold at least one image. Received: none")
        return np.stack([preprocess_image(image, self.preprocess) for image in batch])

    @functools.cached_property
    def tf(self) -> Callable:
        """The preprocessing as a function of one tensor, see `tf_preprocess`."""
        return tf_preprocess(self.preprocess)

    def __repr__(self) -> str:
        p = self.preprocess
        order = "" if p.channel_order == RGB else f", {p.channel_order}"
        return f"Transform({p.resize_steps}{order}, minus mean {p.mean}, by std {p.std})"


def _decode(tf, data):
    from newnet_tf.data.orientation import decode_jpeg, decode_other

    return tf.cond(tf.io.is_jpeg(data), lambda: decode_jpeg(data), lambda: decode_other(data))


def _gray(tf, pixels):
    """Luma (ITU-R 601) in 16-bit fractions, rounded: exactly Pillow's `convert("L")`."""
    weighted = tf.reduce_sum(tf.cast(pixels, tf.int32) * LUMA, axis=-1, keepdims=True)
    return tf.cast((weighted + 0x8000) // 0x10000, tf.uint8)


def _check_channels(shape, preprocess: PreprocessConfig):
    channels = preprocess.channels
    if not len(shape) or shape[-1] != channels:
        raise ValueError(f"`x` must be of shape (..., {channels}). Received: shape={tuple(shape)}")

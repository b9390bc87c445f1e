"""Operations on pixel values: float32 tensors (height, width, 3) in 0-255.

Each equals Pillow's operation of the same name for whole numbers, and gives whole numbers. They are
written as arithmetic on rows of all three channels, which TensorFlow computes several times faster
than a look-up table, `tf.where`, or broadcasting over three channels.
"""

import tensorflow as tf

GRAY = (19595 / 65536, 38470 / 65536, 7471 / 65536)  # Pillow's weights of red, green, blue
# ImageNet's principal components of color, as AlexNet's authors published them (0-1 scale).
VALUES = (0.2175, 0.0188, 0.0045)
VECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


def by_channel(image, factor, summand):
    """Returns `image * factor + summand`, both float32 of shape (3,)."""
    shape = tf.shape(image)
    rows = tf.reshape(image, (shape[0], shape[1] * 3))
    rows = rows * tf.tile(factor, shape[1:2]) + tf.tile(summand, shape[1:2])
    return tf.reshape(rows, shape)


def clip(image):
    """Clips to 0-255 and drops the fraction, as Pillow does."""
    return tf.floor(tf.clip_by_value(image, 0.0, 255.0))


def blend(other, image, factor):
    """Returns `other` at factor 0, `image` at 1, and beyond above 1."""
    return clip(other + factor * (image - other) + 1e-3)


def gray(image):
    """Converts to gray as Pillow does, in each of the three channels."""
    weights = tf.tile(tf.constant(GRAY)[:, None], (1, 3))
    grays = tf.matmul(tf.reshape(image, (-1, 3)), weights)
    return tf.reshape(tf.floor(grays + 0.5), tf.shape(image))


def brightness(image, factor):
    """Multiplies by `factor`."""
    return clip(image * factor + 1e-3)


def contrast(image, factor):
    """Moves away from the image's mean gray by `factor`."""
    return blend(tf.floor(tf.reduce_mean(gray(image)) + 0.5), image, factor)


def saturation(image, factor):
    """Moves away from each pixel's gray by `factor`."""
    return blend(gray(image), image, factor)


def sharpness(image, factor):
    """Moves away from a smoothed image by `factor`; the outermost pixels do not change."""
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernels = tf.tile(kernel[:, :, None, None], (1, 1, 3, 1))
    inner = tf.nn.depthwise_conv2d(image[None], kernels, (1, 1, 1, 1), "VALID")[0]
    smooth = tf.floor(inner + 0.5)
    change = tf.pad(image[1:-1, 1:-1] - smooth, ((1, 1), (1, 1), (0, 0)))
    return clip(image + (factor - 1) * change + 1e-3)


def invert(image):
    """Returns the negative."""
    return 255.0 - image


def posterize(image, bits):
    """Keeps the upper `bits` (float scalar, 0 to 8) of each value."""
    step = 2.0 ** (8.0 - bits)
    return tf.floor(image / step) * step


def solarize(image, threshold):
    """Inverts values from `threshold` (a whole number) on."""
    is_inverted = tf.clip_by_value(image - (threshold - 1.0), 0.0, 1.0)
    return image + is_inverted * (255.0 - 2.0 * image)


def solarize_add(image, summand):
    """Adds `summand` to values below 128."""
    return tf.minimum(image + summand * tf.clip_by_value(128.0 - image, 0.0, 1.0), 255.0)


def auto_contrast(image):
    """Stretches each channel to the whole range."""
    # One axis after the other, which is faster than both at once.
    low, high = (reduce(reduce(image, 0), 0) for reduce in (tf.reduce_min, tf.reduce_max))
    is_flat = high <= low
    factor = tf.where(is_flat, 1.0, 255.0 / tf.where(is_flat, 1.0, high - low))
    return clip(by_channel(image, factor, tf.where(is_flat, 0.0, -low * factor)) + 1e-3)


def equalize(image):
    """Spreads each channel's values evenly over the range."""
    offsets = tf.tile(tf.constant((0, 256, 512)), tf.shape(image)[1:2])
    rows = tf.reshape(tf.cast(image, tf.int32), (tf.shape(image)[0], -1)) + offsets
    counts = tf.math.bincount(tf.reshape(rows, (-1,)), minlength=768, maxlength=768)
    counts = tf.reshape(counts, (3, 256))
    highest = tf.reduce_max(tf.where(counts > 0, tf.range(256), 0), axis=1)
    last = tf.gather(counts, highest, batch_dims=1)
    step = ((tf.reduce_sum(counts, axis=1) - last) // 255)[:, None]
    before = tf.cumsum(counts, axis=1, exclusive=True)
    spread = tf.clip_by_value((before + step // 2) // tf.maximum(step, 1), 0, 255)
    tables = tf.cast(tf.where(step > 0, spread, tf.range(256)), tf.float32)
    return tf.reshape(tf.gather(tf.reshape(tables, (-1,)), rows), tf.shape(image))


def color_jitter(image, seed, amounts: tuple[float, float, float]):
    """Changes brightness, contrast and saturation, in this order, each by a random factor.

    Args:
        image: float32 (height, width, 3), pixel values.

        seed: int tensor (2,).

        amounts: three floats. A factor is uniform in 1 - amount to 1 + amount.
    """
    draws = tf.random.stateless_uniform((3,), seed, -1.0, 1.0)
    for operation, amount, draw in zip(
        (brightness, contrast, saturation), amounts, tf.unstack(draws), strict=True
    ):
        if amount:
            image = operation(image, 1.0 + amount * draw)
    return image


def pca_noise(image, seed, pca_std: float):
    """Shifts all pixels along ImageNet's principal components of color.

    Args:
        image: float32 (height, width, 3), pixel values.

        seed: int tensor (2,).

        pca_std: float, standard deviation of the weights of the components.

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
        Networks" (NIPS 2012), section 4.1.
    """
    weights = tf.random.stateless_normal((3,), seed, stddev=pca_std)
    shift = tf.linalg.matvec(tf.constant(VECTORS), weights * tf.constant(VALUES)) * 255.0
    return tf.clip_by_value(by_channel(image, tf.ones((3,)), shift), 0.0, 255.0)

"""Random erasing: a rectangle of an image is filled with noise or with the mean color."""

import tensorflow as tf

from newnet_tf.data.augment.color_ops import by_channel
from newnet_tf.data.crops import random_box
from newnet_tf.models.config import PreprocessConfig

SCALE, RATIO = (0.02, 1 / 3), (0.3, 1 / 0.3)


def erase(image, seed, probability: float, preprocess: PreprocessConfig, filled: str = "noise"):
    """Erases a rectangle of 2 to 33 % of the area, with the given probability.

    Args:
        image: float32 (height, width, 3), gray levels. seed: int tensor (2,).
        probability: float. filled: `"noise"`, which is normal with mean 0 and deviation 1 by pixel
            once normalized (and so may leave 0-255), or `"mean"`, which is then 0.
        preprocess: `cards.Preprocess`, whose normalization is meant.
    """

    def erased():
        shape = tf.shape(image)
        box = random_box(shape[:2], seed, SCALE, RATIO)
        top, left, height, width = tf.unstack(box)
        around = [[top, shape[0] - top - height], [left, shape[1] - left - width], [0, 0]]
        patch = tf.zeros((height, width, 3))
        if filled == "noise":
            patch = tf.random.stateless_normal((height, width, 3), seed)
        deviation, mean = ([255 * v for v in vs] for vs in (preprocess.std, preprocess.mean))
        patch = by_channel(patch, tf.constant(deviation), tf.constant(mean))
        kept = tf.pad(tf.zeros_like(patch), around, constant_values=1.0)
        return tf.ensure_shape(image * kept + tf.pad(patch, around), image.shape)

    drawn = tf.random.stateless_uniform((), seed + tf.constant((1, 0), seed.dtype))
    return tf.cond(drawn < probability, erased, lambda: image)

"""Random erasing: a rectangle of an image is filled with noise or with the mean color."""

import tensorflow as tf

from newnet_tf.data.augment.color_ops import by_channel
from newnet_tf.data.crops import random_box
from newnet_tf.models.config import PreprocessConfig

SCALE, RATIO = (0.02, 1 / 3), (0.3, 1 / 0.3)


def random_erasing(
    image, seed, erasing_prob: float, preprocess: PreprocessConfig, erasing_mode: str = "noise"
):
    """Erases a rectangle of 2 to 33 % of the area, with the given probability.

    Args:
        image: float32 (height, width, 3), pixel values in 0-255.

        seed: int tensor (2,).

        erasing_prob: float in 0-1.

        preprocess: `PreprocessConfig`, whose normalization is meant below.

        erasing_mode: `"noise"` (once normalized, normal with mean 0 and deviation 1 for each pixel;
            values may leave 0-255) or `"mean"` (once normalized, 0). Default: `"noise"`.

    Returns:
        float32 tensor of the same shape.

    Source: Zhong et al., "Random Erasing Data Augmentation" (AAAI 2020).
    """

    def erased():
        shape = tf.shape(image)
        box = random_box(shape[:2], seed, SCALE, RATIO)
        top, left, height, width = tf.unstack(box)
        padding = [[top, shape[0] - top - height], [left, shape[1] - left - width], [0, 0]]
        patch = tf.zeros((height, width, 3))
        if erasing_mode == "noise":
            patch = tf.random.stateless_normal((height, width, 3), seed)
        std, mean = (
            [255 * v for v in values] for values in (preprocess.rgb_std, preprocess.rgb_mean)
        )
        patch = by_channel(patch, tf.constant(std), tf.constant(mean))
        mask = tf.pad(tf.zeros_like(patch), padding, constant_values=1.0)
        return tf.ensure_shape(image * mask + tf.pad(patch, padding), image.shape)

    draw = tf.random.stateless_uniform((), seed + tf.constant((1, 0), seed.dtype))
    return tf.cond(draw < erasing_prob, erased, lambda: image)

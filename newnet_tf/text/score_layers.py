"""The last layers of text detectors: one convolution to the region and the affinity score map."""

from newnet_tf.utils.lazy import keras

OUTPUTS = REGION, AFFINITY = "region", "affinity"
LAYER = "maps"  # the convolution
STDDEV = 0.01  # of its first kernel: most of both maps is 0


def score_maps(x) -> dict:
    """Returns the outputs of a text detector.

    Args:
        x: Keras tensor (batch, height, width, channels), the last feature map.

    Returns:
        `{"region": (batch, height, width, 1), "affinity": the same}`, float32, without activation.
    """
    small = keras.initializers.RandomNormal(stddev=STDDEV)
    x = keras.layers.Conv2D(len(OUTPUTS), 1, kernel_initializer=small, name=LAYER)(x)
    return {
        name: keras.layers.Identity(dtype="float32", name=name)(x[..., i : i + 1])
        for i, name in enumerate(OUTPUTS)
    }

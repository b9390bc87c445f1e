"""Pooling layers with the borders that PyTorch's networks have."""

from newnet_tf.utils.lazy import keras

CEIL = ((0, 1), (0, 1))  # a border row and column, which a window that fits does not reach


def max_pool(x, kernel=3, stride=2, *, padding=0, name):
    """Max pooling of a map without negative values (after ReLU), in a layer called `name`.

    Zeros are padded, which there are as low as the minus infinity that PyTorch pads.

    Args:
        x: the map. kernel, stride: ints.
        padding: int, zeros on every side; or `CEIL`, PyTorch's `ceil_mode` at stride 2.
    """
    if padding:
        x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    return keras.layers.MaxPooling2D(kernel, stride, name=name)(x)


def adaptive_pool(x, side: int, *, name):
    """Average pooling to `side` x `side`, whatever the map (PyTorch's `AdaptiveAvgPool2d`)."""
    if x.shape[1:3] == (side, side):
        return x
    return keras.layers.AdaptiveAveragePooling2D(side, name=name)(x)


def average_pool(x, kernel=3, stride=2, *, padding=0, name):
    """Average pooling, in a layer called `name`; `padding` zeros on every side are counted in."""
    if padding:
        x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    return keras.layers.AveragePooling2D(kernel, stride, name=name)(x)

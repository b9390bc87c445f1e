"""Pooling layers with PyTorch's padding."""

from newnet_tf.utils.lazy import keras

CEIL = ((0, 1), (0, 1))  # `padding` for PyTorch's `ceil_mode` at stride 2


def max_pool(x, kernel=3, stride=2, *, padding=0, name):
    """Max pooling of a feature map without negative values (after ReLU), in a layer called `name`.

    It pads zeros; PyTorch's minus infinity would give the same maxima.

    Args:
        x: Keras tensor of shape (batch, height, width, channels).

        kernel: int. Default: 3.

        stride: int. Default: 2.

        padding: int, rows and columns of zeros on every side; or `CEIL`, PyTorch's `ceil_mode` at
            stride 2. Default: 0.

        name: str.
    """
    if padding:
        x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    return keras.layers.MaxPooling2D(kernel, stride, name=name)(x)


def max_pool_repeated_edges(x, *, name):
    """3x3 max pooling of stride 2, for feature maps with negative values.

    The border rows and columns are repeated, which changes no maximum. PyTorch pads minus infinity,
    which would make the activation ranges of 8-bit files useless.
    """
    x = keras.layers.Concatenate(1, name=f"{name}_rows")([x[:, :1], x, x[:, -1:]])
    x = keras.layers.Concatenate(2, name=f"{name}_columns")([x[:, :, :1], x, x[:, :, -1:]])
    return keras.layers.MaxPooling2D(3, 2, name=name)(x)


def adaptive_pool(x, size: int, *, name):
    """Average pooling to `size` x `size` from any size (PyTorch's `AdaptiveAvgPool2d`)."""
    if x.shape[1:3] == (size, size):
        return x
    return keras.layers.AdaptiveAveragePooling2D(size, name=name)(x)


def average_pool(x, kernel=3, stride=2, *, padding=0, name):
    """Average pooling, in a layer called `name`; zeros of `padding` count in the averages."""
    if padding:
        x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    return keras.layers.AveragePooling2D(kernel, stride, name=name)(x)

"""Models for small images such as CIFAR's: a stem of stride 1, everything else unchanged."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras


def with_stride1_stem(model: keras.Model) -> keras.Model:
    """Returns the model for images half as large: the first strided convolution gets stride 1.

    A model for 224 x 224 images halves them five times, so that a 32 x 32 image would end as one pixel.
    With a stem of stride 1, a 32 x 32 image has the feature maps that a 64 x 64 image had before.
    Layers, names, dropout and weights are the same, so a checkpoint of either model fits the other;
    `features_8` is the feature whose stride is now 4, and so on.

    Args:
        model: `keras.Model` of this zoo, built for images twice as large.

    Returns:
        A new `keras.Model`, with its own variables, of the same values.

    Raises:
        ValueError: for a model whose first convolution has not stride 2, or an odd image size.

    Example:
        >>> model = newnet_tf.create_model("newnet_small", classes=10, input_shape=(64, 64, 3))
        >>> with_stride1_stem(model).input_shape
        (None, 32, 32, 3)
    """
    _, height, width, channels = model.input_shape
    if any(size is not None and size % 2 for size in (height, width)):
        raise ValueError(
            "`model` must be built for images twice as large, of even height and width. "
            f"Received: input_shape={model.input_shape}"
        )
    stem = _stem(model)

    def clone_layer(layer):
        config = layer.get_config()
        if layer.name == stem.name:
            config["strides"] = (1, 1)
        return type(layer).from_config(config)

    half = [None if size is None else size // 2 for size in (height, width)]
    image = keras.Input((*half, channels), name=model.input.name)
    clone = keras.models.clone_model(model, input_tensors=image, clone_function=clone_layer)
    clone.set_weights(model.get_weights())
    return clone


def small_preprocess(config: PreprocessConfig, size: int = 32) -> PreprocessConfig:
    """Returns the preprocessing for small images: no crop, the same mean, std and interpolation.

    Args:
        config: `PreprocessConfig` of the model.

        size: int, height and width of the images in pixels. Default: 32.
    """
    return dataclasses.replace(config, image_size=size, crop_pct=1.0)


def _stem(model):
    """Returns the first convolution, whose stride must be 2."""
    first = next((x for x in model.layers if isinstance(x, keras.layers.Conv2D)), None)
    if first is None or tuple(first.strides) != (2, 2):
        received = (
            "without a convolution"
            if first is None
            else f"{first.name!r} of strides {first.strides}"
        )
        raise ValueError(
            f"`model` must begin with a convolution of stride 2. Received: {model.name}, {received}"
        )
    return first

"""Feature maps of a model at each stride, for detectors and other models on top of a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras

STRIDES = (2, 4, 8, 16, 32)


def feature_extractor(model: keras.Model, strides: Sequence[int] = (8, 16, 32)) -> keras.Model:
    """Returns a model that outputs the feature maps of `model` at `strides`.

    A feature is the last block output at a stride, before any head convolution (timm's
    `features_only`). It is found by the layer name `features_<stride>`, so loaded models work too, and
    those of `prefix_layer_names`.

    Args:
        model: `keras.Model` of this zoo, built or loaded.

        strides: sequence of int among 2, 4, 8, 16, 32. Default: (8, 16, 32).

    Returns:
        `keras.Model` with the input of `model`, which shares its weights. Its output is a list of
        feature maps in the order of `strides`, of shape (batch, height / stride, width / stride,
        channels). Two attributes describe them: `strides` and `channels`, tuples of int.

    Raises:
        ValueError: for a stride not among those, or one that `model` has no feature at.

    Example:
        >>> backbone = newnet_tf.feature_extractor(newnet_tf.create_model("rexnet_100"))
        >>> backbone.strides, backbone.channels
        ((8, 16, 32), (61, 128, 185))
    """
    strides = tuple(strides)
    if not strides or not set(strides) <= set(STRIDES):
        raise ValueError(
            f"`strides` must be among {', '.join(map(str, STRIDES))}. Received: strides={strides}"
        )
    layers = {stride: _feature_layers(model, stride) for stride in STRIDES}
    known = [stride for stride in STRIDES if layers[stride]]
    if not set(strides) <= set(known):
        raise ValueError(
            f"`strides` must be among {known}, the feature strides of model {model.name!r}. "
            f"Received: strides={strides}"
        )
    several = next((layers[stride] for stride in strides if len(layers[stride]) > 1), [])
    if several:
        raise ValueError(
            "`model` must be one backbone: extract the features of each before they are joined. "
            f"Received: model {model.name!r} with {', '.join(layer.name for layer in several)}"
        )
    outputs = [layers[stride][0].output for stride in strides]
    extractor = keras.Model(model.input, outputs, name=f"{model.name}_features")
    extractor.strides = strides
    extractor.channels = tuple(output.shape[-1] for output in outputs)
    return extractor


def _feature_layers(model: keras.Model, stride: int) -> list:
    """Returns the layers of features at a stride; more than one where backbones were joined."""
    return [layer for layer in model.layers if layer.name.endswith(f"features_{stride}")]

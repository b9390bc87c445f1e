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


def detection_taps(model: keras.Model) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns the feature maps at strides 16 and 32 that SSDLite predicts boxes from.

    At stride 16 it is the expansion of the first inverted residual of stride 32, which has more
    channels than the block before it (MobileNetV2, arXiv 1801.04381, section 6.2); in a network
    without such a block (MobileNetV1, ResNet) it is the last block output at stride 16. At stride 32
    it is the last convolution before pooling. They are found in the graph, not by names of blocks.

    Args:
        model: `keras.Model` of this zoo, built with `include_top=False`.

    Returns:
        Two Keras tensors of the graph of `model`.

    Raises:
        ValueError: for a model without feature maps at strides 16 and 32.

    Example:
        >>> backbone = newnet_tf.create_model("newnet_small", include_top=False, weights=None)
        >>> [tensor.shape for tensor in detection_taps(backbone)]
        [(None, 14, 14, 768), (None, 7, 7, 512)]
    """
    last, coarse = (_feature_layers(model, stride) for stride in (16, 32))
    if len(last) != 1 or len(coarse) != 1:
        raise ValueError(
            "`model` must have feature maps at strides 16 and 32. "
            f"Received: {model.name!r}, which has {len(last)} and {len(coarse)} of them"
        )
    fine = last[0].output
    start, end = (model.layers.index(layer) for layer in (last[0], coarse[0]))
    found = map(_expansion, model.layers[start + 1 : end])
    wider = [
        tensor
        for tensor in found
        if tensor is not None
        and tensor.shape[1:3] == fine.shape[1:3]
        and tensor.shape[-1] > fine.shape[-1]
    ]
    return (wider[0] if wider else fine), model.output


def _expansion(layer: keras.Layer) -> keras.KerasTensor | None:
    """Returns what a depthwise convolution of stride 2 is applied to, before padding and splitting.

    None for any other layer.
    """
    if not isinstance(layer, keras.layers.DepthwiseConv2D) or layer.strides[0] != 2:
        return None
    tensor = layer.input
    while True:
        operation = tensor._keras_history.operation
        is_slice = type(operation).__name__ == "GetItem"
        if not is_slice and not isinstance(operation, keras.layers.ZeroPadding2D):
            return tensor
        tensor = operation.input[0] if isinstance(operation.input, list) else operation.input


def _feature_layers(model: keras.Model, stride: int) -> list:
    """Returns the layers of features at a stride; more than one where backbones were joined."""
    return [layer for layer in model.layers if layer.name.endswith(f"features_{stride}")]

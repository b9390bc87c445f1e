"""Parameters and multiply-adds of a Keras model, layer by layer.

They are counted as papers count them: multiply-adds of convolutions and dense layers for one image;
batch norm, activations, pooling and additions count nothing. Parameters are what training fits. The
moving statistics of normalization layers, and the channel indices that a checkpoint sets
(CondenseNet), are counted separately. A layer that is used several times counts its parameters once
and its multiply-adds each time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from newnet_tf.utils.lazy import keras

STATISTICS = ("moving_mean", "moving_variance", "mean", "variance", "count")


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer.

    Args:
        name: str.

        kind: str, name of its class.

        output_shape: tuple of int, without batch, of its first use.

        params: int, trainable parameters.

        macs: int, multiply-adds of all its uses.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class Cost:
    """The cost of a model for one image.

    Args:
        input_shape: tuple of int, (height, width, channels).

        params: int, parameters that training fits.

        non_trainable_params: int, moving means and variances, channel indices.

        macs: int, multiply-adds of convolutions and dense layers.

        layers: tuple of `LayerCost`, every layer with weights, in order.
    """

    input_shape: tuple[int, ...]
    params: int
    non_trainable_params: int
    macs: int
    layers: tuple[LayerCost, ...]


def cost(model, input_shape: Sequence[int] | None = None) -> Cost:
    """Counts a model's parameters and multiply-adds.

    Args:
        model: Keras functional model with one image input, channels last.

        input_shape: (height, width, channels). Default: the model's own, if it is fixed.

    Returns:
        A `Cost`.

    Raises:
        ValueError: if no fixed input shape is known, or the model contains another model as a layer.

    Example:
        >>> cost(newnet_tf.create_model("newnet_small")).macs
        399054592
    """
    shape = tuple(input_shape or model.inputs[0].shape[1:])
    if len(model.inputs) != 1 or len(shape) != 3 or not all(isinstance(s, int) for s in shape):
        raise ValueError(
            "`input_shape` must be (height, width, channels) for one image input. "
            f"Received: input_shape={shape} for {len(model.inputs)} input(s)"
        )
    layers = [layer for layer in model.layers if layer.weights]
    for layer in layers:
        if isinstance(layer, keras.Model):
            raise ValueError(
                "`model` must contain no model as a layer. "
                f"Received: layer {layer.name!r} in model {model.name!r}"
            )
    rows, non_trainable = [], 0
    for layer, uses in zip(layers, _shapes(model, layers, shape), strict=True):
        fixed = sum(math.prod(w.shape) for w in layer.weights if _is_fixed(layer, w))
        params = sum(math.prod(w.shape) for w in layer.weights) - fixed
        macs = sum(_macs(layer, before, after) for before, after in uses)
        rows.append(LayerCost(layer.name, type(layer).__name__, uses[0][1], params, macs))
        non_trainable += fixed
    return Cost(
        input_shape=shape,
        params=sum(row.params for row in rows),
        non_trainable_params=non_trainable,
        macs=sum(row.macs for row in rows),
        layers=tuple(rows),
    )


def _shapes(model, layers, shape: tuple[int, ...]) -> list[list[tuple[tuple[int, ...], ...]]]:
    """Returns, for each layer, the shapes without batch before and after each of its uses.

    Keras' public `layer.input` knows one use only, so this reads the nodes of the model's graph.
    """
    nodes = {layer.name: [] for layer in layers}
    for _, same_depth in sorted(model._nodes_by_depth.items(), reverse=True):
        for node in same_depth:
            if node.operation.name in nodes:
                nodes[node.operation.name].append(node)
    pairs = [(node.input_tensors[0], node.output_tensors[0]) for n in nodes.values() for node in n]
    tensors = [tensor for pair in pairs for tensor in pair]
    specs = keras.Model(model.inputs, tensors).compute_output_spec(keras.KerasTensor((1, *shape)))
    shapes = iter(tuple(spec.shape[1:]) for spec in specs)
    return [[(next(shapes), next(shapes)) for _ in uses] for uses in nodes.values()]


def _is_fixed(layer, weight) -> bool:
    """Whether training does not fit a weight: a moving statistic, or channel indices."""
    is_index = isinstance(layer, keras.layers.Embedding) and layer.name.endswith("_index")
    return is_index or weight.name in STATISTICS


def _macs(layer, before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """Returns the multiply-adds of one use of a layer; 0 for layers that are not counted."""
    layers = keras.layers
    if isinstance(layer, layers.Dense):
        return math.prod(after) * before[-1]
    if not isinstance(
        layer,
        (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Conv2DTranspose),
    ):
        return 0
    if layer.data_format != "channels_last":
        raise ValueError(
            "`model` must be channels_last. "
            f"Received: layer {layer.name!r} with data_format={layer.data_format!r}"
        )
    window, channels = math.prod(layer.kernel_size), before[-1]
    if isinstance(layer, layers.Conv2DTranspose):  # each value meets each kernel weight
        return math.prod(before) * window * after[-1]
    if isinstance(layer, layers.SeparableConv2D):
        depthwise = channels * layer.depth_multiplier
        return math.prod(after[:2]) * depthwise * (window + after[-1])
    if isinstance(layer, layers.DepthwiseConv2D):
        return math.prod(after) * window
    return math.prod(after) * window * channels // layer.groups

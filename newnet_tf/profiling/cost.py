"""Parameters and multiply-adds of a Keras model, layer by layer.

Counted as papers count: multiply-adds of convolutions and dense layers for one image; batch norm,
activations, pooling and additions count nothing. Parameters are what training fits; the moving
statistics of normalization layers, and the channel numbers that a checkpoint sets (CondenseNet), are
counted apart. A layer used several times counts its parameters once and its multiply-adds each time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from newnet_tf.utils.lazy import keras

STATISTICS = ("moving_mean", "moving_variance", "mean", "variance", "count")


@dataclass(frozen=True)
class LayerCost:
    """One layer: name, kind (its class), output shape without batch, parameters, multiply-adds.

    The shape is that of its first use; the multiply-adds are those of all uses.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class Cost:
    """What a model costs for one image.

    Args:
        input_shape: tuple (height, width, channels).
        params: int, what training fits. non_trainable_params: int, moving means and variances, channel numbers.
        macs: int, multiply-adds of convolutions and dense layers.
        layers: tuple of `LayerCost`, every layer that has any of those, in order.
    """

    input_shape: tuple[int, ...]
    params: int
    non_trainable_params: int
    macs: int
    layers: tuple[LayerCost, ...]


def cost(model, input_shape: Sequence[int] | None = None) -> Cost:
    """Counts a model's parameters and multiply-adds.

    Args:
        model: Keras functional model with one image input.
        input_shape: (height, width, channels). Default: the model's own, if it is fixed.

    Returns:
        A `Cost`.

    Raises:
        ValueError: where no fixed input shape is known, or a layer is itself a model, which this
            cannot count.

    Example:
        >>> cost(newnet_tf.create("newnet_small")).macs
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
                "`model` must hold no model as a layer. "
                f"Received: layer {layer.name!r} in model {model.name!r}"
            )
    rows, statistics = [], 0
    for layer, uses in zip(layers, _shapes(model, layers, shape), strict=True):
        held = sum(math.prod(w.shape) for w in layer.weights if _is_statistic(layer, w))
        fitted = sum(math.prod(w.shape) for w in layer.weights) - held
        macs = sum(_macs(layer, before, after) for before, after in uses)
        rows.append(LayerCost(layer.name, type(layer).__name__, uses[0][1], fitted, macs))
        statistics += held
    return Cost(
        input_shape=shape,
        params=sum(row.params for row in rows),
        non_trainable_params=statistics,
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
    each = [(node.input_tensors[0], node.output_tensors[0]) for n in nodes.values() for node in n]
    flat = [tensor for ends in each for tensor in ends]
    specs = keras.Model(model.inputs, flat).compute_output_spec(keras.KerasTensor((1, *shape)))
    found = iter(tuple(spec.shape[1:]) for spec in specs)
    return [[(next(found), next(found)) for _ in uses] for uses in nodes.values()]


def _is_statistic(layer, weight) -> bool:
    """Whether a weight is not fitted in training: a moving statistic, or numbers of channels."""
    numbers = isinstance(layer, keras.layers.Embedding) and layer.name.endswith("_index")
    return numbers or weight.name in STATISTICS


def _macs(layer, before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """Multiply-adds of one layer, from its shapes without batch; 0 for what is not counted."""
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
    if isinstance(layer, layers.Conv2DTranspose):  # each input value meets the whole kernel
        return math.prod(before) * window * after[-1]
    if isinstance(layer, layers.SeparableConv2D):
        spread = channels * layer.depth_multiplier
        return math.prod(after[:2]) * spread * (window + after[-1])
    if isinstance(layer, layers.DepthwiseConv2D):
        return math.prod(after) * window
    return math.prod(after) * window * channels // layer.groups

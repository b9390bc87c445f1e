"""Parameters and multiply-adds of a Keras model, in all and by layer.

Counted are convolutions and dense layers at batch 1, one multiply-add for each weight at each place
where it is used: what papers on mobile networks print (as "FLOPs" or "Madds"). Batch norm,
activations, pooling and additions cost time and no multiply-adds here.
"""

import math
from dataclasses import dataclass

from newnet_tf.lazy import keras


@dataclass(frozen=True)
class LayerCost:
    """One layer: name, type, output shape without batch, trainable parameters, multiply-adds."""

    name: str
    type: str
    shape: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class Cost:
    """A model's cost.

    Args:
        params: int, trainable parameters, which papers count.
        fixed: int, others (batch norm's moving statistics).
        macs: int, multiply-adds. layers: one `LayerCost` a layer, in order.
    """

    params: int
    fixed: int
    macs: int
    layers: tuple[LayerCost, ...]


def cost(model) -> Cost:
    """Counts parameters and multiply-adds.

    Args:
        model: a built Keras model with a static input size.

    Returns:
        `Cost`.

    Raises:
        ValueError: for an input of unknown size; build the model with an `input_shape`.

    Example:
        >>> cost(newnet_tf.create("rexnet_100", weights=None)).params
        4796873
    """
    if any(side is None for shape in _shapes(model.input) for side in shape):
        raise ValueError(
            "`model` must have an input of known size, to count multiply-adds. "
            f"Received: input shape {model.input_shape}"
        )
    layers = tuple(_layer(layer) for layer in model.layers)
    return Cost(
        params=_count(model.trainable_variables),
        fixed=_count(model.non_trainable_variables),
        macs=sum(layer.macs for layer in layers),
        layers=layers,
    )


def _layer(layer) -> LayerCost:
    if isinstance(layer, keras.Model):
        inner = cost(layer)
        shape, params, macs = layer.output_shape[1:], inner.params, inner.macs
    else:
        shape = tuple(_shapes(layer.output)[0])
        params, macs = _count(layer.trainable_variables), _macs(layer, shape)
    return LayerCost(layer.name, type(layer).__name__, shape, params, macs)


def _macs(layer, shape: tuple[int, ...]) -> int:
    layers = keras.layers
    if isinstance(layer, layers.SeparableConv2D):
        depthwise, pointwise = layer.depthwise_kernel.shape, layer.pointwise_kernel.shape
        return math.prod(shape[:2]) * (math.prod(depthwise) + math.prod(pointwise))
    if isinstance(layer, layers.Conv2DTranspose):
        return math.prod(layer.kernel.shape) * math.prod(_shapes(layer.input)[0][:2])
    if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
        return math.prod(layer.kernel.shape) * math.prod(shape[:2])
    if isinstance(layer, layers.Dense):
        return math.prod(layer.kernel.shape) * math.prod(shape[:-1])
    return 0


def _shapes(tensors) -> list[tuple]:
    several = tensors if isinstance(tensors, (list, tuple)) else [tensors]
    return [tuple(tensor.shape[1:]) for tensor in several]


def _count(variables) -> int:
    return sum(math.prod(variable.shape) for variable in variables)

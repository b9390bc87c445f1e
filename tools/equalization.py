"""Cross-layer equalization: the channels of an activation are scaled to similar ranges.

An activation has one quantization scale for all of its channels, so that a channel with small values
has few steps. Where kernels produce an activation and only kernels read it, a channel may be scaled up,
and the kernels that read it scaled down by the same factor: outputs do not change, and kernels have a
scale for each channel themselves. That holds where the activation function is linear up to a factor:
none, or ReLU, but not ReLU6, swish or squeeze-and-excitation.
Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019.

`newnet_tf` does not use it: `tools.measure_calibration_methods` shows how little it changes models
whose kernels have a scale by channel.
"""

import functools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import CHANNEL_AXIS, Graph
from newnet_tf.deploy.quantization.observers import ActivationStatistics, instrumented_interpreter
from newnet_tf.deploy.quantization.quantizer import CalibratedGraph
from newnet_tf.utils.lazy import LazyModule

schema = LazyModule("tensorflow.lite.python.schema_py_generated")

EXPONENT = 0.5  # what the activation's scale gains, those of the kernels that read it lose
MAX_FACTOR = 64.0  # of a channel
IMAGES = 32  # that channels are measured on
CHANNELWISE = ("PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN")  # operators on each channel alike


class EqualizedGraph(CalibratedGraph):
    """A calibrated graph, equalized before its ranges are measured."""

    @functools.cached_property
    def _statistics(self) -> ActivationStatistics:
        equalize(self._graph, self._images)
        return super()._statistics


def equalize(graph: Graph, images: np.ndarray) -> int:
    """Equalizes all activations of a float graph that can be.

    Args:
        graph: `Graph` of floats, changed in place.

        images: float32 array (images, height, width, channels).

    Returns:
        int, how many activations.
    """
    activations = dict(_equalizable(graph))
    if not activations:
        return 0
    largest = channel_magnitudes(graph, list(activations), images[:IMAGES])
    for tensor, (producers, readers) in activations.items():
        size = largest[tensor]
        factors = np.ones_like(size)
        for operator, first in producers:
            part = slice(first, first + int(graph.body.tensors[operator.outputs[0]].shape[-1]))
            alive = size[part] > 0
            ratio = (size.max() / size[part][alive]) ** EXPONENT
            factors[part][alive] = np.minimum(ratio, MAX_FACTOR)
            axis = CHANNEL_AXIS[graph.name_of(operator)]
            _scale(graph, operator.inputs[1], factors[part], axis)
            _scale(graph, operator.inputs[2], factors[part], 0)
        for operator in readers:
            is_depthwise = graph.name_of(operator) == "DEPTHWISE_CONV_2D"
            channels = graph.body.tensors[operator.inputs[1]].shape[3 if is_depthwise else -1]
            inverse = np.repeat(1 / factors, channels // len(factors))
            _scale(graph, operator.inputs[1], inverse, -1)
    return len(activations)


def channel_magnitudes(
    graph: Graph, tensors: list[int], images: np.ndarray
) -> dict[int, np.ndarray]:
    """Returns the largest magnitude of each channel of some activations, the mean over images.

    Args:
        graph: `Graph` of floats.

        tensors: indices of the activations.

        images: float32 array (images, height, width, channels).
    """
    interpreter, run = instrumented_interpreter(graph)
    sums: dict[int, Any] = dict.fromkeys(tensors, 0.0)
    for image in images:
        run(image)
        for tensor in tensors:
            values = np.abs(interpreter.get_tensor(tensor))
            sums[tensor] = sums[tensor] + values.reshape(-1, values.shape[-1]).max(0)
    return {tensor: total.astype(np.float64) / len(images) for tensor, total in sums.items()}


def _scale(graph: Graph, tensor: int, factors: np.ndarray, axis: int) -> None:
    values = graph.constant(tensor)
    shape = np.ones(values.ndim, int)
    shape[axis] = len(factors)
    graph.set_constant(tensor, (values * factors.reshape(shape)).astype(np.float32))


def _equalizable(graph: Graph) -> Iterator[tuple[int, tuple[list, list]]]:
    """Activations that only kernels read: (tensor, (producers with their first channel, readers))."""
    produced = {int(operator.outputs[0]): operator for operator in graph.body.operators}
    readers_of = defaultdict(list)
    for operator in graph.body.operators:
        for tensor in operator.inputs:
            readers_of[int(tensor)].append(operator)
    for tensor, readers in readers_of.items():
        if tensor in produced and all(_reads(graph, operator, tensor) for operator in readers):
            producers = _producers(graph, tensor, produced, readers_of)
            if producers:
                yield tensor, (producers, readers)


def _reads(graph: Graph, operator: Any, tensor: int) -> bool:
    """Whether an operator's kernels read an activation, channel by channel."""
    if not _has_kernels(graph, operator) or int(operator.inputs[0]) != tensor:
        return False
    channels = int(graph.body.tensors[tensor].shape[-1])
    kernels = graph.body.tensors[operator.inputs[1]].shape
    is_depthwise = graph.name_of(operator) == "DEPTHWISE_CONV_2D"
    return is_depthwise or int(kernels[-1]) == channels  # neither grouped nor flattened


def _has_kernels(graph: Graph, operator: Any) -> bool:
    return graph.name_of(operator) in CHANNEL_AXIS and (
        graph.constant(operator.inputs[1]) is not None
    )


def _producers(
    graph: Graph, tensor: int, produced: dict, readers_of: dict
) -> list[tuple[Any, int]]:
    """Returns the operators whose kernels produce an activation, with the first channel of each."""
    operator = produced.get(tensor)
    kind = operator and graph.name_of(operator)
    if kind in CHANNEL_AXIS:
        function = schema.ActivationFunctionType
        is_linear = operator.builtinOptions.fusedActivationFunction in (
            function.NONE,
            function.RELU,
        )
        has_inputs = _has_kernels(graph, operator) and len(operator.inputs) > 2
        has_bias = has_inputs and operator.inputs[2] >= 0
        return [(operator, 0)] if is_linear and has_bias else []
    if kind not in (*CHANNELWISE, "CONCATENATION"):
        return []
    producers, first = [], 0
    for source in operator.inputs if kind == "CONCATENATION" else operator.inputs[:1]:
        if len(readers_of[int(source)]) == 1:
            found = _producers(graph, int(source), produced, readers_of)
            producers += [(each, first + offset) for each, offset in found]
        first += int(graph.body.tensors[source].shape[-1])
    return producers

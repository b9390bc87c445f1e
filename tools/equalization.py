"""Channels of one map brought nearer to each other, so that all of them make use of its steps.

A map has one step for all of its channels, so that a channel with small values is told in few steps.
Where filters make a map and only filters read it, a channel may be made larger, and what reads it less
by the same factor: no answer changes, and filters have steps by channel themselves. That holds for what
is linear up to a factor: no activation, or ReLU, but not ReLU6, swish or squeeze-and-excitation.
Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019.

`newnet_tf` does without it: `tools.measure_ranges` shows by how little it moves networks whose filters
have steps by channel.
"""

import functools
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import CHANNEL_AXIS, Graph
from newnet_tf.deploy.quantization.observers import Observed, watched
from newnet_tf.deploy.quantization.quantizer import CalibratedGraph
from newnet_tf.utils.lazy import LazyModule

schema = LazyModule("tensorflow.lite.python.schema_py_generated")

SHARE = 0.5  # exponent: what is won in the map's steps is lost in those of the filters that read it
MOST = 64.0  # times that a channel may grow
IMAGES = 32  # that channels are measured on
THROUGH = ("PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN")  # act on each channel alike


class EqualizedGraph(CalibratedGraph):
    """A calibrated graph, equalized before its ranges are measured."""

    @functools.cached_property
    def _observed(self) -> Observed:
        equalize(self._graph, self._images)
        return super()._observed


def equalize(graph: Graph, images: np.ndarray) -> int:
    """Equalizes all maps of a float graph that can be.

    Args:
        graph: float32, changed in place. images: float array (n, h, w, channels).

    Returns:
        How many maps.
    """
    maps = dict(_equalizable(graph))
    if not maps:
        return 0
    largest = _largest(graph, list(maps), images[:IMAGES])
    for tensor, (makers, readers) in maps.items():
        size = largest[tensor]
        growth = np.ones_like(size)
        for operator, first in makers:
            part = slice(first, first + int(graph.body.tensors[operator.outputs[0]].shape[-1]))
            alive = size[part] > 0
            growth[part][alive] = np.minimum((size.max() / size[part][alive]) ** SHARE, MOST)
            axis = CHANNEL_AXIS[graph.name_of(operator)]
            _scale(graph, operator.inputs[1], growth[part], axis)
            _scale(graph, operator.inputs[2], growth[part], 0)
        for operator in readers:
            is_depthwise = graph.name_of(operator) == "DEPTHWISE_CONV_2D"
            filters = graph.body.tensors[operator.inputs[1]].shape[3 if is_depthwise else -1]
            _scale(graph, operator.inputs[1], np.repeat(1 / growth, filters // len(growth)), -1)
    return len(maps)


def _scale(graph: Graph, tensor: int, factors: np.ndarray, axis: int) -> None:
    values = graph.constant(tensor)
    shape = np.ones(values.ndim, int)
    shape[axis] = len(factors)
    graph.set_constant(tensor, (values * factors.reshape(shape)).astype(np.float32))


def _largest(graph: Graph, tensors: list[int], images: np.ndarray) -> dict[int, np.ndarray]:
    """The largest magnitude of each channel of some maps, in the mean over images."""
    interpreter, run = watched(graph)
    sums = dict.fromkeys(tensors, 0.0)
    for image in images:
        run(image)
        for tensor in tensors:
            map_ = np.abs(interpreter.get_tensor(tensor))
            sums[tensor] = sums[tensor] + map_.reshape(-1, map_.shape[-1]).max(0)
    return {tensor: total.astype(np.float64) / len(images) for tensor, total in sums.items()}


def _equalizable(graph: Graph) -> Iterator[tuple[int, tuple[list, list]]]:
    """Maps that only filters read, as (tensor, (makers with their first channel, readers))."""
    made = {int(operator.outputs[0]): operator for operator in graph.body.operators}
    read = defaultdict(list)
    for operator in graph.body.operators:
        for tensor in operator.inputs:
            read[int(tensor)].append(operator)
    for tensor, readers in read.items():
        if tensor in made and all(_reads(graph, operator, tensor) for operator in readers):
            makers = _makers(graph, tensor, made, read)
            if makers:
                yield tensor, (makers, readers)


def _reads(graph: Graph, operator, tensor: int) -> bool:
    """Whether a map is what the filters of an operator see, channel by channel."""
    if not _has_filters(graph, operator) or int(operator.inputs[0]) != tensor:
        return False
    channels = int(graph.body.tensors[tensor].shape[-1])
    filters = graph.body.tensors[operator.inputs[1]].shape
    is_depthwise = graph.name_of(operator) == "DEPTHWISE_CONV_2D"
    return is_depthwise or int(filters[-1]) == channels  # neither grouped nor flattened


def _has_filters(graph: Graph, operator) -> bool:
    return graph.name_of(operator) in CHANNEL_AXIS and (
        graph.constant(operator.inputs[1]) is not None
    )


def _makers(graph: Graph, tensor: int, made: dict, read: dict) -> list[tuple[object, int]]:
    """Operators with filters whose outputs a map is made of, and the first channel of each."""
    operator = made.get(tensor)
    kind = operator and graph.name_of(operator)
    if kind in CHANNEL_AXIS:
        function = schema.ActivationFunctionType
        is_linear = operator.builtinOptions.fusedActivationFunction in (
            function.NONE,
            function.RELU,
        )
        is_whole = _has_filters(graph, operator) and len(operator.inputs) > 2
        has_bias = is_whole and operator.inputs[2] >= 0
        return [(operator, 0)] if is_linear and has_bias else []
    if kind not in (*THROUGH, "CONCATENATION"):
        return []
    found, first = [], 0
    for given in operator.inputs if kind == "CONCATENATION" else operator.inputs[:1]:
        if len(read[int(given)]) == 1:
            found += [(m, first + at) for m, at in _makers(graph, int(given), made, read)]
        first += int(graph.body.tensors[given].shape[-1])
    return found

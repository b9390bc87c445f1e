"""Filters as int8 in a graph whose maps are floats, and back.

Convolutions and dense layers store their filters as int8, each output channel in its own steps. An
operator then either quantizes its input while running, or gets floats from a DEQUANTIZE that XNNPACK
runs once, when the file is loaded. Depthwise filters, few and the most harmed by rounding, stay
float32: XNNPACK has no kernel for integer ones on float maps, each would end a partition.
"""

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import CHANNEL_AXIS, LARGEST, Graph

DYNAMIC = {"CONV_2D": 5, "FULLY_CONNECTED": 12}  # least versions that take int8 by channel
SMALL = 1024  # weights; filters of fewer stay float32, as the converter leaves them


def store(graph: Graph) -> None:
    """Stores filters as int8; `use_dynamic_range` or `insert_dequantize` makes that a graph that can run."""
    for operator in graph.body.operators:
        kind = graph.name_of(operator)
        floats = graph.constant(operator.inputs[1]) if kind in DYNAMIC else None
        if floats is None or floats.dtype != np.float32 or floats.size < SMALL:
            continue
        axis = CHANNEL_AXIS[kind]
        others = tuple(i for i in range(floats.ndim) if i != axis)
        largest = np.abs(floats).max(others, keepdims=True)
        scale = np.maximum(largest, np.finfo(np.float32).tiny * LARGEST) / np.float32(LARGEST)
        steps = np.round(floats / scale).astype(np.int8)
        graph.set_constant(operator.inputs[1], steps, (scale.ravel(), 0, axis))


def use_dynamic_range(graph: Graph) -> None:
    """Lets operators with int8 filters quantize their inputs while running."""
    for operator in _with_int8(graph):
        kind = graph.name_of(operator)
        graph.set_version(operator, max(graph.version_of(operator), DYNAMIC[kind]))
        if kind == "FULLY_CONNECTED":
            operator.builtinOptions.asymmetricQuantizeInputs = True


def insert_dequantize(graph: Graph) -> None:
    """Puts a DEQUANTIZE behind each int8 filter: its operators compute with floats."""
    floats = {}
    for operator in _with_int8(graph):
        stored = int(operator.inputs[1])
        if stored not in floats:
            filters = graph.body.tensors[stored]
            name, filters.name = filters.name, filters.name + b"_int8"
            given = floats[stored] = graph.add_tensor(name, filters.shape)
            place = graph.place(operator)
            graph.insert(place, "DEQUANTIZE", [stored], given, "DequantizeOptions", version=2)
        operator.inputs[1] = floats[stored]


def _with_int8(graph: Graph) -> list:
    """Operators whose filters are stored as int8."""
    kinds = (o for o in graph.body.operators if graph.name_of(o) in DYNAMIC)
    return [operator for operator in kinds if graph.is_integer(operator.inputs[1])]


def depthwise_to_floats(graph: Graph) -> None:
    """Turns integer filters of depthwise convolutions on float maps into the floats they stand for."""
    for operator in graph.body.operators:
        if graph.name_of(operator) != "DEPTHWISE_CONV_2D":
            continue
        image, filters = operator.inputs[:2]
        if graph.is_integer(filters) and not graph.is_integer(image):
            graph.set_constant(filters, graph.dequantized(filters))

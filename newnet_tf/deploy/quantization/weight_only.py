"""int8 kernels in a graph whose activations are floats.

The kernels of convolutions and dense layers are stored as int8 with a scale for each output channel.
An operator then either quantizes its input at run time (dynamic range), or gets floats from a
DEQUANTIZE that XNNPACK runs once, when the file is loaded. Depthwise kernels, which are small and lose
most by rounding, stay float32: XNNPACK does not take integer ones with float activations, each would
split the graph. With a dynamic range a dense layer becomes a 1 x 1 convolution: FULLY_CONNECTED takes
several scales since its version 12 only, which tflite-runtime 2.14 does not know.
"""

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import CHANNEL_AXIS, LARGEST, Graph

MIN_VERSIONS = {"CONV_2D": 5, "FULLY_CONNECTED": 12}  # that take int8 with a scale by channel
VALID = 1  # padding
MIN_WEIGHTS = 1024  # kernels with fewer stay float32, as the converter does


def quantize_kernels(graph: Graph) -> None:
    """Stores kernels as int8; `use_dynamic_range` or `insert_dequantize` then makes a valid graph.

    Args:
        graph: `Graph` of floats, changed in place.
    """
    for operator in graph.body.operators:
        name = graph.name_of(operator)
        floats = graph.constant(operator.inputs[1]) if name in MIN_VERSIONS else None
        if floats is None or floats.dtype != np.float32 or floats.size < MIN_WEIGHTS:
            continue
        axis = CHANNEL_AXIS[name]
        others = tuple(i for i in range(floats.ndim) if i != axis)
        largest = np.abs(floats).max(others, keepdims=True)
        scale = np.maximum(largest, np.finfo(np.float32).tiny * LARGEST) / np.float32(LARGEST)
        integers = np.round(floats / scale).astype(np.int8)
        graph.set_constant(operator.inputs[1], integers, (scale.ravel(), 0, axis))


def use_dynamic_range(graph: Graph) -> None:
    """Makes operators with int8 kernels quantize their inputs at run time."""
    for operator in _with_int8_kernels(graph):
        if graph.name_of(operator) == "FULLY_CONNECTED":
            _make_convolution(graph, operator)
        name = graph.name_of(operator)
        graph.set_version(operator, max(graph.version_of(operator), MIN_VERSIONS[name]))
        if name == "FULLY_CONNECTED":
            operator.builtinOptions.asymmetricQuantizeInputs = True


def _make_convolution(graph: Graph, operator) -> None:
    """Makes a dense layer of one row a 1 x 1 convolution between two RESHAPE; leaves any other."""
    tensors, kernels = graph.body.tensors, int(operator.inputs[1])
    outputs, inputs = (int(size) for size in tensors[kernels].shape)
    first, last = int(operator.inputs[0]), int(operator.outputs[0])
    if list(tensors[first].shape) != [1, inputs] or list(tensors[last].shape) != [1, outputs]:
        return
    tensors[kernels].shape = np.int32([outputs, 1, 1, inputs])
    image, scores = (
        graph.add_tensor(f"dense_{kind}_{kernels}", (1, 1, 1, size))
        for kind, size in (("input", inputs), ("output", outputs))
    )
    position = graph.position(operator)
    _insert_reshape(graph, position + 1, scores, last, (1, outputs))
    _insert_reshape(graph, position, first, image, (1, 1, 1, inputs))
    bias = int(operator.inputs[2]) if len(operator.inputs) > 2 else -1
    if bias < 0:
        zeros = np.zeros(outputs, np.float32).tobytes()
        bias = graph.add_tensor(f"bias_{kernels}", (outputs,), data=zeros)
    operator.inputs, operator.outputs[0] = np.int32([image, kernels, bias]), scores
    graph.make_convolution(operator, VALID)


def _insert_reshape(graph: Graph, position: int, before: int, after: int, shape: tuple) -> None:
    data = np.int32(shape).tobytes()
    sizes = graph.add_tensor(f"shape_of_{after}", (len(shape),), "int32", data=data)
    graph.insert(position, "RESHAPE", [before, sizes], after, "ReshapeOptions").newShape = list(
        shape
    )


def insert_dequantize(graph: Graph) -> None:
    """Inserts a DEQUANTIZE after each int8 kernel, so that its operators compute with floats."""
    floats: dict[int, int] = {}
    for operator in _with_int8_kernels(graph):
        stored = int(operator.inputs[1])
        if stored not in floats:
            kernels = graph.body.tensors[stored]
            name, kernels.name = kernels.name, kernels.name + b"_int8"
            dequantized = floats[stored] = graph.add_tensor(name, kernels.shape)
            position = graph.position(operator)
            graph.insert(
                position, "DEQUANTIZE", [stored], dequantized, "DequantizeOptions", version=2
            )
        operator.inputs[1] = floats[stored]


def dequantize_depthwise(graph: Graph) -> None:
    """Makes integer kernels of depthwise convolutions float32 where their activations are floats."""
    for operator in graph.body.operators:
        if graph.name_of(operator) != "DEPTHWISE_CONV_2D":
            continue
        image, kernels = operator.inputs[:2]
        if graph.is_integer(kernels) and not graph.is_integer(image):
            graph.set_constant(kernels, graph.dequantized(kernels))


def _with_int8_kernels(graph: Graph) -> list:
    """Returns the operators whose kernels are stored as int8."""
    operators = (o for o in graph.body.operators if graph.name_of(o) in MIN_VERSIONS)
    return [operator for operator in operators if graph.is_integer(operator.inputs[1])]

"""Rewrites of a converted TFLite file that let XNNPACK take it in one partition.

XNNPACK leaves a few operators to the interpreter, and every one of them splits the graph: its
activations are handed over, and XNNPACK's threads stop. Each has an equivalent that XNNPACK takes:

- a concatenation of more than five tensors becomes a chain of concatenations;
- 8-bit average pooling becomes a depthwise convolution whose weights are all 1 / (height * width);
  where padding does not count, a multiplication corrects the borders (one more rounding);
- an 8-bit ReLU that follows no convolution becomes an addition of zero, with that ReLU fused.
"""

from collections.abc import Sequence

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import Graph, schema

MAX_CONCATENATED = 5  # inputs of XNNPACK's concatenation
INT8_MAX = np.iinfo(np.int8).max


def apply_xnnpack_rewrites(graph: Graph) -> None:
    """Replaces operators that XNNPACK does not take by equivalent ones that it takes.

    Args:
        graph: `Graph`, changed in place.
    """
    for operator in list(graph.body.operators):
        name = graph.name_of(operator)
        is_integer = graph.body.tensors[operator.outputs[0]].type == schema.TensorType.INT8
        if name == "CONCATENATION" and len(operator.inputs) > MAX_CONCATENATED:
            _chain_concatenations(graph, operator)
        elif name == "AVERAGE_POOL_2D" and is_integer:
            _pool_to_convolution(graph, operator)
        elif name == "RELU" and is_integer:
            _relu_to_addition(graph, operator)


def _chain_concatenations(graph: Graph, operator) -> None:
    inputs, position = list(operator.inputs), graph.position(operator)
    axis = operator.builtinOptions.axis
    version = graph.version_of(operator)
    while len(inputs) > MAX_CONCATENATED:
        first, inputs = inputs[:MAX_CONCATENATED], inputs[MAX_CONCATENATED:]
        tensors = [graph.body.tensors[index] for index in first]
        shape = np.array(tensors[0].shape)
        shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
        partial = graph.add_like(operator.outputs[0], "concatenation", shape)
        options = graph.insert(
            position, "CONCATENATION", first, partial, "ConcatenationOptions", version
        )
        options.axis = axis
        inputs, position = [partial, *inputs], position + 1
    operator.inputs = np.int32(inputs)


def _pool_to_convolution(graph: Graph, operator) -> None:
    pool, (image, output) = operator.builtinOptions, (operator.inputs[0], operator.outputs[0])
    sizes = [graph.body.tensors[tensor].shape[1:3] for tensor in (image, output)]
    window, strides = (pool.filterHeight, pool.filterWidth), (pool.strideH, pool.strideW)
    factors, one = _border_factors(*sizes, window, strides, pool.padding)
    position, target = graph.position(operator), output
    del graph.body.operators[position]
    if np.any(factors != one):
        target = graph.add_like(output, "mean_of_all", graph.body.tensors[output].shape)
        shape = (1, *factors.shape, 1)
        border = graph.add_tensor("border", shape, "int8", (1 / one, 0), factors.tobytes())
        graph.insert(position, "MUL", [target, border], output, "MulOptions", version=2)
    channels, scale = int(graph.body.tensors[image].shape[3]), graph.quantization(image)[0]
    kernels = np.full((1, *window, channels), INT8_MAX, np.int8)
    kernel_scale = 1 / (INT8_MAX * window[0] * window[1])
    weights = graph.add_tensor(
        "mean_kernels", kernels.shape, "int8", (kernel_scale, 0), kernels.tobytes()
    )
    zeros = bytes(4 * channels)
    bias = graph.add_tensor("mean_bias", (channels,), "int32", (scale * kernel_scale, 0), zeros)
    inputs, kind = [image, weights, bias], "DepthwiseConv2DOptions"
    options = graph.insert(position, "DEPTHWISE_CONV_2D", inputs, target, kind, version=3)
    options.padding, (options.strideH, options.strideW) = pool.padding, strides
    options.depthMultiplier = options.dilationHFactor = options.dilationWFactor = 1


def _border_factors(
    input_size: Sequence[int],
    output_size: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    padding: int,
) -> tuple[np.ndarray, int]:
    """Returns by how much a mean over all positions is less than one over those inside the image.

    Returns:
        int8 array (height, width), and the integer that stands in it for 1, chosen so that every
        factor of a 3x3 window (1, 3/2, 9/4) is a whole number of its parts.
    """
    factors_by_axis = []
    for size, places, length, stride in zip(input_size, output_size, window, strides, strict=True):
        missing = max(0, (places - 1) * stride + length - size)
        start = np.arange(places) * stride - (missing // 2 if padding == schema.Padding.SAME else 0)
        inside = np.minimum(start + length, size) - np.maximum(start, 0)
        factors_by_axis.append(length / inside)
    factors = np.outer(*factors_by_axis)
    units = np.arange(int(INT8_MAX / factors.max()), 0, -1)
    error = [np.abs(factors * unit - np.round(factors * unit)).max() / unit for unit in units]
    one = int(units[np.argmin(np.round(error, 9))])
    return np.round(factors * one).astype(np.int8), one


def _relu_to_addition(graph: Graph, operator) -> None:
    image, output = operator.inputs[0], operator.outputs[0]
    scale, _ = graph.quantization(image)
    zero = graph.add_tensor("zero", (1,), "int8", (scale, 0), bytes(1))
    position = graph.position(operator)
    del graph.body.operators[position]
    options = graph.insert(position, "ADD", [image, zero], output, "AddOptions", version=2)
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU

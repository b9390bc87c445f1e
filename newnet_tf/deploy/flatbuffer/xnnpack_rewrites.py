"""Rewrites of a converted TFLite file that keep XNNPACK's partition whole.

XNNPACK leaves a few operators to the interpreter, and every one of them cuts the graph: a hand-over
of all maps and a stop of its threads. Each has a twin that XNNPACK takes and that computes the same:

- a joining of more than five maps is a joining of joinings;
- 8-bit average pooling is a depthwise convolution whose filters are all 1 / (height * width); where
  padding does not count, a multiplication makes up for it at the borders (one rounding more);
- an 8-bit ReLU that follows no convolution is an addition of zero, with that ReLU fused.
"""

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import Graph, schema

MOST_JOINED = 5  # inputs that XNNPACK's concatenation has
LARGEST = np.iinfo(np.int8).max


def apply_xnnpack_rewrites(graph: Graph) -> None:
    """Replaces what XNNPACK would leave out by what it takes and what computes the same."""
    for operator in list(graph.body.operators):
        name = graph.name_of(operator)
        is_integer = graph.body.tensors[operator.outputs[0]].type == schema.TensorType.INT8
        if name == "CONCATENATION" and len(operator.inputs) > MOST_JOINED:
            _join_in_steps(graph, operator)
        elif name == "AVERAGE_POOL_2D" and is_integer:
            _average_by_convolution(graph, operator)
        elif name == "RELU" and is_integer:
            _activate_by_addition(graph, operator)


def _join_in_steps(graph: Graph, operator) -> None:
    inputs, place = list(operator.inputs), graph.place(operator)
    axis = operator.builtinOptions.axis
    version = graph.version_of(operator)
    while len(inputs) > MOST_JOINED:
        first, inputs = inputs[:MOST_JOINED], inputs[MOST_JOINED:]
        parts = [graph.body.tensors[i] for i in first]
        shape = np.array(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        joined = graph.add_like(operator.outputs[0], "joined", shape)
        options = graph.insert(
            place, "CONCATENATION", first, joined, "ConcatenationOptions", version
        )
        options.axis = axis
        inputs, place = [joined, *inputs], place + 1
    operator.inputs = np.int32(inputs)


def _average_by_convolution(graph: Graph, operator) -> None:
    pool, (image, output) = operator.builtinOptions, (operator.inputs[0], operator.outputs[0])
    sides = [graph.body.tensors[t].shape[1:3] for t in (image, output)]
    kernel, stride = (pool.filterHeight, pool.filterWidth), (pool.strideH, pool.strideW)
    factors, unit = _border(*sides, kernel, stride, pool.padding)
    place, target = graph.place(operator), output
    del graph.body.operators[place]
    if np.any(factors != unit):
        target = graph.add_like(output, "mean_of_all", graph.body.tensors[output].shape)
        made_up = (1, *factors.shape, 1)
        border = graph.add_tensor("border", made_up, "int8", (1 / unit, 0), factors.tobytes())
        graph.insert(place, "MUL", [target, border], output, "MulOptions", version=2)
    channels, scale = int(graph.body.tensors[image].shape[3]), graph.quantization(image)[0]
    filters = np.full((1, *kernel, channels), LARGEST, np.int8)
    share = 1 / (LARGEST * kernel[0] * kernel[1])
    weights = graph.add_tensor("mean_filters", filters.shape, "int8", (share, 0), filters.tobytes())
    zeros = bytes(4 * channels)
    bias = graph.add_tensor("mean_bias", (channels,), "int32", (scale * share, 0), zeros)
    inputs, kind = [image, weights, bias], "DepthwiseConv2DOptions"
    options = graph.insert(place, "DEPTHWISE_CONV_2D", inputs, target, kind, version=3)
    options.padding, (options.strideH, options.strideW) = pool.padding, stride
    options.depthMultiplier = options.dilationHFactor = options.dilationWFactor = 1


def _border(before, after, kernel, stride, padding) -> tuple[np.ndarray, int]:
    """By how much a mean over all places falls short of one over those inside the map.

    Returns:
        int8 array (height, width), and the number that stands in it for 1: chosen so that every
        factor of a 3x3 window (1, 3/2, 9/4) is a whole number of its parts.
    """
    counts = []
    for side, places, window, step in zip(before, after, kernel, stride, strict=True):
        missing = max(0, (places - 1) * step + window - side)
        start = np.arange(places) * step - (missing // 2 if padding == schema.Padding.SAME else 0)
        inside = np.minimum(start + window, side) - np.maximum(start, 0)
        counts.append(window / inside)
    factors = np.outer(*counts)
    units = np.arange(int(LARGEST / factors.max()), 0, -1)
    error = [np.abs(factors * unit - np.round(factors * unit)).max() / unit for unit in units]
    unit = int(units[np.argmin(np.round(error, 9))])
    return np.round(factors * unit).astype(np.int8), unit


def _activate_by_addition(graph: Graph, operator) -> None:
    image, output = operator.inputs[0], operator.outputs[0]
    scale, _ = graph.quantization(image)
    zero = graph.add_tensor("zero", (1,), "int8", (scale, 0), bytes(1))
    place = graph.place(operator)
    del graph.body.operators[place]
    options = graph.insert(place, "ADD", [image, zero], output, "AddOptions", version=2)
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU

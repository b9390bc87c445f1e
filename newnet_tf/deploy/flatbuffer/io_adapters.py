"""Inputs and outputs of a converted TFLite file: pixels, integers, probabilities.

The converter writes one form, float32 in and float32 out. Whatever else a config asks for (pixels or
integers in, probabilities or integers out) is a few operators at the beginning and the end, chosen so
that XNNPACK takes them into the same partition as the model. So the model inside is the same in every
file of one precision, and so are its figures.
"""

from collections.abc import Sequence

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import Graph

ACTIVATIONS = {"sigmoid": ("LOGISTIC", None), "softmax": ("SOFTMAX", "SoftmaxOptions")}
UNSIGNED = 128  # difference of the zero points of uint8 and int8


def pixels(graph: Graph, scale: Sequence[float], offset: Sequence[float]) -> None:
    """Makes the input uint8 pixels in 0-255 and normalizes them as `pixel * scale + offset`.

    Where that is one factor and a whole zero point for all channels, it is the input tensor's own
    quantization; otherwise a MUL and an ADD in float32 follow. Either way the model gets what it
    would get of normalized floats.

    Args:
        graph: `Graph`, changed in place.

        scale: a float for each channel.

        offset: a float for each channel.
    """
    image = graph.body.inputs[0]
    zero = -np.divide(offset, scale)
    if np.ptp(scale) == 0 and np.ptp(zero) < 1e-6 and abs(zero[0] - round(zero[0])) < 1e-6:
        _dequantize_input(graph, scale[0], round(zero[0]))
        return
    shape = graph.body.tensors[image].shape
    raw, scaled = (graph.add_tensor(name, shape) for name in ("image_0_255", "image_scaled"))
    factor, summand = (_row(graph, values, shape[2]) for values in (scale, offset))
    graph.insert(0, "ADD", [scaled, summand], image, "AddOptions")
    graph.insert(0, "MUL", [raw, factor], scaled, "MulOptions")
    graph.replace_input(image, raw)
    _dequantize_input(graph, 1.0, 0)


def integer_input(graph: Graph, dtype: str) -> None:
    """Makes the input `dtype`, `"int8"` or `"uint8"`, with the model's own scale."""
    first = graph.body.operators[0]
    image, quantized = graph.body.inputs[0], first.outputs[0]
    if graph.name_of(first) != "QUANTIZE":
        raise ValueError(
            "the file must begin with QUANTIZE, as full-int8 files do. Received: "
            f"{graph.name_of(first)}"
        )
    if dtype == "int8":
        del graph.body.operators[0]
        graph.replace_input(image, quantized)
    else:
        scale, zero_point = graph.quantization(quantized)
        _dequantize_input(graph, scale, zero_point + UNSIGNED)


def activate_output(graph: Graph, activation: str) -> None:
    """Makes the output that of an activation: `"softmax"` or `"sigmoid"`, each on its own."""
    before = graph.body.outputs[0]
    name = "probabilities" if activation == "softmax" else activation
    graph.replace_output(before, append_activation(graph, before, activation, name))


def append_activation(graph: Graph, tensor: int, activation: str, name: str) -> int:
    """Adds an activation at the end, computed in float32; returns its result.

    Args:
        graph: `Graph`, changed in place.

        tensor: int, index of the tensor to activate.

        activation: `"softmax"` or `"sigmoid"`.

        name: str, of the result.
    """
    operator, options = ACTIVATIONS[activation]
    result = graph.add_tensor(name, graph.body.tensors[tensor].shape)
    added = graph.insert(len(graph.body.operators), operator, [tensor], result, options)
    if activation == "softmax":
        added.beta = 1.0
    return result


def integer_outputs(graph: Graph, dtype: str) -> None:
    """Makes all outputs `dtype`, `"int8"` or `"uint8"`, with the model's own scales."""
    names = graph.output_names
    for output, name in zip(list(graph.body.outputs), names, strict=True):
        last = next(o for o in reversed(graph.body.operators) if output in o.outputs)
        if graph.name_of(last) != "DEQUANTIZE":
            raise ValueError(
                "the file must end in DEQUANTIZE, as full-int8 files do. Received: "
                f"{graph.name_of(last)}"
            )
        quantized = last.inputs[0]
        if dtype == "int8":
            del graph.body.operators[graph.position(last)]
            graph.replace_output(output, quantized)
            continue
        scale, zero_point = graph.quantization(quantized)
        shape = graph.body.tensors[quantized].shape
        label = name if len(names) > 1 else "logits"
        integers = graph.add_tensor(f"{label}_uint8", shape, dtype, (scale, zero_point + UNSIGNED))
        _append(graph, "QUANTIZE", output, integers, "QuantizeOptions")


def _append(graph: Graph, name: str, before: int, output: int, options: str | None = None):
    """Adds an operator at the end and makes its result the output; returns its options."""
    appended = graph.insert(len(graph.body.operators), name, [before], output, options)
    graph.replace_output(before, output)
    return appended


def _dequantize_input(graph: Graph, scale: float, zero_point: int) -> None:
    """Makes the input uint8, with a DEQUANTIZE before the present float32 one."""
    floats = graph.body.inputs[0]
    name, shape = graph.body.tensors[floats].name, graph.body.tensors[floats].shape
    integers = graph.add_tensor(name, shape, "uint8", (scale, zero_point))
    graph.body.tensors[floats].name = b"image_float32"
    graph.insert(0, "DEQUANTIZE", [integers], floats, "DequantizeOptions")
    graph.replace_input(floats, integers)


def _row(graph: Graph, values: Sequence[float], width: int) -> int:
    """Adds a constant by channel, repeated for every pixel of a row: so XNNPACK is fast."""
    row = np.tile(np.asarray(values, "<f4"), (width, 1))
    return graph.add_tensor("by_channel", row.shape, data=row.tobytes())

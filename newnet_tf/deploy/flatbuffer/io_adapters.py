"""What goes into a converted TFLite file, and what comes out.

The converter writes one plain form, float32 in and float32 logits out. Whatever else a recipe asks
for (pixels or integers in, probabilities or integers out) is a few operators before and behind it,
chosen so that XNNPACK takes them into the same partition as the network. So the network inside is
the same in every file of one precision, and so are its figures.
"""

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import Graph

UNSIGNED = 128  # what the zero point of uint8 has more than that of int8


def pixels(graph: Graph, scale, offset) -> None:
    """Makes the input uint8 pixels in 0-255 and normalizes them as `pixel * scale + offset`.

    Where that is one factor and a whole-numbered zero point for all channels, the input tensor's own
    quantization says it all; otherwise a MUL and an ADD in float32 follow. Either way the network
    sees what it would have seen of normalized floats.
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
    graph.set_input(raw)
    _dequantize_input(graph, 1.0, 0)


def integer_input(graph: Graph, dtype: str) -> None:
    """Makes the input `dtype`, `"int8"` or `"uint8"`, by the network's own quantization."""
    first = graph.body.operators[0]
    quantized = first.outputs[0]
    if graph.name_of(first) != "QUANTIZE":
        raise ValueError(
            "the file must begin with QUANTIZE, as full-int8 files do. Received: "
            f"{graph.name_of(first)}"
        )
    if dtype == "int8":
        del graph.body.operators[0]
        graph.set_input(quantized)
    else:
        scale, zero = graph.quantization(quantized)
        _dequantize_input(graph, scale, zero + UNSIGNED)


def softmax(graph: Graph) -> None:
    """Makes the output probabilities, computed in float32."""
    logits = graph.body.outputs[0]
    probabilities = graph.add_tensor("probabilities", graph.body.tensors[logits].shape)
    _append(graph, "SOFTMAX", probabilities, "SoftmaxOptions").beta = 1.0


def integer_output(graph: Graph, dtype: str) -> None:
    """Makes the output `dtype`, `"int8"` or `"uint8"`, by the network's own quantization."""
    last = graph.body.operators[-1]
    if graph.name_of(last) != "DEQUANTIZE":
        raise ValueError(
            "the file must end in DEQUANTIZE, as full-int8 files do. Received: "
            f"{graph.name_of(last)}"
        )
    quantized = last.inputs[0]
    if dtype == "int8":
        del graph.body.operators[-1]
        graph.set_output(quantized)
        return
    scale, zero = graph.quantization(quantized)
    shape = graph.body.tensors[quantized].shape
    integers = graph.add_tensor("logits_uint8", shape, dtype, (scale, zero + UNSIGNED))
    _append(graph, "QUANTIZE", integers, "QuantizeOptions")


def _append(graph: Graph, name: str, output: int, options: str):
    """Puts an operator behind the present output; returns its options."""
    before = graph.body.outputs[0]
    made = graph.insert(len(graph.body.operators), name, [before], output, options)
    graph.set_output(output)
    return made


def _dequantize_input(graph: Graph, scale: float, zero: int) -> None:
    """Puts a uint8 input, and a DEQUANTIZE behind it, before the present float32 one."""
    floats = graph.body.inputs[0]
    name, shape = graph.body.tensors[floats].name, graph.body.tensors[floats].shape
    integers = graph.add_tensor(name, shape, "uint8", (scale, zero))
    graph.body.tensors[floats].name = b"image_float32"
    graph.insert(0, "DEQUANTIZE", [integers], floats, "DequantizeOptions")
    graph.set_input(integers)


def _row(graph: Graph, values, width: int) -> int:
    """Adds a constant by channel, repeated for every pixel of a row: so XNNPACK is fast."""
    row = np.tile(np.asarray(values, "<f4"), (width, 1))
    return graph.add_tensor("by_channel", row.shape, data=row.tobytes())

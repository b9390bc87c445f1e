"""A float graph whose ranges were measured, quantised whole or but for some layers, biases corrected.

Rounding weights to 8 bits moves the mean of a channel's sums, all over the picture the same way. By
what it moves is known: the weights' error times the mean input, which calibration pictures give. It
is taken off the bias (bias correction, Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction", ICCV 2019; here with means measured on pictures).
"""

import functools
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from newnet_tf.deploy.graph import CHANNEL_AXIS, Graph
from newnet_tf.deploy.runtime import interpreter_class
from newnet_tf.deploy.samples import Samples
from newnet_tf.lazy import LazyModule
from newnet_tf.profiling.operators import layer_names

tf = LazyModule("tensorflow")
converting = LazyModule("tensorflow.lite.python.convert")

ALIAS = re.compile(rb"operator_\d+_")
MEASURED = 64  # pictures that means are measured on


class CalibratedGraph:
    """A float graph with the range of each of its maps.

    Args:
        saved: path of a SavedModel of a fixed batch of 1. ranges: calibration pictures.

    Attributes:
        layers: tuple of str, the layers whose operators can be quantised, in order.

    Example:
        >>> graph = CalibratedGraph(saved, ranges)
        >>> graph.quantised(keep_float=graph.layers[:1])
    """

    def __init__(self, saved: Path, ranges: Samples):
        self._images = ranges.inputs
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in self._images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter._experimental_calibrate_only = True  # as its QuantizationDebugger sets it
        self._graph = Graph(converter.convert())
        body = self._graph.body
        # The converter joins names where it joins operators, and then no longer finds them itself.
        made = [body.tensors[operator.outputs[0]] for operator in body.operators]
        names = [tensor.name for tensor in made]
        self._named = {b"operator_%d_" % number: name for number, name in enumerate(names)}
        for tensor, alias in zip(made, self._named, strict=True):
            tensor.name = alias
        self._layer_of = dict(
            zip(self._named, layer_names([name.decode() for name in names]), strict=True)
        )
        self.layers = tuple(dict.fromkeys(self._layer_of.values()))
        self._data = self._graph.to_bytes()

    def quantised(self, keep_float: Collection[str] = ()) -> Graph:
        """Returns the int8 graph, float32 in and out.

        Args:
            keep_float: names of layers that stay float32, among `layers`.
        """
        unknown = [name for name in keep_float if name not in self.layers]
        if unknown:
            raise ValueError(
                f"`keep_float` must be layers among {', '.join(self.layers)}. Received: {unknown}"
            )
        left = [alias.decode() for alias, name in self._layer_of.items() if name in keep_float]
        graph = Graph(converting.mlir_quantize(self._data, denylisted_nodes=left or None))
        self._correct_biases(graph)
        for tensor in graph.body.tensors:
            tensor.name = ALIAS.sub(lambda found: self._named[found[0]], tensor.name)
        return graph

    def _correct_biases(self, graph: Graph) -> None:
        """Takes off each bias what rounding the weights adds to the mean of its channel."""
        body = self._graph.body
        source = {body.tensors[o.outputs[0]].name: o for o in body.operators}
        for operator in graph.body.operators:
            kind = graph.name_of(operator)
            float_self = source.get(graph.body.tensors[operator.outputs[0]].name)
            if kind not in CHANNEL_AXIS or float_self is None or len(operator.inputs) < 3:
                continue
            steps = graph.constant(operator.inputs[1])
            exact = self._graph.constant(float_self.inputs[1])
            bias = graph.constant(operator.inputs[2])
            if steps is None or exact is None or bias is None or steps.dtype != np.int8:
                continue
            error = graph.dequantised(operator.inputs[1]) - exact
            moved = _moved(kind, error, self._means[int(float_self.inputs[0])])
            scale = np.asarray(graph.body.tensors[operator.inputs[2]].quantization.scale)
            graph.set_constant(
                operator.inputs[2], bias - np.round(moved / scale).astype(bias.dtype)
            )

    @functools.cached_property
    def _means(self) -> dict[int, np.ndarray]:
        """Mean over pictures and places, by channel, of the inputs of operators with weights."""
        _, make = interpreter_class()
        interpreter = make(model_content=self._data, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
        wanted = {}
        for operator in self._graph.body.operators:
            kind = self._graph.name_of(operator)
            if kind in CHANNEL_AXIS:
                tensor, filters = operator.inputs[:2]
                source = filters if kind == "FULLY_CONNECTED" else tensor
                wanted[int(tensor)] = int(self._graph.body.tensors[source].shape[-1])
        image = interpreter.get_input_details()[0]["index"]
        sums, pictures = dict.fromkeys(wanted, 0.0), self._images[:MEASURED]
        for picture in pictures:
            interpreter.set_tensor(image, picture[None])
            interpreter.invoke()
            for tensor, channels in wanted.items():
                found = interpreter.get_tensor(tensor).reshape(-1, channels)
                sums[tensor] += found.mean(0, dtype=np.float64)
        return {tensor: total / len(pictures) for tensor, total in sums.items()}


def _moved(kind: str, error: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """By how much an error of the filters moves the mean of each channel that they make."""
    if kind == "FULLY_CONNECTED":
        return error @ mean
    if kind == "DEPTHWISE_CONV_2D":
        return error.sum((0, 1, 2)) * np.repeat(mean, error.shape[3] // len(mean))
    window = error.sum((1, 2))  # (channels out, channels in of a group)
    groups = mean.reshape(-1, window.shape[1])
    return (window * np.repeat(groups, len(window) // len(groups), axis=0)).sum(1)

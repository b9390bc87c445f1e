"""A float graph whose ranges were measured, quantized whole or but for some layers.

What integers lose is made good in three places. Ranges are narrowed where clipping costs less than
coarse steps (`clipping`). Filters are rounded so that their sums move least (`rounding`). And biases
are corrected: rounding still moves the mean of a channel's sums, all over the image the same way, by
the weights' error times the mean input, which is taken off the bias (Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction", ICCV 2019; here with measured means).
"""

import collections
import functools
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from newnet_tf.deploy.export_config import BEST
from newnet_tf.deploy.flatbuffer.graph import CHANNEL_AXIS, Graph
from newnet_tf.deploy.image_batch import Samples
from newnet_tf.deploy.quantization import gptq, range_estimators
from newnet_tf.deploy.quantization.observers import Inputs, Observed, observe
from newnet_tf.profiling.operators import layer_names
from newnet_tf.utils.lazy import LazyModule

tf = LazyModule("tensorflow")
converting = LazyModule("tensorflow.lite.python.convert")

ALIAS = re.compile(rb"operator_\d+_")
CORRECTIONS = ("rounding", "biases")
POOLS = ("MEAN", "AVERAGE_POOL_2D")
HEADROOM = 1.25  # of the logits' range over what calibration saw
HEADROOM_16 = 2.0  # with 16 bits, whose steps are fine enough


class CalibratedGraph:
    """A float graph with the range of each of its maps.

    Args:
        saved: path of a SavedModel of a fixed batch of 1. ranges: calibration images.

    Attributes:
        layers: tuple of str, the layers whose operators can be quantized, in order.
        left_out: list of str, images that the network blows up on; nothing is measured on them.

    Example:
        >>> graph = CalibratedGraph(saved, ranges)
        >>> graph.quantized(exclude_layers=graph.layers[:1])
    """

    def __init__(self, saved: Path, ranges: Samples):
        self._images, self._names = ranges.inputs, ranges.names
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
        self._tail = self._graph.tail_tensors()
        self._pools = self._pools_behind_filters()
        quantized = [name for alias, name in self._layer_of.items() if alias not in self._pools]
        self.layers = tuple(dict.fromkeys(quantized))
        self._ranged: dict[str, bytes] = {}
        self._steps: dict[tuple[int, bytes], np.ndarray] = {}  # filters of an operator, by scales

    def quantized(
        self,
        exclude_layers: Collection[str] = (),
        calibration_method: str = BEST,
        corrections: Collection[str] = CORRECTIONS,
        integer_output: bool = False,
    ) -> Graph:
        """Returns the int8 graph, float32 in and out.

        Args:
            exclude_layers: names of layers that stay float32, among `layers`.
            calibration_method: one of `recipes.RANGES`. corrections: some of `CORRECTIONS`.
            integer_output: bool, whether the last operator, too, must give integers. Otherwise
                pools behind the last filters, which need no integers to be fast, are float32.
        """
        unknown = [name for name in exclude_layers if name not in self.layers]
        if unknown:
            raise ValueError(
                f"`exclude_layers` must be layers among {', '.join(self.layers)}. Received: {unknown}"
            )
        left = [alias for alias, name in self._layer_of.items() if name in exclude_layers]
        left += [] if integer_output else self._pools
        data, left = self._with_ranges(calibration_method), [alias.decode() for alias in left]
        graph = Graph(converting.mlir_quantize(data, denylisted_nodes=left or None))
        for tensor in graph.body.tensors:
            tensor.name = ALIAS.sub(lambda found: self._named[found[0]], tensor.name)
        self.correct(graph, corrections)
        return graph

    @property
    def left_out(self) -> list[str]:
        return [self._names[number] for number in self._observed.left_out]

    @functools.cached_property
    def _observed(self) -> Observed:
        return observe(self._graph, self._images)

    def _with_ranges(self, method: str) -> bytes:
        """The float file with the ranges that a method chooses.

        The input keeps all of its range. The last filters' sums and what lies behind get more than
        they had: logits that are cut off say nothing of the surest answers, and calibration sees few
        of those.
        """
        if method in self._ranged:
            return self._ranged[method]
        for tensor, counts in self._observed.counts.items():
            if tensor in self._graph.body.inputs:
                continue
            ends = self._observed.ends[tensor]
            if tensor in self._tail:
                found = [HEADROOM * end for end in ends]
            else:
                found = range_estimators.METHODS[method](counts, *ends) if counts.any() else ends
            quantization = self._graph.body.tensors[tensor].quantization
            quantization.min, quantization.max = (np.float32([end]) for end in found)
        self._ranged[method] = self._graph.to_bytes()
        return self._ranged[method]

    def _pools_behind_filters(self) -> list[bytes]:
        """Names of the operators behind the last filters, if a pool is among them."""
        tail = [o for o in self._graph.body.operators if int(o.outputs[0]) in self._tail[:-1]]
        if not {self._graph.name_of(operator) for operator in tail} & set(POOLS):
            return []
        return [self._graph.body.tensors[o.outputs[0]].name for o in tail]

    def correct(self, graph: Graph, corrections: Collection[str] = CORRECTIONS) -> None:
        """Rounds the filters anew, and takes off each bias what rounding adds to its channel.

        Args:
            graph: the same network with int8 filters and maps of any type.
            corrections: some of `CORRECTIONS`.
        """
        body = self._graph.body
        source = {self._named[body.tensors[o.outputs[0]].name]: o for o in body.operators}
        readers = collections.Counter(i for o in graph.body.operators for i in o.inputs)
        for operator in graph.body.operators:
            kind = graph.name_of(operator)
            float_self = source.get(graph.body.tensors[operator.outputs[0]].name)
            if kind not in CHANNEL_AXIS or float_self is None:
                continue
            filters = int(operator.inputs[1])
            steps, exact = graph.constant(filters), self._graph.constant(float_self.inputs[1])
            if steps is None or exact is None or steps.dtype != np.int8:
                continue
            seen = self._observed.inputs[int(float_self.outputs[0])]
            if "rounding" in corrections and readers[filters] == 1:
                scale = np.asarray(graph.body.tensors[filters].quantization.scale)
                key = int(float_self.outputs[0]), scale.tobytes()
                if key not in self._steps:
                    self._steps[key] = _rounded(kind, exact, scale, seen, steps)
                graph.set_constant(filters, self._steps[key])
            if "biases" in corrections and len(operator.inputs) > 2 and operator.inputs[2] >= 0:
                if readers[operator.inputs[2]] > 1:  # equal ones are stored once
                    operator.inputs[2] = graph.add_copy(operator.inputs[2])
                error = graph.dequantized(filters) - exact
                _shift(graph, operator.inputs[2], -_moved(kind, error, seen.mean))


def widen_logits(graph: Graph) -> None:
    """Gives the int16 maps behind the last filters more range, as `_with_ranges` does int8 ones."""
    for tensor in graph.tail_tensors():
        if graph.is_integer(tensor, "int16"):
            steps = graph.body.tensors[tensor].quantization
            steps.scale = steps.scale * np.float32(HEADROOM_16)


def _shift(graph: Graph, bias: int, by: np.ndarray) -> None:
    """Adds to a bias, float32 or whole steps."""
    values = graph.constant(bias)
    if values.dtype != np.float32:
        by = np.round(by / np.asarray(graph.body.tensors[bias].quantization.scale))
    graph.set_constant(bias, values + by.astype(values.dtype))


def _rounded(kind: str, exact: np.ndarray, scale, seen: Inputs, nearest: np.ndarray) -> np.ndarray:
    """Filters in whole steps, by what they see; `nearest` where that was not measured."""
    covariance = seen.covariance
    if covariance is None or not np.isfinite(covariance).all():
        return nearest
    scale = np.broadcast_to(np.asarray(scale, np.float64), exact.shape[CHANNEL_AXIS[kind]])
    is_depthwise = kind == "DEPTHWISE_CONV_2D"  # (1, height, width, channels by multiplier)
    if is_depthwise:
        by_channel = exact.reshape(-1, len(covariance), exact.shape[3] // len(covariance))
        filters = by_channel.transpose(1, 2, 0)
    else:
        filters = exact.reshape(len(covariance), -1, covariance.shape[2])
    steps = gptq.rounded(filters, scale.reshape(filters.shape[:2]), covariance)
    return (steps.transpose(2, 0, 1) if is_depthwise else steps).reshape(exact.shape)


def _moved(kind: str, error: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """By how much an error of the filters moves the mean of each channel that they make."""
    if kind == "FULLY_CONNECTED":
        return error @ mean
    if kind == "DEPTHWISE_CONV_2D":
        return error.sum((0, 1, 2)) * np.repeat(mean, error.shape[3] // len(mean))
    window = error.sum((1, 2))  # (channels out, channels in of a group)
    groups = mean.reshape(-1, window.shape[1])
    return (window * np.repeat(groups, len(window) // len(groups), axis=0)).sum(1)

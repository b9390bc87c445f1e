"""Full int8 quantization of a float graph whose activation ranges were measured.

Three corrections reduce the error. Ranges are narrowed where clipping costs less than a coarse scale
(`range_estimators`). Kernels are rounded so that their outputs change least (`gptq`). And biases are
corrected: rounding still shifts the mean of a channel by the weights' error times the mean input, which
is subtracted from the bias (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019; here with measured means).
"""

import collections
import functools
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from newnet_tf.deploy.export_options import DEFAULT_CALIBRATION_METHOD
from newnet_tf.deploy.flatbuffer.graph import CHANNEL_AXIS, Graph
from newnet_tf.deploy.flatbuffer.layer_names import layer_names
from newnet_tf.deploy.image_batch import ImageBatch
from newnet_tf.deploy.quantization import gptq, range_estimators
from newnet_tf.deploy.quantization.observers import (
    ActivationStatistics,
    KernelInputs,
    collect_statistics,
)
from newnet_tf.utils.lazy import LazyModule

tf = LazyModule("tensorflow")
converting = LazyModule("tensorflow.lite.python.convert")

OPERATOR_ALIAS = re.compile(rb"operator_\d+_")
CORRECTIONS = ("rounding", "biases")
POOLS = ("MEAN", "AVERAGE_POOL_2D")
HEADROOM = 1.25  # factor on the measured range of the outputs
HEADROOM_16 = 2.0  # with 16 bits, whose scale is fine enough


class CalibratedGraph:
    """A float graph with the range of each activation.

    Args:
        saved_model: path of a SavedModel with a fixed batch of 1.

        calibration_images: `ImageBatch`.

    Attributes:
        layers: tuple of str, the layers whose operators can be quantized, in order.

        excluded_images: list of str, images with outlier activations, which are not measured.

    Example:
        >>> graph = CalibratedGraph(saved_model, calibration_images)
        >>> graph.quantize(exclude_layers=graph.layers[:1])
    """

    def __init__(self, saved_model: Path, calibration_images: ImageBatch):
        self._images, self._image_names = calibration_images.inputs, calibration_images.names
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in self._images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter._experimental_calibrate_only = True  # as its QuantizationDebugger sets it
        self._graph = Graph(converter.convert())
        body = self._graph.body
        # The converter joins names where it fuses operators, and then no longer finds them itself.
        outputs = [body.tensors[operator.outputs[0]] for operator in body.operators]
        names = [tensor.name for tensor in outputs]
        self._names = {b"operator_%d_" % number: name for number, name in enumerate(names)}
        for tensor, alias in zip(outputs, self._names, strict=True):
            tensor.name = alias
        self._layer_of = dict(
            zip(self._names, layer_names([name.decode() for name in names]), strict=True)
        )
        self._tails = output_tails(self._graph)
        self._pools = self._pools_in_tails()
        quantized = [name for alias, name in self._layer_of.items() if alias not in self._pools]
        self.layers = tuple(dict.fromkeys(quantized))
        self._with_ranges_by_method: dict[str, bytes] = {}
        self._rounded: dict[tuple[int, bytes], np.ndarray] = {}  # kernels of an operator, by scales

    def quantize(
        self,
        exclude_layers: Collection[str] = (),
        calibration_method: str = DEFAULT_CALIBRATION_METHOD,
        corrections: Collection[str] = CORRECTIONS,
        integer_outputs: bool = False,
    ) -> Graph:
        """Returns the int8 graph, float32 in and out.

        Args:
            exclude_layers: names of layers that stay float32, among `layers`.

            calibration_method: str, one of `CALIBRATION_METHODS`. Default: `"mse"`.

            corrections: some of `CORRECTIONS`. Default: all.

            integer_outputs: bool, whether the last operators, too, must give integers. Otherwise pools
                after the last kernels are float32, which is as fast. Default: False.

        Raises:
            ValueError: for an unknown layer.
        """
        unknown = [name for name in exclude_layers if name not in self.layers]
        if unknown:
            raise ValueError(
                f"`exclude_layers` must be layers among {', '.join(self.layers)}. Received: {unknown}"
            )
        excluded = [alias for alias, name in self._layer_of.items() if name in exclude_layers]
        excluded += [] if integer_outputs else self._pools
        denylist = [alias.decode() for alias in excluded]
        data = self._with_ranges(calibration_method)
        graph = Graph(converting.mlir_quantize(data, denylisted_nodes=denylist or None))
        for tensor in graph.body.tensors:
            tensor.name = OPERATOR_ALIAS.sub(lambda match: self._names[match[0]], tensor.name)
        self.correct(graph, corrections)
        return graph

    @property
    def excluded_images(self) -> list[str]:
        """Names of calibration images with outlier activations."""
        return [self._image_names[number] for number in self._statistics.excluded]

    @functools.cached_property
    def _statistics(self) -> ActivationStatistics:
        return collect_statistics(self._graph, self._images)

    def _with_ranges(self, method: str) -> bytes:
        """Returns the float file with the ranges that a method chooses.

        The input keeps its full range. The outputs of the last kernels and what follows get more than
        was measured: clipped logits lose the most confident predictions, and calibration sees few of
        those.
        """
        if method in self._with_ranges_by_method:
            return self._with_ranges_by_method[method]
        tails = {tensor for tail in self._tails for tensor in tail}
        for tensor, counts in self._statistics.counts.items():
            if tensor in self._graph.body.inputs:
                continue
            bounds = self._statistics.ranges[tensor]
            if tensor in tails:
                bounds = tuple(HEADROOM * bound for bound in bounds)
            elif counts.any():
                bounds = range_estimators.METHODS[method](counts, *bounds)
            quantization = self._graph.body.tensors[tensor].quantization
            quantization.min, quantization.max = (np.float32([bound]) for bound in bounds)
        self._with_ranges_by_method[method] = self._graph.to_bytes()
        return self._with_ranges_by_method[method]

    def _pools_in_tails(self) -> list[bytes]:
        """Returns names of the operators after the last kernels, of outputs with a pool there."""
        names = []
        for tail in self._tails:
            operators = [o for o in self._graph.body.operators if int(o.outputs[0]) in tail[:-1]]
            if {self._graph.name_of(operator) for operator in operators} & set(POOLS):
                names += [self._graph.body.tensors[o.outputs[0]].name for o in operators]
        return names

    def correct(self, graph: Graph, corrections: Collection[str] = CORRECTIONS) -> None:
        """Rounds kernels with `gptq`, and subtracts from biases what rounding adds to the mean.

        Args:
            graph: `Graph` of the same model with int8 kernels and activations of any type, changed in
                place.

            corrections: some of `CORRECTIONS`. Default: all.
        """
        body = self._graph.body
        sources = {self._names[body.tensors[o.outputs[0]].name]: o for o in body.operators}
        readers = collections.Counter(i for o in graph.body.operators for i in o.inputs)
        for operator in graph.body.operators:
            kind = graph.name_of(operator)
            source = sources.get(graph.body.tensors[operator.outputs[0]].name)
            if kind not in CHANNEL_AXIS or source is None:
                continue
            kernels = int(operator.inputs[1])
            integers, exact = graph.constant(kernels), self._graph.constant(source.inputs[1])
            if integers is None or exact is None or integers.dtype != np.int8:
                continue
            inputs = self._statistics.inputs[int(source.outputs[0])]
            if "rounding" in corrections and readers[kernels] == 1:
                scales = np.asarray(graph.body.tensors[kernels].quantization.scale)
                key = int(source.outputs[0]), scales.tobytes()
                if key not in self._rounded:
                    self._rounded[key] = _round(kind, exact, scales, inputs, integers)
                graph.set_constant(kernels, self._rounded[key])
            if "biases" in corrections and len(operator.inputs) > 2 and operator.inputs[2] >= 0:
                if readers[operator.inputs[2]] > 1:  # equal ones are stored once
                    operator.inputs[2] = graph.add_copy(operator.inputs[2])
                error = graph.dequantized(kernels) - exact
                _add_to_bias(graph, operator.inputs[2], -mean_shift(kind, error, inputs.mean))


def output_tails(graph: Graph) -> list[list[int]]:
    """Returns for each output its tensor and those before it, down to the last kernels' output.

    The output comes first. A tail follows the first input of each operator and ends with the output of
    a convolution or dense layer.
    """
    producers = {int(o.outputs[0]): o for o in graph.body.operators}
    tails = []
    for output in graph.body.outputs:
        tail = [int(output)]
        while (operator := producers.get(tail[-1])) and (
            graph.name_of(operator) not in CHANNEL_AXIS
        ):
            tail.append(int(operator.inputs[0]))
        tails.append(tail)
    return tails


def widen_output_ranges(graph: Graph) -> None:
    """Gives int16 activations after the last kernels more range, as `HEADROOM` does int8 ones."""
    for tensor in dict.fromkeys(tensor for tail in output_tails(graph) for tensor in tail):
        if graph.is_integer(tensor, "int16"):
            quantization = graph.body.tensors[tensor].quantization
            quantization.scale = quantization.scale * np.float32(HEADROOM_16)


def _add_to_bias(graph: Graph, bias: int, shift: np.ndarray) -> None:
    """Adds to a bias of floats or of integers."""
    values = graph.constant(bias)
    if values.dtype != np.float32:
        shift = np.round(shift / np.asarray(graph.body.tensors[bias].quantization.scale))
    graph.set_constant(bias, values + shift.astype(values.dtype))


def _round(
    kind: str, exact: np.ndarray, scales: np.ndarray, inputs: KernelInputs, nearest: np.ndarray
) -> np.ndarray:
    """Returns kernels as integers by GPTQ; `nearest` where their inputs were not measured."""
    covariance = inputs.covariance
    if covariance is None or not np.isfinite(covariance).all():
        return nearest
    scales = np.broadcast_to(np.asarray(scales, np.float64), exact.shape[CHANNEL_AXIS[kind]])
    is_depthwise = kind == "DEPTHWISE_CONV_2D"  # (1, height, width, channels by multiplier)
    if is_depthwise:
        by_channel = exact.reshape(-1, len(covariance), exact.shape[3] // len(covariance))
        kernels = by_channel.transpose(1, 2, 0)
    else:
        kernels = exact.reshape(len(covariance), -1, covariance.shape[2])
    integers = gptq.round_kernels(kernels, scales.reshape(kernels.shape[:2]), covariance)
    return (integers.transpose(2, 0, 1) if is_depthwise else integers).reshape(exact.shape)


def mean_shift(kind: str, error: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Returns by how much an error of the kernels shifts the mean of each output channel.

    Args:
        kind: str, a key of `CHANNEL_AXIS`.

        error: float array of the shape of the kernels.

        mean: float array (channels,), the mean input.
    """
    if kind == "FULLY_CONNECTED":
        return error @ mean
    if kind == "DEPTHWISE_CONV_2D":
        return error.sum((0, 1, 2)) * np.repeat(mean, error.shape[3] // len(mean))
    window = error.sum((1, 2))  # (channels out, channels in of a group)
    groups = mean.reshape(-1, window.shape[1])
    return (window * np.repeat(groups, len(window) // len(groups), axis=0)).sum(1)

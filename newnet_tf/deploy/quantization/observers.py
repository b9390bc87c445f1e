"""Statistics of a float graph on calibration images: activation ranges and the inputs of kernels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import CHANNEL_AXIS, Graph
from newnet_tf.deploy.interpreter import interpreter_class
from newnet_tf.deploy.quantization.gptq import MAX_INPUTS
from newnet_tf.deploy.quantization.range_estimators import BINS
from newnet_tf.utils.lazy import LazyModule

schema = LazyModule("tensorflow.lite.python.schema_py_generated")

OUTLIER_FACTOR = 10.0  # times a tensor's median largest magnitude
OUTLIER_TENSORS, OUTLIER_IMAGES = 0.1, 0.05  # least share of tensors, largest share of images
MAX_SAMPLES = 64  # images that inputs of kernels are measured on, and positions of each
MAX_COUNTED = 50_000  # values of a tensor and image that are counted


@dataclass
class KernelInputs:
    """Inputs of the kernels of one operator.

    Args:
        windows: int, positions measured.

        images: int, images measured.

        mean: float array (channels,), over all positions.

        total: float array (groups, inputs), sum over the windows.

        products: float array (groups, inputs, inputs), sum over the windows; None where a kernel has
            too many inputs.
    """

    windows: int = 0
    images: int = 0
    mean: np.ndarray | float = 0.0
    total: Any = 0.0
    products: Any = 0.0

    @property
    def covariance(self) -> np.ndarray | None:
        """Covariance of a kernel's inputs, (groups, inputs, inputs), None if not measured."""
        if self.products is None:
            return None
        mean = self.total / self.windows
        return self.products / self.windows - mean[:, :, None] * mean[:, None, :]


@dataclass(frozen=True)
class ActivationStatistics:
    """Statistics over calibration images.

    Args:
        counts: {tensor: int array (`BINS`,)}, its values in equal bins over its range.

        ranges: {tensor: (low, high)}, its full range, which includes zero.

        inputs: {an operator's output tensor: `KernelInputs`}, for operators with kernels.

        excluded: tuple of int, indices of images with outlier activations, which are not measured.
    """

    counts: dict[int, np.ndarray]
    ranges: dict[int, tuple[float, float]]
    inputs: dict[int, KernelInputs]
    excluded: tuple[int, ...]


def collect_statistics(graph: Graph, images: np.ndarray) -> ActivationStatistics:
    """Runs a float graph whose tensors have ranges on images.

    Some models, above all briefly trained ones with squeeze-and-excitation, have outlier activations on
    one image in hundreds, hundreds of times the usual. One such image would make the quantization
    scales too coarse for all others. It is excluded where a tenth of a model's tensors exceed ten
    times their median over images; unless more than one image in twenty is so.

    Args:
        graph: `Graph`, what the converter returns for calibration.

        images: float32 array (images, height, width, channels).
    """
    interpreter, run = instrumented_interpreter(graph)
    calibrated = [
        number
        for number, tensor in enumerate(graph.body.tensors)
        if (quantization := tensor.quantization)
        and quantization.min is not None
        and len(quantization.min)
    ]
    extremes = np.zeros((len(images), len(calibrated), 2))
    for number, pixels in enumerate(images):
        run(pixels)
        activations = (interpreter.get_tensor(tensor) for tensor in calibrated)
        extremes[number] = [(min(a.min(), 0), max(a.max(), 0)) for a in activations]
    excluded = find_outlier_images(np.abs(extremes).max(2))
    included = np.setdiff1d(np.arange(len(images)), excluded)
    lows, highs = extremes[included, :, 0].min(0), extremes[included, :, 1].max(0)
    ranges = {
        tensor: (float(low), float(high))
        for tensor, low, high in zip(calibrated, lows, highs, strict=True)
        if low < high
    }
    counts = {tensor: np.zeros(BINS, np.int64) for tensor in ranges}
    with_kernels = [o for o in graph.body.operators if graph.name_of(o) in CHANNEL_AXIS]
    inputs = {int(operator.outputs[0]): KernelInputs() for operator in with_kernels}
    random = np.random.default_rng(0)
    for number, pixels in enumerate(images[included]):
        run(pixels)
        for tensor, bounds in ranges.items():
            values = _subsample(interpreter.get_tensor(tensor))
            counts[tensor] += np.histogram(values, BINS, bounds)[0]
        if number < MAX_SAMPLES:
            for operator in with_kernels:
                activations = interpreter.get_tensor(int(operator.inputs[0]))
                _add(inputs[int(operator.outputs[0])], graph, operator, activations, random)
    return ActivationStatistics(counts, ranges, inputs, excluded)


def instrumented_interpreter(graph: Graph) -> tuple[Any, Callable[[np.ndarray], None]]:
    """Returns an interpreter that keeps all activations, and a function that runs it on an image."""
    _, make = interpreter_class()
    interpreter = make(model_content=graph.to_bytes(), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]["index"]

    def run(pixels):
        interpreter.set_tensor(image, pixels[None])
        interpreter.invoke()

    return interpreter, run


def find_outlier_images(largest: np.ndarray) -> tuple[int, ...]:
    """Returns the indices of images with outlier activations, see `collect_statistics`.

    Args:
        largest: float array (images, tensors), the largest magnitude.
    """
    usual = np.maximum(np.median(largest, axis=0), np.finfo(np.float32).tiny)
    is_outlier = (largest > OUTLIER_FACTOR * usual).mean(1) > OUTLIER_TENSORS
    if is_outlier.mean() > OUTLIER_IMAGES:
        return ()
    return tuple(np.flatnonzero(is_outlier).tolist())


def _subsample(values: np.ndarray) -> np.ndarray:
    """Returns at most `MAX_COUNTED` values, evenly from all channels."""
    step = -(-values.size // MAX_COUNTED)
    while np.gcd(step, values.shape[-1]) > 1 and step > 1:
        step += 1
    return values.ravel()[::step]


def _add(
    inputs: KernelInputs,
    graph: Graph,
    operator: Any,
    activations: np.ndarray,
    random: np.random.Generator,
) -> None:
    """Adds the inputs of one operator's kernels on one image."""
    name, shape = graph.name_of(operator), graph.body.tensors[operator.inputs[1]].shape
    if name == "FULLY_CONNECTED":
        activations = activations.reshape(-1, shape[1])
        windows = activations[:, None]
    else:
        windows = _windows(activations[0], operator.builtinOptions, shape[1:3], random)
        places, channels = windows.shape[1], windows.shape[2]
        if name == "DEPTHWISE_CONV_2D":
            windows = windows.transpose(0, 2, 1)
        else:
            groups = channels // int(shape[3])
            windows = windows.reshape(len(windows), places, groups, -1).transpose(0, 2, 1, 3)
            windows = windows.reshape(len(windows), groups, -1)
    inputs.images += 1
    mean = activations.reshape(-1, activations.shape[-1]).mean(0, dtype=np.float64)
    inputs.mean = inputs.mean + (mean - inputs.mean) / inputs.images
    if windows.shape[2] > MAX_INPUTS:
        inputs.products = None
        return
    by_group = windows.astype(np.float64).transpose(1, 0, 2)
    inputs.windows += len(windows)
    inputs.total = inputs.total + by_group.sum(1)
    inputs.products = inputs.products + by_group.transpose(0, 2, 1) @ by_group


def _windows(activations: np.ndarray, options: Any, size, random) -> np.ndarray:
    """Returns what a kernel covers at some positions: (windows, places of a kernel, channels)."""
    extents = [
        (int(length) - 1) * step + 1 for length, step in zip(size, _dilations(options), strict=True)
    ]
    strides = (options.strideH, options.strideW)
    shape = activations.shape[:2]
    if options.padding == schema.Padding.SAME:
        counts = [-(-length // stride) for length, stride in zip(shape, strides, strict=True)]
        missing = [
            max((count - 1) * stride + extent - length, 0)
            for count, stride, extent, length in zip(counts, strides, extents, shape, strict=True)
        ]
        activations = np.pad(activations, [*((m // 2, m - m // 2) for m in missing), (0, 0)])
    else:
        counts = [(shape[i] - extents[i]) // strides[i] + 1 for i in range(2)]
    chosen = random.permutation(counts[0] * counts[1])[:MAX_SAMPLES]
    first = [chosen // counts[1] * strides[0], chosen % counts[1] * strides[1]]
    inside = np.mgrid[: int(size[0]), : int(size[1])].reshape(2, -1)
    dilations = _dilations(options)
    rows, columns = (first[i][:, None] + inside[i] * dilations[i] for i in range(2))
    return activations[rows, columns]


def _dilations(options: Any) -> tuple[int, int]:
    return options.dilationHFactor, options.dilationWFactor

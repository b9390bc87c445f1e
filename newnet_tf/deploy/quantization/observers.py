"""What calibration images show of a float graph: how its maps are spread, and what filters see."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import CHANNEL_AXIS, Graph
from newnet_tf.deploy.quantization.gptq import MOST_INPUTS
from newnet_tf.deploy.quantization.range_estimators import BINS
from newnet_tf.deploy.runtime import interpreter_class
from newnet_tf.utils.lazy import LazyModule

schema = LazyModule("tensorflow.lite.python.schema_py_generated")

RUNAWAY = 10.0  # times a map's usual largest magnitude
RUNAWAY_MAPS, RUNAWAY_IMAGES = 0.1, 0.05  # shares of the maps it takes, of the images at most
MEASURED = 64  # images that inputs of filters are measured on, and places of each
COUNTED = 50_000  # values of a map and image that are counted, at most


@dataclass
class Inputs:
    """Inputs of the filters of one operator.

    Args:
        windows, images: int, how many were seen.
        mean: float array, by channel, over all places of the map.
        total: float array (groups, inputs), products: float array (groups, inputs, inputs), sums
            over the windows; None where a filter has too many inputs.
    """

    windows: int = 0
    images: int = 0
    mean: np.ndarray | float = 0.0
    total: np.ndarray | float = 0.0
    products: np.ndarray | float | None = 0.0

    @property
    def covariance(self) -> np.ndarray | None:
        """Covariance of a filter's inputs, (groups, inputs, inputs), None if not measured."""
        if self.products is None:
            return None
        mean = self.total / self.windows
        return self.products / self.windows - mean[:, :, None] * mean[:, None, :]


@dataclass(frozen=True)
class Observed:
    """What was seen.

    Args:
        counts: {tensor: integers (`BINS`,)}, values of a map in equal bins over its full range.
        ends: {tensor: (low, high)}, that range, with zero in it.
        inputs: {operator's output tensor: `Inputs`}, for operators with filters.
        left_out: tuple of int, places of images that none of this is measured on.
    """

    counts: dict[int, np.ndarray]
    ends: dict[int, tuple[float, float]]
    inputs: dict[int, Inputs]
    left_out: tuple[int, ...]


def observe(graph: Graph, images: np.ndarray) -> Observed:
    """Runs a float graph whose tensors have ranges on images.

    Some networks, briefly trained ones with squeeze-and-excitation above all, blow up on an image in
    hundreds: their maps grow to hundreds of times of what is usual. One such image would make the
    steps of int8 too coarse for all others. It is left out: where a tenth of a network's maps
    exceed ten times their median over images; unless more than one image in twenty is so.

    Args:
        graph: what the converter made of calibration. images: float array (n, h, w, channels).
    """
    interpreter, run = watched(graph)
    ranged = [
        number
        for number, tensor in enumerate(graph.body.tensors)
        if (found := tensor.quantization) and found.min is not None and len(found.min)
    ]
    ends = np.zeros((len(images), len(ranged), 2))
    for number, pixels in enumerate(images):
        run(pixels)
        maps = (interpreter.get_tensor(tensor) for tensor in ranged)
        ends[number] = [(min(map_.min(), 0), max(map_.max(), 0)) for map_ in maps]
    left_out = runaways(np.abs(ends).max(2))
    kept = np.setdiff1d(np.arange(len(images)), left_out)
    lows, highs = ends[kept, :, 0].min(0), ends[kept, :, 1].max(0)
    whole = {
        tensor: (float(low), float(high))
        for tensor, low, high in zip(ranged, lows, highs, strict=True)
        if low < high
    }
    counts = {tensor: np.zeros(BINS, np.int64) for tensor in whole}
    filtered = [o for o in graph.body.operators if graph.name_of(o) in CHANNEL_AXIS]
    inputs = {int(operator.outputs[0]): Inputs() for operator in filtered}
    random = np.random.default_rng(0)
    for number, pixels in enumerate(images[kept]):
        run(pixels)
        for tensor, both in whole.items():
            counts[tensor] += np.histogram(_some(interpreter.get_tensor(tensor)), BINS, both)[0]
        if number < MEASURED:
            for operator in filtered:
                map_ = interpreter.get_tensor(int(operator.inputs[0]))
                _add(inputs[int(operator.outputs[0])], graph, operator, map_, random)
    return Observed(counts, whole, inputs, left_out)


def watched(graph: Graph) -> tuple[object, Callable[[np.ndarray], None]]:
    """Returns an interpreter that keeps all maps, and a function that shows it an image."""
    _, make = interpreter_class()
    interpreter = make(model_content=graph.to_bytes(), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]["index"]

    def run(pixels):
        interpreter.set_tensor(image, pixels[None])
        interpreter.invoke()

    return interpreter, run


def runaways(largest: np.ndarray) -> tuple[int, ...]:
    """Returns which images a network blows up on, see `observe`.

    Args:
        largest: float array (images, maps), the largest magnitude.
    """
    usual = np.maximum(np.median(largest, axis=0), np.finfo(np.float32).tiny)
    beyond = (largest > RUNAWAY * usual).mean(1) > RUNAWAY_MAPS
    return tuple(np.flatnonzero(beyond).tolist()) if beyond.mean() <= RUNAWAY_IMAGES else ()


def _some(values: np.ndarray) -> np.ndarray:
    """Returns at most `COUNTED` values, from all channels alike."""
    step = -(-values.size // COUNTED)
    while np.gcd(step, values.shape[-1]) > 1 and step > 1:
        step += 1
    return values.ravel()[::step]


def _add(seen: Inputs, graph: Graph, operator, map_: np.ndarray, random) -> None:
    """Adds what the filters of one operator see of one map."""
    kind, shape = graph.name_of(operator), graph.body.tensors[operator.inputs[1]].shape
    if kind == "FULLY_CONNECTED":
        map_ = map_.reshape(-1, shape[1])
        windows = map_[:, None]
    else:
        windows = _windows(map_[0], operator.builtinOptions, shape[1:3], random)
        places, channels = windows.shape[1], windows.shape[2]
        if kind == "DEPTHWISE_CONV_2D":
            windows = windows.transpose(0, 2, 1)
        else:
            groups = channels // int(shape[3])
            windows = windows.reshape(len(windows), places, groups, -1).transpose(0, 2, 1, 3)
            windows = windows.reshape(len(windows), groups, -1)
    seen.images += 1
    mean = map_.reshape(-1, map_.shape[-1]).mean(0, dtype=np.float64)
    seen.mean = seen.mean + (mean - seen.mean) / seen.images
    if windows.shape[2] > MOST_INPUTS:
        seen.products = None
        return
    by_group = windows.astype(np.float64).transpose(1, 0, 2)
    seen.windows += len(windows)
    seen.total = seen.total + by_group.sum(1)
    seen.products = seen.products + by_group.transpose(0, 2, 1) @ by_group


def _windows(map_: np.ndarray, options, size, random) -> np.ndarray:
    """Returns what a filter covers at some places of a map: (windows, its places, channels)."""
    ends = [
        (int(side) - 1) * step + 1 for side, step in zip(size, _dilations(options), strict=True)
    ]
    strides = (options.strideH, options.strideW)
    if options.padding == schema.Padding.SAME:
        whole = [-(-side // by) for side, by in zip(map_.shape, strides, strict=False)]
        missing = [
            max((n - 1) * by + end - side, 0)
            for n, by, end, side in zip(whole, strides, ends, map_.shape, strict=False)
        ]
        map_ = np.pad(map_, [*((m // 2, m - m // 2) for m in missing), (0, 0)])
    else:
        whole = [(map_.shape[i] - ends[i]) // strides[i] + 1 for i in range(2)]
    chosen = random.permutation(whole[0] * whole[1])[:MEASURED]
    first = [chosen // whole[1] * strides[0], chosen % whole[1] * strides[1]]
    inside = np.mgrid[: int(size[0]), : int(size[1])].reshape(2, -1)
    dilations = _dilations(options)
    rows, columns = (first[i][:, None] + inside[i] * dilations[i] for i in range(2))
    return map_[rows, columns]


def _dilations(options) -> tuple[int, int]:
    return options.dilationHFactor, options.dilationWFactor

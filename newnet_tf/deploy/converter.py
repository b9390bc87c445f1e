"""Conversion proper: a Keras model of logits to TFLite bytes, and what those must look like."""

import contextlib
import functools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from newnet_tf.deploy.export_config import PIXELS, ExportConfig
from newnet_tf.deploy.flatbuffer import io_adapters
from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.deploy.flatbuffer.xnnpack_rewrites import apply_xnnpack_rewrites
from newnet_tf.deploy.image_batch import Samples
from newnet_tf.deploy.quantization import litert_quantizer, weight_only
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.deploy.quantization.quantizer import CalibratedGraph, widen_logits
from newnet_tf.deploy.runtime import quiet
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import LazyModule, keras

tf = LazyModule("tensorflow")

INT16X8 = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"


class ExportError(ValueError):
    """A file that came out wrong; nothing was written. The message holds the figures."""


def write(
    logits,
    recipes: Sequence[ExportConfig],
    ranges: Samples | None,
    folder: Path,
    say: Callable[[str], None],
) -> None:
    """Converts a model by each recipe and writes `<stem>.tflite` files into `folder`.

    One SavedModel, exported for a fixed batch of 1, serves all recipes. (Converted from concrete
    functions instead, files come out without weights; with a dynamic batch the graph falls apart.)

    Args:
        logits: Keras model from images to logits.
        recipes: what to make. ranges: calibration images, for precisions that are calibrated.
        folder: an empty folder.
        say: callable that shows a line of progress.

    Raises:
        ExportError: for a file with operators that phones lack, or without its weights, or where
            the converter refuses.
    """
    if not recipes:
        return
    weights = sum(math.prod(w.shape) for w in logits.weights if len(w.shape) > 1)
    swaps = sum(isinstance(layer, keras.layers.Permute) for layer in logits.layers)
    say(f"{recipes[0].model}: exporting the graph")
    saved = folder / "saved_model"
    save(logits, recipes[0].preprocess, saved)
    source = GraphFactory(saved, ranges, recipes[0].model, say)
    for recipe in recipes:
        say(f"{recipe.stem}.tflite: converting")
        graph = source.graph(recipe)
        apply_xnnpack_rewrites(graph)
        _add_ends(graph, recipe)
        data = graph.to_bytes()
        _check(graph, data, recipe, weights, swaps)
        (folder / f"{recipe.stem}.tflite").write_bytes(data)


def save(logits, preprocess: PreprocessConfig, folder: Path) -> None:
    """Writes a model of logits as a SavedModel of a fixed batch of 1, which converters take."""
    shape = (1, *preprocess.shape)
    signature = keras.InputSpec(shape=shape, dtype="float32", name="image")
    with silence():
        logits.export(folder, verbose=False, input_signature=[signature])


class GraphFactory:
    """A SavedModel and images, from which the graph of any recipe is made.

    Args:
        saved: path of the SavedModel, of a fixed batch of 1.
        ranges: calibration images, None where no recipe needs them.
        name: str, what the network is called in what is said.
        say: callable that shows a line, here of images that the network blows up on.
    """

    def __init__(self, saved: Path, ranges: Samples | None, name: str, say: Callable = print):
        self._saved, self._ranges, self._name, self._say = saved, ranges, name, say

    @functools.cached_property
    def calibrated(self) -> CalibratedGraph:
        """The float graph with its ranges measured."""
        with silence(), _refusals(self._name):
            graph = CalibratedGraph(self._saved, self._ranges)
            left_out = graph.left_out
        if left_out:
            images = ", ".join(left_out)
            self._say(f"{self._name}: ranges without images that blow it up: {images}")
        return graph

    def graph(self, recipe: ExportConfig) -> Graph:
        """Returns the graph of a recipe, plain: float32 in, float32 logits out."""
        precision, measured = recipe.precision, self.calibrated if recipe.is_corrected else None
        with silence():
            if precision == "int8-full":
                integer_output = recipe.io_dtype != "float32"
                return measured.quantized(
                    recipe.exclude_layers, recipe.calibration_method, integer_output=integer_output
                )
            with _refusals(recipe.stem):
                graph = Graph(self._made(precision))
            if precision == "litert-dynamic":
                weight_only.depthwise_to_floats(graph)
            if precision in ("int8-dynamic", "int8-weights"):
                weight_only.store(graph)
            if measured:
                measured.correct(graph)
            if precision == "int16x8":
                widen_logits(graph)
            if precision == "int8-dynamic":
                weight_only.use_dynamic_range(graph)
            if precision == "int8-weights":
                weight_only.insert_dequantize(graph)
        return graph

    def _made(self, precision: str) -> bytes:
        """Returns the file that a precision begins with."""
        if precision in ("fp16", "int16x8"):
            return self.converted(precision)
        if precision == "litert-static":
            return litert_quantizer.static(self._floats, self._ranges)
        return (
            litert_quantizer.dynamic(self._floats)
            if precision == "litert-dynamic"
            else self._floats
        )

    def converted(self, precision: str) -> bytes:
        """Returns what TensorFlow's converter makes of `"fp32"`, `"fp16"` or `"int16x8"`."""
        converter = tf.lite.TFLiteConverter.from_saved_model(str(self._saved))
        if precision != "fp32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "fp16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int16x8":
            converter.representative_dataset = lambda: ([x[None]] for x in self._ranges.inputs)
            converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, INT16X8)]
        return converter.convert()

    @functools.cached_property
    def _floats(self) -> bytes:
        return self.converted("fp32")


@contextlib.contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Turns what converters raise into errors that name the file."""
    try:
        yield
    except Exception as error:  # TensorFlow's ConverterError is a plain Exception
        reason = next((line for line in f"{error}".splitlines() if line.strip()), "no reason")
        raise ExportError(
            f"{name} must be a form that its converter can make. "
            f"Received: {type(error).__name__}: {reason:.300}"
        ) from error


def _add_ends(graph: Graph, recipe: ExportConfig) -> None:
    """Gives the plain graph the input and the output that the recipe asks for."""
    if recipe.embed_normalization:
        io_adapters.pixels(graph, recipe.preprocess.scale, recipe.preprocess.offset)
    elif recipe.io_dtype != "float32":
        io_adapters.integer_input(graph, recipe.io_dtype)
    if recipe.output_type == "probabilities":
        io_adapters.softmax(graph)
    if recipe.io_dtype != "float32":
        io_adapters.integer_output(graph, recipe.io_dtype)
    graph.rename(PIXELS if recipe.embed_normalization else "image", recipe.output_type)


def _check(graph: Graph, data: bytes, recipe: ExportConfig, weights: int, swaps: int) -> None:
    """Refuses foreign operators, lost weights, and transposes that the model itself has not."""
    foreign = sorted({name for name in graph.operators if name.startswith("CUSTOM")})
    transposes = graph.operators.count("TRANSPOSE")
    if foreign or transposes > swaps:
        raise ExportError(
            f"{recipe.stem} must hold builtin operators only, and {swaps} TRANSPOSE at most, one for "
            f"each Permute layer. Received: {', '.join(foreign) or f'{transposes} TRANSPOSE'}"
        )
    least = weights * PRECISIONS[recipe.precision].weight_bytes
    if len(data) < least:
        raise ExportError(
            f"{recipe.stem} must hold {weights} weights in {least} bytes or more. "
            f"Received: {len(data)} bytes"
        )


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Holds back what TensorFlow says while it exports and converts, unless it fails."""
    from absl import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)

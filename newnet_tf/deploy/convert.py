"""Conversion proper: a Keras model of logits to TFLite bytes, and what those must look like."""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from newnet_tf.cards import Preprocess
from newnet_tf.deploy import litert
from newnet_tf.deploy.calibrated import CalibratedGraph
from newnet_tf.deploy.graph import Graph
from newnet_tf.deploy.precisions import PRECISIONS
from newnet_tf.deploy.recipes import PIXELS, Recipe
from newnet_tf.deploy.runtime import quiet
from newnet_tf.deploy.samples import Samples
from newnet_tf.deploy.whole import make_whole
from newnet_tf.lazy import LazyModule, keras

tf = LazyModule("tensorflow")

INT16X8 = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"


class ExportError(ValueError):
    """A file that came out wrong; nothing was written. The message holds the figures."""


def write(
    logits,
    recipes: Sequence[Recipe],
    ranges: Samples | None,
    folder: Path,
    say: Callable[[str], None],
) -> None:
    """Converts a model by each recipe and writes `<stem>.tflite` files into `folder`.

    One SavedModel, exported for a fixed batch of 1, serves all recipes. (Converted from concrete
    functions instead, files come out without weights; with a dynamic batch the graph falls apart.)

    Args:
        logits: Keras model from images to logits.
        recipes: what to make. ranges: calibration pictures, for precisions that are calibrated.
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
    saved = folder / "saved_model"
    say(f"{recipes[0].model}: exporting the graph")
    save(logits, recipes[0].preprocess, saved)
    for recipe in recipes:
        say(f"{recipe.stem}.tflite: converting")
        graph = _made(saved, recipe, ranges, say)
        make_whole(graph)
        _adapt(graph, recipe)
        data = graph.to_bytes()
        _check(graph, data, recipe, weights, swaps)
        (folder / f"{recipe.stem}.tflite").write_bytes(data)


def save(logits, preprocess: Preprocess, folder: Path) -> None:
    """Writes a model of logits as a SavedModel of a fixed batch of 1, which converters take."""
    shape = (1, *preprocess.shape)
    signature = keras.InputSpec(shape=shape, dtype="float32", name="image")
    with silence():
        logits.export(folder, verbose=False, input_signature=[signature])


def calibrated(
    saved: Path, ranges: Samples, name: str, say: Callable[[str], None] = print
) -> CalibratedGraph:
    """Returns the graph of a SavedModel with its ranges measured.

    Args:
        saved: path of the SavedModel. ranges: calibration pictures.
        name: str, what the file is called in errors and in what is said.
        say: callable that shows a line, here of pictures that the network blows up on.
    """
    with silence(), _refusals(name):
        graph = CalibratedGraph(saved, ranges)
        left_out = graph.left_out
    if left_out:
        say(f"{name}: ranges without pictures that blow it up: {', '.join(left_out)}")
    return graph


def _made(saved: Path, recipe: Recipe, ranges: Samples | None, say: Callable) -> Graph:
    """Returns the file as its maker gives it."""
    if recipe.precision == "int8-full":
        graph = calibrated(saved, ranges, recipe.stem, say)
        with silence():
            integer_output = recipe.io != "float32"
            return graph.quantised(recipe.keep_float, recipe.ranges, integer_output=integer_output)
    maker = {"litert-dynamic": litert.dynamic, "litert-static": litert.static}.get(recipe.precision)
    with silence(), _refusals(recipe.stem):
        if maker is not None:
            return Graph(maker(_convert(saved, "fp32", None), ranges))
        graph = Graph(_convert(saved, recipe.precision, ranges))
    if recipe.precision == "int16x8":
        calibrated(saved, ranges, recipe.stem, say).correct(graph)
    return graph


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


def _convert(saved: Path, precision: str, ranges: Samples | None) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    if precision not in ("fp32", "int8-weights"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int16x8":
        converter.representative_dataset = lambda: ([image[None]] for image in ranges.inputs)
        converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, INT16X8)]
    return converter.convert()


def _adapt(graph: Graph, recipe: Recipe) -> None:
    """Gives the plain float32 file the input and the output that the recipe asks for."""
    if recipe.precision in ("int8-dynamic", "litert-dynamic"):
        graph.float_depthwise()
    if recipe.precision == "int8-weights":
        graph.integer_weights()
    if recipe.with_preprocessing:
        graph.pixels(recipe.preprocess.scale, recipe.preprocess.offset)
    elif recipe.io != "float32":
        graph.integer_input(recipe.io)
    if recipe.output == "probabilities":
        graph.softmax()
    if recipe.io != "float32":
        graph.integer_output(recipe.io)
    graph.rename(PIXELS if recipe.with_preprocessing else "image", recipe.output)


def _check(graph: Graph, data: bytes, recipe: Recipe, weights: int, swaps: int) -> None:
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

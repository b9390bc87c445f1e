"""Conversion proper: a Keras model of logits to TFLite bytes, and what those must look like."""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from newnet_tf.deploy.graph import Graph
from newnet_tf.deploy.recipes import PIXELS, PRECISIONS, Recipe
from newnet_tf.deploy.runtime import quiet
from newnet_tf.deploy.samples import Samples
from newnet_tf.deploy.whole import make_whole
from newnet_tf.lazy import LazyModule, keras

tf = LazyModule("tensorflow")


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
        recipes: what to make. ranges: calibration pictures, for `"int8-full"`.
        folder: an empty folder.
        say: callable that shows a line of progress.

    Raises:
        ExportError: for a file with operators that phones lack, or without its weights.
    """
    if not recipes:
        return
    weights = sum(math.prod(w.shape) for w in logits.weights if len(w.shape) > 1)
    swaps = sum(isinstance(layer, keras.layers.Permute) for layer in logits.layers)
    saved = folder / "saved_model"
    say(f"{recipes[0].model}: exporting the graph")
    shape = (1, *recipes[0].preprocess.shape)
    signature = keras.InputSpec(shape=shape, dtype="float32", name="image")
    with silence():
        logits.export(saved, verbose=False, input_signature=[signature])
    for recipe in recipes:
        say(f"{recipe.stem}.tflite: converting")
        with silence():
            graph = Graph(_convert(saved, recipe.precision, ranges))
        make_whole(graph)
        _adapt(graph, recipe)
        data = graph.to_bytes()
        _check(graph, data, recipe, weights, swaps)
        (folder / f"{recipe.stem}.tflite").write_bytes(data)


def _convert(saved: Path, precision: str, ranges: Samples | None) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    if precision != "fp32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8-full":
        converter.representative_dataset = lambda: ([image[None]] for image in ranges.inputs)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()


def _adapt(graph: Graph, recipe: Recipe) -> None:
    """Gives the plain float32 file the input and the output that the recipe asks for."""
    if recipe.precision == "int8-dynamic":
        graph.float_depthwise()
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

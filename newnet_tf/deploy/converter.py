"""Conversion of a Keras model to TFLite bytes, and checks of the result."""

import contextlib
import functools
import math
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from newnet_tf.deploy.export_config import PIXELS, ExportConfig
from newnet_tf.deploy.flatbuffer import io_adapters, metadata, postprocess_operator
from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.deploy.flatbuffer.xnnpack_rewrites import apply_xnnpack_rewrites
from newnet_tf.deploy.image_batch import ImageBatch
from newnet_tf.deploy.model_outputs import IMAGE
from newnet_tf.deploy.quantization import litert_quantizer, weight_only
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.deploy.quantization.quantizer import CalibratedGraph, widen_output_ranges
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import PostprocessOperator
from newnet_tf.utils.lazy import LazyModule, keras
from newnet_tf.utils.quiet import quiet

tf = LazyModule("tensorflow")

UNKNOWN_OPERATOR = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
INT16X8 = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"


class ExportError(ValueError):
    """An export whose file is wrong; nothing was written. The message holds the figures."""


def convert(
    model: Any,
    configs: Sequence[ExportConfig],
    calibration_images: ImageBatch | None,
    folder: Path,
    log: Callable[[str], None],
    operator: PostprocessOperator | None = None,
) -> None:
    """Converts a model by each config and writes `<stem>.tflite` files into `folder`.

    One SavedModel, exported for a fixed batch of 1, serves all configs. (Converted from concrete
    functions instead, files lack their weights; with a dynamic batch the graph is split.)

    Args:
        model: `keras.Model`, `SourceModel.graph`.

        configs: what to make.

        calibration_images: `ImageBatch`, for precisions that are calibrated.

        folder: path of an empty folder.

        log: callable that prints a line of progress.

        operator: `PostprocessOperator`, for configs with `embed_postprocess`.

    Raises:
        ExportError: for a file with operators that phones lack, or without its weights, or where the
            converter refuses.
    """
    if not configs:
        return
    weights = sum(math.prod(w.shape) for w in model.weights if len(w.shape) > 1)
    permutes = sum(isinstance(layer, keras.layers.Permute) for layer in model.layers)
    log(f"{configs[0].model}: exporting the graph")
    # TensorFlow's writers read `[` and `\\` in a path as patterns: they write elsewhere.
    with tempfile.TemporaryDirectory(prefix="newnet-") as temporary:
        saved_model = Path(temporary) / "saved_model"
        save(model, configs[0].preprocess, saved_model)
        factory = GraphFactory(saved_model, calibration_images, configs[0].model, log)
        for config in configs:
            log(f"{config.stem}.tflite: converting")
            graph = factory.graph(config)
            apply_xnnpack_rewrites(graph)
            _adapt_io(graph, config, operator if config.embed_postprocess else None)
            data = graph.to_bytes()
            _check(graph, data, config, weights, permutes)
            data = metadata.embed(data, config)
            (folder / f"{config.stem}.tflite").write_bytes(data)


def save(model: Any, preprocess: PreprocessConfig, folder: Path) -> None:
    """Writes a model as a SavedModel of a fixed batch of 1, which converters take."""
    shape = (1, *preprocess.shape)
    signature = keras.InputSpec(shape=shape, dtype="float32", name=IMAGE)
    with silence():
        model.export(folder, verbose=False, input_signature=[signature])


class GraphFactory:
    """Makes the graph of any config from a SavedModel and images.

    Args:
        saved_model: path of the SavedModel, of a fixed batch of 1.

        calibration_images: `ImageBatch`, None where no config needs it.

        name: str, the model's name in messages.

        log: callable that prints a line, here of images with outlier activations. Default: `print`.
    """

    def __init__(
        self,
        saved_model: Path,
        calibration_images: ImageBatch | None,
        name: str,
        log: Callable[[str], None] = print,
    ):
        self._saved_model, self._calibration_images = saved_model, calibration_images
        self._name, self._log = name, log

    @functools.cached_property
    def calibrated(self) -> CalibratedGraph:
        """The float graph with its activation ranges measured."""
        images = self._calibration_images
        on = f" on {len(images)} images" if images else ""
        self._log(f"{self._name}: measuring activation ranges{on}")
        with silence(), _conversion_errors(self._name):
            graph = CalibratedGraph(self._saved_model, self._calibration_images)
            excluded = graph.excluded_images
        if excluded:
            images = ", ".join(excluded)
            self._log(f"{self._name}: excluded from calibration, for outlier activations: {images}")
        return graph

    def graph(self, config: ExportConfig) -> Graph:
        """Returns the graph of a config with float32 input and outputs, without a softmax."""
        precision, calibrated = config.precision, self.calibrated if config.is_corrected else None
        with silence():
            if precision == "int8-full":
                return calibrated.quantize(
                    config.exclude_layers,
                    config.calibration_method,
                    integer_outputs=config.io_dtype != "float32",
                )
            with _conversion_errors(config.stem):
                graph = Graph(self._initial_file(precision))
            if precision == "litert-dynamic":
                weight_only.dequantize_depthwise(graph)
            if precision in ("int8-dynamic", "int8-weights"):
                weight_only.quantize_kernels(graph)
            if calibrated:
                calibrated.correct(graph)
            if precision == "int16x8":
                widen_output_ranges(graph)
            if precision == "int8-dynamic":
                weight_only.use_dynamic_range(graph)
            if precision == "int8-weights":
                weight_only.insert_dequantize(graph)
        return graph

    def _initial_file(self, precision: str) -> bytes:
        """Returns the file that a precision begins with."""
        if precision in ("fp16", "int16x8"):
            return self.converted(precision)
        if precision == "litert-static":
            return litert_quantizer.static(self._fp32, self._calibration_images)
        if precision == "litert-dynamic":
            return litert_quantizer.dynamic(self._fp32)
        return self._fp32

    def converted(self, precision: str) -> bytes:
        """Returns the file of TensorFlow's converter for `"fp32"`, `"fp16"` or `"int16x8"`."""
        converter = tf.lite.TFLiteConverter.from_saved_model(str(self._saved_model))
        if precision != "fp32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "fp16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int16x8":
            images = self._calibration_images
            converter.representative_dataset = lambda: ([x[None]] for x in images.inputs)
            converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, INT16X8)]
        return converter.convert()

    @functools.cached_property
    def _fp32(self) -> bytes:
        return self.converted("fp32")


@contextlib.contextmanager
def _conversion_errors(name: str) -> Iterator[None]:
    """Turns what converters raise into errors that name the file."""
    try:
        yield
    except Exception as error:  # TensorFlow's ConverterError is a plain Exception
        missing = sorted(set(UNKNOWN_OPERATOR.findall(f"{error}")))
        if missing:
            raise ExportError(
                f"{name} must hold operators that TFLite has; ONNX (--to onnx) or a SavedModel (--to "
                f"saved_model) may take others. Received: {', '.join(missing)}"
            ) from error
        reason = next((line for line in f"{error}".splitlines() if line.strip()), "no reason")
        raise ExportError(
            f"{name} must be a form that its converter can make. "
            f"Received: {type(error).__name__}: {reason:.300}"
        ) from error


def _adapt_io(
    graph: Graph, config: ExportConfig, operator: PostprocessOperator | None = None
) -> None:
    """Gives the graph the input and the outputs of the config."""
    if config.embed_normalization:
        io_adapters.pixels(graph, config.preprocess.scale, config.preprocess.offset)
    elif config.io_dtype != "float32":
        io_adapters.integer_input(graph, config.io_dtype)
    if operator is not None:
        postprocess_operator.append(graph, operator)
    if config.appended_activation is not None:
        io_adapters.activate_output(graph, config.appended_activation)
    if config.io_dtype != "float32":
        io_adapters.integer_outputs(graph, config.io_dtype)
    is_named = len(config.outputs) == 1
    graph.rename(
        PIXELS if config.embed_normalization else IMAGE,
        config.outputs[0].name if is_named else None,
    )


def _check(graph: Graph, data: bytes, config: ExportConfig, weights: int, permutes: int) -> None:
    """Refuses custom operators, missing weights, lost outputs and added transposes."""
    allowed = graph.operators[-1:] if config.embed_postprocess else []
    custom = sorted({name for name in graph.operators if name.startswith("CUSTOM")} - {*allowed})
    transposes = graph.operators.count("TRANSPOSE")
    if custom or transposes > permutes:
        raise ExportError(
            f"{config.stem} must hold builtin operators only, and {permutes} TRANSPOSE at most, one "
            f"for each Permute layer. Received: {', '.join(custom) or f'{transposes} TRANSPOSE'}"
        )
    names = {tensor.name for tensor in config.outputs}
    if set(graph.output_names) != names:
        raise ExportError(
            f"{config.stem} must have the outputs {', '.join(sorted(names))}. "
            f"Received: {', '.join(sorted(graph.output_names))}"
        )
    least = weights * PRECISIONS[config.precision].weight_bytes
    if len(data) < least:
        raise ExportError(
            f"{config.stem} must hold {weights} weights in {least} bytes or more. "
            f"Received: {len(data)} bytes"
        )


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Suppresses TensorFlow's output while it exports and converts; errors say what failed."""
    from absl import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with quiet(show_failure=False), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)

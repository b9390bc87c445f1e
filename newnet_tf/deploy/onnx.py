"""Keras model to ONNX for servers and desktops, kept only if onnxruntime answers as the model does.

The graph goes from TensorFlow through tf2onnx. Two things are done to it before, without which tf2onnx
leaves a graph that is slow or invalid: Keras' grouped convolutions are traced as the convolutions that
they are (not as calls of compiled functions), and scalar constants of sums and products get a dimension
(its transpose optimizer fails on scalars, and all transposes between NHWC and NCHW would stay).
"""

import importlib
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.deploy import fingerprint, image_batch, tflite
from newnet_tf.deploy.converter import ExportError, silence
from newnet_tf.deploy.export_config import DEPLOYMENT, OUTPUTS, TIMING, ExportConfig
from newnet_tf.deploy.runtime import ModelFileError
from newnet_tf.deploy.verification import Verification
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import LazyModule
from newnet_tf.weights.reader import beside

tf = LazyModule("tensorflow")

OPSET = 17
SUFFIX, INPUT, RECORD = ".onnx", "image", "newnet_tf"
WITH_SCALARS = ("Add", "AddV2", "Sub", "Mul", "RealDiv", "Maximum", "Minimum")
NEEDED = "ONNX files need two packages: pip install 'newnet_tf[onnx]'"


@dataclass(frozen=True)
class OnnxResult:
    """An ONNX file that was written: its path, opset, and `Verification` (None: for timing only)."""

    file: Path
    opset: int
    verification: Verification | None


def export_onnx(
    model,
    preprocess: PreprocessConfig,
    out_dir: str | os.PathLike,
    name: str | None = None,
    validation_images: Iterable | None = None,
    output_type: str = "logits",
    verify: bool = True,
    opset: int = OPSET,
) -> OnnxResult:
    """Writes `<name>.onnx`: `image` in, float32 (n, height, width, channels), normalized; scores out.

    The file's metadata hold its recipe under `newnet_tf`, so nothing lies beside it.

    Args:
        model, preprocess, out_dir, name, images, verify: as in `export_tflite`.
        output_type: `"logits"` or `"probabilities"`.
        opset: int, of ONNX's operators. Default: 17.

    Returns:
        An `OnnxResult`.

    Raises:
        ValueError, DegenerateOutputsError: as `export_tflite`.
        ExportError: for a graph that tf2onnx or onnxruntime does not take, or that answers otherwise.
        RuntimeError: where tf2onnx or onnxruntime is not installed.

    Example:
        >>> export_onnx(model, record, "build", images=["cat.jpg", "cup.jpg"]).file
    """
    if output_type not in OUTPUTS:
        raise ValueError(
            f"`output_type` must be among {OUTPUTS}. Received: output_type={output_type!r}"
        )
    if verify and validation_images is None:
        raise ValueError(
            "`validation_images` must be given unless `verify=False`. Received: validation_images=None"
        )
    fingerprint.check_side(model, preprocess)
    logits = fingerprint.logits_model(model)
    judge = (
        tflite.Judge(logits, image_batch.read(validation_images, preprocess, "validation_images"))
        if verify
        else None
    )
    recipe = ExportConfig(
        model=name or model.name,
        precision="fp32",
        preprocess=preprocess,
        weights=fingerprint.weights_digest(logits),
        graph=fingerprint.graph_digest(logits),
        versions=fingerprint.versions(),
        output_type=output_type,
        purpose=DEPLOYMENT if verify else TIMING,
    )
    path = Path(out_dir) / f"{recipe.model.replace(':', '_')}{SUFFIX}"
    print(f"{path.name}: converting, opset {opset}", file=sys.stderr, flush=True)
    data = _convert(logits, recipe, opset)
    with beside(path) as part:
        part.write_bytes(data)
        try:
            runner = OnnxRunner(part)
        except ModelFileError as error:
            raise ExportError(
                f"{path.name} must be a graph that onnxruntime takes. Received: {error.__cause__}"
            ) from error
        found = judge and judge(runner, recipe)
        if found and not found.passed:
            raise ExportError(
                f"{path.name} must answer as the model does. Received: {'; '.join(found.reasons)} "
                f"({found}); nothing was written"
            )
    verdict = found or "not verified (timing only)"
    print(f"{path.name}: {len(data) / 1e6:.2f} MB; {verdict}", file=sys.stderr, flush=True)
    return OnnxResult(path, opset, found)


class OnnxRunner:
    """An ONNX image classifier, ready to run: arrays in, float32 scores out, as `Runner`.

    Args:
        file: path of an ONNX file with one image input and one output of scores.
        threads: int. Default: 1.

    Attributes:
        file: `Path`. recipe: `ExportConfig` from its metadata, None where there is none.
        classes: int. expects_uint8_pixels: False.

    Raises:
        ModelFileError: for a file that is missing, damaged, or no such classifier.
        RuntimeError: where onnxruntime is not installed.
    """

    expects_uint8_pixels = False

    def __init__(self, file: str | os.PathLike, threads: int = 1):
        runtime = _installed("onnxruntime")
        self.file = Path(file)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        if not self.file.is_file():
            raise ModelFileError(f"{file} must be an ONNX file. Received: no such file")
        try:
            providers = ["CPUExecutionProvider"]
            self._session = runtime.InferenceSession(os.fspath(file), options, providers=providers)
        except Exception as error:  # onnxruntime's own, one class a kind of fault
            raise ModelFileError(
                f"{file} must be an ONNX file that onnxruntime takes. Received: {error}"
            ) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shapes = [tensor.shape for tensor in (*inputs, *outputs)]
        if len(inputs) != 1 or len(outputs) != 1 or [len(s) for s in shapes] != [4, 2]:
            raise ModelFileError(
                f"{file} must take (n, size, size, channels) and give (n, classes). Received: {shapes}"
            )
        self._input, self.classes = inputs[0].name, shapes[1][1]
        record = self._session.get_modelmeta().custom_metadata_map.get(RECORD)
        self.recipe = ExportConfig.from_record(json.loads(record)) if record else None

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Runs the file: float32 (n, size, size, channels) to float32 (n, classes)."""
        return self._session.run(None, {self._input: np.asarray(inputs, np.float32)})[0]


def _convert(logits, recipe: ExportConfig, opset: int) -> bytes:
    """Returns the file, its tensors named and its recipe inside."""
    convert = _installed("tf2onnx").convert
    _installed("onnxruntime")
    with silence():
        graph, image, scores = _frozen(logits, recipe)
        try:
            made, _ = convert.from_graph_def(
                graph, input_names=[image], output_names=[scores], opset=opset
            )
        except Exception as error:  # tf2onnx raises anything on what it does not know
            raise ExportError(
                f"{recipe.model} must hold what tf2onnx can convert. Received: "
                f"{type(error).__name__}: {error}"
            ) from error
    foreign = sorted(
        {node.op_type for node in made.graph.node if "PartitionedCall" in node.op_type}
    )
    if foreign:
        raise ExportError(
            f"{recipe.model} must hold what tf2onnx can convert. Received: {', '.join(foreign)}"
        )
    _rename(made.graph, {image: INPUT, scores: recipe.output_type})
    for tensor in (*made.graph.input, *made.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "n"
    entry = made.metadata_props.add()
    entry.key, entry.value = RECORD, json.dumps({**recipe.record(), "opset": opset})
    return made.SerializeToString()


def _frozen(logits, recipe: ExportConfig):
    """Returns the graph with weights as constants, and the names of its input and output."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def call(image):
        scores = logits(image, training=False)
        return tf.nn.softmax(scores) if recipe.output_type == "probabilities" else scores

    spec = tf.TensorSpec((None, *recipe.preprocess.shape), tf.float32, INPUT)
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # functions within are traced as part of this graph
    try:
        traced = tf.compat.v1.wrap_function(call, [spec])
    finally:
        tf.config.run_functions_eagerly(before)
    frozen = convert_variables_to_constants_v2(traced)
    graph = frozen.graph.as_graph_def()
    constants = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
    for node in graph.node:
        if node.op in WITH_SCALARS:
            for tensor in (constants[name] for name in node.input if name in constants):
                if not tensor.tensor_shape.dim and tensor.dtype == tf.float32.as_datatype_enum:
                    tensor.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(tensor).reshape(1)))
    return graph, frozen.inputs[0].name, frozen.outputs[0].name


def _rename(graph, names: dict[str, str]) -> None:
    """Renames tensors of an ONNX graph."""
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    for tensor in (*graph.input, *graph.output):
        tensor.name = names.get(tensor.name, tensor.name)


def _installed(name: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RuntimeError(f"{NEEDED}. Received: {error}") from error

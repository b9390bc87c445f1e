"""Export of a Keras model to ONNX, for servers and desktops, verified with onnxruntime.

The graph goes from TensorFlow through tf2onnx. Two changes are made before, without which tf2onnx
leaves a graph that is slow or invalid: Keras' grouped convolutions are traced as the convolutions that
they are (not as calls of compiled functions), and scalar constants of sums and products get a dimension
(its transpose optimizer fails on scalars, and all transposes between NHWC and NCHW would stay).
"""

import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from newnet_tf.deploy import (
    config_file,
    export_options,
    fingerprint,
    image_batch,
    model_outputs,
    onnx_postprocess,
    source_model,
)
from newnet_tf.deploy.converter import ExportError, silence
from newnet_tf.deploy.export_config import DEPLOYMENT, POSTPROCESSED, TIMING, ExportConfig
from newnet_tf.deploy.export_result import OnnxResult
from newnet_tf.deploy.model_outputs import IMAGE
from newnet_tf.deploy.onnx_runner import METADATA_KEY, OnnxRunner, import_extra
from newnet_tf.deploy.runtime import ModelFileError
from newnet_tf.deploy.source_model import SourceModel
from newnet_tf.deploy.verifier import Verifier, check_images
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.utils import io
from newnet_tf.utils.lazy import LazyModule

if TYPE_CHECKING:
    from newnet_tf.task import PostprocessOperator, Task

tf = LazyModule("tensorflow")

OPSET = 17
SUFFIX = ".onnx"
WITH_SCALARS = ("Add", "AddV2", "Sub", "Mul", "RealDiv", "Maximum", "Minimum")


def export_onnx(
    model: Any,
    metadata: ModelMetadata | PreprocessConfig,
    out_dir: str | os.PathLike,
    name: str | None = None,
    validation_images: Iterable | None = None,
    output_type: str | None = None,
    verify: bool = True,
    opset: int = OPSET,
    embed_postprocess: bool = False,
    task: "str | Task | None" = None,
) -> OnnxResult:
    """Writes `<name>.onnx`, which takes `image`, float32 (n, height, width, channels), normalized.

    A classifier's output is called `logits`, `probabilities` or `sigmoid`, for another task outputs
    keep their names. The file's metadata properties hold its config under `newnet_tf`.

    Args:
        model, metadata, out_dir, name, validation_images, output_type, verify, task: as in
            `export_tflite`.

        opset: int, of ONNX's operators. Default: 17.

        embed_postprocess: bool, whether the file of a detector returns detections, as of
            `export_tflite`, by ONNX's `NonMaxSuppression`; it takes one image then. Default: False.

    Returns:
        An `OnnxResult`.

    Raises:
        ValueError, DegenerateOutputsError: as `export_tflite`.

        ExportError: for a graph that tf2onnx or onnxruntime does not take, or with other outputs.

        RuntimeError: where tf2onnx or onnxruntime is not installed.

    Example:
        >>> images = ["cat.jpg", "cup.jpg"]
        >>> export_onnx(model, preprocess, "build", validation_images=images).file
    """
    export_options.check_output_type(output_type)
    check_images([], None, validation_images, verify)
    source = source_model.source_model(model, metadata, name, task)
    output_type, appended = source.resolve_output_type(output_type)
    preprocess = source.metadata.preprocess
    operator = source_model.checked_operator(source, embed_postprocess)
    verifier = None
    if verify:
        images = image_batch.read(validation_images, preprocess, "validation_images")
        verifier = Verifier(source, images)
    config = ExportConfig(
        metadata=dataclasses.replace(source.metadata, output_type=output_type),
        precision="fp32",
        graph=fingerprint.graph_digest(source.graph),
        versions=fingerprint.versions(),
        model_output_type=source.metadata.output_type,
        appended_activation=appended,
        embed_postprocess=embed_postprocess,
        purpose=DEPLOYMENT if verify else TIMING,
        **model_outputs.signatures(
            source.graph,
            preprocess,
            output_type,
            batch_size=1 if operator else None,
            operator=operator,
        ),
    )
    kind = f".{POSTPROCESSED}" if operator else ""
    path = Path(out_dir) / f"{io.file_stem(config.model)}{kind}{SUFFIX}"
    print(f"{path.name}: converting, opset {opset}", file=sys.stderr, flush=True)
    data = _convert(source, config, opset, operator)
    with io.atomic_write(path) as temporary:
        temporary.write_bytes(data)
        try:
            runner = OnnxRunner(temporary)
        except ModelFileError as error:
            raise ExportError(
                f"{path.name} must be a graph that onnxruntime takes. Received: {error.__cause__}"
            ) from error
        verified = verifier(runner, config) if verifier else None
        if verified and not verified.passed:
            raise ExportError(
                f"{path.name} must give the model's outputs. "
                f"Received: {'; '.join(verified.reasons)} ({verified}); nothing was written"
            )
    config_file.write_labels(path.parent, config)
    note = verified or "not verified (timing only)"
    print(f"{path.name}: {len(data) / 1e6:.2f} MB; {note}", file=sys.stderr, flush=True)
    return OnnxResult(path, config, opset, verified)


def _convert(
    source: SourceModel, config: ExportConfig, opset: int, operator: "PostprocessOperator | None"
) -> bytes:
    """Returns the file, its tensors named and its config inside."""
    spec = source.task.decoder_spec() if operator else None
    raw = (spec["boxes"], spec["scores"]) if spec else tuple(t.name for t in config.outputs)
    convert = import_extra("tf2onnx").convert
    import_extra("onnxruntime")
    with silence():
        graph, image, outputs = _frozen(source.graph, config, raw)
        try:
            converted, _ = convert.from_graph_def(
                graph, input_names=[image], output_names=list(outputs), opset=opset
            )
        except Exception as error:  # tf2onnx raises anything on what it does not know
            raise ExportError(
                f"{config.model} must hold what tf2onnx can convert. Received: "
                f"{type(error).__name__}: {error}"
            ) from error
    unknown = sorted(
        {node.op_type for node in converted.graph.node if "PartitionedCall" in node.op_type}
    )
    if unknown:
        raise ExportError(
            f"{config.model} must hold what tf2onnx can convert. Received: {', '.join(unknown)}"
        )
    _rename(converted.graph, {image: IMAGE, **outputs})
    if spec is not None:
        onnx_postprocess.append(converted.graph, spec, operator)
        converted.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    else:
        for tensor in (*converted.graph.input, *converted.graph.output):
            tensor.type.tensor_type.shape.dim[0].dim_param = "n"
    entry = converted.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps({**config.to_dict(), "opset": opset})
    return converted.SerializeToString()


def _frozen(
    model: Any, config: ExportConfig, names: Sequence[str]
) -> tuple[Any, str, dict[str, str]]:
    """Returns the graph with weights as constants, its input, and {output: its name in the file}.

    Args:
        model: `SourceModel.graph`.

        config: `ExportConfig`.

        names: names of the model's outputs in the file.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def call(image):
        outputs = model(image, training=False)
        if isinstance(outputs, dict):
            return [tf.identity(outputs[name]) for name in names]
        return [model_outputs.activate(outputs, config.appended_activation)]

    spec = tf.TensorSpec((None, *config.preprocess.shape), tf.float32, IMAGE)
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
    outputs = dict(zip((tensor.name for tensor in frozen.outputs), names, strict=True))
    return graph, frozen.inputs[0].name, outputs


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Renames tensors of an ONNX graph."""
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(name, name) for name in tensors]
    for tensor in (*graph.input, *graph.output):
        tensor.name = names.get(tensor.name, tensor.name)

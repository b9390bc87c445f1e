"""TFLite metadata inside a file: its input and outputs, labels, license.

Android Studio, the Task Library and MediaPipe read it. It is a table (schema 1.1.0,
`tensorflow_lite_support/metadata/metadata_schema.fbs` of tensorflow/tflite-support) in a buffer of the
file called `TFLITE_METADATA`. The labels follow the file (`config_file`). The package `tflite-support`,
which wrote it, does not support today's Python.
"""

from collections.abc import Mapping

import numpy as np

from newnet_tf.deploy import config_file
from newnet_tf.deploy.config_file import LABELS
from newnet_tf.deploy.export_config import ExportConfig
from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import CLASSIFICATION, MULTILABEL, OUTPUT_TYPES
from newnet_tf.utils.lazy import LazyModule

flatbuffers = LazyModule("flatbuffers")

NAME, IDENTIFIER, PARSER = "TFLITE_METADATA", b"M001", "1.1.0"
TITLES = {CLASSIFICATION: "Image classifier", MULTILABEL: "Multi-label image classifier"}
AXIS_LABELS = 2  # AssociatedFileType
IMAGE, UNKNOWN, RGB, GRAY = 2, 0, 1, 2  # ContentProperties, ColorSpaceType: there is no BGR
NORMALIZATION = 1  # ProcessUnitOptions


def embed(data: bytes, config: ExportConfig) -> bytes:
    """Returns a TFLite file with metadata inside, and its record and labels behind it.

    Args:
        data: bytes, the file.

        config: `ExportConfig`.
    """
    metadata = config.metadata
    is_classifier = metadata.task in OUTPUT_TYPES
    kind = TITLES.get(metadata.task, metadata.task.replace("_", " ").capitalize())
    classes = f", {config.outputs[0].shape[-1]} classes" if is_classifier else ""
    untrained = "" if metadata.trained else ", UNTRAINED"
    description = {
        "name": metadata.name,
        "description": f"{kind}{classes}, {config.kind}{untrained}",
        "author": metadata.author or "not stated",
        "license": metadata.license or "not stated",
    }
    if is_classifier:
        description["output"] = config.output_type
    has_labels = bool(metadata.class_names)
    graph = Graph(data)
    table = _table(metadata.preprocess, config.embed_normalization, description, has_labels)
    graph.attach(NAME, table)
    return config_file.append_record(graph.to_bytes(), config)


def _table(
    preprocess: PreprocessConfig,
    expects_uint8_pixels: bool,
    description: Mapping[str, str],
    has_labels: bool,
) -> bytes:
    """Returns the metadata. Tables are dicts of field number -> (kind, value), as in the schema."""
    channels = preprocess.channels
    mean = [0.0] if expects_uint8_pixels else [255 * value for value in preprocess.mean]
    std = [1.0] if expects_uint8_pixels else [255 * value for value in preprocess.std]
    low, high = ((np.array(end) - mean) / std for end in ([0.0] * channels, [255.0] * channels))
    size = {0: ("uint32", preprocess.image_size), 1: ("uint32", preprocess.image_size)}
    space = GRAY if channels == 1 else RGB if preprocess.channel_order == "RGB" else UNKNOWN
    colors = {0: ("int8", space), 1: ("table", size)}
    normalization = {0: ("floats", mean), 1: ("floats", std)}
    image = {
        0: ("text", "pixels" if expects_uint8_pixels else "image"),
        1: ("text", "the image, resized and cropped"),
        3: ("table", {0: ("int8", IMAGE), 1: ("table", colors)}),
        4: ("tables", [{0: ("int8", NORMALIZATION), 1: ("table", normalization)}]),
        5: ("table", {0: ("floats", high), 1: ("floats", low)}),
    }
    tensors = {2: ("tables", [image])}
    if "output" in description:
        scores = {0: ("text", description["output"]), 1: ("text", "one score a class")}
        if has_labels:
            scores[6] = ("tables", [{0: ("text", LABELS), 2: ("int8", AXIS_LABELS)}])
        tensors[3] = ("tables", [scores])
    model = {
        0: ("text", description["name"]),
        1: ("text", description["description"]),
        3: ("tables", [tensors]),
        4: ("text", description["author"]),
        5: ("text", description["license"]),
        7: ("text", PARSER),
    }
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, model), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _write(builder, fields: Mapping) -> int:
    """Writes a table and what it refers to; returns its offset."""
    offsets = {
        number: value if kind in ("int8", "uint32") else _write_referenced(builder, kind, value)
        for number, (kind, value) in fields.items()
    }
    builder.StartObject(max(fields) + 1)
    for number, (kind, _) in fields.items():
        if kind == "int8":
            builder.PrependInt8Slot(number, offsets[number], 0)
        elif kind == "uint32":
            builder.PrependUint32Slot(number, offsets[number], 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, offsets[number], 0)
    return builder.EndObject()


def _write_referenced(builder, kind: str, value) -> int:
    """Writes what a field refers to; returns its offset."""
    if kind == "text":
        return builder.CreateString(value)
    if kind == "table":
        return _write(builder, value)
    if kind == "floats":
        return builder.CreateNumpyVector(np.asarray(value, np.float32))
    offsets = [_write(builder, table) for table in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()

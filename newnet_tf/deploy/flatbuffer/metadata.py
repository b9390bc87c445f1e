"""TFLite metadata inside a classifier's file: its input and output, labels, license.

Android Studio, the Task Library and MediaPipe read it. It is a table (schema 1.1.0,
`tensorflow_lite_support/metadata/metadata_schema.fbs` of tensorflow/tflite-support) in a buffer of the
file called `TFLITE_METADATA`. The labels follow the file as a zip archive, which interpreters do not
read. The package `tflite-support`, which wrote it, does not support today's Python.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import LazyModule

flatbuffers = LazyModule("flatbuffers")

NAME, IDENTIFIER, PARSER = "TFLITE_METADATA", b"M001", "1.1.0"
LABELS = "labels.txt"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip archive: the same bytes every time
AXIS_LABELS = 2  # AssociatedFileType
IMAGE, RGB, GRAY = 2, 1, 2  # ContentProperties, ColorSpaceType
NORMALIZATION = 1  # ProcessUnitOptions


def embed(
    data: bytes,
    preprocess: PreprocessConfig,
    expects_uint8_pixels: bool,
    description: Mapping[str, str],
    class_names: Sequence[str] | None = None,
) -> bytes:
    """Returns a TFLite file with metadata inside, and its labels behind it.

    Args:
        data: bytes, the file.

        preprocess: `PreprocessConfig` of its images.

        expects_uint8_pixels: bool, whether the file normalizes by itself.

        description: mapping with str values `name`, `description`, `author`, `license`, and for a
            classifier `output`.

        class_names: a str for each class, None where they are unknown.
    """
    graph = Graph(data)
    has_labels = class_names is not None
    graph.attach(NAME, _table(preprocess, expects_uint8_pixels, description, has_labels))
    file = graph.to_bytes()
    if class_names is None:
        return file
    return file + archive({LABELS: "".join(f"{name}\n" for name in class_names).encode()})


def archive(files: Mapping[str, bytes]) -> bytes:
    """Returns a zip archive of files by name; the same files give the same bytes."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as zipped:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            zipped.writestr(entry, data)
    return memory.getvalue()


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
    colors = {0: ("int8", RGB if channels == 3 else GRAY), 1: ("table", size)}
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

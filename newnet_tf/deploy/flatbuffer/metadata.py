"""TFLite's own metadata, inside the file: what goes in, what comes out, the labels, the license.

Android Studio, the Task Library and MediaPipe read it. It is a table of its own (schema 1.1.0,
`tensorflow_lite_support/metadata/metadata_schema.fbs` of tensorflow/tflite-support) in a buffer of the
file called `TFLITE_METADATA`; the labels lie behind the file as a zip archive, which interpreters do
not read. The package that wrote it is no longer made for today's Python, and it is a few tables.
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
    facts: Mapping[str, str],
    class_names: Sequence[str] | None = None,
) -> bytes:
    """Returns a TFLite file with metadata inside, and its labels behind it.

    Args:
        data: bytes, the file. preprocess: `PreprocessConfig` of its images.
        expects_uint8_pixels: bool, whether the file normalizes by itself.
        facts: mapping with str values `name`, `description`, `author`, `license`, `output`.
        class_names: one str a class, None where nobody says.
    """
    graph = Graph(data)
    graph.attach(NAME, _table(preprocess, expects_uint8_pixels, facts, class_names is not None))
    whole = graph.to_bytes()
    if class_names is None:
        return whole
    return whole + archive({LABELS: "".join(f"{name}\n" for name in class_names).encode()})


def archive(files: Mapping[str, bytes]) -> bytes:
    """Returns a zip archive that is the same for the same files, in this order."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as zipped:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            zipped.writestr(entry, data)
    return memory.getvalue()


def _table(preprocess: PreprocessConfig, expects_uint8_pixels: bool, facts, labeled: bool) -> bytes:
    """The metadata proper. Tables are dicts of field number -> (kind, value), as in the schema."""
    channels = preprocess.channels
    mean = [0.0] if expects_uint8_pixels else [255 * value for value in preprocess.mean]
    std = [1.0] if expects_uint8_pixels else [255 * value for value in preprocess.std]
    low, high = ((np.array(end) - mean) / std for end in ([0.0] * channels, [255.0] * channels))
    side = {0: ("uint32", preprocess.image_size), 1: ("uint32", preprocess.image_size)}
    colors = {0: ("int8", RGB if channels == 3 else GRAY), 1: ("table", side)}
    normalization = {0: ("floats", mean), 1: ("floats", std)}
    image = {
        0: ("text", "pixels" if expects_uint8_pixels else "image"),
        1: ("text", "the image, resized and cropped"),
        3: ("table", {0: ("int8", IMAGE), 1: ("table", colors)}),
        4: ("tables", [{0: ("int8", NORMALIZATION), 1: ("table", normalization)}]),
        5: ("table", {0: ("floats", high), 1: ("floats", low)}),
    }
    scores = {0: ("text", facts["output"]), 1: ("text", "one score a class")}
    if labeled:
        scores[6] = ("tables", [{0: ("text", LABELS), 2: ("int8", AXIS_LABELS)}])
    model = {
        0: ("text", facts["name"]),
        1: ("text", facts["description"]),
        3: ("tables", [{2: ("tables", [image]), 3: ("tables", [scores])}]),
        4: ("text", facts["author"]),
        5: ("text", facts["license"]),
        7: ("text", PARSER),
    }
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, model), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _write(builder, fields: Mapping) -> int:
    """Writes a table and what it points to; returns where it lies."""
    places = {
        number: value if kind in ("int8", "uint32") else _beside(builder, kind, value)
        for number, (kind, value) in fields.items()
    }
    builder.StartObject(max(fields) + 1)
    for number, (kind, _) in fields.items():
        if kind == "int8":
            builder.PrependInt8Slot(number, places[number], 0)
        elif kind == "uint32":
            builder.PrependUint32Slot(number, places[number], 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, places[number], 0)
    return builder.EndObject()


def _beside(builder, kind: str, value) -> int:
    """Writes what a field points to."""
    if kind == "text":
        return builder.CreateString(value)
    if kind == "table":
        return _write(builder, value)
    if kind == "floats":
        return builder.CreateNumpyVector(np.asarray(value, np.float32))
    places = [_write(builder, table) for table in value]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()

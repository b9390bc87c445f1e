"""Export of a Keras model to a SavedModel for servers: images in, named outputs out.

Resizing, cropping and normalizing are part of the graph.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from newnet_tf.data.images import read_image
from newnet_tf.data.preprocess import tf_preprocess
from newnet_tf.deploy import fingerprint, model_outputs
from newnet_tf.deploy.converter import silence
from newnet_tf.deploy.runtime import ModelFileError
from newnet_tf.deploy.source_model import source_model
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import (
    CLASSIFICATION,
    ENTRY,
    OUTPUT_TYPES,
    PROBABILITIES,
    SIGMOID,
    ModelMetadata,
)
from newnet_tf.utils.io import lines_of, staging_folder
from newnet_tf.utils.lazy import LazyModule, keras

if TYPE_CHECKING:
    from newnet_tf.task import Task

tf = LazyModule("tensorflow")

EXTRA = "assets.extra"  # where TensorFlow Serving looks for files of the user's own
METADATA, CLASS_NAMES = ENTRY, "class_names.txt"
MAX_BYTES = 16 * 2**20  # of the record


def export_saved_model(
    model: Any,
    folder: str | os.PathLike,
    metadata: ModelMetadata | PreprocessConfig,
    task: "str | Task | None" = None,
) -> Path:
    """Writes a SavedModel that takes images as they are: it resizes, crops and normalizes.

    It has two signatures. `serving_default` takes `images`, uint8 (n, height, width, channels) of any
    one size, values 0-255 (the model's own number of channels, 3, or 1 for gray). `encoded` takes
    `files`, strings (n,) with the bytes of JPEG or PNG files, each of any size. The output of a
    classifier is `probabilities`, float32 (n, classes), which add up to 1, or for a binary or
    multi-label one `sigmoid`; for another task the outputs are the model's.

    The folder also holds `assets.extra/newnet_tf.json` (`ModelMetadata`, outputs, digest of the graph,
    versions) and, where they are known, `assets.extra/class_names.txt`.

    Args:
        model, metadata, task: as `export_tflite` takes them.

        folder: path. An earlier SavedModel there is replaced, anything else is not.

    Returns:
        `folder`. It is written under another name and then renamed, so that it is never incomplete.

    Raises:
        ValueError: for a model of another kind, or another number of class names.

        FileExistsError: where something that is no SavedModel has that name.

    Example:
        >>> model = newnet_tf.create_model("efficientnet_lite0")
        >>> export_saved_model(model, "build/lite0", newnet_tf.get_metadata(model))
        >>> serve = tf.saved_model.load("build/lite0").signatures["encoded"]
        >>> serve(files=tf.constant([open("cat.jpg", "rb").read()]))["probabilities"]
    """
    source, folder = source_model(model, metadata, task=task), Path(folder)
    wanted = None
    if source.task.name in OUTPUT_TYPES:
        is_single = source.task.name == CLASSIFICATION and source.graph.output_shape[-1] > 1
        wanted = PROBABILITIES if is_single else SIGMOID
    output_type, activation = source.resolve_output_type(wanted)
    replaces = folder.exists()
    if replaces and not (folder / "saved_model.pb").is_file():
        raise FileExistsError(
            f"`folder` must be new or hold a SavedModel. Received: {str(folder)!r}"
        )
    print(f"{folder.name}: exporting the SavedModel", file=sys.stderr, flush=True)
    known = dataclasses.replace(source.metadata, output_type=output_type)
    # TensorFlow's writers read `[` and `\\` in a path as patterns: they write elsewhere.
    with (
        tempfile.TemporaryDirectory(prefix="newnet-") as temporary,
        staging_folder(folder.parent, folder.name) as staging,
    ):
        written, new = Path(temporary) / "new", staging / "new"
        with silence():
            _archive(source.graph, known, activation).write_out(written, verbose=False)
        _write_metadata(written / EXTRA, source.graph, known)
        shutil.copytree(written, new)
        if replaces:
            os.replace(folder, staging / "old")
        os.replace(new, folder)
    return folder


def read_metadata(folder: str | os.PathLike) -> ModelMetadata:
    """Returns the metadata inside a SavedModel of `export_saved_model`.

    Raises:
        ModelFileError: where it is missing or damaged.
    """
    return _read_record(folder)[0]


def _read_record(folder: str | os.PathLike) -> tuple[ModelMetadata, tuple[str, ...]]:
    """Returns the metadata inside a SavedModel, and the names of its outputs."""
    path = Path(folder, EXTRA, METADATA)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"a record of {path.stat().st_size} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
        return ModelMetadata.from_dict(values["metadata"]), tuple(values["outputs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{folder} must be a SavedModel that `export_saved_model` wrote. Received: {error}"
        ) from error


class SavedModelRunner:
    """A SavedModel of `export_saved_model`, ready to run: images in, arrays out.

    Args:
        folder: path of the SavedModel.

    Attributes:
        metadata: `ModelMetadata`.

    Raises:
        ModelFileError: for a folder that is no such SavedModel.

    Example:
        >>> SavedModelRunner("build/lite0")(["cat.jpg", "cup.jpg"]).shape
        (2, 1000)
    """

    def __init__(self, folder: str | os.PathLike):
        self.metadata, self._outputs = _read_record(folder)
        try:
            with _readable_path(Path(folder)) as path:
                self._loaded = tf.saved_model.load(path)  # which keeps signatures alive
            self._serve: Callable = self._loaded.signatures["serving_default"]
        except (OSError, ValueError, KeyError) as error:
            raise ModelFileError(
                f"{folder} must be a whole SavedModel. Received: {error}"
            ) from error

    @property
    def classes(self) -> int | None:
        """Number of outputs of a classifier, None for another task."""
        if self.metadata.task not in OUTPUT_TYPES:
            return None
        outputs = self._serve.structured_outputs  # type: ignore[attr-defined]
        return outputs[self._outputs[0]].shape[-1]

    def __call__(self, images: Sequence[Any]) -> np.ndarray | dict[str, np.ndarray]:
        """Runs images of any size, one by one.

        Args:
            images: paths, encoded bytes or uint8 arrays (height, width, 3).

        Returns:
            Array (images, classes) of a classifier; for another task a dict of arrays.
        """
        rows = []
        for image in images:
            outputs = self._serve(images=self.pixels(image)[None])
            rows.append({name: tensor.numpy() for name, tensor in outputs.items()})
        joint = {name: np.concatenate([row[name] for row in rows]) for name in self._outputs}
        return joint[self._outputs[0]] if self.metadata.task in OUTPUT_TYPES else joint

    def pixels(self, image: Any) -> Any:
        """Returns an image as the SavedModel takes it: uint8 tensor (height, width, channels)."""
        pixels = read_image(image)
        if self.metadata.preprocess.channels == 1:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
        return tf.constant(pixels)


@contextlib.contextmanager
def _readable_path(folder: Path) -> Iterator[str]:
    """Gives a path of a folder that TensorFlow can read: it takes `[`, `*`, `?`, `\\` as patterns."""
    if not set("[*?\\") & set(os.fspath(folder)):
        yield os.fspath(folder)
        return
    with tempfile.TemporaryDirectory(prefix="newnet-") as temporary:
        link = Path(temporary) / "saved_model"
        link.symlink_to(folder.resolve(), target_is_directory=True)
        yield os.fspath(link)


def _archive(model: Any, metadata: ModelMetadata, activation: str | None) -> Any:
    """Returns the graph with both signatures."""
    preprocess = metadata.preprocess
    transform = tf_preprocess(preprocess)

    def serve(encoded):
        prepared = tf.map_fn(transform, encoded, fn_output_signature=tf.float32)
        outputs = model(prepared, training=False)
        if isinstance(outputs, dict):
            return outputs
        return {metadata.output_type: model_outputs.activate(outputs, activation)}

    def of_images(images):
        return serve(images)

    def of_files(files):
        return serve(files)

    archive = keras.export.ExportArchive()
    archive.track(model)
    shape = (None, None, None, preprocess.channels)
    archive.add_endpoint("serving_default", of_images, [tf.TensorSpec(shape, tf.uint8, "images")])
    archive.add_endpoint("encoded", of_files, [tf.TensorSpec((None,), tf.string, "files")])
    return archive


def _write_metadata(folder: Path, graph: Any, metadata: ModelMetadata) -> None:
    """Writes what a reader of the SavedModel needs to know."""
    folder.mkdir()
    outputs = list(graph.output) if isinstance(graph.output, dict) else [metadata.output_type]
    values = {
        "metadata": metadata.to_dict(),
        "outputs": outputs,
        "graph": fingerprint.graph_digest(graph),
        "versions": fingerprint.versions(),
    }
    text = json.dumps(values, indent=2, ensure_ascii=False)
    (folder / METADATA).write_text(f"{text}\n", encoding="utf-8")
    if metadata.class_names:
        (folder / CLASS_NAMES).write_text(lines_of(metadata.class_names), encoding="utf-8")

"""Keras model to a SavedModel for servers: images in, probabilities out, nothing else to know."""

import dataclasses
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from newnet_tf.data.preprocess import tf_preprocess
from newnet_tf.deploy import fingerprint
from newnet_tf.deploy.converter import silence
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import LazyModule, keras

tf = LazyModule("tensorflow")

OUTPUT = "probabilities"
EXTRA = "assets.extra"  # where TensorFlow Serving looks for files of the user's own


def export_saved_model(
    model,
    folder: str | os.PathLike,
    preprocess: PreprocessConfig,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Writes a SavedModel that takes images as they are: it resizes, crops and normalizes.

    It has two signatures, both with one output, `probabilities`, float32 (n, classes):
    `serving_default` takes `images`, uint8 (n, height, width, channels) of any one size, values
    0-255 (the network's own number of channels, 3, or 1 for gray);
    `encoded` takes `files`, strings (n,) with the bytes of JPEG or PNG files, each of any size.
    Beside the graph lie `assets.extra/model.json` (model, digests of weights and graph,
    preprocessing, versions) and, with `class_names`, `assets.extra/class_names.txt`.

    Args:
        model: Keras model from images to class scores; ends in logits or in a softmax layer.
        folder: where to; an earlier SavedModel there is replaced, anything else is not.
        preprocess: `cards.Preprocess` of its weights.
        class_names: names of the classes in order, one for each output.

    Returns:
        `folder`. It is written beside and renamed, so that it is never half there.

    Raises:
        ValueError: for a model of another kind, or another number of class names.
        FileExistsError: where something that is no SavedModel has that name.

    Example:
        >>> model = newnet_tf.create("efficientnet_lite0")
        >>> record = newnet_tf.preprocess("efficientnet_lite0").record
        >>> export_saved_model(model, "build/lite0", record)
        >>> served = tf.saved_model.load("build/lite0").signatures["encoded"]
        >>> served(files=tf.constant([open("cat.jpg", "rb").read()]))["probabilities"]
    """
    fingerprint.check_side(model, preprocess)
    logits, folder = fingerprint.logits_model(model), Path(folder)
    classes = logits.outputs[0].shape[-1]
    if class_names is not None and len(class_names) != classes:
        raise ValueError(
            f"`class_names` must hold {classes} names, as the model has outputs. "
            f"Received: {len(class_names)}"
        )
    replaces = folder.exists()
    if replaces and not (folder / "saved_model.pb").is_file():
        raise FileExistsError(
            f"`folder` must be new or hold a SavedModel. Received: {str(folder)!r}"
        )
    print(f"{folder.name}: exporting the SavedModel", file=sys.stderr, flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        fresh = staging / "new"
        with silence():
            _archive(logits, preprocess).write_out(fresh, verbose=False)
        _describe(fresh / EXTRA, model, logits, preprocess, class_names)
        if replaces:
            os.replace(folder, staging / "old")
        os.replace(fresh, folder)
    finally:
        shutil.rmtree(staging)
    return folder


def _archive(logits, preprocess: PreprocessConfig):
    transform = tf_preprocess(preprocess)

    def serve(encoded):
        prepared = tf.map_fn(transform, encoded, fn_output_signature=tf.float32)
        return {OUTPUT: tf.nn.softmax(logits(prepared, training=False))}

    def of_images(images):
        return serve(images)

    def of_files(files):
        return serve(files)

    archive = keras.export.ExportArchive()
    archive.track(logits)
    shape = (None, None, None, preprocess.channels)
    archive.add_endpoint("serving_default", of_images, [tf.TensorSpec(shape, tf.uint8, "images")])
    archive.add_endpoint("encoded", of_files, [tf.TensorSpec((None,), tf.string, "files")])
    return archive


def _describe(folder: Path, model, logits, preprocess: PreprocessConfig, class_names) -> None:
    """Writes what a reader of the SavedModel may want to know of it."""
    folder.mkdir()
    record = {
        "model": model.name,
        "weights": fingerprint.weights_digest(logits),
        "graph": fingerprint.graph_digest(logits),
        "preprocess": dataclasses.asdict(preprocess),
        "versions": fingerprint.versions(),
    }
    (folder / "model.json").write_text(f"{json.dumps(record, indent=2)}\n", encoding="utf-8")
    if class_names is not None:
        names = "".join(f"{name}\n" for name in class_names)
        (folder / "class_names.txt").write_text(names, encoding="utf-8")

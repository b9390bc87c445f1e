"""Verification of files of every format that was exported: TFLite, ONNX, SavedModel, Keras."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from newnet_tf.data.preprocess import tf_preprocess
from newnet_tf.deploy import config_file, image_batch, verification
from newnet_tf.deploy.onnx_runner import OnnxRunner
from newnet_tf.deploy.runtime import ModelFileError
from newnet_tf.deploy.sandbox import SandboxedRunner
from newnet_tf.deploy.saved_model import SavedModelRunner, read_metadata
from newnet_tf.deploy.source_model import SourceModel, source_model
from newnet_tf.deploy.verification import Verification
from newnet_tf.deploy.verifier import Verifier
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.models.model_file import read_metadata as read_keras_metadata
from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    from newnet_tf.task import Task

TFLITE, ONNX, KERAS, SAVED_MODEL = ".tflite", ".onnx", ".keras", "a SavedModel's folder"
FORMATS = (TFLITE, ONNX, KERAS, SAVED_MODEL)
EXACT = "fp32"  # the precision of Keras files and SavedModels


def format_of(file: str | os.PathLike) -> str:
    """Returns which of `FORMATS` a file has, by its name.

    Raises:
        ValueError: for none of them.
    """
    path = Path(file)
    if path.is_dir() or path.suffix not in FORMATS:
        if (path / "saved_model.pb").is_file():
            return SAVED_MODEL
        raise ValueError(f"a file must be one of {', '.join(FORMATS)}. Received: {file}")
    return path.suffix


def model_name_of(file: str | os.PathLike) -> str | None:
    """Returns the name of the model that a file says it was made from, None where it does not.

    Raises:
        ModelFileError: for a damaged file.

        ValueError: for a file of another format, or a damaged config next to it.
    """
    kind = format_of(file)
    if kind == KERAS:
        metadata = read_keras_metadata(file)
        return metadata.name if metadata else None
    if kind == SAVED_MODEL:
        return read_metadata(file).name
    config = config_file.read_config(file) if kind == TFLITE else OnnxRunner(file).config
    return config.model if config else None


def verify_file(
    model: Any,
    file: str | os.PathLike,
    validation_images: Iterable,
    metadata: ModelMetadata | PreprocessConfig,
    task: "str | Task | None" = None,
) -> Verification:
    """Verifies a file against the model that it was made from.

    TFLite files run in a process of their own. A SavedModel prepares images by itself, and is compared
    with the model on images that `tf.data`'s form of the preprocessing prepared. A `.keras` file and a
    SavedModel are bounded by the tolerance of fp32.

    Args:
        model: Keras model with the weights of the export.

        file: path of a file of one of `FORMATS`.

        validation_images: images, two or more of different things, see `image_batch.read`.

        metadata: `ModelMetadata` of the model, or its `PreprocessConfig`, as in `export_tflite`.

        task: str or `Task`. Default: that of the metadata.

    Returns:
        A `Verification`; ask its `passed`.

    Raises:
        ModelFileError: for a file that cannot be run.

        ValueError: for a file without config, or a model with other weights.

        DegenerateOutputsError: where the model's own outputs do not vary from image to image.
    """
    kind, source = format_of(file), source_model(model, metadata, task=task)
    if kind == SAVED_MODEL:
        return _verify_saved_model(source, Path(file), validation_images)
    if kind == KERAS:
        other = source_model(load_keras(file), source.metadata, task=task)
        preprocess, own = source.metadata.preprocess, source.metadata.output_type
        inputs = image_batch.read(validation_images, preprocess, "validation_images").inputs
        reference, outputs = (s.predict(inputs) for s in (source, other))
        verification.check_task_outputs(reference, source.task, own)
        return verification.compare_outputs(reference, outputs, EXACT, own, source.task, own)
    runner = SandboxedRunner(file) if kind == TFLITE else OnnxRunner(file)
    config = runner.config
    if config is None:
        raise ValueError(
            f"{file} must come with its config, which `export` writes. Received: no config"
        )
    _check_weights(source, config.weights, file)
    images = image_batch.read(validation_images, config.preprocess, "validation_images")
    return Verifier(source, images)(runner, config)


def load_keras(file: str | os.PathLike) -> Any:
    """Returns the model in a `.keras` file.

    Raises:
        ModelFileError: for what Keras cannot load.
    """
    try:
        return keras.models.load_model(file, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{file} must be a model that Keras saved. Received: {error}"
        ) from error


def _verify_saved_model(
    source: SourceModel, folder: Path, validation_images: Iterable
) -> Verification:
    runner = SavedModelRunner(folder)
    metadata, own = runner.metadata, source.metadata.output_type
    _check_weights(source, metadata.sha256, folder)
    prepare, images = tf_preprocess(metadata.preprocess), list(validation_images)
    inputs = np.stack([prepare(runner.pixels(image)) for image in images])
    reference = source.predict(inputs)
    verification.check_task_outputs(reference, source.task, own)
    precision = source.half_precision or EXACT
    return verification.compare_outputs(
        reference, runner(images), precision, metadata.output_type, source.task, own
    )


def _check_weights(source: SourceModel, expected: str, file: str | os.PathLike) -> None:
    if source.metadata.sha256 != expected:
        raise ValueError(
            f"`model` must have the weights that {file} was made from (sha256 {expected:.12}…). "
            f"Received: model {source.given.name!r} with {source.metadata.sha256:.12}…"
        )

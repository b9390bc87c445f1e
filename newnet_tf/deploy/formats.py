"""Verification of files of every format that was exported: TFLite, ONNX, SavedModel, Keras."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from newnet_tf.data.preprocess import tf_preprocess
from newnet_tf.deploy import config_file, fingerprint, image_batch, model_outputs, verification
from newnet_tf.deploy.export_config import CLASSIFICATION
from newnet_tf.deploy.onnx_runner import OnnxRunner
from newnet_tf.deploy.runtime import ModelFileError
from newnet_tf.deploy.sandbox import SandboxedRunner
from newnet_tf.deploy.saved_model import OUTPUT, SavedModelRunner, read_metadata
from newnet_tf.deploy.verification import Verification
from newnet_tf.deploy.verifier import Verifier
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import get_task
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
        return None
    if kind == SAVED_MODEL:
        return read_metadata(file).model
    config = config_file.read_config(file) if kind == TFLITE else OnnxRunner(file).config
    return config.model if config else None


def verify_file(
    model: Any,
    file: str | os.PathLike,
    validation_images: Iterable,
    preprocess: PreprocessConfig,
    task: "str | Task" = CLASSIFICATION,
) -> Verification:
    """Verifies a file against the model that it was made from.

    TFLite files run in a process of their own. A SavedModel prepares images by itself, and is compared
    with the model on images that `tf.data`'s form of the preprocessing prepared. A `.keras` file and a
    SavedModel are bounded by the tolerance of fp32.

    Args:
        model: Keras model with the weights of the export.

        file: path of a file of one of `FORMATS`.

        validation_images: images, two or more of different things, see `image_batch.read`.

        preprocess: `PreprocessConfig` of the model, for a `.keras` file; others name their own.

        task: str or `Task`. Default: `"classification"`.

    Returns:
        A `Verification`; ask its `passed`.

    Raises:
        ModelFileError: for a file that cannot be run.

        ValueError: for a file without config, or a model with other weights.

        DegenerateOutputsError: where the model's own outputs do not vary from image to image.
    """
    task = get_task(task)
    kind, exported = format_of(file), model_outputs.export_model(model, task)
    if kind == SAVED_MODEL:
        return _verify_saved_model(exported, Path(file), validation_images, task)
    if kind == KERAS:
        other = model_outputs.export_model(load_keras(file), task)
        inputs = image_batch.read(validation_images, preprocess, "validation_images").inputs
        reference, outputs = (model_outputs.predict(m, inputs) for m in (exported, other))
        verification.check_task_outputs(reference, task)
        return verification.compare_outputs(reference, outputs, EXACT, "logits", task)
    runner = SandboxedRunner(file) if kind == TFLITE else OnnxRunner(file)
    config = runner.config
    if config is None:
        raise ValueError(
            f"{file} must come with its config, which `export` writes. Received: no config"
        )
    _check_weights(exported, config.weights, file)
    images = image_batch.read(validation_images, config.preprocess, "validation_images")
    return Verifier(exported, images, task)(runner, config)


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
    model: Any, folder: Path, validation_images: Iterable, task: "Task"
) -> Verification:
    runner = SavedModelRunner(folder)
    _check_weights(model, runner.metadata.weights, folder)
    prepare, images = tf_preprocess(runner.metadata.preprocess), list(validation_images)
    inputs = np.stack([prepare(runner.pixels(image)) for image in images])
    reference = model_outputs.predict(model, inputs)
    verification.check_task_outputs(reference, task)
    output_type = OUTPUT if task.name == CLASSIFICATION else "logits"
    return verification.compare_outputs(reference, runner(images), EXACT, output_type, task)


def _check_weights(model: Any, expected: str, file: str | os.PathLike) -> None:
    digest = fingerprint.weights_digest(model)
    if digest != expected:
        raise ValueError(
            f"`model` must have the weights that {file} was made from (sha256 {expected:.12}…). "
            f"Received: model {model.name!r} with {digest:.12}…"
        )

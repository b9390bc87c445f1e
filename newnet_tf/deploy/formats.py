"""Verification of any file that was made from a model: TFLite, ONNX, SavedModel, Keras' own."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from newnet_tf.data.images import read_image
from newnet_tf.data.preprocess import tf_preprocess
from newnet_tf.deploy import export_config, fingerprint, image_batch, tflite, verification
from newnet_tf.deploy.onnx import OnnxRunner
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.deploy.runtime import ModelFileError
from newnet_tf.deploy.sandbox import SandboxedRunner
from newnet_tf.deploy.saved_model import EXTRA, OUTPUT
from newnet_tf.deploy.verification import Verification
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import LazyModule, keras

tf = LazyModule("tensorflow")

TFLITE, ONNX, KERAS, SAVED_MODEL = ".tflite", ".onnx", ".keras", "a SavedModel's folder"
KINDS = (TFLITE, ONNX, KERAS, SAVED_MODEL)
EXACT = PRECISIONS["fp32"].tolerance


def kind_of(file: str | os.PathLike) -> str:
    """Returns which of `KINDS` a file is, by its name.

    Raises:
        ValueError: for none of them.
    """
    path = Path(file)
    if path.is_dir() or path.suffix not in KINDS:
        if (path / "saved_model.pb").is_file():
            return SAVED_MODEL
        raise ValueError(f"a file must be one of {', '.join(KINDS)}. Received: {file}")
    return path.suffix


def network_of(file: str | os.PathLike) -> str | None:
    """Returns the name of the network that a file says it was made from, None where it does not.

    Raises:
        ModelFileError, ValueError: for what is no such file.
    """
    kind = kind_of(file)
    if kind == KERAS:
        return None
    if kind == SAVED_MODEL:
        return saved_model_record(file)["model"]
    if kind == TFLITE:
        record = export_config.read(file)
        return record["model"] if record else None
    recipe = OnnxRunner(file).recipe
    return recipe.model if recipe else None


def verify_file(
    model, file: str | os.PathLike, validation_images: Iterable, preprocess: PreprocessConfig
) -> Verification:
    """Verifies a file against the model that it was made from.

    TFLite files run in a process of their own. A SavedModel prepares images by itself, and is
    compared with the model on images that `tf.data`'s form of the preprocessing prepared. A
    `.keras` file and a SavedModel must answer as an fp32 file must.

    Args:
        model: Keras model with the weights of the export.
        file: path of one of `KINDS`.
        validation_images: two or more, of different things, see `samples.read`.
        preprocess: `PreprocessConfig` of the model, for a `.keras` file; others say theirs.

    Returns:
        A `Verification`; ask its `passed`.

    Raises:
        ModelFileError: for a file that cannot be run.
        ValueError: for a file without recipe, or a model with other weights.
        DegenerateOutputsError: where the model's own outputs do not vary from image to image.
    """
    kind, logits = kind_of(file), fingerprint.logits_model(model)
    if kind == SAVED_MODEL:
        return _saved_model(logits, Path(file), validation_images)
    if kind == KERAS:
        other = fingerprint.logits_model(loaded(file))
        reference, found = (
            _answers(
                network, image_batch.read(validation_images, preprocess, "validation_images").inputs
            )
            for network in (logits, other)
        )
        verification.check_outputs_vary(reference)
        return verification.compare(reference, found, EXACT)
    runner = SandboxedRunner(file) if kind == TFLITE else OnnxRunner(file)
    if runner.recipe is None:
        raise ValueError(f"{file} must have its recipe with it. Received: none")
    _check_weights(logits, runner.recipe.weights, file)
    read = image_batch.read(validation_images, runner.recipe.preprocess, "validation_images")
    return tflite.Judge(logits, read)(runner, runner.recipe)


def loaded(file: str | os.PathLike):
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


def saved_model_record(folder: str | os.PathLike) -> dict:
    """Returns what `export_saved_model` wrote of a SavedModel.

    Raises:
        ModelFileError: where it is missing or no such record.
    """
    path = Path(folder, EXTRA, "model.json")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        fields = record["preprocess"] | {k: tuple(record["preprocess"][k]) for k in ("mean", "std")}
        return record | {"preprocess": PreprocessConfig(**fields), "model": str(record["model"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{folder} must be a SavedModel that `export_saved_model` wrote. Received: {error}"
        ) from error


def _saved_model(logits, folder: Path, validation_images: Iterable) -> Verification:
    record = saved_model_record(folder)
    _check_weights(logits, record["weights"], folder)
    try:
        served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelFileError(f"{folder} must be a whole SavedModel. Received: {error}") from error
    prepare, reference, found = tf_preprocess(record["preprocess"]), [], []
    for item in validation_images:
        image = tf.constant(read_image(item))
        if record["preprocess"].channels == 1:
            image = image[..., :1]
        reference.append(_answers(logits, prepare(image)[None]))
        found.append(served(images=image[None])[OUTPUT].numpy())
    reference = np.concatenate(reference)
    verification.check_outputs_vary(reference)
    return verification.compare(reference, np.concatenate(found), EXACT, "probabilities")


def _answers(model, inputs) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(inputs, training=False))


def _check_weights(logits, wanted: str, file) -> None:
    found = fingerprint.weights_digest(logits)
    if found != wanted:
        raise ValueError(
            f"`model` must have the weights that {file} was made from (sha256 {wanted:.12}…). "
            f"Received: model {logits.name!r} with {found:.12}…"
        )

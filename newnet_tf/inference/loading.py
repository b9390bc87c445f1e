"""`load_predictor`: a predictor from a name, a file of any format, a folder, a result, or a model."""

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from newnet_tf.classification.class_matching import resolve_class_names
from newnet_tf.data import sidecar
from newnet_tf.data.preprocess import crop_image, preprocess_image
from newnet_tf.inference.loaded import CLASSIFICATION, LoadedModel
from newnet_tf.inference.model import load_model
from newnet_tf.inference.predictor import Predictor
from newnet_tf.models import registry
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.quiet import start_keras

EXPORTED = (".tflite", ".onnx")


def load_predictor(
    model: Any,
    *,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | None = None,
    activation: str | None = None,
) -> Predictor:
    """Loads a model of any format for prediction.

    Args:
        model: what `load_model` takes, or the path of a `.tflite` or `.onnx` file, or of a SavedModel's
            folder that `export` wrote. A `Predictor` is returned as it is.

        weights: str or path, tag or checkpoint file, for a model of the zoo. Default: the tag in the
            name, else its public weights.

        preprocess_as: str, name of a model of the zoo whose preprocessing is used; for files without
            a `.json` file next to them. Default: the model's own.

        preprocess: `PreprocessConfig` to use. Default: the model's own.

        activation: one of `"relu"`, `"relu6"`, `"hard_swish"`, which replaces SiLU; for Keras models
            only. Default: None.

    Returns:
        A `Predictor`.

    Raises:
        ValueError: if there is no such model or file, or it has no trained weights or no
            preprocessing.

    Example:
        >>> predictor = newnet_tf.load_predictor("out/efficientnet_lite0.int8-full.tflite")
        >>> print(predictor("cat.jpg")[0])  # label and score
    """
    if isinstance(model, Predictor):
        return model
    if not isinstance(model, (str, os.PathLike)):
        return keras_predictor(load_model(model, preprocess_as=preprocess_as, preprocess=preprocess,
                                          weights=weights, activation=activation))  # fmt: skip
    name = os.fspath(model)
    folder = Path(name)
    is_run = folder.is_dir() and any(folder.glob("*.keras"))
    if name.endswith(EXPORTED) or (folder.is_dir() and not is_run):
        for argument, value in (("activation", activation), ("weights", weights)):
            if value is not None:
                raise ValueError(
                    f"`{argument}` (--{argument}) must come with a model of the zoo or a .keras "
                    "file; in other files nothing can be replaced. "
                    f"Received: {name} with {argument}={value!r}"
                )
        if folder.is_dir():
            return _saved_model_predictor(folder, preprocess_as or preprocess)
        return _file_predictor(name, preprocess_as, preprocess)
    return keras_predictor(
        load_model(
            name,
            weights=weights,
            preprocess_as=preprocess_as,
            preprocess=preprocess,
            activation=activation,
        )
    )


def keras_predictor(loaded: LoadedModel) -> Predictor:
    """Returns a predictor that runs a Keras model.

    Args:
        loaded: `LoadedModel`.

    Raises:
        ValueError: if its weights are not trained.
    """
    loaded.check_trained()
    model = loaded.model

    def scores(images):
        x = np.stack(images)
        outputs = model.predict_on_batch(x) if len(x) > 1 else model(x, training=False)
        if isinstance(outputs, dict):
            return {name: np.asarray(value) for name, value in outputs.items()}
        return np.asarray(outputs)

    return Predictor(
        network=loaded.name,
        weights=loaded.weights,
        precision="fp32",
        classes=loaded.classes,
        class_names=loaded.class_names,
        prepare=functools.partial(preprocess_image, preprocess=loaded.preprocess),
        scores=scores,
        preprocess=loaded.preprocess,
        task=loaded.task,
    )


def _file_predictor(
    name: str, preprocess_as: str | None, preprocess: PreprocessConfig | None
) -> Predictor:
    from newnet_tf.deploy.onnx_runner import OnnxRunner
    from newnet_tf.deploy.sandbox import SandboxedRunner

    runner = (SandboxedRunner if name.endswith(".tflite") else OnnxRunner)(name)
    config = runner.config
    if preprocess_as is not None:
        preprocess = registry.preprocess_config(preprocess_as)
    elif preprocess is None and config is not None:
        preprocess = config.preprocess
    if preprocess is None:
        raise ValueError(
            f"{name} has no .json file next to it; name its preprocessing with `preprocess_as` "
            "(--preprocess-as). Received: no .json file, no `preprocess_as`"
        )
    class_names = sidecar.read_labels(name)
    classes = runner.classes or len(class_names or ())
    prepare = crop_image if runner.expects_uint8_pixels else preprocess_image
    return Predictor(
        network=config.model if config else Path(name).stem,
        weights=Path(name).name,
        precision=config.precision if config else "",
        classes=classes,
        class_names=resolve_class_names(classes, class_names),
        prepare=functools.partial(prepare, preprocess=preprocess),
        scores=lambda images: runner(np.stack(images)),
        preprocess=preprocess,
        task=config.task if config else CLASSIFICATION,
    )


def _saved_model_predictor(folder: Path, preprocess: object) -> Predictor:
    """Runs a SavedModel of `export_saved_model`, which resizes, crops and normalizes by itself."""
    from newnet_tf.deploy.saved_model import EXTRA, METADATA, SavedModelRunner

    if preprocess or not (folder / EXTRA / METADATA).is_file():
        received = "`preprocess_as`" if preprocess else f"no {METADATA} in it"
        raise ValueError(
            f"{folder} must be a SavedModel that `newnet export --to saved_model` wrote, which "
            f"prepares images itself, or the folder of a run. Received: {received}"
        )
    start_keras()
    runner = SavedModelRunner(folder)
    metadata = runner.metadata
    classes = runner.classes or len(metadata.class_names or ())
    is_gray = metadata.preprocess.channels == 1

    def prepare(image: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(image).convert("L"))[..., None] if is_gray else image

    return Predictor(
        network=metadata.model,
        weights=folder.resolve().name,
        precision="fp32",
        classes=classes,
        class_names=resolve_class_names(classes, metadata.class_names),
        prepare=prepare,
        scores=runner,
        preprocess=metadata.preprocess,
        task=metadata.task,
    )

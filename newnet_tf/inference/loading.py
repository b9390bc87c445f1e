"""`load_predictor`: a predictor from a name, a file of any format, a folder, a result, or a model."""

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from newnet_tf.data.preprocess import crop_image, preprocess_image
from newnet_tf.inference import preprocessing
from newnet_tf.inference.loaded import LoadedModel, count_classes, with_given
from newnet_tf.inference.model import load_model
from newnet_tf.inference.predictor import Predictor
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.models.outputs import declared
from newnet_tf.models.zoo_metadata import fitted
from newnet_tf.utils.quiet import start_keras

EXPORTED = (".tflite", ".onnx")


def load_predictor(
    model: Any,
    *,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    task: str | None = None,
    outputs: str | None = None,
    activation: str | None = None,
    allow_untrained: bool = False,
) -> Predictor:
    """Loads a model of any format for prediction.

    Args:
        model: what `load_model` takes, or the path of a `.tflite` or `.onnx` file of any origin, or of
            a SavedModel's folder that `export` wrote. A `Predictor` is returned as it is.

        weights: str or path, as in `load_model`.

        preprocess_as: str, as in `load_model`; needed for files without metadata of this package.

        preprocess: `PreprocessConfig` or path, as in `load_model`.

        class_names: names, path of a text file or `"imagenet"`, as in `load_model`.

        task: str, as in `load_model`.

        outputs: str, as in `load_model`. Of a `.tflite` file the last operator says it.

        activation: str, as in `load_model`; for Keras models only.

        allow_untrained: bool, whether a model with newly initialized weights may predict. Default:
            False.

    Returns:
        A `Predictor`.

    Raises:
        ValueError: if there is no such model or file, or it has no trained weights, or its
            preprocessing or the meaning of its outputs is unknown.

    Example:
        >>> predictor = newnet_tf.load_predictor("out/efficientnet_lite0.int8-full.tflite")
        >>> print(predictor("cat.jpg")[0])  # label and score
        >>> newnet_tf.load_predictor("other.tflite", preprocess_as="tf", class_names="labels.txt")
    """
    if isinstance(model, Predictor):
        return model
    given = {
        "preprocess_as": preprocess_as,
        "preprocess": preprocess,
        "class_names": class_names,
        "task": task,
        "outputs": outputs,
    }
    if isinstance(model, (str, os.PathLike)):
        name = os.fspath(model)
        folder = Path(name)
        is_saved_model = (folder / "saved_model.pb").is_file()
        if name.endswith(EXPORTED) or is_saved_model:
            for argument, value in (("activation", activation), ("weights", weights)):
                if value is not None:
                    raise ValueError(
                        f"`{argument}` (--{argument}) must come with a model of the zoo or a .keras "
                        "file; in other files nothing can be replaced. "
                        f"Received: {name} with {argument}={value!r}"
                    )
            predictor = _saved_model_predictor if is_saved_model else _file_predictor
            return predictor(name, allow_untrained=allow_untrained, **given)
    loaded = load_model(model, weights=weights, activation=activation, **given)
    return keras_predictor(loaded, allow_untrained)


def keras_predictor(loaded: LoadedModel, allow_untrained: bool = False) -> Predictor:
    """Returns a predictor that runs a Keras model.

    Args:
        loaded: `LoadedModel`.

        allow_untrained: bool, as in `load_predictor`. Default: False.

    Raises:
        ValueError: if its weights are not trained.
    """
    loaded.check_trained(allow_untrained)
    model = loaded.model

    def outputs_of(images):
        x = np.stack(images)
        outputs = model.predict_on_batch(x) if len(x) > 1 else model(x, training=False)
        if isinstance(outputs, dict):
            return {name: np.asarray(value) for name, value in outputs.items()}
        return np.asarray(outputs)

    return Predictor(
        metadata=loaded.metadata,
        precision="fp32",
        classes=loaded.classes,
        prepare=functools.partial(preprocess_image, preprocess=loaded.preprocess),
        run=outputs_of,
    )


def _file_predictor(
    name: str,
    preprocess_as: str | None,
    preprocess: Any,
    class_names: Any,
    task: str | None,
    outputs: str | None,
    allow_untrained: bool,
) -> Predictor:
    from newnet_tf.deploy.onnx_runner import OnnxRunner
    from newnet_tf.deploy.sandbox import SandboxedRunner

    given = preprocessing.read_preprocess(preprocess, preprocess_as)
    runner = (SandboxedRunner if name.endswith(".tflite") else OnnxRunner)(name)
    shape = runner.outputs[0].shape if len(runner.outputs) == 1 else None
    if runner.config is not None:
        metadata = runner.config.metadata
    else:
        runner.check_classifier()
        checked = fitted(preprocessing.check_known(given, name), runner.inputs[0].shape)
        given = None
        metadata = _of_foreign_file(name, checked, task, outputs or runner.output_type, shape[-1])
    _check_trained(name, metadata, allow_untrained)
    metadata = with_given(metadata, shape, given, class_names, task, outputs)
    prepare = crop_image if runner.expects_uint8_pixels else preprocess_image
    return Predictor(
        metadata=dataclasses.replace(metadata, weights=Path(name).name),
        precision=runner.config.precision if runner.config else "",
        classes=count_classes(shape, metadata),
        prepare=functools.partial(prepare, preprocess=metadata.preprocess),
        run=lambda images: runner(np.stack(images)),
    )


def _of_foreign_file(
    name: str, preprocess: PreprocessConfig, task: str | None, outputs: str | None, classes: int
) -> ModelMetadata:
    """Returns metadata of a classifier's file of another package."""
    known = declared(task, outputs, classes)
    if known is None:
        raise ValueError(
            f"{name} must say what its outputs are: pass `outputs` (--outputs) 'logits', "
            "'probabilities' or 'sigmoid'. Received: a file without metadata of this package, whose "
            "last operator does not say it"
        )
    stem = Path(name).name.rpartition(".")[0]
    return ModelMetadata(name=stem, preprocess=preprocess, task=known[0], output_type=known[1])


def _saved_model_predictor(
    name: str,
    preprocess_as: str | None,
    preprocess: Any,
    class_names: Any,
    task: str | None,
    outputs: str | None,
    allow_untrained: bool,
) -> Predictor:
    """Runs a SavedModel of `export_saved_model`, which resizes, crops and normalizes by itself."""
    from newnet_tf.deploy.saved_model import EXTRA, METADATA, SavedModelRunner

    folder = Path(name)
    is_given = preprocess is not None or preprocess_as is not None
    if is_given or not (folder / EXTRA / METADATA).is_file():
        received = "`preprocess` or `preprocess_as`" if is_given else f"no {EXTRA}/{METADATA} in it"
        raise ValueError(
            f"{folder} must be a SavedModel that `newnet export --format saved_model` wrote, which "
            "prepares images itself; of another one, load the Keras model and save it as .keras. "
            f"Received: {received}"
        )
    start_keras()
    runner = SavedModelRunner(folder)
    shape = (None, runner.classes)
    metadata = runner.metadata
    _check_trained(name, metadata, allow_untrained)
    metadata = with_given(metadata, shape, None, class_names, task, outputs)
    is_gray = metadata.preprocess.channels == 1

    def prepare(image: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(image).convert("L"))[..., None] if is_gray else image

    return Predictor(
        metadata=dataclasses.replace(metadata, weights=folder.resolve().name),
        precision="fp32",
        classes=count_classes(shape, metadata),
        prepare=prepare,
        run=runner,
    )


def _check_trained(name: str, metadata: ModelMetadata, allow_untrained: bool) -> None:
    if not metadata.trained and not allow_untrained:
        raise ValueError(
            f"{name} must hold trained weights. Received: a file that is marked as untrained; "
            "`allow_untrained=True` (--allow-untrained) runs it all the same"
        )

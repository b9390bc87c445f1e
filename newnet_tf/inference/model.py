"""`load_model`: the one place that loads a Keras model by name, from a file, or from a run's folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newnet_tf import weights as checkpoints
from newnet_tf.deploy import source_model
from newnet_tf.inference import preprocessing
from newnet_tf.inference.loaded import LoadedModel, with_given
from newnet_tf.inference.zoo_model import load_zoo_model
from newnet_tf.models import activations, model_file
from newnet_tf.models.config import PreprocessConfig, brief
from newnet_tf.models.config.metadata import OUTPUT_TYPES, ModelMetadata, get_metadata, set_metadata
from newnet_tf.models.flatten import flatten, has_graph
from newnet_tf.models.zoo_metadata import current_metadata, fitted
from newnet_tf.utils.progress import note
from newnet_tf.utils.quiet import start_keras

REPLACED_ACTIVATION = "silu"  # which `activation=` replaces
BEST_MODEL = "best.keras"  # in the folder of a training run
KERAS_FILES = (".keras", ".h5", ".hdf5")


def load_model(
    model: Any,
    *,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    classes: int | None = None,
    task: str | None = None,
    outputs: str | None = None,
    activation: str | None = None,
) -> LoadedModel:
    """Loads a model with its metadata: preprocessing, class names, what its outputs are.

    A model of the zoo, and a file that this package wrote, have metadata inside. Of any other model
    the preprocessing must be given; its classes are numbers until `class_names` names them; what its
    outputs are is read from the end of its graph, and asked for where that does not say.

    Args:
        model: one of

            - str, name of a model of the zoo, e.g. `"rexnet_100"` or `"rexnet_100.nav_in1k"`. The
              model returns logits.
            - path of a `.keras` file, or of an `.h5` file with a whole model.
            - path of the folder of a finetuning or training run: its best model.
            - the result of `train` or `finetune`, or a `LoadedModel`.
            - `keras.Model`: functional, `Sequential`, with nested models, or subclassed and built.

        weights: str or path, tag or checkpoint file, for a model of the zoo. The number of classes is
            that of the checkpoint. Default: the tag in the name, else its public weights, if any.

        preprocess_as: str, `"caffe"`, `"tf"`, `"torch"` (the modes of keras.applications'
            `preprocess_input`), `"raw"` (pixels in 0-255: the model normalizes by itself), `"unit"`
            (0 to 1), or the name of a model of the zoo whose preprocessing is used, at the model's own
            image size. Default: the model's own.

        preprocess: `PreprocessConfig`, or path of a JSON file with its fields. Default: the model's
            own.

        class_names: a str for each class, path of a text file with a class a line, or `"imagenet"`.
            Default: the model's own.

        classes: int, number of classes, for a model of the zoo. Default: those of its weights.

        task: str, `"classification"` or `"multilabel_classification"`. Default: the model's own.

        outputs: `"logits"`, `"probabilities"` (which add up to 1) or `"sigmoid"` (each on its own),
            what the model's outputs are. Default: as the model says.

        activation: one of `"relu"`, `"relu6"`, `"hard_swish"`, which replaces SiLU; for hardware
            without SiLU. Default: None, the model's own.

    Returns:
        A `LoadedModel`.

    Raises:
        ValueError: if there is no such model or file, an argument does not fit it, or its
            preprocessing or the meaning of its outputs is unknown.

    Example:
        >>> loaded = newnet_tf.load_model("runs/flowers")
        >>> loaded.model.predict(newnet_tf.data.preprocess.Transform(loaded.preprocess)("rose.jpg"))
        >>> newnet_tf.load_model("resnet50.keras", preprocess_as="caffe", class_names="imagenet")
    """
    given = preprocessing.read_preprocess(preprocess, preprocess_as)
    source = _resolve_source(model)
    is_name = isinstance(source, str) and not source.endswith(KERAS_FILES)
    if not is_name and (weights is not None or classes is not None):
        raise ValueError(
            "`weights` and `classes` must come with the name of a model of the zoo; a file has its own "
            f"weights. Received: {model if isinstance(model, str) else type(model).__name__} "
            f"with weights={weights!r}, classes={classes!r}"
        )
    weights = None if weights is None else os.fspath(weights)
    if is_name:
        loaded = load_zoo_model(source, weights, classes)
        given = given and fitted(given, loaded.model.input_shape)
    else:
        keras_model, known, name = _open(source)
        if given is not None and not isinstance(preprocess, PreprocessConfig):
            given = _fitted(given, keras_model, known is None and preprocess is None)
        if known is None:
            checked = preprocessing.check_known(given, name)
            if not has_graph(keras_model):
                size = checked.image_size
                keras_model = flatten(keras_model, (size, size, checked.channels))
            known = _describe(keras_model, checked, task, outputs, class_names is not None)
            known = dataclasses.replace(known, name=name)
        if isinstance(source, str) and not known.weights:
            known = dataclasses.replace(known, weights=Path(source).name)
        loaded = LoadedModel(keras_model, known)
    shape = loaded.model.output_shape
    known = with_given(loaded.metadata, shape, given, class_names, task, outputs)
    loaded = LoadedModel(loaded.model, known)
    if activation is not None:
        loaded = _replace_activation(loaded, activation, weights)
    if loaded.model is not source:  # what the user says of a model of his own belongs to the result
        set_metadata(loaded.model, loaded.metadata)
    return loaded


def run_model_file(folder: str | os.PathLike) -> Path:
    """Returns the best model in the folder of a training or finetuning run.

    Raises:
        ValueError: if there is none, or several models.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.keras"))
    best = [file for file in files if file.name == BEST_MODEL] or files
    if len(best) != 1:
        is_saved_model = (folder / "saved_model.pb").is_file()
        received = ", ".join(file.name for file in files) or "no .keras file in it"
        if is_saved_model:
            received = (
                "a SavedModel, which is a graph without layers: save the Keras model with "
                "model.save('NAME.keras') instead"
            )
        raise ValueError(
            f"{folder} must be the folder of a run with one .keras file, or with {BEST_MODEL}. "
            f"Received: {received}"
        )
    return best[0]


def _resolve_source(model: Any) -> Any:
    """Returns a name, the path of a file, a `LoadedModel` or a Keras model."""
    if isinstance(model, (str, os.PathLike)):
        name = os.fspath(model)
        return str(run_model_file(name)) if Path(name).is_dir() else name
    if isinstance(model, LoadedModel):
        return model
    inner = getattr(model, "model", None)
    if get_metadata(inner):  # the result of `train` or `finetune`
        return inner
    if hasattr(model, "output_dir"):
        return str(run_model_file(model.output_dir))
    return model


def _open(source: Any) -> tuple[Any, ModelMetadata | None, str]:
    """Returns the Keras model of a file or an object, its metadata if it has any, and its name."""
    if isinstance(source, LoadedModel):
        return source.model, source.metadata, source.name
    if isinstance(source, str):
        file = Path(source)
        if not file.is_file():
            raise ValueError(
                f"`{file}` must be an existing {file.suffix} file. Received: no such file"
            )
        known = model_file.read_metadata(file) if file.suffix == ".keras" else None
        keras = start_keras()
        try:
            model = keras.models.load_model(file, compile=False)
        except (ValueError, OSError, KeyError, TypeError) as error:
            hint = ""
            if file.suffix != ".keras" and checkpoints.is_file(file):
                hint = (
                    " (weights alone: pass them as `weights` with the name of a model of the zoo)"
                )
            raise ValueError(
                f"{file} must be a whole model that Keras saved{hint}. Received: {error}"
            ) from error
        return model, known, known.name if known else file.stem
    import keras

    if not isinstance(source, keras.Model):
        raise ValueError(
            "`model` must be a name of the zoo, a file, a run's folder, a result of `train` or "
            f"`finetune`, or a keras.Model. Received: {type(source).__name__}"
        )
    known = current_metadata(source)
    return source, known, known.name if known else source.name


def _fitted(preprocess: PreprocessConfig, model: Any, needs_size: bool) -> PreprocessConfig:
    """Returns preprocessing at the image size of a model.

    Raises:
        ValueError: where the size is needed, and the model takes any.
    """
    shape = model.input_shape if has_graph(model) else None
    is_open = shape is None or (isinstance(shape, tuple) and len(shape) == 4 and shape[1] is None)
    if needs_size and is_open:
        raise ValueError(
            f"the image size of {model.name!r} must be known, as its input takes any: pass "
            "`preprocess`, a PreprocessConfig with `image_size` (--preprocess: a JSON file with "
            f"image_size, mean, std, crop_pct). Received: input shape {shape}"
        )
    return fitted(preprocess, shape)


def _describe(
    model: Any,
    preprocess: PreprocessConfig,
    task: str | None,
    outputs: str | None,
    has_names: bool,
) -> ModelMetadata:
    """Returns metadata of a model that has none; prints what was found."""
    size = preprocess.image_size
    flat = flatten(model, (size, size, preprocess.channels))
    metadata = source_model.describe(flat, preprocess, task, outputs, has_names)
    if metadata.task in OUTPUT_TYPES:
        p = metadata.preprocess
        note(
            f"{model.name}: {metadata.task}, outputs are {metadata.output_type}; images of "
            f"{p.image_size} pixels ({p.resize_mode}), {p.channel_order}, mean {brief(p.mean)}, std "
            f"{brief(p.std)}"
        )
    return metadata


def _replace_activation(loaded: LoadedModel, activation: str, weights: str | None) -> LoadedModel:
    model = activations.replace_activation(loaded.model, REPLACED_ACTIVATION, activation)
    if loaded.is_trained and not (weights and checkpoints.is_file(weights)):
        note(
            f"{loaded.name} was trained with {REPLACED_ACTIVATION}, not {activation}: "
            f"`newnet finetune --activation {activation}` gives weights that fit"
        )
    name = activations.name_with(loaded.name, activation)
    return LoadedModel(model, dataclasses.replace(loaded.metadata, name=name))

"""`load_model`: the one place that loads a Keras model by name, from a file, or from a run's folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newnet_tf import weights as checkpoints
from newnet_tf.classification.class_matching import resolve_class_names
from newnet_tf.data import sidecar
from newnet_tf.inference.loaded import LoadedModel, known_model, set_model_info
from newnet_tf.models import activations, registry
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.progress import note
from newnet_tf.utils.quiet import start_keras

REPLACED_ACTIVATION = "silu"  # which `activation=` replaces
BEST_MODEL = "best.keras"  # in the folder of a training run


def load_model(
    model: Any,
    *,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | None = None,
    class_names: Sequence[str] | None = None,
    classes: int | None = None,
    activation: str | None = None,
) -> LoadedModel:
    """Loads a model with its preprocessing and class names.

    Args:
        model: one of

            - str, name of a model of the zoo, e.g. `"rexnet_100"` or `"rexnet_100.nav_in1k"`. The
              model returns logits.
            - path of a `.keras` file. `NAME.json` and `NAME.labels.txt` next to it are read.
            - path of the folder of a finetuning or training run: its best model.
            - the result of `train` or `finetune`, or a `LoadedModel`.
            - `keras.Model`: its preprocessing is known if it comes from `load_model`, `train` or
              `finetune`, or if it has the name of a model of the zoo; else pass `preprocess`.

        weights: str or path, tag or checkpoint file, for a model of the zoo. Default: the tag in the
            name, else its public weights, if any.

        preprocess_as: str, name of a model of the zoo whose preprocessing is used. Default: the
            model's own.

        preprocess: `PreprocessConfig` to use. Default: the model's own.

        class_names: one str for each class. Default: the model's own.

        classes: int, number of classes, for a model of the zoo. Default: those of its weights.

        activation: one of `"relu"`, `"relu6"`, `"hard_swish"`, which replaces SiLU; for hardware
            without SiLU. Default: None, the model's own.

    Returns:
        A `LoadedModel`.

    Raises:
        ValueError: if there is no such model or file, an argument does not fit it, or its
            preprocessing is unknown.

    Example:
        >>> loaded = newnet_tf.load_model("runs/flowers")
        >>> loaded.model.predict(newnet_tf.data.preprocess.Transform(loaded.preprocess)("rose.jpg"))
    """
    if preprocess is not None and preprocess_as is not None:
        raise ValueError(
            "`preprocess` and `preprocess_as` must not be given together. "
            f"Received: {preprocess=}, {preprocess_as=}"
        )
    source = _resolve_source(model)
    is_name = isinstance(source, str) and not source.endswith(".keras")
    if not is_name and (weights is not None or classes is not None):
        raise ValueError(
            "`weights` and `classes` must come with the name of a model of the zoo; a .keras file has "
            f"its own weights. Received: {model if isinstance(model, str) else type(model).__name__} "
            f"with weights={weights!r}, classes={classes!r}"
        )
    weights = None if weights is None else os.fspath(weights)
    if is_name:
        loaded = _load_named(source, weights, preprocess_as, classes)
    else:
        if preprocess_as is not None:
            preprocess = registry.preprocess_config(preprocess_as)
        loaded = _load_file(source, preprocess) if isinstance(source, str) else source
    if not isinstance(loaded, LoadedModel):
        loaded = _describe(loaded, preprocess)
    if preprocess is not None:
        loaded = dataclasses.replace(loaded, preprocess=preprocess)
    if class_names is not None:
        names = resolve_class_names(loaded.classes, class_names)
        loaded = dataclasses.replace(loaded, class_names=names)
    if activation is not None:
        loaded = _replace_activation(loaded, activation, weights)
    set_model_info(loaded)
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
        raise ValueError(
            f"{folder} must be the folder of a run with one .keras file, or with {BEST_MODEL}. "
            f"Received: {', '.join(file.name for file in files) or 'no .keras file in it'}"
        )
    return best[0]


def _resolve_source(model: Any) -> Any:
    """Returns a name, the path of a .keras file, a `LoadedModel` or a Keras model."""
    if isinstance(model, (str, os.PathLike)):
        name = os.fspath(model)
        return str(run_model_file(name)) if Path(name).is_dir() else name
    if isinstance(model, LoadedModel):
        return model
    inner = getattr(model, "model", None)
    if known_model(inner):  # the result of `train` or `finetune`
        return inner
    if hasattr(model, "output_dir"):
        return str(run_model_file(model.output_dir))
    return model


def _load_named(
    name: str, weights: str | None, preprocess_as: str | None, classes: int | None
) -> LoadedModel:
    variant, tag = registry.resolve(name)
    chosen = weights or tag or variant.card.default_weights
    is_file = chosen is not None and checkpoints.is_file(chosen)
    start_keras()
    model = variant.build(weights=chosen, classes=classes, classifier_activation=None)
    config_tag = None if is_file else chosen
    preprocess = registry.preprocess_config(preprocess_as or variant.card.name, config_tag)
    count = model.output_shape[-1]
    is_tag = chosen is not None and not is_file and count == variant.card.classes
    own_names = variant.card.select(chosen or "").class_names if is_tag else ()
    return LoadedModel(
        model=model,
        name=variant.card.name,
        task=variant.card.task,
        preprocess=preprocess,
        class_names=resolve_class_names(count, own_names or None),
        is_trained=chosen is not None,
        weights="" if chosen is None else Path(chosen).name if is_file else chosen,
    )


def _load_file(file: str, preprocess: PreprocessConfig | None) -> LoadedModel:
    if not Path(file).is_file():
        raise ValueError(f"`{file}` must be an existing .keras file. Received: no such file")
    keras = start_keras()
    try:
        model = keras.models.load_model(file, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{file} must be a model that Keras saved. Received: {error}") from error
    preprocess = preprocess or sidecar.read_preprocess(file)
    return LoadedModel(
        model=model,
        name=model.name if Path(file).name == BEST_MODEL else Path(file).stem,
        preprocess=preprocess or registry.preprocess_config(_zoo_name(model)),
        class_names=resolve_class_names(model.output_shape[-1], sidecar.read_labels(file)),
        is_trained=True,
        weights=Path(file).name,
    )


def _describe(model: Any, preprocess: PreprocessConfig | None) -> LoadedModel:
    """Returns a Keras model with what is known of it."""
    import keras

    if not isinstance(model, keras.Model):
        raise ValueError(
            "`model` must be a name of the zoo, a file, a run's folder, a result of `train` or "
            f"`finetune`, or a keras.Model. Received: {type(model).__name__}"
        )
    return known_model(model) or LoadedModel(
        model=model,
        name=model.name,
        preprocess=preprocess or _zoo_preprocess(model),
        class_names=resolve_class_names(model.output_shape[-1], None),
        is_trained=True,
        weights="",
    )


def _zoo_preprocess(model: Any) -> PreprocessConfig:
    """Returns the preprocessing of the zoo's model of this name, if all its weights have the same."""
    name = _zoo_name(model)
    card = registry.model_card(name) if name in registry.list_models() else None
    configs = [weights.preprocess for weights in card.weights] if card else []
    if card is None or any(config != card.preprocess for config in configs):
        kind = "it depends on the weights" if card else "no model of the zoo has this name"
        raise ValueError(
            "the preprocessing of a Keras model must be known: pass `preprocess` or `preprocess_as`, "
            f"or load the model with `load_model`. Received: {model.name!r}; {kind}"
        )
    return card.preprocess


def _zoo_name(model: Any) -> str:
    return activations.split_name(model.name)[0]


def _replace_activation(loaded: LoadedModel, activation: str, weights: str | None) -> LoadedModel:
    model = activations.replace_activation(loaded.model, REPLACED_ACTIVATION, activation)
    if loaded.is_trained and not (weights and checkpoints.is_file(weights)):
        note(
            f"{loaded.name} was trained with {REPLACED_ACTIVATION}, not {activation}: "
            f"`newnet finetune --activation {activation}` gives weights that fit"
        )
    name = activations.name_with(loaded.name, activation)
    return dataclasses.replace(loaded, model=model, name=name)

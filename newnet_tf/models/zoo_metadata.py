"""Metadata of a model of the zoo: from its card, its weights and how it was built."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import weakref
from typing import TYPE_CHECKING, Any

from newnet_tf import weights as checkpoints
from newnet_tf.data.labels import imagenet_names
from newnet_tf.models.config import Card, PreprocessConfig
from newnet_tf.models.config.metadata import (
    LOGITS,
    MULTILABEL,
    PROBABILITIES,
    SIGMOID,
    ModelMetadata,
    get_metadata,
    set_metadata,
)
from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras

ENDINGS = {"linear": LOGITS, "softmax": PROBABILITIES, "sigmoid": SIGMOID}

_initial: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def describe(
    model: keras.Model,
    card: Card,
    weights: str | os.PathLike | None,
    classifier_activation: object,
    is_trained: bool,
) -> None:
    """Keeps the metadata of a newly built model; none for an activation of the user's own.

    Args:
        model: `keras.Model` with its classifier.

        card: `Card` of the model.

        weights: tag, path or None, as it was built with.

        classifier_activation: str, callable or None, as it was built with.

        is_trained: bool, whether all of its weights, the classifier's too, are trained.
    """
    ending = getattr(classifier_activation, "__name__", classifier_activation) or "linear"
    if ending not in ENDINGS:
        return
    classes, published = model.output_shape[-1], None
    if weights is not None and not checkpoints.is_file(weights):
        published = card.select(weights)
    preprocess = published.preprocess if published else card.preprocess
    metadata = ModelMetadata(
        name=card.name,
        preprocess=fitted(preprocess, model.input_shape),
        task=MULTILABEL if ending == "sigmoid" and classes > 1 else card.task,
        output_type=ENDINGS[ending],
        trained=is_trained,
    )
    if published is not None:
        has_classes = published.classes == classes
        names = published.class_names
        if not names and published.classes == len(imagenet_names()):
            names = imagenet_names()
        metadata = dataclasses.replace(
            metadata,
            class_names=tuple(names) if has_classes and names else None,
            weights=os.fspath(weights),
            license=published.license,
            author=published.author,
            dataset=published.dataset if has_classes else None,
        )
    set_metadata(model, metadata)
    if not is_trained:
        keep_initial(model)


def keep_initial(model: keras.Model) -> None:
    """Remembers the initial weights of a new model, for `current_metadata` to see that it was trained.

    Args:
        model: `keras.Model` whose metadata say that it is not trained.
    """
    _initial[model] = _classifier_digest(model)


def current_metadata(model: Any) -> ModelMetadata | None:
    """Returns the metadata of a Keras model; trained, once its classifier is not the initial one.

    Args:
        model: any object.
    """
    metadata = get_metadata(model)
    if metadata is None or metadata.trained or model not in _initial:
        return metadata
    is_changed = _initial[model] != _classifier_digest(model)
    return dataclasses.replace(metadata, trained=True) if is_changed else metadata


def fitted(preprocess: PreprocessConfig, input_shape: Any) -> PreprocessConfig:
    """Returns preprocessing with the image size and the channels of an input, where these are fixed.

    Args:
        preprocess: `PreprocessConfig`.

        input_shape: shape of the model's input, (batch, height, width, channels).
    """
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 4:
        return preprocess
    _, height, width, channels = input_shape
    if height is not None and height == width:
        preprocess = dataclasses.replace(preprocess, image_size=height)
    if channels == 1 and preprocess.channels == 3:
        mean, std = (sum(values) / 3 for values in (preprocess.mean, preprocess.std))
        preprocess = dataclasses.replace(preprocess, mean=(mean,), std=(std,))
    return preprocess


def _classifier_digest(model: keras.Model) -> str:
    """Returns a digest of the last layer that has weights."""
    layer = next((layer for layer in reversed(model.layers) if layer.weights), model)
    digest = hashlib.sha256()
    for weight in layer.weights:
        digest.update(keras.ops.convert_to_numpy(weight).tobytes())
    return digest.hexdigest()

"""A model of the zoo by name, with the metadata of its weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from newnet_tf import weights as checkpoints
from newnet_tf.inference.loaded import LoadedModel
from newnet_tf.models import model_file, registry
from newnet_tf.models.config.metadata import get_metadata
from newnet_tf.utils.quiet import start_keras


def load_zoo_model(name: str, weights: str | None, classes: int | None) -> LoadedModel:
    """Returns a model of the zoo that gives logits.

    Args:
        name: str, with or without a tag.

        weights: str, tag or path of a checkpoint file, whose number of classes the model gets. Default:
            the tag in the name, else the public weights, if any.

        classes: int, number of classes. Default: that of the weights.

    Raises:
        ValueError: for an unknown name or tag, or a checkpoint that does not fit.
    """
    variant, tag = registry.resolve(name)
    chosen = weights or tag or variant.card.default_weights
    is_file = chosen is not None and checkpoints.is_file(chosen)
    start_keras()
    model = variant.build(weights=chosen, classes=classes, classifier_activation=None)
    metadata = get_metadata(model)
    if is_file:
        path = Path(chosen)
        holds_record = path.suffix in (".keras", ".safetensors")
        known = model_file.read_metadata(path) if holds_record else None
        if known is not None:
            names = known.class_names if metadata.trained else None
            metadata = dataclasses.replace(
                known, output_type=metadata.output_type, class_names=names, trained=metadata.trained
            )
        metadata = dataclasses.replace(metadata, name=variant.card.name, weights=path.name)
    return LoadedModel(model, metadata)

"""The pretrained model that `finetune` starts from, resolved from its arguments before any work."""

import dataclasses
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newnet_tf import weights as checkpoints
from newnet_tf.api.arguments import check_choice, check_model, check_positive
from newnet_tf.data.datasets.base import MULTILABEL, Dataset
from newnet_tf.finetuning.full_finetune import BATCH_NORM
from newnet_tf.inference.model import REPLACED_ACTIVATION
from newnet_tf.models import activations, registry
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.quiet import start_keras


@dataclass(frozen=True, kw_only=True)
class PretrainedModel:
    """A model of the zoo with its weights, not built yet.

    Args:
        variant: variant of `models.registry`.

        weights: str, tag or path.

        preprocess: `PreprocessConfig` of the finetuned model.

        activation: str or None, which replaces SiLU.
    """

    variant: Any
    weights: str
    preprocess: PreprocessConfig
    activation: str | None

    @property
    def name(self) -> str:
        """Name of the model that `build` returns."""
        return activations.name_with(self.variant.card.name, self.activation)

    @property
    def weights_name(self) -> str:
        """Tag, or name of the file."""
        return Path(self.weights).name if checkpoints.is_file(self.weights) else self.weights

    def build(self, dataset: Dataset):
        """Returns the Keras model with a new classifier: softmax, or for several classes sigmoid.

        Args:
            dataset: `Dataset`.
        """
        start_keras()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the new classifier is the purpose here
            model = self.variant.build(
                weights=self.weights,
                classes=dataset.classes,
                input_shape=self.preprocess.shape,
                classifier_activation="sigmoid" if dataset.task == MULTILABEL else "softmax",
            )
        if self.activation is None:
            return model
        return activations.replace_activation(model, REPLACED_ACTIVATION, self.activation)


def pretrained_model(
    name: str,
    weights: str | os.PathLike | None,
    preprocess_as: str | None,
    image_size: int | None,
    activation: str | None,
) -> PretrainedModel:
    """Returns the model of `finetune`'s arguments; imports no TensorFlow.

    Raises:
        ValueError: for an unknown name, or a model without weights.
    """
    if not isinstance(name, str):
        raise ValueError(
            "`model` must be the name of a model of the zoo; pass your own checkpoint as `weights`. "
            f"Received: {type(name).__name__}"
        )
    variant, tag = registry.resolve(name)
    chosen = os.fspath(weights) if weights else tag or variant.card.default_weights
    if chosen is None:
        raise ValueError(
            f"{variant.card.name} has no public weights; pass a checkpoint file as `weights` "
            "(--weights). Received: no weights"
        )
    check_model(name, weights=weights, preprocess_as=preprocess_as, activation=activation)
    is_file = checkpoints.is_file(chosen)
    preprocess = registry.preprocess_config(
        preprocess_as or variant.card.name, None if is_file else chosen
    )
    if image_size:
        preprocess = dataclasses.replace(preprocess, image_size=image_size)
    return PretrainedModel(
        variant=variant, weights=chosen, preprocess=preprocess, activation=activation
    )


def check_arguments(
    backbone_lr_scale: float,
    batch_norm: str | None,
    holdout_fraction: float,
    image_size: int | None,
) -> None:
    """Raises ValueError for arguments of `finetune` outside of their ranges."""
    check_choice("batch_norm", batch_norm, BATCH_NORM)
    if backbone_lr_scale < 0:
        raise ValueError(
            "`backbone_lr_scale` (--backbone-lr-scale) must not be negative. "
            f"Received: {backbone_lr_scale}"
        )
    if not 0 <= holdout_fraction < 1:
        raise ValueError(
            "`holdout_fraction` (--holdout-fraction) must lie in [0, 1). "
            f"Received: {holdout_fraction=}"
        )
    check_positive(image_size=image_size)

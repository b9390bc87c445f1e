"""Training of all layers: pretrained layers at a lower learning rate, batch norm as in inference."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from newnet_tf.data.datasets.base import Dataset
from newnet_tf.data.image_loader import ImageLoader
from newnet_tf.finetuning.feature_cache import CLASSIFIER
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.model_file import weights_digest
from newnet_tf.models.outputs import LINEAR, final_activation, without_activation
from newnet_tf.task import Task
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.run import BEST, FitResult
from newnet_tf.training.trainer import fit, single_step
from newnet_tf.utils.lazy import keras

BATCH_NORM = ("frozen", "trained")


def train_all_layers(
    model,
    dataset: Dataset,
    preprocess: PreprocessConfig,
    recipe: Recipe,
    output_dir: str | os.PathLike,
    backbone_lr_scale: float = 0.25,
    batch_norm: str = "frozen",
    task: str | Task = "classification",
) -> FitResult:
    """Trains all layers of a model whose classifier was fitted before; resumes an interrupted run.

    Args:
        model: Keras model with a layer `classifier` that ends in logits, softmax or sigmoid. Its
            weights change to those of the last epoch; with early stopping to those of the best.

        dataset: `Dataset` with a split `train`, and one to test on, which early stopping watches.

        preprocess: `PreprocessConfig` of the model.

        recipe: `Recipe`. Its learning rate is the classifier's; see `lr_bound.cap_learning_rate`.

        output_dir: folder of the run's files, see `training.trainer.fit`. An interrupted run in it
            is resumed if recipe, data, model, its first weights and the arguments below are the same.

        backbone_lr_scale: float >= 0, the other layers' learning rate as a fraction of the
            classifier's. Default: 0.25.

        batch_norm: `"frozen"` (moving statistics, scale and shift stay, and are used as in inference)
            or `"trained"`. Default: `"frozen"`.

        task: name of a task, or a `Task`. Default: `"classification"`.

    Returns:
        `FitResult`.

    Raises:
        ValueError: for an argument outside of the above, or a folder that holds another run.

        TrainingStopped: as `training.trainer.fit`.
    """
    logits = logits_model(model)
    head = model.get_layer(CLASSIFIER).trainable_variables
    with batch_norm_mode(model, backbone_lr_scale, batch_norm):
        settings = run_settings(logits, backbone_lr_scale, batch_norm)
        loader = _FinetuneLoader(dataset, preprocess, recipe, settings)
        result = fit(
            logits,
            loader,
            recipe,
            output_dir,
            task=task,
            resume=True,
            make_step=lambda compiled: scaled_lr_step(compiled, head, backbone_lr_scale),
        )
    if recipe.early_stopping is not None:
        best = keras.models.load_model(result.output_dir / BEST, compile=False)
        logits.set_weights(best.get_weights())
    return result


def logits_model(model):
    """Returns a model without the softmax or sigmoid at its end, sharing its weights.

    Args:
        model: Keras model with a layer `classifier`.
    """
    return model if final_activation(model) in (LINEAR, None) else without_activation(model)


@contextlib.contextmanager
def batch_norm_mode(model, backbone_lr_scale: float, batch_norm: str) -> Iterator[None]:
    """Freezes batch norm, or not, for the time of the context; checks both arguments.

    Args:
        model: Keras model.

        backbone_lr_scale, batch_norm: as in `train_all_layers`.

    Raises:
        ValueError: for an argument outside of the above.
    """
    if batch_norm not in BATCH_NORM or backbone_lr_scale < 0:
        raise ValueError(
            f"`batch_norm` must be among {BATCH_NORM}, `backbone_lr_scale` not negative. "
            f"Received: {batch_norm=}, {backbone_lr_scale=}"
        )
    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    before = [layer.trainable for layer in layers]
    try:
        for layer in layers:
            layer.trainable = batch_norm == "trained"
        yield
    finally:
        for layer, trainable in zip(layers, before, strict=True):
            layer.trainable = trainable


def run_settings(logits, backbone_lr_scale: float, batch_norm: str) -> dict[str, object]:
    """Returns what identifies a run, except its recipe and data.

    Args:
        logits: Keras model before training.

        backbone_lr_scale, batch_norm: as in `train_all_layers`.
    """
    return {
        "backbone_lr_scale": backbone_lr_scale,
        "batch_norm": batch_norm,
        "initial_weights": weights_digest(logits),
    }


def scaled_lr_step(compiled, head: Sequence, backbone_lr_scale: float) -> Callable[..., Any]:
    """Returns a training step that updates all variables but `head` at a fraction of the learning rate.

    Args:
        compiled: compiled Keras model.

        head: Keras variables of the classifier.

        backbone_lr_scale: float, the fraction.
    """
    optimizer = getattr(compiled.optimizer, "inner_optimizer", compiled.optimizer)
    full_rate, update = {_identity(variable) for variable in head}, optimizer.update_step

    def update_step(gradient, variable, learning_rate):
        is_head = _identity(variable) in full_rate
        update(gradient, variable, learning_rate if is_head else learning_rate * backbone_lr_scale)

    optimizer.update_step = update_step
    return single_step(compiled)


def _identity(variable) -> int:
    """Identifies a variable, whether Keras' own or the backend's inside of it."""
    return id(variable.value if isinstance(variable, keras.Variable) else variable)


class _FinetuneLoader(ImageLoader):
    """Loads the images of a run; its fingerprint holds the run's settings too."""

    def __init__(
        self, dataset: Dataset, preprocess: PreprocessConfig, recipe: Recipe, settings: dict
    ):
        super().__init__(
            dataset,
            preprocess,
            augmentation=recipe.augmentation,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
        )
        self.settings = settings

    @property
    def fingerprint(self) -> dict[str, object]:
        """What decides the batches, and the run's settings."""
        return super().fingerprint | self.settings

"""The two stages of finetuning, and the choice between their models."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from newnet_tf.classification.linear_probe import fit_linear
from newnet_tf.data.datasets.base import TRAIN, Dataset, Split
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.finetuning import feature_cache, full_finetune, holdout, lr_bound
from newnet_tf.finetuning.feature_cache import ModelOutputs
from newnet_tf.finetuning.result import ALL_LAYERS, LINEAR_PROBE, FinetuneResult, StageResult
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.math import softmax
from newnet_tf.utils.progress import note

TRAINING = "training"  # folder of the second stage in the run's folder


@dataclass(frozen=True, eq=False, kw_only=True)
class FinetuneConfig:
    """What a finetuning run does.

    Args:
        weights: str, tag or file name of the pretrained weights.

        dataset: `Dataset` with a split `train` and one of `validation`, `test`.

        preprocess: `PreprocessConfig` of the model.

        output_dir: `Path` of the run's folder.

        recipe: `Recipe` of the second stage; None for the linear probe alone.

        seed: int, of holdout, order and augmentation. Default: 0.

        backbone_lr_scale, batch_norm: as in `full_finetune.train_all_layers`.

        holdout_fraction: float in [0, 1), fraction of the training images that decide which stage is
            kept. Default: 0.1.

        cap_lr: bool, whether to lower the recipe's learning rate to the largest stable one. Default:
            True.
    """

    weights: str
    dataset: Dataset
    preprocess: PreprocessConfig
    output_dir: Path
    recipe: Recipe | None = None
    seed: int = 0
    backbone_lr_scale: float = 0.25
    batch_norm: str = "frozen"
    holdout_fraction: float = 0.1
    cap_lr: bool = True

    @property
    def train(self) -> Split:
        """The training images."""
        return self.dataset.split(TRAIN)

    @property
    def test(self) -> Split:
        """The images that accuracies are reported for."""
        return self.dataset.split(evaluation_split(self.dataset))


def evaluation_split(dataset: Dataset) -> str:
    """Returns the name of the split that accuracies are reported for: validation, else test.

    Raises:
        ValueError: if the dataset has fewer than two classes, or lacks images to train or test on.
    """
    name = next((name for name in ("validation", "test") if name in dataset.splits), None)
    if dataset.classes < 2 or TRAIN not in dataset.splits or name is None:
        raise ValueError(
            "`dataset` (--data) must have two classes or more, with images to train and to test on. "
            f"Received: {dataset}"
        )
    return name


def run_stages(model: Any, config: FinetuneConfig) -> FinetuneResult:
    """Finetunes a model in two stages and keeps the better one; writes caches and checkpoints only.

    An interrupted run in the same folder is resumed.

    Args:
        model: Keras model with a layer `classifier`; it has the kept stage's weights at the end.

        config: `FinetuneConfig`.

    Returns:
        `FinetuneResult` without model file, report and exports.

    Raises:
        ValueError: if a class has no readable training image, or the model does not fit.
    """
    result, features = linear_probe_stage(model, config)
    if config.recipe is None:
        return result
    return all_layers_stage(model, config, config.recipe, result, features)


def linear_probe_stage(model: Any, config: FinetuneConfig) -> tuple[FinetuneResult, ModelOutputs]:
    """Fits a linear classifier to the frozen features of all training images.

    Args:
        model, config: as in `run_stages`.

    Returns:
        (`FinetuneResult` of this stage, `ModelOutputs` with the features of the training images).
    """
    begin = time.monotonic()
    train, test = _features(model, config)
    linear = fit_linear(train.values, train.labels, seed=config.seed)
    class_names = config.dataset.class_names
    if linear.bias.size != len(class_names):
        raise ValueError(
            "each class must have readable training images. Received: none of "
            f"{class_names[linear.bias.size :]}"
        )
    feature_cache.set_classifier(model, linear)
    probabilities = softmax(linear.scores(test.values.astype(np.float64)), axis=1)
    stage = StageResult(
        name=LINEAR_PROBE,
        outputs=dataclasses.replace(test, values=probabilities),
        seconds=time.monotonic() - begin,
        note=f"linear classifier of frozen features, L2 {linear.penalty:g}, {config.train.size} "
        "training images",
    )
    note(f"{stage.name}: {stage.result}, {stage.seconds:.0f} s")
    result = FinetuneResult(
        model=model,
        name=model.name,
        weights=config.weights,
        dataset=config.dataset,
        preprocess=config.preprocess,
        output_dir=config.output_dir,
        train=config.train,
        test=config.test,
        stages=(stage,),
        l2_penalty=linear.penalty,
        seed=config.seed,
        skipped=train.skipped + test.skipped,
    )
    return result, train


def all_layers_stage(
    model: Any,
    config: FinetuneConfig,
    recipe: Recipe,
    probe: FinetuneResult,
    features: ModelOutputs,
) -> FinetuneResult:
    """Trains all layers; keeps the result unless it is worse than the linear probe on the holdout.

    Neither the model of this stage nor the linear probe that it is compared with sees the holdout.

    Args:
        model, config: as in `run_stages`.

        recipe: `Recipe` of this stage, `config.recipe`.

        probe, features: from `linear_probe_stage`.

    Returns:
        `FinetuneResult` of both stages.
    """
    initial, linear = model.get_weights(), None
    train, held_out = holdout.split_holdout(
        config.train, features, config.holdout_fraction, config.seed
    )
    if held_out:
        chosen = features.select([sample.name for sample in iter_samples(train)])
        linear = fit_linear(chosen.values, chosen.labels, seed=config.seed)
        feature_cache.set_classifier(model, linear)
    dataset = dataclasses.replace(config.dataset, splits={**config.dataset.splits, TRAIN: train})
    arguments = (config.output_dir / TRAINING, config.backbone_lr_scale, config.batch_norm)
    if config.cap_lr:
        requested = recipe.peak_lr
        recipe = lr_bound.cap_learning_rate(model, dataset, config.preprocess, recipe, *arguments)
        if recipe.peak_lr < requested:
            note(
                f"learning rate {recipe.peak_lr:.2g} instead of {requested:g}, the largest "
                "stable one"
            )
    training = full_finetune.train_all_layers(model, dataset, config.preprocess, recipe, *arguments)
    outputs = feature_cache.compute_outputs(model, config.test, config.preprocess)
    settings = (
        f"pretrained layers at {config.backbone_lr_scale:g} of the learning rate, batch norm "
        f"{config.batch_norm}"
    )
    comparison, is_dropped = None, False
    if held_out and linear:
        held_out_outputs = feature_cache.compute_outputs(
            model, held_out, config.preprocess, description="Evaluating the holdout"
        )
        comparison = holdout.compare_stages(features, linear, held_out_outputs)
        is_dropped = holdout.is_worse(comparison)
    if is_dropped:
        model.set_weights(initial)
    stage = StageResult(
        name=ALL_LAYERS,
        outputs=outputs,
        seconds=sum(epoch["seconds"] for epoch in training.history),
        note=f"{recipe.epochs} epochs of {train.size} images, batch {recipe.batch_size}, learning rate "
        f"{recipe.peak_lr:.3g}, {settings}, seed {config.seed}{', not kept' * is_dropped}",
    )
    result = dataclasses.replace(
        probe,
        stages=(*probe.stages, stage),
        kept_stage=LINEAR_PROBE if is_dropped else ALL_LAYERS,
        holdout=held_out,
        comparison=comparison,
        history=tuple(training.history),
        recipe=recipe,
        settings=settings,
    )
    if result.verdict:
        note(result.verdict)
    return result


def _features(model: Any, config: FinetuneConfig) -> tuple[ModelOutputs, ModelOutputs]:
    """Returns the frozen features of the training and of the test images, cached in the folder."""
    extractor, features = feature_cache.feature_extractor(model), []
    for name, split in (("train", config.train), ("test", config.test)):
        file = config.output_dir / f"features.{name}.npz"
        outputs, is_cached = feature_cache.cached_outputs(extractor, split, config.preprocess, file)
        features.append(outputs)
        if is_cached:
            note(f"features of the {name} images: read from {file}")
    return features[0], features[1]

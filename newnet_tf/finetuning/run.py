"""The two stages of finetuning, and the choice between their models."""

import dataclasses
import time
from typing import Any

import numpy as np

from newnet_tf.classification.linear_probe import LinearClassifier, fit_linear
from newnet_tf.data.datasets.base import MULTILABEL, TRAIN, VALIDATION
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.finetuning import feature_cache, full_finetune, holdout, lr_bound
from newnet_tf.finetuning.config import MIN_STEPS, TRAINING, FinetuneConfig, check_classes
from newnet_tf.finetuning.feature_cache import ModelOutputs
from newnet_tf.finetuning.result import ALL_LAYERS, LINEAR_PROBE, FinetuneResult, StageResult
from newnet_tf.training.class_weight import class_weights
from newnet_tf.training.progress import fit_batch_size
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.math import sigmoid, softmax
from newnet_tf.utils.progress import note


def linear_probe_stage(model: Any, config: FinetuneConfig) -> tuple[FinetuneResult, ModelOutputs]:
    """Fits a linear classifier to the frozen features of all training images.

    Args:
        model: Keras model with a layer `classifier`, which is set.

        config: `FinetuneConfig`.

    Returns:
        (`FinetuneResult` of this stage, `ModelOutputs` with the features of the training images).
    """
    begin = time.monotonic()
    train, test = _features(model, config)
    check_classes(train.labels, config.dataset, "a readable training image")
    linear = _fit_linear(config, train)
    feature_cache.set_classifier(model, linear)
    scores = linear.scores(test.values.astype(np.float64))
    probabilities = (
        sigmoid(scores) if config.dataset.task == MULTILABEL else softmax(scores, axis=1)
    )
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
        skipped=config.dataset.skipped + train.skipped + test.skipped,
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

    Neither the model of this stage nor the linear probe that it is compared with sees the holdout. If
    the stage fails, the model has the weights of the linear probe again.

    Args:
        model: Keras model; it has the kept stage's weights at the end.

        config: `FinetuneConfig`.

        recipe: `Recipe` of this stage, `config.recipe`.

        probe, features: from `linear_probe_stage`.

    Returns:
        `FinetuneResult` of both stages.
    """
    initial = model.get_weights()
    try:
        result = _all_layers(model, config, recipe, probe, features)
    except BaseException:
        model.set_weights(initial)
        raise
    if result.kept_stage == LINEAR_PROBE:
        model.set_weights(initial)
    return result


def _all_layers(
    model: Any,
    config: FinetuneConfig,
    recipe: Recipe,
    probe: FinetuneResult,
    features: ModelOutputs,
) -> FinetuneResult:
    linear = None
    train, held_out = holdout.split_holdout(
        config.train, features, config.holdout_fraction, config.seed
    )
    if held_out:
        chosen = features.select([sample.name for sample in iter_samples(train)])
        linear = _fit_linear(config, chosen)
        feature_cache.set_classifier(model, linear)
    splits = {**config.dataset.splits, TRAIN: train}
    if recipe.early_stopping is not None:
        if held_out is None:
            raise ValueError(
                "`early_stopping` must come with a holdout, as the test images choose nothing. "
                f"Received: early_stopping={recipe.early_stopping} with "
                f"holdout_fraction={config.holdout_fraction} of {config.train.size} images"
            )
        splits[VALIDATION] = held_out
    dataset = dataclasses.replace(config.dataset, splits=splits)
    recipe = fit_batch_size(recipe, train.size, MIN_STEPS)
    folder = config.output_dir / TRAINING
    arguments = (folder, config.backbone_lr_scale, config.batch_norm, config.task)
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
    stage = StageResult(
        name=ALL_LAYERS,
        outputs=outputs,
        seconds=sum(epoch["seconds"] for epoch in training.history),
        note=f"{len(training.history)} epochs of {train.size} images, batch {recipe.batch_size}, "
        f"learning rate {recipe.peak_lr:.3g}, {settings}, seed {config.seed}"
        f"{', not kept' * is_dropped}",
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
    note(result.verdict)
    return result


def _fit_linear(config: FinetuneConfig, features: ModelOutputs) -> LinearClassifier:
    """Fits the linear classifier, with the class weights of the second stage's recipe."""
    weights, recipe = None, config.recipe
    if recipe and recipe.class_weight is not None:
        labels, classes = features.labels, config.dataset.classes
        is_row = labels.ndim == 2
        counts = labels.sum(axis=0) if is_row else np.bincount(labels, minlength=classes)
        weights = class_weights(
            config.task,
            recipe.class_weight,
            config.dataset.class_names,
            counts,
            len(features.names),
        )
    classes = config.dataset.classes
    return fit_linear(
        features.values, features.labels, seed=config.seed, classes=classes, class_weight=weights
    )


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

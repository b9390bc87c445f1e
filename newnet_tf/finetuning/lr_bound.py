"""The largest learning rate at which training of all layers is stable.

Near the initial weights a step of SGD multiplies the deviation along each eigenvector of the loss'
Hessian by `1 - learning_rate * curvature`. Above a certain learning rate the deviation grows from step
to step. The largest curvature differs widely between models and is not visible in any single layer:
without residual connections the layers' curvatures multiply.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from newnet_tf.data.datasets.base import Dataset
from newnet_tf.data.image_loader import ImageLoader
from newnet_tf.finetuning.feature_cache import CLASSIFIER
from newnet_tf.finetuning.full_finetune import (
    batch_norm_mode,
    logits_model,
    run_settings,
    scaled_lr_step,
)
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import Task, get_task
from newnet_tf.training.class_weight import weighted_task
from newnet_tf.training.compilation import compile_model
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.io import write_bytes
from newnet_tf.utils.lazy import keras
from newnet_tf.utils.progress import progress_bar

FILE = "max_stable_lr.json"
MAX_ITERATIONS = 12
TOLERANCE = 0.03  # relative change between two iterations that ends the search
DISTANCE = 1e-3  # Euclidean, between the weights whose gradients are compared
PLAIN_SGD = Recipe(lr=1.0, schedule="constant", momentum=0.0, nesterov=False, epochs=1)


def cap_learning_rate(
    model,
    dataset: Dataset,
    preprocess: PreprocessConfig,
    recipe: Recipe,
    output_dir: str | os.PathLike,
    backbone_lr_scale: float = 0.25,
    batch_norm: str = "frozen",
    task: str | Task = "classification",
) -> Recipe:
    """Returns a recipe whose learning rate is at most the largest stable one.

    The result is stored in `output_dir`, since a resumed run must have exactly the same learning rate.

    Args:
        model: Keras model, as in `train_all_layers`.

        dataset: `Dataset` with a split `train`.

        preprocess: `PreprocessConfig` of the model.

        recipe: `Recipe`. With another optimizer than SGD it is returned as it is, since those scale
            the step of each weight themselves.

        output_dir: folder of the run.

        backbone_lr_scale, batch_norm, task: as in `train_all_layers`.

    Returns:
        `Recipe`.

    Raises:
        ValueError: as `train_all_layers`, or if no image can be read.
    """
    if recipe.optimizer != "sgd":
        return recipe
    logits = logits_model(model)
    loader = ImageLoader(
        dataset,
        preprocess,
        augmentation=recipe.augmentation,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
    )
    settings = recipe.flat() | loader.fingerprint
    settings |= run_settings(logits, backbone_lr_scale, batch_norm)
    file, key = Path(output_dir) / FILE, json.dumps(settings, sort_keys=True)
    bound = _read(file, key)
    if bound is None:
        batch = next(iter(loader.train(0)), None)
        if batch is None:
            raise ValueError("there must be a readable image to train on. Received: none")
        head = model.get_layer(CLASSIFIER).trainable_variables
        with batch_norm_mode(model, backbone_lr_scale, batch_norm):
            weighted = weighted_task(get_task(task), recipe, loader)
            bound = max_stable_lr(logits, head, backbone_lr_scale, *batch, weighted)
        write_bytes(file, json.dumps({"max_stable_lr": bound, "settings": key}).encode())
    scale = min(1.0, bound / recipe.peak_lr)
    return dataclasses.replace(recipe, lr=recipe.lr * scale)


def max_stable_lr(
    logits,
    head: Sequence,
    backbone_lr_scale: float,
    images,
    targets,
    task: str | Task = "classification",
) -> float:
    """Returns the largest stable learning rate: 1 over the largest curvature of the loss.

    Plain SGD is stable up to twice this rate; the factor of two is left for momentum and for the
    differences between batches. The largest curvature is found by power iteration with differences of
    gradients of one batch. Afterwards the weights are what they were.

    Args:
        logits: Keras model from images to logits; its trainable layers count.

        head: Keras variables of the classifier, whose learning rate is returned.

        backbone_lr_scale: float, as in `train_all_layers`.

        images, targets: a training batch.

        task: name of a task, or a `Task`, whose loss counts. Default: `"classification"`.

    Returns:
        float.

    Source: LeCun, Simard, Pearlmutter, "Automatic learning rate maximization by on-line estimation
        of the Hessian's eigenvectors" (NIPS 1992).
    """
    initial = logits.get_weights()
    variables = logits.trainable_variables
    with _without_dropout(logits):
        model = compile_model(logits, PLAIN_SGD, steps=1, task=task)
        step = scaled_lr_step(model, head, backbone_lr_scale)
        weights = [keras.ops.convert_to_numpy(variable) for variable in variables]

        def sgd_step(values: list[np.ndarray]) -> list[np.ndarray]:
            """The step that plain SGD with learning rate 1 takes from `values`."""
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            step(images, targets)
            after = [keras.ops.convert_to_numpy(variable) for variable in variables]
            return [a - b for a, b in zip(values, after, strict=True)]

        try:
            gradient = direction = sgd_step(weights)
            curvature = 0.0
            for _ in progress_bar(range(MAX_ITERATIONS), "Curvature of the loss"):
                length = DISTANCE / _norm(direction)
                shifted = [a + length * d for a, d in zip(weights, direction, strict=True)]
                difference = zip(sgd_step(shifted), gradient, strict=True)
                direction = [a - b for a, b in difference]
                previous, curvature = curvature, _norm(direction) / DISTANCE
                if abs(curvature - previous) < TOLERANCE * curvature:
                    break
        finally:
            logits.set_weights(initial)
    return 1 / curvature


def _norm(arrays: list[np.ndarray]) -> float:
    return float(np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in arrays)))


def _read(file: Path, key: str) -> float | None:
    """Returns the stored learning rate of these settings; None for others or a damaged file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return float(content["max_stable_lr"]) if content["settings"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def _without_dropout(model) -> Iterator[None]:
    """Sets dropout to 0 for the time of the context: gradients must differ by the weights alone."""
    layers = [x for x in model.layers if isinstance(x, keras.layers.Dropout)]
    rates = [layer.rate for layer in layers]
    try:
        for layer in layers:
            layer.rate = 0.0
        yield
    finally:
        for layer, rate in zip(layers, rates, strict=True):
            layer.rate = rate

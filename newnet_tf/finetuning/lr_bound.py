"""How high a rate all layers of a network bear: one over the steepest curvature of its loss.

Near its first weights a step of SGD multiplies what is off them by `1 - rate * curvature`, along each
direction; above a certain rate it grows from step to step, however good the weights were. How steep a
network is differs widely, and does not show in any one layer: where there are no shortcuts the layers
curve the loss together.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from newnet_tf.data.datasets.base import Dataset
from newnet_tf.data.host_loader import shown
from newnet_tf.deploy import fingerprint
from newnet_tf.finetuning.feature_cache import CLASSIFIER
from newnet_tf.finetuning.full_finetune import begun, slowed, thawed
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.training import run_files
from newnet_tf.training.compilation import compiled
from newnet_tf.training.image_loader import ImageLoader
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.lazy import keras

FILE = "max_stable_lr.json"
ROUNDS = 12
CLOSE = 0.03  # two rounds that differ by less end the search
DISTANCE = 1e-3  # Euclidean, of weights between which gradients are compared
PLAIN = Recipe(lr=1.0, schedule="constant", momentum=0.0, nesterov=False, epochs=1)


def bounded(
    model,
    source: Dataset,
    preprocess: PreprocessConfig,
    recipe: Recipe,
    folder: str | os.PathLike,
    backbone_lr_scale: float = 0.25,
    batch_norm: str = "frozen",
) -> Recipe:
    """Returns a recipe whose rate is no higher than `train_all_layers` of the same arguments bears.

    What was found is kept in the folder, as a run that goes on must have the very same rate. A recipe
    of another optimizer than SGD is returned as it is: those scale each weight's step themselves.

    Raises:
        ValueError: as `train_all_layers`, or where no image can be read.
    """
    if recipe.optimizer != "sgd":
        return recipe
    logits = fingerprint.logits_model(model)
    data = ImageLoader(source, preprocess, recipe)
    settings = recipe.flat() | data.fingerprint | begun(logits, backbone_lr_scale, batch_norm)
    file, known = Path(folder) / FILE, json.dumps(settings, sort_keys=True)
    found = _read(file, known)
    if found is None:
        batch = next(iter(data.train(0)), None)
        if batch is None:
            raise ValueError("there must be a readable image to train on. Received: none")
        head = model.get_layer(CLASSIFIER).trainable_variables
        with thawed(model, backbone_lr_scale, batch_norm):
            found = max_stable_lr(logits, head, backbone_lr_scale, *batch)
        run_files.write(file, json.dumps({"highest": found, "of": known}).encode())
    share = min(1.0, found / recipe.peak_lr)
    return dataclasses.replace(recipe, lr=recipe.lr * share)


def max_stable_lr(logits, head, share: float, images, targets) -> float:
    """Returns the rate that a network bears: 1 over the largest curvature of its loss.

    Momentum and what differs between batches take the rest of the way to where steps grow. The largest
    curvature is found by power iteration: gradients of one batch, at weights a little apart. Weights
    are afterwards what they were.

    Args:
        logits: Keras model from images to logits; its trainable layers count.
        head, share: as in `slowed`; the rate is the head's.
        images, targets: a batch as training takes it.

    Source: LeCun, Simard, Pearlmutter, "Automatic learning rate maximization by on-line estimation
        of the Hessian's eigenvectors" (NIPS 1992).
    """
    first = logits.get_weights()
    variables = logits.trainable_variables
    with _without_dropout(logits):
        trained = compiled(logits, PLAIN, steps=1)
        step = slowed(trained, head, share)
        at = [keras.ops.convert_to_numpy(variable) for variable in variables]

        def moved(values) -> list[np.ndarray]:
            """The step that plain SGD at rate 1 takes from `values`."""
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            step(images, targets)
            after = [keras.ops.convert_to_numpy(variable) for variable in variables]
            return [a - b for a, b in zip(values, after, strict=True)]

        try:
            here = direction = moved(at)
            found = 0.0
            for _ in shown(range(ROUNDS), "Curvature of the loss"):
                length = DISTANCE / _norm(direction)
                aside = [a + length * d for a, d in zip(at, direction, strict=True)]
                direction = [a - b for a, b in zip(moved(aside), here, strict=True)]
                before, found = found, _norm(direction) / DISTANCE
                if abs(found - before) < CLOSE * found:
                    break
        finally:
            logits.set_weights(first)
    return 1 / found


def _norm(arrays) -> float:
    return float(np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in arrays)))


def _read(file: Path, known: str) -> float | None:
    """Returns the rate that lies in a file for these settings; a damaged file is no reason to stop."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return float(kept["highest"]) if kept["of"] == known else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def _without_dropout(model) -> Iterator[None]:
    """Sets dropout to 0 for a while: gradients must differ by the weights alone."""
    layers = [x for x in model.layers if isinstance(x, keras.layers.Dropout)]
    rates = [layer.rate for layer in layers]
    try:
        for layer in layers:
            layer.rate = 0.0
        yield
    finally:
        for layer, rate in zip(layers, rates, strict=True):
            layer.rate = rate

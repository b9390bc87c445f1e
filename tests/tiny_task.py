"""A second task, small enough for tests: find the bright square in a gray image.

The model has two named outputs: `"point"`, the square's center as shares of width and height, and
`"score_map"`, a logit for each of 4 x 4 cells, whether the center lies in it. The labels are a mapping
(`{"point": (n, 2), "cell": (n,)}`). The task's metric is the distance between predicted and true
center in pixels; lower is better. It shows what any task must bring, and tests run the engine on it:

- `task()`: the `Task`; give it to what takes `task=`, or register its name with `registered()`.
- `model(seed)`: an untrained Keras model; `trained_model()`: one that has learned a little.
- `images(count, seed)`: uint8 images (count, 16, 16, 3); `labeled(count, seed)`: images and labels.
- `loader(recipe)`: batches in memory for `training.fit`; `dataset`-like attributes `name`, `classes`.
- `recipe(**fields)`: a `Recipe` of a few epochs. `preprocess()`: the `PreprocessConfig`.
"""

import contextlib
import functools
from collections.abc import Mapping

import numpy as np

from newnet_tf.task import Prediction, Task

NAME = "tiny_point"
SIZE, CELLS, SQUARE = 16, 4, 4  # pixels, cells along an axis, pixels of the square
TRAIN, TEST, BATCH = 48, 20, 8
CLASS_NAMES = ("square",)


def labeled(count: int, seed: int = 0):
    """Returns uint8 images (count, 16, 16, 3) and {"point": float32 (count, 2), "cell": int64}."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 80, (count, SIZE, SIZE, 3), np.uint8)
    corners = random.integers(0, SIZE - SQUARE + 1, (count, 2))  # left, top
    for image, (left, top) in zip(images, corners, strict=True):
        image[top : top + SQUARE, left : left + SQUARE] += np.uint8(150)
    points = ((corners + SQUARE / 2) / SIZE).astype(np.float32)
    columns, rows = np.minimum((points * CELLS).astype(np.int64), CELLS - 1).T
    return images, {"point": points, "cell": rows * CELLS + columns}


def images(count: int = 8, seed: int = 7) -> np.ndarray:
    """Returns uint8 images (count, 16, 16, 3)."""
    return labeled(count, seed)[0]


def preprocess():
    """Returns the model's `PreprocessConfig`: 16 pixels, values of about -1 to 1."""
    from newnet_tf.models.config import PreprocessConfig

    half = (0.5, 0.5, 0.5)
    return PreprocessConfig(image_size=SIZE, crop_pct=1.0, mean=half, std=half)


def normalized(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8 images as the model takes them, float32."""
    from newnet_tf.data.preprocess import normalize

    return normalize(pixels, preprocess())


def model(seed: int = 0):
    """Returns an untrained Keras model with outputs `point` (n, 2) and `score_map` (n, 4, 4, 1)."""
    import keras

    keras.utils.set_random_seed(seed)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Conv2D(8, 3, 2, padding="same", use_bias=False, name="stem_conv")(image)
    x = keras.layers.BatchNormalization(momentum=0.9, name="stem_bn")(x)
    x = keras.layers.ReLU(max_value=6.0, name="stem_act")(x)
    x = keras.layers.Conv2D(16, 3, 2, padding="same", activation="relu", name="features")(x)
    scores = keras.layers.Conv2D(1, 1, name="score_map")(x)
    point = keras.layers.Dense(2, name="point")(keras.layers.Flatten(name="flat")(x))
    return keras.Model(image, {"point": point, "score_map": scores}, name="tiny_point")


@functools.cache
def trained_model():
    """Returns a model after 60 steps of training; its outputs vary from image to image."""
    import keras

    network, (pixels, labels) = model(), labeled(256, seed=1)
    network.compile(
        keras.optimizers.Adam(0.005),
        loss={"point": "mse", "score_map": keras.losses.BinaryCrossentropy(from_logits=True)},
    )
    targets = {"point": labels["point"], "score_map": one_cell(labels["cell"])}
    for _ in range(60):
        network.train_on_batch(normalized(pixels), targets)
    return network


def one_cell(cells: np.ndarray) -> np.ndarray:
    """Returns maps float32 (n, 4, 4, 1), 1 in the cell of the square's center."""
    return np.eye(CELLS * CELLS, dtype=np.float32)[cells].reshape(-1, CELLS, CELLS, 1)


class PointMetrics:
    """Sums of distances in pixels and of images whose best cell is wrong."""

    def __init__(self, count: int = 0, distance: float = 0.0, wrong: int = 0, loss: float = 0.0):
        self.count, self.distance, self.wrong, self.loss = count, distance, wrong, loss

    def update(self, label, outputs) -> None:
        difference = np.asarray(outputs["point"], np.float64) - np.asarray(label["point"])
        scores = np.asarray(outputs["score_map"], np.float64)
        cells, truth = np.asarray(label["cell"]), one_cell(np.asarray(label["cell"]))
        self.count += len(cells)
        self.distance += float(SIZE * np.sqrt(np.square(difference).sum(axis=1)).sum())
        self.wrong += int((scores.reshape(len(cells), -1).argmax(axis=1) != cells).sum())
        entropies = np.logaddexp(0.0, scores) - scores * truth
        self.loss += float((np.square(difference).mean(axis=1)).sum())
        self.loss += float(entropies.mean(axis=(1, 2, 3)).sum())

    def __add__(self, other: "PointMetrics") -> "PointMetrics":
        mine, others = self.state(), other.state()
        return PointMetrics(**{name: mine[name] + others[name] for name in mine})

    def result(self) -> dict[str, float]:
        if not self.count:
            raise ValueError("there must be a readable image to test on. Received: none")
        return {
            "distance": self.distance / self.count,
            "cell_error": 100 * self.wrong / self.count,
            "loss": self.loss / self.count,
        }

    def state(self) -> dict[str, float]:
        return dict(vars(self))

    def load_state(self, state) -> None:
        vars(self).update(state)


class PointTask(Task):
    """The task; see the module's docstring."""

    name, metric, mode = NAME, "distance", "min"
    units: Mapping[str, str] = {"cell_error": "%"}
    labels: Mapping[str, str] = {"distance": "distance (pixels)"}

    def check(self, model, dataset) -> None:
        names = set(model.output) if isinstance(model.output, dict) else None
        if names != {"point", "score_map"}:
            raise ValueError(f"`model` must have outputs point and score_map. Received: {names}")

    def preprocess(self, image, label, preprocess, *, augmentation=None, seed=0):
        from newnet_tf.data.preprocess import normalize

        return normalize(image, preprocess), label

    def loss(self, target, outputs):
        from keras import losses, ops

        truth = ops.cast(target["score_map"], "float32")
        entropies = losses.binary_crossentropy(truth, outputs["score_map"], from_logits=True)
        return {
            "location": ops.mean(ops.square(outputs["point"] - target["point"])),
            "cells": ops.mean(entropies),
        }

    def metrics(self) -> PointMetrics:
        return PointMetrics()

    def decode(
        self, outputs, image_size, class_names=None, max_predictions=None, output_type="logits"
    ):
        height, width = image_size
        x, y = (float(v) for v in np.asarray(outputs["point"]) * (width, height))
        score = float(1 / (1 + np.exp(-np.asarray(outputs["score_map"]).max())))
        half = SQUARE / 2 * width / SIZE, SQUARE / 2 * height / SIZE
        box = (x - half[0], y - half[1], x + half[0], y + half[1])
        return [Prediction((class_names or CLASS_NAMES)[0], 0, score, box=box)]

    def fidelity(self, reference, outputs, output_type="logits", reference_type="logits"):
        if set(reference) != set(outputs):
            raise ValueError(
                f"`outputs` must be named {sorted(reference)}. Received: {sorted(outputs)}"
            )
        cosines, errors = [], []
        for name, expected in reference.items():
            expected = np.asarray(expected, np.float64).reshape(len(expected), -1)
            got = np.asarray(outputs[name], np.float64).reshape(expected.shape)
            center = expected.mean(0)
            signal, noisy = expected - center, got - center
            cosines.append(
                float((signal * noisy).sum() / (np.linalg.norm(signal) * np.linalg.norm(noisy)))
            )
            errors.append(float(np.abs(got - expected).max() / np.sqrt(np.square(signal).mean())))
        return {
            "images": len(expected),
            "cosine": min(cosines),
            "max_normalized_error": max(errors),
        }

    def draw(self, image, predictions):
        drawn = image.copy()
        for prediction in predictions:
            left, top, right, bottom = (max(0, round(v)) for v in prediction.box)
            drawn[top:bottom, left:right, 0] = 255
        return drawn


@functools.cache
def task() -> PointTask:
    """Returns the task, the same object every time."""
    return PointTask()


TASK = task()  # what `get_task` looks for in a task's module


@contextlib.contextmanager
def registered():
    """Adds the task to the table `TASKS` for a while, so that its name can be used."""
    from newnet_tf.task import TASKS

    TASKS[NAME] = __name__
    try:
        yield NAME
    finally:
        del TASKS[NAME]


class Loader:
    """Batches in memory, shuffled by (seed, epoch); what `training.fit` asks of a loader."""

    num_shards, shard_index = 1, 0
    name, classes = "squares", 1

    def __init__(self, recipe):
        self.recipe, self.batch_size = recipe, recipe.batch_size
        self._train, self._test = labeled(TRAIN, seed=1), labeled(TEST, seed=2)
        self.steps_per_epoch, self.num_eval_samples = TRAIN // recipe.batch_size, TEST

    @property
    def fingerprint(self):
        return {"dataset": self.name, "train": TRAIN, "test": TEST}

    def train(self, epoch, start=0):
        order = np.random.default_rng((self.recipe.seed, epoch)).permutation(TRAIN)
        pixels, labels = self._train
        for step in range(start, self.steps_per_epoch):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            target = {
                "point": labels["point"][chosen],
                "score_map": one_cell(labels["cell"][chosen]),
            }
            yield normalized(pixels[chosen]), target

    def test(self):
        pixels, labels = self._test
        for first in range(0, TEST, BATCH):
            part = slice(first, first + BATCH)
            yield normalized(pixels[part]), {name: v[part] for name, v in labels.items()}


def loader(recipe) -> Loader:
    """Returns the loader of 48 images to train on and 20 to test on."""
    return Loader(recipe)


def recipe(**fields):
    """Returns a recipe of three epochs."""
    from newnet_tf.training import Recipe

    usual = {"lr": 0.05, "batch_size": BATCH, "epochs": 3, "seed": 3, "dtype": "float32"}
    return Recipe(**(usual | fields))

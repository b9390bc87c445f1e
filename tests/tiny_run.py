"""A run small enough to train in a test: a network with batch norm and dropout, 64 made images.

As a program it is the child of `test_training_resume`: `python tiny_run.py IMAGES FOLDER...` trains in
one folder after the other, tells each step on stdout, and takes its time over it, so that it can be
killed at a chosen one.
"""

import functools
import os
import sys
import time
from pathlib import Path

import numpy as np

SIZE, CLASSES, COUNT, BATCH = 32, 4, 64, 8
PAUSE = 0.05  # seconds of a step of the child


def images(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns images and labels: noise, brighter in one quarter, which tells the class."""
    random = np.random.default_rng(seed)
    pixels, labels = np.empty((COUNT, SIZE, SIZE, 3), np.uint8), np.arange(COUNT) % CLASSES
    for image, label in zip(pixels, labels, strict=True):
        image[:] = random.integers(0, 156, image.shape, np.uint8)
        top, left = 16 * (label // 2), 16 * (label % 2)
        image[top : top + 16, left : left + 16] += np.uint8(100)
    return pixels, labels


def make_images(folder: Path, seed: int = 0) -> Path:
    """Writes `images` as PNG files in a folder for each class."""
    from PIL import Image

    for number, (pixels, label) in enumerate(zip(*images(seed), strict=True)):
        path = folder / f"class{label}" / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def recipe(**fields):
    from newnet_tf.data.augment.config import Augmentation
    from newnet_tf.training import Recipe

    augmentation = Augmentation(crop="random", hflip_prob=0.0, cutmix_alpha=1.0, mix_prob=0.5)
    usual = {
        "lr": 0.05,
        "batch_size": BATCH,
        "epochs": 3,
        "warmup": 0.5,
        "weight_decay": 1e-3,
        "seed": 3,
        "augmentation": augmentation,
    }
    return Recipe(**(usual | fields))


def network(seed: int = 0, dropout: float = 0.3):
    import keras

    keras.utils.set_random_seed(seed)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Conv2D(8, 3, 2, padding="same", use_bias=False, name="stem_conv")(image)
    x = keras.layers.BatchNormalization(momentum=0.9, name="stem_bn")(x)
    x = keras.layers.Activation("relu6", name="stem_act")(x)
    x = keras.layers.DepthwiseConv2D(3, 2, padding="same", name="depthwise")(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name="depthwise_bn")(x)
    x = keras.layers.Flatten(name="flat")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(image, keras.layers.Dense(CLASSES, name="classifier")(x), name="tiny")


def preprocess():
    from newnet_tf.models.config import PreprocessConfig

    return PreprocessConfig(image_size=SIZE, crop_pct=1.0)


@functools.cache
def dataset(folder: Path, files: bool = False):
    """Returns the folder as a dataset that reads files, or that has read them into memory.

    `tf.data` makes a graph for each epoch: without decoders it takes half the time.
    """
    from newnet_tf.data.datasets.base import Dataset, memory_split
    from newnet_tf.data.datasets.factory import folder_dataset
    from newnet_tf.data.host_loader import iter_samples
    from newnet_tf.data.images import read_image

    listed = folder_dataset(folder, validation_split=0.25)
    if files:
        return listed
    splits = {}
    for name in ("train", "validation"):
        samples = list(iter_samples(listed.split(name)))
        pixels = np.stack([read_image(sample.source) for sample in samples])
        labels, names = zip(*((sample.label, sample.name) for sample in samples), strict=True)
        splits[name] = memory_split(pixels, labels, names)
    return Dataset(listed.name, listed.class_names, splits)


def loader(folder: Path, made, files: bool = False, **options):
    """Returns the `ImageLoader` of a folder, see `dataset`."""
    from newnet_tf.data.image_loader import ImageLoader

    return ImageLoader(
        dataset(Path(folder), files),
        preprocess(),
        augmentation=made.augmentation,
        batch_size=made.batch_size,
        seed=made.seed,
        **options,
    )


def arrays(made, **options):
    """Returns an `ArrayLoader` of as many images: it needs no graph at all."""
    from newnet_tf.data.array_loader import ArrayLoader

    pixels, labels = images()
    return ArrayLoader(
        "made",
        CLASSES,
        (pixels[16:], labels[16:]),
        (pixels[:16], labels[:16]),
        preprocess(),
        augmentation=made.augmentation,
        batch_size=made.batch_size,
        seed=made.seed,
        **options,
    )


def child(folder: Path, outputs: list[Path]) -> None:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    from newnet_tf.training import run, trainer

    run.write_curves = lambda *arguments: None  # matplotlib takes longer than the run

    def slow_step(trained):
        step, done = trainer.single_step(trained), 0

        def slow(images, targets):
            nonlocal done
            found, done = step(images, targets), done + 1
            print(f"{output.name}: step {done}", flush=True)
            time.sleep(PAUSE)
            return found

        return slow

    made = recipe(ema_decay=0.9, epochs=2)
    options = {"resume": True, "checkpoint_every": 2, "make_step": slow_step}
    for output in outputs:
        trainer.fit(network(), loader(folder, made), made, output, **options)


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    child(Path(sys.argv[1]), [Path(output) for output in sys.argv[2:]])

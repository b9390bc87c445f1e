"""Keras' own image loader, set up as in its guides, to compare the pipelines' speed with."""

from collections.abc import Callable
from pathlib import Path

RESIZE, SIZE = 256, 224
SHARE = 8  # RandAugment in layers is so slow that it is timed on an eighth of the images


def keras_loaders(folder: Path, batch_size: int) -> dict[str, Callable]:
    """Returns {name: callable -> normalized batches of 224 x 224 from a folder of classes}."""
    import keras
    import tensorflow as tf

    def load(is_train, layers):
        images = keras.utils.image_dataset_from_directory(
            folder,
            image_size=(RESIZE, RESIZE),
            crop_to_aspect_ratio=True,
            interpolation="bilinear" if is_train else "bicubic",
            batch_size=batch_size,
            shuffle=is_train,
            verbose=False,
        )
        model = keras.Sequential(layers)
        images = images.map(
            lambda x, y: (model(x, training=is_train), y), num_parallel_calls=tf.data.AUTOTUNE
        )
        return images.prefetch(tf.data.AUTOTUNE)

    def first_part(batches):
        return batches.take(max(1, len(batches) // SHARE))

    layers = keras.layers
    augment = [layers.RandomCrop(SIZE, SIZE), layers.RandomFlip("horizontal")]
    normalize = layers.Rescaling(1 / 127.5, -1)
    randaugment = layers.RandAugment(value_range=(0, 255), num_ops=2, factor=0.9)
    return {
        "Keras: train": lambda: load(True, [*augment, normalize]),
        "Keras: eval": lambda: load(False, [layers.CenterCrop(SIZE, SIZE), normalize]),
        "Keras: train + RandAugment": lambda: first_part(
            load(True, [*augment, randaugment, normalize])
        ),
    }

"""Keras' own loader of images, set up as its guides have it, to time ours against."""

from pathlib import Path

SIDE, SIZE = 256, 224
SHARE = 8  # RandAugment by layers is so slow that a pass is only the eighth part of the images


def keras_loaders(folder: Path, batch: int) -> dict:
    """Returns {name: callable -> normalized batches of 224 x 224 from a folder of classes}."""
    import keras
    import tensorflow as tf

    def loaded(is_train, layers):
        images = keras.utils.image_dataset_from_directory(
            folder,
            image_size=(SIDE, SIDE),
            crop_to_aspect_ratio=True,
            interpolation="bilinear" if is_train else "bicubic",
            batch_size=batch,
            shuffle=is_train,
            verbose=False,
        )
        steps = keras.Sequential(layers)
        images = images.map(
            lambda x, y: (steps(x, training=is_train), y), num_parallel_calls=tf.data.AUTOTUNE
        )
        return images.prefetch(tf.data.AUTOTUNE)

    def part(batches):
        return batches.take(max(1, len(batches) // SHARE))

    layers = keras.layers
    augment = [layers.RandomCrop(SIZE, SIZE), layers.RandomFlip("horizontal")]
    normalize = layers.Rescaling(1 / 127.5, -1)
    randaugment = layers.RandAugment(value_range=(0, 255), num_ops=2, factor=0.9)
    return {
        "Keras: train": lambda: loaded(True, [*augment, normalize]),
        "Keras: eval": lambda: loaded(False, [layers.CenterCrop(SIZE, SIZE), normalize]),
        "Keras: train + RandAugment": lambda: part(
            loaded(True, [*augment, randaugment, normalize])
        ),
    }

"""Other libraries' loaders of pictures, set up as their guides have it, to time ours against.

Each gives normalised batches of 224 x 224 from a folder of classes. Keras' work in this process's
threads, timm's transforms in processes of PyTorch's `DataLoader`.
"""

from importlib.util import find_spec
from pathlib import Path

SIDE, SIZE = 256, 224
RANDAUGMENT = "rand-m9-mstd0.5"


def keras_loaders(folder: Path, batch: int) -> dict:
    """Returns {name: dataset} of `image_dataset_from_directory` and augmentation layers."""
    import keras
    import tensorflow as tf

    def loaded(is_train, layers):
        pictures = keras.utils.image_dataset_from_directory(
            folder,
            image_size=(SIDE, SIDE),
            crop_to_aspect_ratio=True,
            interpolation="bilinear" if is_train else "bicubic",
            batch_size=batch,
            shuffle=is_train,
            verbose=False,
        )
        steps = keras.Sequential(layers)
        pictures = pictures.map(
            lambda x, y: (steps(x, training=is_train), y), num_parallel_calls=tf.data.AUTOTUNE
        )
        return pictures.prefetch(tf.data.AUTOTUNE)

    layers = keras.layers
    augment = [layers.RandomCrop(SIZE, SIZE), layers.RandomFlip("horizontal")]
    normalise = layers.Rescaling(1 / 127.5, -1)
    randaugment = layers.RandAugment(value_range=(0, 255), num_ops=2, factor=0.9)
    return {
        "Keras: train": loaded(True, [*augment, normalise]),
        "Keras: eval": loaded(False, [layers.CenterCrop(SIZE, SIZE), normalise]),
        "Keras: train + RandAugment": loaded(True, [*augment, randaugment, normalise]),
    }


def timm_loaders(folder: Path, batch: int, workers: int) -> dict:
    """Returns {name: loader} of timm's transforms; none where timm is not installed."""
    if not all(map(find_spec, ("torch", "torchvision", "timm"))):
        return {}
    from timm.data import ImageDataset, create_transform
    from torch.utils.data import DataLoader

    def loaded(is_train, **fields):
        transform = create_transform(SIZE, is_training=is_train, color_jitter=None, **fields)
        return DataLoader(
            ImageDataset(str(folder), transform=transform),
            batch,
            shuffle=is_train,
            num_workers=workers,
            multiprocessing_context="spawn",  # TensorFlow's threads do not survive a fork
            persistent_workers=True,
        )

    return {
        "timm: train": loaded(True, interpolation="bilinear"),
        "timm: eval": loaded(False, interpolation="bicubic", crop_pct=SIZE / SIDE),
        "timm: train + RandAugment": loaded(
            True, interpolation="bilinear", auto_augment=RANDAUGMENT
        ),
    }

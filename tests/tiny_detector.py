"""A detector small enough for tests, whose outputs vary: two feature maps, three classes, 32 pixels.

- `config(style)`: its `DetectionConfig`. `metadata(style)`: its `ModelMetadata`; images are stretched,
  without antialiasing.
- `model(style)`: an untrained Keras model, the same in every process.
- `outputs(style, seed)`: random outputs for one image, with many overlapping boxes.
"""

import keras
import numpy as np

from newnet_tf.detection.config import TF, DetectionConfig
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata

SIZE, MAPS, CLASS_NAMES = 32, (4, 2), ("cat", "dog", "cup")
PREPROCESS = PreprocessConfig(
    image_size=SIZE,
    resize_mode="stretch",
    interpolation="bilinear",
    antialias=False,
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
)


def config(style: str = TF, **options) -> DetectionConfig:
    """Returns the detector's `DetectionConfig`."""
    return DetectionConfig(
        classes=len(CLASS_NAMES), image_size=SIZE, feature_sizes=MAPS, style=style, **options
    )


def metadata(style: str = TF) -> ModelMetadata:
    """Returns what is known of the model."""
    return ModelMetadata(
        name="tiny",
        preprocess=PREPROCESS,
        task="detection",
        class_names=CLASS_NAMES,
        task_config=config(style).to_dict(),
    )


def model(style: str = TF) -> keras.Model:
    """Returns an untrained model from images (n, 32, 32, 3) to `boxes` and `scores`."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((SIZE, SIZE, 3), name="image")
    parts = {"boxes": [], "scores": []}
    columns = {"boxes": 4, "scores": config(style).columns}
    for number, (size, count) in enumerate(zip(MAPS, config(style).anchors_per_cell, strict=True)):
        stride = x.shape[1] // size
        x = keras.layers.Conv2D(8, stride, stride, use_bias=False, name=f"conv{number}")(x)
        x = keras.layers.BatchNormalization(name=f"bn{number}")(x)
        x = keras.layers.ReLU(6.0, name=f"act{number}")(x)
        for seed, (name, kept) in enumerate(parts.items()):
            wide = keras.initializers.RandomNormal(stddev=1.0, seed=10 * number + seed)
            layer = keras.layers.Conv2D(
                count * columns[name], 1, kernel_initializer=wide, name=f"{name}{number}"
            )
            shape = (size * size * count, columns[name])
            kept.append(keras.layers.Reshape(shape, name=f"{name}{number}_rows")(layer(x)))
    joined = {name: keras.layers.Concatenate(1, name=name)(kept) for name, kept in parts.items()}
    return keras.Model(image, joined, name="tiny")


def outputs(style: str = TF, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns random `boxes` (anchors, 4) and `scores` (anchors, classes + 1) of one image."""
    random, known = np.random.default_rng(seed), config(style)
    return {
        "boxes": random.normal(0, 2, (known.anchor_count, 4)).astype(np.float32),
        "scores": random.normal(-1, 2, (known.anchor_count, known.columns)).astype(np.float32),
    }

"""A text detector small enough for tests, of 64 pixels or any size: bright blobs are characters.

- `model(image_size)`: a Keras model whose region score is the red channel of the image and whose
  affinity score is the green one, averaged over cells of 2 x 2 pixels.
- `metadata(image_size)`: its `ModelMetadata`.
- `photo(size, words)`: an image on which the model finds rectangles of characters.
"""

import keras
import numpy as np

from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.text.config import TextConfig

SIZE = 64


def metadata(image_size: int | None = SIZE) -> ModelMetadata:
    """Returns what is known of the model."""
    return ModelMetadata(
        name="tiny_text",
        preprocess=PreprocessConfig(
            image_size=image_size or 4 * SIZE,
            resize_mode="letterbox" if image_size else "fit",
            interpolation="bilinear",
            mean=(0.0,) * 3,
            std=(1.0,) * 3,
        ),
        task="text_detection",
        class_names=("text",),
        task_config=TextConfig(image_size=image_size).to_dict(),
    )


def model(image_size: int | None = SIZE) -> keras.Model:
    """Returns the model, from images (n, height, width, 3) to `region` and `affinity`."""
    image = keras.Input((image_size, image_size, 3), name="image")
    small = keras.layers.AveragePooling2D(2, name="cells")(image)
    outputs = {}
    for channel, name in enumerate(("region", "affinity")):
        layer = keras.layers.Conv2D(1, 1, use_bias=False, name=name)
        outputs[name] = layer(small)
        layer.set_weights([np.eye(3, dtype=np.float32)[channel].reshape(1, 1, 3, 1)])
    return keras.Model(image, outputs, name="tiny_text")


def photo(size: tuple[int, int], words) -> np.ndarray:
    """Returns an image (height, width, 3) that is red in rectangles x1, y1, x2, y2."""
    pixels = np.zeros((*size, 3), np.uint8)
    for x1, y1, x2, y2 in words:
        pixels[y1:y2, x1:x2, 0] = 255
    return pixels

"""A model small enough to export in seconds, whose outputs vary from image to image.

Random weights alone give nearly the same output for every image. Here batch norm's statistics are
those of the images, and the classifier is scaled and shifted until its logits spread about zero.
"""

import functools
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from newnet_tf.data.preprocess import normalize
from newnet_tf.deploy import PRECISIONS, export_tflite, fingerprint
from newnet_tf.models import blocks, outputs
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.flatten import flatten
from newnet_tf.models.inverted_residual import inverted_residual

SIZE, CLASSES = 64, 10
PREPROCESS = PreprocessConfig(image_size=SIZE, crop_pct=1.0)
MADE = [
    name
    for name, kind in PRECISIONS.items()
    if not kind.package or fingerprint.versions_of(kind.package)  # an extra
]
WHOLE = PreprocessConfig(image_size=SIZE, crop_pct=1.0, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


@functools.cache
def images() -> np.ndarray:
    """24 crops of four real images, uint8 (24, SIZE, SIZE, 3)."""
    import skimage

    crops = []
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png"):
        with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
            image = image.convert("RGB")
        side = min(image.size)
        for number in range(6):
            cut = side if number % 2 else side // 2
            x, y = ((length - cut) * number // 5 for length in image.size)
            box = (x, y, x + cut, y + cut)
            crops.append(np.asarray(image.crop(box).resize((SIZE, SIZE))))
    return np.stack(crops)


@functools.cache
def network(preprocess: PreprocessConfig = PREPROCESS, classifier_activation: str = "softmax"):
    """Returns the network, the same in every process. Its metadata are not set."""
    keras.utils.set_random_seed(0)
    model = untrained(classifier_activation)
    inputs = normalize(images(), preprocess)
    scores = keras.Model(model.inputs[0], model.get_layer("logits").output)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    scores(inputs, training=True)
    found = keras.ops.convert_to_numpy(scores(inputs))
    spread(model.get_layer("classifier"), found)
    return model


@functools.cache
def tiny(
    classifier_activation: str | None = None,
    seed: int = 0,
    preprocess: PreprocessConfig = PREPROCESS,
):
    """Returns a network of two layers, for tests of what does not depend on the network."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Conv2D(8, 4, 4, activation="relu", name="stem")(image)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(4, name="classifier")(features)
    model = keras.Model(image, keras.layers.Activation(classifier_activation)(x), name="tiny")
    found = keras.ops.convert_to_numpy(keras.Model(image, x)(normalize(images(), preprocess)))
    spread(model.get_layer("classifier"), found)
    return model


def spread(classifier, found: np.ndarray) -> None:
    """Scales and shifts a last layer so that logits like `found` spread about zero."""
    kernel, bias = classifier.get_weights()
    scale = 2 / found.std(0).mean()
    classifier.set_weights([kernel * scale, (bias - found.mean(0)) * scale])


def logits_network(preprocess: PreprocessConfig = PREPROCESS):
    """Returns the network without its softmax: of the same weights, and the same name."""
    return network(preprocess, "linear")


def logits(model, inputs) -> np.ndarray:
    """Returns the logits of a classifier, with or without a softmax at its end."""
    flat = flatten(model)
    if outputs.final_activation(flat) != outputs.LINEAR:
        flat = outputs.without_activation(flat)
    return keras.ops.convert_to_numpy(flat(inputs))


def untrained(classifier_activation: str = "softmax"):
    """Builds the network with Keras' initial values."""
    style = blocks.TENSORFLOW
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = blocks.conv_bn_act(image, 16, 3, 2, style=style, name="stem")
    x = inverted_residual(x, 24, stride=2, style=style, name="block0")
    x = inverted_residual(
        x, 32, se=blocks.SEConfig(channels=8), partial=True, style=style, name="block1"
    )
    x = blocks.conv_bn_act(x, 96, style=style, name="final")
    x = blocks.classifier(x, CLASSES, dropout=0.2)
    x = keras.layers.Activation(classifier_activation, name="predictions")(x)
    return keras.Model(image, x, name="small")


@functools.cache
def exported(base: Path) -> dict:
    """Exports the model once a session; returns {precision: result} of all installed precisions.

    The files return logits. `base` is pytest's `tmp_path_factory.getbasetemp()`.
    """
    results = export_tflite(
        logits_network(),
        PREPROCESS,
        base / "small",
        precisions=MADE,
        calibration_images=images(),
        validation_images=images(),
    )
    return {result.config.precision: result for result in results}

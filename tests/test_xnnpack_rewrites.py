"""Rewrites for XNNPACK: one partition, and the outputs of the interpreter's own kernels."""

import itertools

import keras
import numpy as np
import pytest

from newnet_tf.deploy import converter, export_tflite
from newnet_tf.deploy.runtime import Runner
from newnet_tf.models.config import PreprocessConfig

layers = keras.layers
PREPROCESS = PreprocessConfig(image_size=24)


def concatenated(count):
    def network(x):
        return layers.Concatenate()([layers.Conv2D(4, 1)(x) for _ in range(count)])

    return network


def pooled(kernel, stride, padding):
    return layers.AveragePooling2D(kernel, stride, padding=padding)


def standing_relu(x):
    return layers.Concatenate()([x, layers.Activation("relu")(x)])


def combined(x):
    """Everything that is rewritten, in one network."""
    x = standing_relu(pooled(3, 1, "same")(concatenated(11)(x)))
    return pooled(3, 2, "same")(layers.Conv2D(8, 1)(x))


CASES = {
    "combined": (combined, 13),
    "concatenated6": (concatenated(6), 13),
    "concatenated11": (concatenated(11), 13),
    "pooled2": (pooled(2, 2, "valid"), 14),
    "pooled3": (pooled(3, 2, "valid"), 13),
    "pooled3same": (pooled(3, 1, "same"), 13),
    "pooled3same2": (pooled(3, 2, "same"), 12),
    "pooled3odd": (pooled(3, 2, "same"), 13),
    "relu": (standing_relu, 12),
}


def cases():
    """All cases in both precisions; those of one rewrite are slow."""
    for name, precision in itertools.product(CASES, ("fp32", "int8-full")):
        marks = () if name == "combined" else pytest.mark.slow
        yield pytest.param(name, precision, id=f"{name}-{precision}", marks=marks)


@pytest.mark.parametrize(("name", "precision"), list(cases()))
def test_operators_that_xnnpack_does_not_take_are_replaced(name, precision, tmp_path, monkeypatch):
    body, side = CASES[name]
    image = keras.Input((24, 24, 3), name="image")
    x = layers.Conv2D(8, 1)(image)
    x = layers.Cropping2D(((0, 24 - side), (24 - side, 0)))(x)
    x = layers.Conv2D(5, 1)(body(x))
    x = layers.Flatten()(layers.Conv2D(20, x.shape[1:3])(x))
    network = keras.Model(image, x, name=name)
    images = list(np.random.RandomState(0).randint(0, 256, (8, 24, 24, 3), np.uint8))
    options = {
        "precisions": [precision],
        "calibration_images": images,
        "verify": False,
        "force": True,
    }
    (result,) = export_tflite(network, PREPROCESS, tmp_path / "whole", **options)
    assert result.delegation.fully_delegated

    inputs = np.random.RandomState(1).uniform(-1, 1, (64, 24, 24, 3)).astype(np.float32)
    outputs = Runner(result.file)(inputs)
    monkeypatch.setattr(converter, "apply_xnnpack_rewrites", lambda graph: None)
    options["require_full_delegation"] = False
    (plain,) = export_tflite(network, PREPROCESS, tmp_path / "plain", **options)
    exact = keras.ops.convert_to_numpy(network(inputs))
    error, plain_error = (
        np.sqrt(np.mean((scores - exact) ** 2)) / exact.std()
        for scores in (outputs, Runner(plain.file)(inputs))
    )
    assert error < 1e-5 if precision == "fp32" else error < 1.5 * plain_error < 0.15

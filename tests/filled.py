"""Shared by the tests of loading weights: weights as other frameworks name and lay them out."""

from pathlib import Path

import keras
import numpy as np

from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.weights import LoadTarget, reader
from newnet_tf.weights.reader import Checkpoint

TORCH = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def checkpoint_of(tensors):
    """A checkpoint of these tensors, as `reader.read` returns it."""
    return Checkpoint(path=Path("state_dict.pth"), kind=".pth", tensors=tensors)


def paint(model, seed):
    """Sets every weight of a model to a random value."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(random.uniform(0.5, 1.5, variable.shape).astype("f4"))


def assert_same(model, reference, but=()):
    """Compares the weights of `model` with those of `reference`, except for the layers in `but`."""
    expected = reader.tensors_of(reference)
    for key, value in reader.tensors_of(model).items():
        if key.split("/")[0] not in but:
            np.testing.assert_array_equal(value, expected[key], err_msg=key)


def as_torch(model, names, linear=()):
    """A model's weights as PyTorch names and lays them out; `linear` layers have matrices."""
    tensors = {}
    for layer in model.layers:
        for variable in layer.weights:
            value = np.array(keras.ops.convert_to_numpy(variable))
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                height, width, channels, each = value.shape
                value = np.moveaxis(value.reshape(height, width, channels * each), -1, 0)[:, None]
            elif value.ndim == 4:
                value = np.moveaxis(value, (3, 2), (0, 1))
            elif value.ndim == 2:
                value = value.T
            if layer.name in linear and value.ndim == 4:
                value = value[:, :, 0, 0]
            tensors[f"{names[layer.name]}.{TORCH[variable.name]}"] = value
        if isinstance(layer, keras.layers.BatchNormalization):
            tensors[f"{names[layer.name]}.num_batches_tracked"] = np.array(7)
    return tensors


NAMES = {
    "stem": "features.0",
    "norm": "features.1",
    "mix": "features.2",
    "hidden": "head.0",
    "classifier": "head.1",
}


def tiny(classes, width=4, top=True, channels=3):
    """Returns a conv, batch norm, depthwise conv, and a head of two 1x1 convs."""
    image = keras.Input((8, 8, channels))
    x = keras.layers.Conv2D(width, 3, use_bias=False, name="stem")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="mix")(x)
    if top:
        x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = keras.layers.Conv2D(5, 1, name="hidden")(x)
        x = keras.layers.Conv2D(classes, 1, name="classifier")(x)
    model = keras.Model(image, x)
    paint(model, seed=width)
    return model


FORMATS = (CheckpointFormat(name="torch", layers=NAMES),)


def tiny_target(width=4, checkpoint_formats=FORMATS, params=None, built=None):
    """Returns the target of `tiny`; `built` collects the widths of the models that it builds."""

    def build(classes):
        if built is not None:
            built.append(width)
        return tiny(classes, width)

    reported = ReportedResults(source="none", params=params) if params else None
    card = Card(name=f"tiny_{width}", title="Tiny", reported=reported)
    return LoadTarget(card, checkpoint_formats, ("hidden", "classifier"), build)

"""Shared by the tests of loading weights: weights as other frameworks name and lay them out."""

from pathlib import Path

import keras
import numpy as np

from newnet_tf.weights import reader
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

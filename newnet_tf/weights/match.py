"""Pairs a checkpoint's tensors with a model's variables, by name and layout.

A file's kind (`cards.Naming`) says how it calls our layers and how it lays tensors out. Each kind
that the network knows is tried, and our own; the one that places most tensors is taken. Nothing is
judged or assigned here: a `Plan` tells what fits, what is left over on either side, and what is not
needed.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from newnet_tf.models.config import CheckpointFormat
from newnet_tf.utils.lazy import keras
from newnet_tf.weights import Target
from newnet_tf.weights.reader import Checkpoint

OWN = "newnet_tf"
SEPARATORS = {"torch": ".", "gluon": "_", "keras": "/"}
LEAVES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "torch": {
        "weight": ("kernel", "gamma"),
        "bias": ("bias", "beta"),
        "running_mean": ("moving_mean",),
        "running_var": ("moving_variance",),
        "index": ("embeddings",),
    },
    "gluon": {
        "weight": ("kernel",),
        "bias": ("bias",),
        "gamma": ("gamma",),
        "beta": ("beta",),
        "running_mean": ("moving_mean",),
        "running_var": ("moving_variance",),
    },
    "keras": {"depthwise_kernel": ("kernel",)},
}


@dataclass(frozen=True)
class Fit:
    """A tensor of the file beside the variable it is meant for; `value` is in Keras layout."""

    tensor: str
    layer: str
    variable: object
    value: np.ndarray

    @property
    def exact(self) -> bool:
        """Whether the shapes are equal, and both are real numbers or both are not."""
        same = (self.value.dtype.kind == "f") == ("float" in self.variable.dtype)
        return same and self.value.shape == tuple(self.variable.shape)

    def __str__(self):
        kind = "" if self.value.dtype.kind == "f" else f"{self.value.dtype} "
        wanted = tuple(self.variable.shape)
        return f"{self.tensor} {kind}{self.value.shape} for {self.variable.path} {wanted}"


@dataclass
class Plan:
    """How a checkpoint read with one naming meets a model."""

    naming: CheckpointFormat
    fits: list[Fit] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unfilled: dict[str, str] = field(default_factory=dict)

    @property
    def shape_mismatches(self) -> list[Fit]:
        """Pairs whose shapes differ."""
        return [fit for fit in self.fits if not fit.exact]

    @property
    def complete(self) -> bool:
        """Whether nothing is left over on either side and every shape is equal."""
        return not (self.unused or self.unfilled or self.shape_mismatches)


def own(layers: Iterable[str]) -> CheckpointFormat:
    """Returns our own naming of `layers`: as `weights.save` and Keras write them."""
    return CheckpointFormat(name=OWN, layers={name: name for name in layers}, style="keras")


def plan(model, checkpoint: Checkpoint, target: Target) -> Plan:
    """Reads a checkpoint with every naming of `target`, and ours.

    Args:
        model: Keras model of `target`'s network, with or without top.
        checkpoint: what `checkpoint.read` gave. target: `Target` of the network.

    Returns:
        The `Plan` that places most of the tensors.
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    checkpoint_formats = (*target.checkpoint_formats, own((*layers, *target.head)))
    plans = [_match(layers, checkpoint, naming, target.head) for naming in checkpoint_formats]
    return max(plans, key=lambda plan: len(plan.fits) + len(plan.skipped))


def _match(layers, checkpoint: Checkpoint, naming: CheckpointFormat, head: tuple[str, ...]) -> Plan:
    plan = Plan(naming)
    ours = {prefix: layer for layer, prefix in naming.layers.items()}
    plan.unfilled = {v.path: name for name, layer in layers.items() for v in layer.weights}
    for name, tensor in checkpoint.tensors.items():
        prefix, leaf = split(name, naming.style)
        layer = ours.get(prefix)
        variable = _variable(layers[layer], naming.style, leaf) if layer in layers else None
        counter = leaf == "num_batches_tracked" and _is_norm(layers.get(layer))
        if counter or (layer in head and layer not in layers):
            plan.skipped.append(name)
        elif variable is None or plan.unfilled.pop(variable.path, None) is None:
            plan.unused.append(name)
        else:
            value = _arrange(tensor, layers[layer], variable, naming.style)
            plan.fits.append(Fit(name, layer, variable, value))
    return plan


def split(name: str, style: str) -> tuple[str, str]:
    """Splits a tensor's name into the module's prefix and what it is of that module."""
    separator = SEPARATORS[style]
    if style == "gluon":
        for leaf in LEAVES["gluon"]:
            if name.endswith(f"{separator}{leaf}"):
                return name.removesuffix(f"{separator}{leaf}"), leaf
    prefix, _, leaf = name.rpartition(separator)
    return prefix, leaf


def _variable(layer, style: str, leaf: str):
    """Returns the variable of `layer` that `leaf` names (or counts, in Keras files), or None."""
    counted = {str(i): variable for i, variable in enumerate(layer.weights)}
    if style == "keras" and leaf in counted:
        return counted[leaf]
    names = LEAVES[style].get(leaf, (leaf,))
    return next((v for v in layer.weights if v.name in names), None)


def _is_norm(layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _arrange(tensor: np.ndarray, layer, variable, style: str) -> np.ndarray:
    """Returns a tensor in the layout of `variable`, as far as its rank allows."""
    if variable.name == "embeddings" and tensor.ndim == 1 and tensor.dtype.kind == "i":
        return tensor[None].astype(np.float32)  # numbers of channels (CondenseNet)
    if variable.name != "kernel":
        return tensor
    if tensor.ndim == 4 and style != "keras":
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            channels = variable.shape[2]
            fits = tensor.shape[1] == 1 and tensor.shape[0] % channels == 0
            tensor = tensor.reshape(channels, -1, *tensor.shape[2:]) if fits else tensor
            return tensor.transpose(2, 3, 0, 1)
        tensor = tensor.transpose(2, 3, 1, 0)
    elif tensor.ndim == 2 and style != "keras":
        if len(variable.shape) == 4 and tensor.shape[1] == math.prod(variable.shape[:3]):
            height, width, channels, _ = variable.shape  # a dense layer on a flattened C, H, W map
            return tensor.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
        tensor = tensor.T
    one_by_one = tensor.ndim == 4 and tensor.shape[:2] == (1, 1)
    if tensor.ndim == 2 and len(variable.shape) == 4:
        return tensor[None, None]
    return tensor[0, 0] if one_by_one and len(variable.shape) == 2 else tensor

"""Pairs a checkpoint's tensors with a model's variables, by name and layout.

A `CheckpointFormat` says how a kind of file names our layers and lays out tensors. All formats of the
model are tried, and our own; the one that matches most tensors is taken. Nothing is assigned here: a
`Plan` lists what matches, what is left over on either side, and what is skipped.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from newnet_tf.models.config import CheckpointFormat
from newnet_tf.utils.lazy import keras
from newnet_tf.weights import LoadTarget
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
class Match:
    """A tensor of the file and its variable; `value` is the tensor in Keras' layout."""

    tensor: str
    layer: str
    variable: object
    value: np.ndarray

    @property
    def exact(self) -> bool:
        """Whether the shapes are equal, and both are floats or both are not."""
        same = (self.value.dtype.kind == "f") == ("float" in self.variable.dtype)
        return same and self.value.shape == tuple(self.variable.shape)

    def __str__(self):
        kind = "" if self.value.dtype.kind == "f" else f"{self.value.dtype} "
        shape = tuple(self.variable.shape)
        return f"{self.tensor} {kind}{self.value.shape} for {self.variable.path} {shape}"


@dataclass
class Plan:
    """How a checkpoint, read in one format, matches a model.

    Attributes:
        format: `CheckpointFormat`.

        matches: list of `Match`.

        unused: names of tensors without a variable.

        skipped: names of tensors that are not needed.

        unfilled: {path of a variable without a tensor: name of its layer}.
    """

    format: CheckpointFormat
    matches: list[Match] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unfilled: dict[str, str] = field(default_factory=dict)

    @property
    def shape_mismatches(self) -> list[Match]:
        """Matches whose shapes differ."""
        return [match for match in self.matches if not match.exact]

    @property
    def complete(self) -> bool:
        """Whether nothing is left over on either side and every shape is equal."""
        return not (self.unused or self.unfilled or self.shape_mismatches)


def own_format(layers: Iterable[str]) -> CheckpointFormat:
    """Returns the format of `layers` in files that `weights.save` and Keras write."""
    return CheckpointFormat(name=OWN, layers={name: name for name in layers}, layout="keras")


def plan(model, checkpoint: Checkpoint, target: LoadTarget) -> Plan:
    """Reads a checkpoint in every format of `target`, and in ours.

    Args:
        model: `keras.Model` of `target`, with or without top.

        checkpoint: `Checkpoint`, see `reader.read`.

        target: `LoadTarget` of the model.

    Returns:
        The `Plan` that matches most of the tensors.
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    checkpoint_formats = (*target.checkpoint_formats, own_format((*layers, *target.head)))
    plans = [_match(layers, checkpoint, known, target.head) for known in checkpoint_formats]
    return max(plans, key=lambda plan: len(plan.matches) + len(plan.skipped))


def _match(
    layers, checkpoint: Checkpoint, checkpoint_format: CheckpointFormat, head: tuple[str, ...]
) -> Plan:
    plan, layout = Plan(checkpoint_format), checkpoint_format.layout
    layer_of = {prefix: layer for layer, prefix in checkpoint_format.layers.items()}
    plan.unfilled = {v.path: name for name, layer in layers.items() for v in layer.weights}
    for name, tensor in checkpoint.tensors.items():
        prefix, leaf = split(name, layout)
        layer = layer_of.get(prefix)
        variable = _variable(layers[layer], layout, leaf) if layer in layers else None
        counter = leaf == "num_batches_tracked" and _is_norm(layers.get(layer))
        if counter or (layer in head and layer not in layers):
            plan.skipped.append(name)
        elif variable is None or plan.unfilled.pop(variable.path, None) is None:
            plan.unused.append(name)
        else:
            value = _arrange(tensor, layers[layer], variable, layout)
            plan.matches.append(Match(name, layer, variable, value))
    return plan


def split(name: str, layout: str) -> tuple[str, str]:
    """Splits a tensor's name into the module's prefix and the name inside that module."""
    separator = SEPARATORS[layout]
    if layout == "gluon":
        for leaf in LEAVES["gluon"]:
            if name.endswith(f"{separator}{leaf}"):
                return name.removesuffix(f"{separator}{leaf}"), leaf
    prefix, _, leaf = name.rpartition(separator)
    return prefix, leaf


def _variable(layer, layout: str, leaf: str):
    """Returns the variable of `layer` with the name `leaf` (in Keras files also the index), or None."""
    by_index = {str(i): variable for i, variable in enumerate(layer.weights)}
    if layout == "keras" and leaf in by_index:
        return by_index[leaf]
    names = LEAVES[layout].get(leaf, (leaf,))
    return next((v for v in layer.weights if v.name in names), None)


def _is_norm(layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _arrange(tensor: np.ndarray, layer, variable, layout: str) -> np.ndarray:
    """Returns a tensor in the layout of `variable`, as far as its rank allows."""
    if variable.name == "embeddings" and tensor.ndim == 1 and tensor.dtype.kind == "i":
        return tensor[None].astype(np.float32)  # channel indices (CondenseNet)
    if variable.name != "kernel":
        return tensor
    if tensor.ndim == 4 and layout != "keras":
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            channels = variable.shape[2]
            is_depthwise = tensor.shape[1] == 1 and tensor.shape[0] % channels == 0
            tensor = tensor.reshape(channels, -1, *tensor.shape[2:]) if is_depthwise else tensor
            return tensor.transpose(2, 3, 0, 1)
        tensor = tensor.transpose(2, 3, 1, 0)
    elif tensor.ndim == 2 and layout != "keras":
        if len(variable.shape) == 4 and tensor.shape[1] == math.prod(variable.shape[:3]):
            height, width, channels, _ = variable.shape  # a dense layer on a flattened C, H, W map
            return tensor.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
        tensor = tensor.T
    one_by_one = tensor.ndim == 4 and tensor.shape[:2] == (1, 1)
    if tensor.ndim == 2 and len(variable.shape) == 4:
        return tensor[None, None]
    return tensor[0, 0] if one_by_one and len(variable.shape) == 2 else tensor

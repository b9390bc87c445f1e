"""Pairs a checkpoint's tensors with a model's variables, by name and layout.

A `CheckpointFormat` says how a kind of file names our layers and lays out tensors. All formats of the
model are tried, and our own, each at the place in the file where `places` finds its names; the one that
matches most tensors is taken. Nothing is assigned here: a `Plan` lists what matches, what is left over
on either side, and what is skipped.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from newnet_tf.models.config import CheckpointFormat
from newnet_tf.utils.lazy import keras
from newnet_tf.weights import CheckpointError, LoadTarget, places
from newnet_tf.weights.reader import Checkpoint

OWN = "newnet_tf"
STEMS = (
    "stem_conv",
    "conv0",
    "stage0_0_conv",
)  # the first convolution, where none is `stem...`
AUXILIARY = (
    "AuxLogits",
    "aux_logits",
    "aux_head",
    "auxiliary_head",
    "aux1",
    "aux2",
)  # only trained
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
    "keras": {
        "depthwise_kernel": ("kernel",),
        "depthwise_weights": ("kernel",),  # these three: TF-Slim
        "weights": ("kernel",),
        "biases": ("bias",),
    },
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

        place: `places.Place` of the tensors in the file.
    """

    format: CheckpointFormat
    place: places.Place
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


def stem_layer(layers: Iterable[str]) -> str | None:
    """Returns the first convolution among names of layers, None where it is not known."""
    layers = list(layers)
    stems = (name for name in layers if name.startswith("stem") and not name.endswith("bn"))
    return next((name for name in (*stems, *STEMS) if name in layers), None)


def formats_by_fit(
    checkpoint: Checkpoint, target: LoadTarget, state_dict: str | None = None
) -> list[tuple[CheckpointFormat, places.Place]]:
    """Returns the formats of `target`, and ours, with their places in a file; the best fit first.

    Before the model is built, only the layers that the formats name are known, or the usual ones.
    """
    layers = {name for known in target.checkpoint_formats for name in known.layers}
    own = own_format(sorted(layers) or (*target.classifiers, STEMS[0]))
    found = []
    for known in (*target.checkpoint_formats, own):
        place = _place(checkpoint, known, state_dict)
        if place is not None:
            found.append((known, place))
    return sorted(found, key=lambda pair: -pair[1].modules / max(len(pair[0].layers), 1))


def plan(model, checkpoint: Checkpoint, target: LoadTarget, state_dict: str | None = None) -> Plan:
    """Reads a checkpoint in every format of `target`, and in ours.

    Args:
        model: `keras.Model` of `target`, with or without top.

        checkpoint: `Checkpoint`, see `reader.read`.

        target: `LoadTarget` of the model.

        state_dict: str, where in the file the tensors are, see `places`. Default: found by their
            names.

    Returns:
        The `Plan` that matches most of the tensors.

    Raises:
        CheckpointError: where no tensors are at `state_dict`, or several places fit.
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    checkpoint_formats = (*target.checkpoint_formats, own_format((*layers, *target.head)))
    drafts = []
    for known in checkpoint_formats:
        place = _place(checkpoint, known, state_dict)
        if place is not None:
            drafts.append(_pair(layers, checkpoint, Plan(known, place), target.head))
    if not drafts:
        known, place = formats_by_fit(checkpoint, target)[0]
        names = ", ".join(map(repr, (place.name, *place.others)))
        raise CheckpointError(
            f"`state_dict` must name where in {checkpoint.path.name!r} the weights are: among {names}. "
            f"Received: state_dict={state_dict!r}"
        )
    best, pairs = max(drafts, key=lambda draft: len(draft[1]) + len(draft[0].skipped))
    _check_unique(best, checkpoint)
    for name, layer, variable in pairs:
        value = _arrange(checkpoint.tensors[name], layers[layer], variable, best.format.layout)
        best.matches.append(Match(name, layer, variable, value))
    return best


def _place(
    checkpoint: Checkpoint, known: CheckpointFormat, state_dict: str | None
) -> places.Place | None:
    try:
        return places.find_place(list(checkpoint.tensors), known, state_dict)
    except places.SameNameError as error:
        expected = "a checkpoint with one tensor of each name"
        raise CheckpointError.about(checkpoint.path, expected, f"{error}") from error


def _check_unique(plan: Plan, checkpoint: Checkpoint) -> None:
    """Raises CheckpointError where several places fit a model and their tensors differ."""
    if plan.place.is_chosen:
        return
    for name in plan.place.others:
        other = _place(checkpoint, plan.format, name)
        if other is None or not _are_equal(checkpoint, plan.place, other):
            names = ", ".join(map(repr, (plan.place.name, *plan.place.others)))
            raise CheckpointError(
                f"{checkpoint.path.name!r} must hold one set of weights of the model; it holds several "
                f"that differ: {names}. Choose one with `state_dict` (--state-dict) of `convert`. "
                f"Received: {checkpoint.path}"
            )


def _are_equal(checkpoint: Checkpoint, place: places.Place, other: places.Place) -> bool:
    tensors = checkpoint.tensors
    return place.tensors.keys() == other.tensors.keys() and all(
        np.array_equal(tensors[name], tensors[other.tensors[short]])
        for short, name in place.tensors.items()
    )


def _pair(
    layers, checkpoint: Checkpoint, plan: Plan, head: tuple[str, ...]
) -> tuple[Plan, list[tuple[str, str, object]]]:
    """Returns the plan with what is left over, and the pairs: name in the file, layer, variable."""
    layout, pairs = plan.format.layout, []
    layer_of = {prefix: layer for layer, prefix in plan.format.layers.items()}
    plan.unfilled = {v.path: name for name, layer in layers.items() for v in layer.weights}
    plan.skipped += places.left_out(list(checkpoint.tensors), plan.place)
    for short, name in plan.place.tensors.items():
        prefix, leaf = split(short, layout)
        layer = layer_of.get(prefix)
        variable = _variable(layers[layer], layout, leaf) if layer in layers else None
        counter = leaf == "num_batches_tracked" and _is_norm(layers.get(layer))
        outside = (layer in head and layer not in layers) or (
            layout == "torch" and _is_no_weight(checkpoint, short, name, layer_of)
        )
        if counter or outside:
            plan.skipped.append(name)
        elif variable is None or plan.unfilled.pop(variable.path, None) is None:
            plan.unused.append(name)
        else:
            pairs.append((name, layer, variable))
    return plan, pairs


def _is_no_weight(
    checkpoint: Checkpoint, short: str, name: str, layer_of: Mapping[str, str]
) -> bool:
    """Whether a tensor is a number beside the weights, or of an auxiliary head."""
    root, separator, _ = short.partition(".")
    if not separator:
        return checkpoint.tensors[name].ndim == 0
    return root in AUXILIARY and not any(module.split(".")[0] == root for module in layer_of)


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

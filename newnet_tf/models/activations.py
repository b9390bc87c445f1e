"""A model with another activation: for accelerators and integer hardware without SiLU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from newnet_tf.models import blocks
from newnet_tf.models.classifier import copy_weights
from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras

KINDS = ("relu", "relu6", "silu", "hard_swish")
SEPARATOR = "-"  # between a model's name and its new activation; no name of the zoo contains it


def replace_activation(model: keras.Model, old: str, new: str) -> keras.Model:
    """Returns the model with one activation replaced by another, wherever it occurs.

    It is replaced inside squeeze-and-excitation too, since hardware without an activation has it
    nowhere. Gates (sigmoid, hard sigmoid) and the classifier's softmax are other activations and stay.
    Layers keep their names, so features are found and checkpoints of either model fit the other. The
    weights were trained with `old`: train the new model before you use it.

    Args:
        model: functional `keras.Model` of this zoo, built or loaded.

        old: str, one of `"relu"`, `"relu6"`, `"silu"`, `"hard_swish"`: the activation to replace.

        new: str, another of them.

    Returns:
        A new `keras.Model` called `<name>-<new>`, with its own variables, of the same values.

    Raises:
        ValueError: for other activations, or a model without `old`; the message lists those it has.

    Example:
        >>> model = newnet_tf.create_model("efficientnet_b0", weights="efficientnet_b0.safetensors")
        >>> newnet_tf.replace_activation(model, "silu", "hard_swish").name
        'efficientnet_b0-hard_swish'
    """
    if old not in KINDS or new not in KINDS or old == new:
        raise ValueError(
            f"`old` and `new` must be two different ones of {KINDS}. Received: {old=}, {new=}"
        )
    activations = activations_of(model)
    replaced = {name for name, kind in activations.items() if kind == old}
    if not replaced:
        present = ", ".join(sorted(set(activations.values()))) or "none of them"
        raise ValueError(
            f"`model` must have the activation to be replaced, {old}. "
            f"Received: {model.name}, which has {present}"
        )
    inputs = {}

    def call_layer(layer, *arguments, **options):
        activation = layer.name.removesuffix("_shift")
        if old == "hard_swish" and activation != layer.name and activation in replaced:
            inputs[activation] = arguments[0]
        if layer.name in replaced:
            x = inputs.get(layer.name, arguments[0])
            return blocks.activation(x, new, name=layer.name)
        return layer(*arguments, **options)

    def clone_layer(layer):
        return type(layer).from_config(layer.get_config())

    clone = keras.models.clone_model(model, clone_function=clone_layer, call_function=call_layer)
    clone.name = name_with(model.name, new)
    copy_weights(model, clone)
    return clone


def activations_of(model: keras.Model) -> dict[str, str]:
    """Returns the activations of a model in order, {name of the layer: one of `KINDS`}.

    A hard swish consists of several layers (`blocks.activation`); the name is that of the last.
    """
    layers = {layer.name: layer for layer in model.layers}
    functions = {getattr(keras.activations, kind): kind for kind in KINDS}
    activations = {}
    for name, layer in layers.items():
        if isinstance(layer, keras.layers.Multiply) and f"{name}_shift" in layers:
            activations[name] = "hard_swish"
        elif isinstance(layer, keras.layers.Activation) and layer.activation in functions:
            is_part = name.endswith("_relu6") and f"{name.removesuffix('_relu6')}_shift" in layers
            if not is_part:
                activations[name] = functions[layer.activation]
    return activations


def name_with(name: str, new: str | None) -> str:
    """Returns the name of a model with the activation `new`; None for the model's own."""
    return f"{split_name(name)[0]}{SEPARATOR}{new}" if new else name


def split_name(name: str) -> tuple[str, str | None]:
    """Returns a model's own name and its new activation, None for its own."""
    own, separator, new = name.rpartition(SEPARATOR)
    return (own, new) if separator and new in KINDS else (name, None)

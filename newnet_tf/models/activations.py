"""The same network with another activation: for accelerators and integer hardware that lack SiLU."""

from newnet_tf.models import blocks
from newnet_tf.utils.lazy import keras

KINDS = ("relu", "relu6", "silu", "hard_swish")
MARK = "-"  # between a network's name and the activation that it was given; no network has it


def replace_activation(model, old: str, new: str):
    """Returns a network with one activation in place of another, wherever it stands.

    Those inside squeeze-and-excitation change too, since hardware without an activation lacks it
    there as well; gates (sigmoid, hard sigmoid) and the classifier's softmax are other activations
    and stay. Layers keep their names, so features are found and checkpoints of either fit the other.
    The weights stay what they were, learned with `old`: train it on before you use it.

    Args:
        model: Keras functional model of this zoo, built or loaded.
        old, new: two of `"relu"`, `"relu6"`, `"silu"`, `"hard_swish"`.

    Returns:
        A new Keras model called `<name>-<new>`, with its own variables, of the same values.

    Raises:
        ValueError: for other activations, or a model that has no `old`; it names what it has.

    Example:
        >>> model = newnet_tf.create("efficientnet_b0", weights="efficientnet_b0.safetensors")
        >>> newnet_tf.replace_activation(model, "silu", "hard_swish").name
        'efficientnet_b0-hard_swish'
    """
    if old not in KINDS or new not in KINDS or old == new:
        raise ValueError(
            f"`old` and `new` must be two different ones of {KINDS}. Received: {old=}, {new=}"
        )
    found = activations_of(model)
    replaced = {name for name, kind in found.items() if kind == old}
    if not replaced:
        has = ", ".join(sorted(set(found.values()))) or "none of them"
        raise ValueError(
            f"`model` must have the activation to be replaced, {old}. "
            f"Received: {model.name}, which has {has}"
        )
    inputs = {}

    def called(layer, *arguments, **options):
        whole = layer.name.removesuffix("_shift")
        if old == "hard_swish" and whole != layer.name and whole in replaced:
            inputs[whole] = arguments[0]
        if layer.name in replaced:
            x = inputs.get(layer.name, arguments[0])
            return blocks.activation(x, new, name=layer.name)
        return layer(*arguments, **options)

    def copied(layer):
        return type(layer).from_config(layer.get_config())

    made = keras.models.clone_model(model, clone_function=copied, call_function=called)
    made.name = renamed(model.name, new)
    for layer in made.layers:  # by name: where branches differ in depth, their order may change
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return made


def activations_of(model) -> dict[str, str]:
    """Returns {name of a layer: which of `KINDS`} of the activations of a model, in order.

    A hard swish, of several layers (`blocks.activation`), goes by the last one's name.
    """
    layers = {layer.name: layer for layer in model.layers}
    functions = {getattr(keras.activations, kind): kind for kind in KINDS}
    found = {}
    for name, layer in layers.items():
        if isinstance(layer, keras.layers.Multiply) and f"{name}_shift" in layers:
            found[name] = "hard_swish"
        elif isinstance(layer, keras.layers.Activation) and layer.activation in functions:
            is_part = name.endswith("_relu6") and f"{name.removesuffix('_relu6')}_shift" in layers
            if not is_part:
                found[name] = functions[layer.activation]
    return found


def renamed(name: str, new: str | None) -> str:
    """Returns the name of a network that was given the activation `new`; None: its own."""
    return f"{parted(name)[0]}{MARK}{new}" if new else name


def parted(name: str) -> tuple[str, str | None]:
    """Returns a network's own name, and the activation that it was given, None for its own."""
    own, mark, new = name.rpartition(MARK)
    return (own, new) if mark and new in KINDS else (name, None)

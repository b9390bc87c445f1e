"""What a built model is, for a recipe: its logits, digests of its weights and of its graph."""

import contextlib
import hashlib
import importlib.metadata
import json

from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import keras


def logits_model(model):
    """Returns `model` without the softmax at its end, sharing its weights.

    Args:
        model: Keras functional model with one input and one output of shape (batch, classes): logits,
            or a softmax in a layer of its own.

    Raises:
        ValueError: for any other model.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        shapes = [tuple(t.shape) for t in (*model.inputs, *model.outputs)]
        raise ValueError(
            "`model` must have one image input and one output of shape (batch, classes). "
            f"Received: model {model.name!r} with inputs and outputs of shapes {shapes}"
        )
    last = next(op for op in model.operations if op.output is model.outputs[0])
    activation = getattr(last, "activation", None)
    is_softmax = activation is keras.activations.softmax and isinstance(
        last, keras.layers.Activation
    )
    if is_softmax or isinstance(last, keras.layers.Softmax):
        return keras.Model(model.inputs[0], last.input, name=model.name)
    if activation in (None, keras.activations.linear):
        return model
    raise ValueError(
        "`model` must end in logits or in a softmax layer of its own (for a Dense layer, build it "
        f"with `activation=None`). Received: layer {last.name!r}, a {type(last).__name__} with "
        f"activation {getattr(activation, '__name__', activation)!r}"
    )


def check_side(model, preprocess: PreprocessConfig) -> None:
    """Raises ValueError unless `model` takes images of the side and channels of `preprocess`."""
    shape = tuple(model.inputs[0].shape)
    side, channels = preprocess.image_size, preprocess.channels
    if len(shape) != 4 or shape[3] != channels or any(s not in (None, side) for s in shape[1:3]):
        raise ValueError(
            f"`model` must take images of the side that `preprocess` gives, {side} (for another, "
            f"pass `dataclasses.replace(preprocess, size=…)`), and of its {channels} channels. "
            f"Received: input shape {shape}"
        )


def weights_digest(model) -> str:
    """Returns sha256 over shapes and values of all weights, in order."""
    digest = hashlib.sha256()
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        digest.update(f"{values.shape} {values.dtype}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def graph_digest(model) -> str:
    """Returns sha256 over layers, their arguments and connections.

    Names do not count: Keras numbers operations by what was built before in the same process.
    """
    config = json.loads(model.to_json())["config"]
    order = {op.name: number for number, op in enumerate(model.operations)}

    def anonymous(value, key=None):
        if isinstance(value, dict):
            return {k: anonymous(v, k) for k, v in value.items() if k != "name"}
        if isinstance(value, list):
            named = key in ("keras_history", "input_layers", "output_layers") and value
            first = [order.get(value[0], value[0])] if named and isinstance(value[0], str) else []
            return first + [anonymous(v, key) for v in value[len(first) :]]
        return value

    return hashlib.sha256(json.dumps(anonymous(config), sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Returns the versions that a conversion depends on."""
    return versions_of("tensorflow", "tensorflow-cpu", "keras")


def versions_of(*packages: str) -> dict[str, str]:
    """Returns the versions of those packages that are installed."""
    found = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package.removesuffix("-cpu")] = importlib.metadata.version(package)
    return found

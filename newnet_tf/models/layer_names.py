"""Names of layers: a prefix for models that become parts of one model."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras

REFERENCES = ("keras_history", "input_layers", "output_layers")  # keys that name operations
ATTRIBUTES = ("strides", "channels")  # that `feature_extractor` sets


def prefix_layer_names(model: keras.Model, prefix: str) -> keras.Model:
    """Returns the model with a prefix before the names of its layers, to join it with another one.

    Keras requires that no two layers of a model have the same name, and models of this zoo name theirs
    alike (`stem_conv`, `features_8`). With a prefix, two of them can be joined by their inputs and
    outputs into one `keras.Model`.

    Args:
        model: functional `keras.Model`, built or loaded.

        prefix: str, such as `"depth_"`.

    Returns:
        A new `keras.Model` with the weights' values in variables of its own. Its name begins with the
        prefix too. `model` stays as it is.

    Raises:
        ValueError: for another `prefix`, or a model that is not functional.

    Example:
        >>> color = newnet_tf.create_model("rexnet_100", include_top=False, pooling="avg")
        >>> depth = prefix_layer_names(color, "depth_")
        >>> features = keras.layers.Concatenate()([color.output, depth.output])
        >>> model = keras.Model([color.input, depth.input], features)
    """
    if not isinstance(prefix, str) or not prefix or "/" in prefix:
        raise ValueError(f"`prefix` must be a str without '/'. Received: prefix={prefix!r}")
    if not hasattr(model, "operations") or isinstance(model, keras.Sequential):
        raise ValueError(
            "`model` must be a functional keras.Model. "
            f"Received: {getattr(model, 'name', model)!r}, a {type(model).__name__}"
        )
    config = copy.deepcopy(model.get_config())
    names = {operation.name for operation in model.operations}
    config["name"] = prefix + config["name"]
    for layer in config["layers"]:
        layer["name"] = layer["config"]["name"] = prefix + layer["name"]
        layer["inbound_nodes"] = _prefixed(layer["inbound_nodes"], names, prefix)
    for key in ("input_layers", "output_layers"):
        config[key] = _prefixed(config[key], names, prefix, key)
    if isinstance(config["input_layers"], dict):  # keys are the names of input layers
        config["input_layers"] = {prefix + k: v for k, v in config["input_layers"].items()}
    renamed = type(model).from_config(config)
    renamed.set_weights(model.get_weights())
    for name in ATTRIBUTES:
        if hasattr(model, name):
            setattr(renamed, name, getattr(model, name))
    return renamed


def _prefixed(value: Any, names: set[str], prefix: str, key: str | None = None) -> Any:
    """Returns part of a config with the prefix before the names of operations that it refers to."""
    if isinstance(value, dict):
        inside = key if key in REFERENCES else None
        return {k: _prefixed(v, names, prefix, inside or k) for k, v in value.items()}
    if isinstance(value, list | tuple):
        is_reference = key in REFERENCES and len(value) == 3 and value[0] in names
        if is_reference:
            return [prefix + value[0], *value[1:]]
        return [_prefixed(v, names, prefix, key) for v in value]
    return value

"""What a classifier's outputs are: logits, probabilities, or a probability for each class on its own.

It is read from the end of the model's graph, also inside nested models. Where the graph does not say
(an activation of the user's own, a subclassed model), the outputs for real images do; where neither
does, the question goes to the user.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from newnet_tf.models.config.metadata import (
    CLASSIFICATION,
    LOGITS,
    MULTILABEL,
    OUTPUT_TYPES,
    PROBABILITIES,
    SIGMOID,
)
from newnet_tf.utils.lazy import keras
from newnet_tf.utils.math import sigmoid, softmax

if TYPE_CHECKING:
    import keras

LINEAR, SOFTMAX = "linear", "softmax"
PASSING = ("Flatten", "Reshape", "Identity", "Dropout")  # which keep values
WITH_ACTIVATION = ("Dense", "EinsumDense", "Conv2D", "SeparableConv2D")
SUM_TOLERANCE = 2e-3  # of probabilities in half precision


def final_activation(model: keras.Model) -> str | None:
    """Returns what a flat model's only output ends in.

    Args:
        model: `keras.Model` that `flatten` returned, with one output.

    Returns:
        `"linear"`, `"softmax"`, `"sigmoid"`; None where the graph does not say.
    """
    operation, _, _ = _end(model)
    return _activation(operation)


def without_activation(model: keras.Model) -> keras.Model:
    """Returns a flat model without the softmax or sigmoid at its end: with logits as output.

    Args:
        model: `keras.Model` that `flatten` returned, whose `final_activation` is `"softmax"` or
            `"sigmoid"`.

    Returns:
        A new `keras.Model` that shares all layers but the last, whose weights are copied.
    """
    operation, tensor, passing = _end(model)
    if hasattr(operation, "activation") and not isinstance(operation, keras.layers.Activation):
        config = operation.get_config() | {"activation": LINEAR}
        layer = type(operation).from_config(config)
        logits = layer(tensor)
        layer.set_weights(operation.get_weights())
    else:
        logits = tensor
    for layer in passing:
        logits = layer(logits)
    return keras.Model(model.inputs[0], logits, name=model.name)


def describe_outputs(
    model: keras.Model, sample_outputs: Callable[[], np.ndarray], classes: int
) -> tuple[str, str]:
    """Returns the task of a classifier and its `output_type`, as of `ModelMetadata`.

    Args:
        model: flat `keras.Model` with one output of shape (batch, classes).

        sample_outputs: callable, returns the model's outputs for several real images, array (images,
            classes); called only where the graph does not say.

        classes: int, number of outputs.

    Raises:
        ValueError: where neither graph nor outputs say; it asks for `outputs`.
    """
    activation = final_activation(model)
    if activation == SOFTMAX and classes > 1:
        return CLASSIFICATION, PROBABILITIES
    if activation == SIGMOID:
        return (CLASSIFICATION if classes == 1 else MULTILABEL), SIGMOID
    if activation == LINEAR and classes > 1:
        return CLASSIFICATION, LOGITS
    question = (
        f"what do the {classes} output(s) of {model.name!r} mean? Pass `outputs` (--outputs) "
        "'logits', 'probabilities' (they add up to 1) or 'sigmoid' (each on its own), with `task` "
        f"(--task) {MULTILABEL!r} where several classes can be right. Received: "
    )
    if classes == 1:
        raise ValueError(f"{question}one output that does not end in a sigmoid")
    outputs = np.asarray(sample_outputs(), np.float64)
    low, high, sums = outputs.min(), outputs.max(), outputs.sum(1)
    if low >= 0 and np.abs(sums - 1).max() <= SUM_TOLERANCE:
        return CLASSIFICATION, PROBABILITIES
    has_fixed_sum = low >= 0 and np.ptp(sums) <= SUM_TOLERANCE * np.abs(sums).max()  # percent
    if (low < -1 or high > 1 + SUM_TOLERANCE) and not has_fixed_sum:
        return CLASSIFICATION, LOGITS
    raise ValueError(
        f"{question}outputs from {low:.3g} to {high:.3g} that add up to {sums.min():.3g} to "
        f"{sums.max():.3g}"
    )


def check_scores_model(model: keras.Model) -> int:
    """Returns the number of classes of a model with one output of shape (batch, classes).

    Raises:
        ValueError: for a model with other outputs.
    """
    shape = model.output_shape
    is_one = isinstance(shape, tuple) and all(isinstance(n, int | None) for n in shape)
    if not is_one or len(shape) != 2 or shape[-1] is None:
        raise ValueError(
            "`model` must have one output of shape (batch, classes) to be a classifier. "
            f"Received: model {model.name!r} with output_shape={shape}"
        )
    return shape[-1]


def declared(task: str | None, output_type: str | None, classes: int) -> tuple[str, str] | None:
    """Returns task and `output_type` where the user declares them, None where `output_type` is None.

    Raises:
        ValueError: where they do not fit each other or the number of classes.
    """
    if output_type is None:
        return None
    if task is None:
        task = MULTILABEL if output_type == SIGMOID and classes > 1 else CLASSIFICATION
    known = OUTPUT_TYPES.get(task, (LOGITS,))
    if classes == 1:
        known = (LOGITS, SIGMOID)
    elif task == CLASSIFICATION:
        known = (LOGITS, PROBABILITIES)
    if output_type not in known:
        raise ValueError(
            f"`outputs` (--outputs) of {classes} output(s) for {task!r} must be among {known}. "
            f"Received: outputs={output_type!r}"
        )
    return task, output_type


def _end(model: Any) -> tuple[Any, Any, list]:
    """Returns the last operation that changes values, its input, and those after it, in order."""
    tensor, passing = model.outputs[0], []
    while True:
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        if len(node.input_tensors) != 1:
            return operation, None, passing[::-1]
        keeps_values = type(operation).__name__ in PASSING or (
            isinstance(operation, keras.layers.Activation) and _activation(operation) == LINEAR
        )
        if not keeps_values:
            return operation, node.input_tensors[0], passing[::-1]
        passing.append(operation)
        tensor = node.input_tensors[0]


def _activation(operation: Any) -> str | None:
    """Returns the activation of a layer or operation; None where it is another or unknown."""
    if isinstance(operation, keras.layers.Activation) or not hasattr(operation, "activation"):
        return _kind_of(operation)
    if operation.activation in (None, keras.activations.linear):
        is_built_in = type(operation).__module__.startswith("keras.")
        return LINEAR if is_built_in and type(operation).__name__ in WITH_ACTIVATION else None
    return _kind_of(operation.activation)


def _kind_of(function: Any) -> str | None:
    """Returns what a function or layer does to logits, tried on numbers."""
    logits = np.random.default_rng(0).normal(0, 3, (4, 7)).astype(np.float32)
    try:
        outputs = np.asarray(keras.ops.convert_to_numpy(function(logits)))
    except Exception:  # a layer of its user's own may refuse them in any way
        return None
    known = {LINEAR: logits, SOFTMAX: softmax(logits), SIGMOID: sigmoid(logits)}
    fits = (
        name
        for name, expected in known.items()
        if outputs.shape == expected.shape and np.allclose(outputs, expected, atol=1e-3)
    )
    return next(fits, None)

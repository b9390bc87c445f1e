"""A new classifier on a built model: for other classes, with the trained backbone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras

CLASSIFIER, PREDICTIONS = "classifier", "predictions"


def reset_classifier(
    model: keras.Model,
    classes: int,
    *,
    classifier_activation: str | Callable | None = "softmax",
) -> keras.Model:
    """Returns the model with a newly initialized classifier, for another number of classes.

    All other layers keep their names and the values of their weights.

    Args:
        model: `keras.Model` of this zoo with its classifier, built or loaded.

        classes: int >= 1, number of classes of the new model.

        classifier_activation: str, callable or None (logits). Default: `"softmax"`.

    Returns:
        A new `keras.Model` of the same name and input, with its own variables, and output shape
        (batch, classes). `model` stays as it is.

    Raises:
        ValueError: for another `classes`, or a model without the layers `classifier` and
            `predictions`, such as one that was built with `include_top=False`.

    Example:
        >>> model = newnet_tf.create_model("efficientnet_lite0")
        >>> newnet_tf.reset_classifier(model, classes=5).output_shape
        (None, 5)
    """
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
        raise ValueError(f"`classes` must be a positive int. Received: classes={classes!r}")
    names = {layer.name for layer in model.layers}
    if not {CLASSIFIER, PREDICTIONS} <= names:
        raise ValueError(
            f"`model` must have the layers {CLASSIFIER!r} and {PREDICTIONS!r}, as models of the zoo "
            f"with their top have. Received: {model.name}"
        )

    def clone_layer(layer):
        config = layer.get_config()
        if layer.name == CLASSIFIER:
            config["filters"] = classes
        if layer.name == PREDICTIONS:
            config["activation"] = keras.activations.get(classifier_activation)
        return type(layer).from_config(config)

    clone = keras.models.clone_model(model, clone_function=clone_layer)
    copy_weights(model, clone, exclude=(CLASSIFIER,))
    return clone


def copy_weights(source: keras.Model, target: keras.Model, exclude: tuple[str, ...] = ()) -> None:
    """Copies the weights of layers from one model to another, by the layers' names.

    Args:
        source: `keras.Model` with all layers of `target` that have weights.

        target: `keras.Model`.

        exclude: tuple of str, names of layers to leave alone. Default: none.
    """
    for layer in target.layers:  # by name: where branches differ in depth, the order may change
        if layer.weights and layer.name not in exclude:
            layer.set_weights(source.get_layer(layer.name).get_weights())

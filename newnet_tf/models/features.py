"""A network's maps at each stride, for detectors and other networks on top of it."""

from collections.abc import Sequence

from newnet_tf.utils.lazy import keras

STRIDES = (2, 4, 8, 16, 32)


def features(model, strides: Sequence[int] = (8, 16, 32)):
    """Returns a model that gives the feature maps of `model` at `strides`.

    A feature is the last block output at a stride, before any head convolution (timm's
    `features_only`), found by its layer name, so models loaded from a file work too.

    Args:
        model: a Keras model of this zoo, built or loaded.
        strides: ints among 2, 4, 8, 16, 32.

    Returns:
        A Keras model with the input of `model`, sharing its weights, and a list of outputs in the
        order asked: shapes (batch, height / stride, width / stride, channels).

    Raises:
        ValueError: for a stride not among those, or one that `model` has no feature at.

    Example:
        >>> backbone = newnet_tf.features(ReXNet100(weights=None), strides=(8, 16, 32))
    """
    strides = tuple(strides)
    if not strides or not set(strides) <= set(STRIDES):
        raise ValueError(
            f"`strides` must be among {', '.join(map(str, STRIDES))}. Received: strides={strides}"
        )
    layers = {layer.name: layer for layer in model.layers}
    missing = [s for s in strides if f"features_{s}" not in layers]
    if missing:
        known = [s for s in STRIDES if f"features_{s}" in layers]
        raise ValueError(
            f"`strides` must be among {known}, the feature strides of model {model.name!r}. "
            f"Received: strides={strides}"
        )
    outputs = [layers[f"features_{s}"].output for s in strides]
    return keras.Model(model.input, outputs, name=f"{model.name}_features")

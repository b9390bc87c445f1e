"""A detector cut in two: the layers that stay as they are, and those behind them that are trained."""

from pathlib import Path
from typing import Any

from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.models.model_file import read_metadata, save_model
from newnet_tf.training.run import BEST, LAST
from newnet_tf.utils.lazy import keras

FEATURES = "features_"  # what names of the backbone's feature maps begin with
CUT = f"{FEATURES}16"


def split_model(model: Any) -> tuple[Any, Any] | None:
    """Cuts a detector in two at its feature map of stride 16.

    Args:
        model: Keras model of `SSDLite`.

    Returns:
        (Keras model from images to the feature map, Keras model from the feature map to the outputs),
        which share the layers of `model`; None if there is no such map, or a path around it.
    """
    if CUT not in {layer.name for layer in model.layers}:
        return None
    features = model.get_layer(CUT).output
    try:
        upper = keras.Model(features, model.output, name=model.name)
    except ValueError:  # an output needs the image by another path
        return None
    return keras.Model(model.input, features, name=f"{model.name}_features"), upper


def write_whole_model(model: Any, upper: Any, folder: Path, metadata: ModelMetadata) -> None:
    """Replaces the upper part of a detector in the files of a finished stage by the whole detector.

    Args:
        model: Keras model, with the weights of the last epoch.

        upper: Keras model of `split_model`.

        folder: path of the stage's files.

        metadata: `ModelMetadata` of the whole model.
    """
    best, last = folder / BEST, upper.get_weights()
    if best.is_file() and read_metadata(best) is None:
        upper.set_weights(keras.models.load_model(best, compile=False).get_weights())
        try:
            save_model(model, best, metadata)
        finally:
            upper.set_weights(last)
    save_model(model, folder / LAST, metadata)


def layers_until(model: Any, stride: int | None) -> list[Any]:
    """Returns the layers of a backbone up to its feature map at a stride; none for None.

    Raises:
        ValueError: if the backbone has no such feature map.
    """
    if stride is None:
        return []
    maps = {layer.name: layer for layer in model.layers if layer.name.startswith(FEATURES)}
    last = maps.get(f"{FEATURES}{stride}")
    if last is None:
        strides = [int(name.removeprefix(FEATURES)) for name in maps]
        raise ValueError(
            f"`frozen_stride` must be None or among the strides of the backbone's feature maps, "
            f"{strides}. Received: frozen_stride={stride!r}"
        )
    return keras.Model(model.inputs, last.output).layers

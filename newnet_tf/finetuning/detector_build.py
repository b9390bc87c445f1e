"""The detector that a finetuning run starts from."""

import os
import warnings
from typing import Any

from newnet_tf import weights as checkpoints
from newnet_tf.detection.config import SOFTMAX
from newnet_tf.models import registry
from newnet_tf.models.config.metadata import get_metadata
from newnet_tf.models.model_file import read_metadata
from newnet_tf.utils.lazy import keras


def build_detector(
    variant: Any,
    weights: str | None,
    classes: int,
    image_size: int | None,
    score_function: str | None,
    seed: int,
    dtype: str = "float32",
) -> Any:
    """Builds a detector of a number of classes.

    Args:
        variant: variant of `models.registry`.

        weights: str or None, tag or path.

        classes: int, number of classes.

        image_size: int or None, as in `SSDLite`.

        score_function: str or None. None: softmax, but that of `weights` where these have score layers
            of as many classes, which are kept.

        seed: int, of new layers.

        dtype: str, Keras dtype policy of the layers. Default: `"float32"`.

    Returns:
        Keras model with metadata.
    """

    def build(chosen: str | None) -> Any:
        keras.utils.set_random_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the new score layers are the purpose here
            return variant.build(
                weights=weights,
                classes=classes,
                image_size=image_size,
                backbone_weights=registry.DEFAULT,  # where the detector has none
                score_function=chosen,
            )

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        built = build(score_function or SOFTMAX)
        if score_function is None and get_metadata(built).trained:
            own = _score_function(weights)
            if own != SOFTMAX:
                return build(own)
        return built
    finally:
        keras.config.set_dtype_policy(before)


def _score_function(weights: str | None) -> str | None:
    """Returns the score function in a file's metadata; None for the style's own."""
    if weights is None or not checkpoints.is_file(weights):
        return None
    if not os.fspath(weights).endswith((".keras", ".safetensors")):
        return None
    metadata = read_metadata(weights)
    config = None if metadata is None else metadata.task_config
    return None if config is None else config.get("score_function")

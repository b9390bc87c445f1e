"""Models of keras.applications with random weights, as baselines of size and latency."""

from newnet_tf.models.config import INCEPTION, PreprocessConfig
from newnet_tf.utils.lazy import keras

PREFIX = "keras:"
# The model normalizes its input itself.
PIXELS = PreprocessConfig(mean=(0.0,) * 3, std=(1 / 255,) * 3)
KERAS_BASELINES = {
    "keras:MobileNet": INCEPTION,
    "keras:MobileNetV2": INCEPTION,
    "keras:EfficientNetB0": PIXELS,
}


def is_keras_baseline(name: str) -> bool:
    """Whether a model's name begins with `keras:`."""
    return name.startswith(PREFIX)


def check_name(name: str) -> None:
    """Raises ValueError for a name that is not a key of `KERAS_BASELINES`."""
    if name not in KERAS_BASELINES:
        raise ValueError(
            f"`name` of a Keras baseline must be among {tuple(KERAS_BASELINES)}. "
            f"Received: name={name!r}"
        )


def keras_baseline(name: str):
    """Builds a model of keras.applications with random weights, the same in every process.

    It sets Keras' global random seed.

    Args:
        name: `"keras:MobileNet"`, `"keras:MobileNetV2"` or `"keras:EfficientNetB0"`.

    Returns:
        (Keras model that gives logits, its `PreprocessConfig`), for `export_tflite(..., verify=False)`.

    Raises:
        ValueError: for another name.

    Example:
        >>> model, preprocess = keras_baseline("keras:MobileNetV2")
    """
    check_name(name)
    keras.utils.set_random_seed(0)
    image = keras.Input((224, 224, 3), name="image")
    build = getattr(keras.applications, name.removeprefix(PREFIX))
    model = build(
        weights=None, input_tensor=image, classifier_activation=None, name=name.replace(":", "_")
    )
    return model, KERAS_BASELINES[name]

"""Networks of keras.applications to measure ours beside, untrained: for size and latency only."""

from newnet_tf.models.config import INCEPTION, PreprocessConfig
from newnet_tf.utils.lazy import keras

PIXELS = PreprocessConfig(mean=(0.0,) * 3, std=(1 / 255,) * 3)  # the network normalizes by itself
PEERS = {
    "keras:MobileNet": INCEPTION,
    "keras:MobileNetV2": INCEPTION,
    "keras:EfficientNetB0": PIXELS,
}


def peer(name: str):
    """Builds a network of keras.applications with random weights, the same in every process.

    It sets Keras' global random seed.

    Args:
        name: one of `"keras:MobileNet"`, `"keras:MobileNetV2"`, `"keras:EfficientNetB0"`.

    Returns:
        (Keras model that gives logits, its `PreprocessConfig`), for `export_tflite(..., verify=False)`.

    Raises:
        ValueError: for another name.
    """
    if name not in PEERS:
        raise ValueError(f"`name` must be among {tuple(PEERS)}. Received: name={name!r}")
    keras.utils.set_random_seed(0)
    image = keras.Input((224, 224, 3), name="image")
    make = getattr(keras.applications, name.removeprefix("keras:"))
    model = make(
        weights=None, input_tensor=image, classifier_activation=None, name=name.replace(":", "_")
    )
    return model, PEERS[name]

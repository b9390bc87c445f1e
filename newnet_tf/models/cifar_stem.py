"""Networks of the zoo for small images: a stem of stride 1, all else as it is."""

from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import keras


def with_stride1_stem(model):
    """Returns a network for images half as large: the first strided convolution keeps their size.

    A network for 224 x 224 images halves them five times, and would see 32 x 32 images as one
    pixel. Here the stem's stride becomes 1 and the other strides are kept: 32 x 32 images go
    through the very maps that 64 x 64 images went through before. Layers, names, dropout and
    weights are the same (so a checkpoint of either fits the other); `features_8` is the map whose
    stride is now 4, and so on.

    Args:
        model: Keras model that a constructor of the zoo built, for images twice as large.

    Returns:
        A new Keras model, with its own variables, of the same values.

    Raises:
        ValueError: for a model without such a stem, or of odd or too small an input.

    Example:
        >>> network = newnet_tf.create("newnet_small", classes=10, input_shape=(64, 64, 3))
        >>> with_stride1_stem(network).input_shape
        (None, 32, 32, 3)
    """
    _, height, width, channels = model.input_shape
    if any(side is not None and side % 2 for side in (height, width)):
        raise ValueError(
            "`model` must have been built for images twice as large, so of even sides. "
            f"Received: input_shape={model.input_shape}"
        )
    stem = _stem(model)

    def copied(layer):
        config = layer.get_config()
        if layer.name == stem.name:
            config["strides"] = (1, 1)
        return type(layer).from_config(config)

    half = [None if side is None else side // 2 for side in (height, width)]
    image = keras.Input((*half, channels), name=model.input.name)
    made = keras.models.clone_model(model, input_tensors=image, clone_function=copied)
    made.set_weights(model.get_weights())
    return made


def small_preprocess(record: PreprocessConfig, size: int = 32) -> PreprocessConfig:
    """Returns the preprocessing for images that are small already: no crop, the same colors."""
    return PreprocessConfig(
        image_size=size,
        crop_pct=1.0,
        interpolation=record.interpolation,
        mean=record.mean,
        std=record.std,
    )


def _stem(model):
    """Returns the convolution that sees the image, if its stride is 2."""
    first = next((x for x in model.layers if isinstance(x, keras.layers.Conv2D)), None)
    if first is None or tuple(first.strides) != (2, 2):
        found = "no convolution" if first is None else f"{first.name!r} of strides {first.strides}"
        raise ValueError(
            f"`model` must begin with a convolution of stride 2. Received: {model.name}, {found}"
        )
    return first

"""Models as users bring them: built with Keras alone, with a right answer that is known.

Images show a bright square in one of three colors. A model's features are the mean colors, so its head
is set by hand: red, green and blue images get the first, second and third class, at a margin that
quantization cannot change.
"""

import numpy as np

SIZE = 32
COLORS = ("red", "green", "blue")


def image(color: int, seed: int = 0, size: tuple[int, int] = (48, 40)) -> np.ndarray:
    """Returns a uint8 image with a square of a color, on dark noise."""
    generator = np.random.default_rng([color, seed])
    pixels = generator.integers(0, 60, (*size, 3)).astype(np.uint8)
    top, left = generator.integers(0, [size[0] // 3, size[1] // 3])
    pixels[top : top + size[0] // 2, left : left + size[1] // 2, color] = 250
    return pixels


def images(count: int = 12) -> list[np.ndarray]:
    """Returns images of all colors in turn."""
    return [image(number % 3, number) for number in range(count)]


def backbone(name: str = "features"):
    """Returns a model from pixels in 0-255 to three features: how red, green and blue an image is."""
    import keras

    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(pixels)
    convolution = keras.layers.Conv2D(
        6, 3, strides=2, padding="same", name="stem", activation="relu"
    )
    x = convolution(x)
    kernel = np.zeros((3, 3, 3, 6), np.float32)
    for channel in range(6):
        kernel[:, :, channel % 3, channel] = 1 / 9 + 0.01 * channel
    convolution.set_weights([kernel, np.zeros(6, np.float32)])
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    depthwise = np.full((3, 3, 6, 1), 1 / 9, np.float32)
    x = keras.layers.BatchNormalization(name="bn")(x)
    model = keras.Model(pixels, x, name=name)
    model.get_layer("depthwise").set_weights([depthwise, np.zeros(6, np.float32)])
    return model


def head_weights(classes: int) -> list[np.ndarray]:
    """Returns kernel and bias of a head: class c looks for color c; one class looks for blue."""
    kernel = np.zeros((6, classes), np.float32)
    for channel in range(6):
        for number in range(classes):
            color = 2 if classes == 1 else number
            kernel[channel, number] = 5.0 if channel % 3 == color else -2.5
    return [kernel, np.full(classes, 0.3, np.float32)]


def dense(classes: int, activation=None, name: str = "head", **options):
    """Returns the head as a Dense layer, with its weights."""
    import keras

    layer = keras.layers.Dense(classes, activation=activation, name=name, **options)
    layer.build((None, 6))
    layer.set_weights(head_weights(classes))
    return layer


def functional(activation="softmax", classes: int = 3):
    """Keras' usual ending: a flat functional model with `Dense(softmax)`."""
    import keras

    base = backbone()
    x = keras.layers.GlobalAveragePooling2D()(base.output)
    return keras.Model(base.input, dense(classes, activation)(x), name="functional")


def sequential():
    """A `Sequential` of layers."""
    import keras

    layers = keras.layers
    base = backbone()
    parts = base.layers[1:]
    return keras.Sequential(
        [
            layers.Input((SIZE, SIZE, 3)),
            *parts,
            layers.GlobalAveragePooling2D(),
            dense(3, "softmax"),
        ],
        name="sequential",
    )


def nested_base():
    """A base as one layer, as in Keras' guide to transfer learning."""
    import keras

    pixels = keras.Input((SIZE, SIZE, 3))
    x = backbone()(pixels, training=False)
    x = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, dense(3, "softmax")(x), name="nested_base")


def own_head():
    """The head is a `Sequential`, the last layer of the model; logits end in `keras.ops.softmax`."""
    import keras

    pixels = keras.Input((SIZE, SIZE, 3))
    layers = [keras.layers.Input((6,)), dense(3)]
    logits = keras.Sequential(layers, name="own")(
        keras.layers.GlobalAveragePooling2D()(backbone()(pixels))
    )
    return keras.Model(pixels, keras.ops.softmax(logits), name="own_head")


def sigmoid():
    """A binary classifier: is it blue?"""
    model = functional("sigmoid", classes=1)
    model.name = "sigmoid"
    return model


def multilabel():
    """Three labels, each on its own."""
    model = functional("sigmoid", classes=3)
    model.name = "multilabel"
    return model


def mixed_precision():
    """Computed in float16, the head in float32."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        base = backbone()
        x = keras.layers.GlobalAveragePooling2D()(base.output)
        head = dense(3, "softmax", dtype="float32")
        return keras.Model(base.input, head(x), name="mixed_precision")
    finally:
        keras.config.set_dtype_policy(before)


def augmentation_inside():
    """Random augmentation as the first layers, as in Keras' tutorial of image classification."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((SIZE, SIZE, 3)),
            layers.RandomFlip(),
            layers.RandomRotation(0.1),
            layers.GaussianNoise(0.1),
            backbone(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.2),
            dense(3, "softmax"),
        ],
        name="augmentation_inside",
    )


MODELS = {
    "functional": functional,
    "Sequential": sequential,
    "nested base": nested_base,
    "own head": own_head,
    "sigmoid": sigmoid,
    "multi-label": multilabel,
    "mixed precision": mixed_precision,
    "augmentation inside": augmentation_inside,
}

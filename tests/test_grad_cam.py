"""Grad-CAM: heat where the object is, for classifiers of every kind; the zoo's feature maps by name."""

import keras
import numpy as np
import pytest
from PIL import Image

import newnet_tf
from newnet_tf.inference.loaded import LoadedModel
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.visualization import grad_cam, overlay

SIZE = 32
RED, GREEN = (slice(4, 12), slice(20, 28)), (slice(18, 26), slice(2, 10))


@pytest.fixture
def image():
    """A red square at the upper right, a green one at the lower left, as floats in 0-1."""
    pixels = np.zeros((SIZE, SIZE, 3), np.float32)
    pixels[(*RED, 0)] = 1
    pixels[(*GREEN, 1)] = 1
    return pixels


def base():
    """Maps of stride 2: channel 0 is red, channel 1 green."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.AveragePooling2D(2)(inputs)
    conv = keras.layers.Conv2D(2, 1, activation="relu", name="last")
    maps = conv(x)
    conv.set_weights([np.eye(3, 2, dtype="float32")[None, None], np.zeros(2, "float32")])
    return keras.Model(inputs, maps, name="base")


def with_head(maps, activation="softmax", units=2, scale=5.0):
    x = keras.layers.GlobalAveragePooling2D()(maps)
    dense = keras.layers.Dense(units, activation=activation, name="scores")
    outputs = dense(x)
    kernel = np.float32([[1, -1], [-1, 1]])[:, -units:] * scale
    dense.set_weights([kernel, np.zeros(units, "float32")])
    return outputs


def functional(**options):
    part = base()
    return keras.Model(part.input, with_head(part.output, **options))


def nested():
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.RandomFlip()(inputs)
    return keras.Model(inputs, with_head(base()(x)))


def sequential():
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), base()])
    model.add(keras.layers.GlobalAveragePooling2D(keepdims=True))
    model.add(keras.layers.Conv2D(2, 1, name="classifier"))  # as in this zoo: a 1x1 convolution
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Softmax())
    kernel = np.float32([[[[5, -5], [-5, 5]]]])
    model.get_layer("classifier").set_weights([kernel, np.zeros(2, "float32")])
    return model


def with_ops():
    part = base()
    logits = with_head(part.output, activation=None)
    return keras.Model(part.input, keras.ops.softmax(logits))


@pytest.mark.parametrize("build", [functional, nested, sequential, with_ops])
def test_the_heat_is_where_the_object_of_the_class_is(build, image):
    model = build()
    for index, square in enumerate((RED, GREEN)):
        heat = grad_cam(model, image, index)
        assert (heat.shape, heat.dtype) == ((SIZE, SIZE), np.float32)
        assert heat[square].mean() > 0.85
        assert heat.max() == 1
        rest = heat.copy()
        rest[square] = 0
        assert rest.sum() < 0.25 * heat.sum()  # the blur around the square


def test_the_values_are_those_of_the_paper(image):
    """For pooled features with weights w: the positive part of sum w_k A_k, over its maximum."""
    random = np.random.default_rng(0)
    model = functional(activation=None)
    kernel = random.normal(0, 1, (2, 2)).astype("float32")
    model.get_layer("scores").set_weights([kernel, np.zeros(2, "float32")])
    noise = random.random((SIZE, SIZE, 3), np.float32)
    maps = keras.Model(model.input, model.get_layer("last").output)(noise[None])[0].numpy()
    expected = np.maximum(maps @ kernel[:, 1], 0)
    np.testing.assert_allclose(grad_cam(model, noise, 1), enlarged(expected, SIZE), atol=1e-5)


def enlarged(heat, size):
    resized = np.asarray(Image.fromarray(heat).resize((size, size), Image.BILINEAR))
    return resized / resized.max()


def test_certain_predictions_have_a_map_too(image):
    """The gradient behind a saturated softmax or sigmoid would be 0."""
    image[(*GREEN, 1)] = 0.1
    for model in (functional(scale=1e4), functional(activation="sigmoid", scale=1e4)):
        assert model(image[None]).numpy().max() == 1
        assert grad_cam(model, image)[RED].mean() > 0.85


def test_one_output_is_the_score_of_the_second_of_two_classes(image):
    model = functional(activation="sigmoid", units=1)  # class 1 is green
    assert grad_cam(model, image, 1)[GREEN].mean() > 0.85
    assert grad_cam(model, image, 0)[RED].mean() > 0.85
    image[(*RED, 0)] = 0.5
    assert grad_cam(model, image)[GREEN].mean() > 0.85
    with pytest.raises(ValueError, match=r"`class_index` must be None or an int from 0 to 1"):
        grad_cam(model, image, 2)


def test_the_map_lies_on_the_original_image(image):
    """Resized and cropped images: the heat is where the square is in the file, not in the crop."""
    preprocess = PreprocessConfig(image_size=SIZE, crop_pct=0.8, mean=(0.0,) * 3, std=(1.0,) * 3)
    photo = np.zeros((200, 400, 3), np.uint8)
    photo[60:100, 240:280, 0] = 255
    heat = grad_cam(functional(), photo, 0, preprocess=preprocess)
    assert heat.shape == (200, 400)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert (60 <= y < 100, 240 <= x < 280) == (True, True)
    rows, columns = np.nonzero(heat > 0.5)
    assert abs(rows.mean() - 79.5) < 3
    assert abs(columns.mean() - 259.5) < 3
    assert not heat[:, :118].any()  # cropped away: 200 / 2 + 200 * (1 - 0.8) / 2 = 120
    assert not heat[:, 282:].any()


def test_exif_orientation_is_applied(tmp_path):
    photo = np.zeros((60, 90, 3), np.uint8)
    photo[10:20, 50:60, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).save(tmp_path / "turned.png", exif=exif)
    preprocess = PreprocessConfig(image_size=SIZE, crop_pct=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    heat = grad_cam(functional(), tmp_path / "turned.png", 0, preprocess=preprocess)
    assert heat.shape == (90, 60)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert (50 <= y < 60, 40 <= x < 50) == (True, True)


def test_a_layer_can_be_chosen(image):
    model = functional()
    for layer in ("last", model.get_layer("last")):
        np.testing.assert_array_equal(grad_cam(model, image, 0, layer), grad_cam(model, image, 0))
    with pytest.raises(ValueError, match=r"`layer` must be .*, such as last, .*layer='scores'"):
        grad_cam(model, image, 0, "scores")


class Subclassed(keras.Model):
    """A model whose layers Keras does not know."""

    def call(self, x):
        return keras.ops.mean(x, (1, 2))


def test_models_without_a_feature_map_are_refused(image):
    inputs = keras.Input((SIZE, SIZE, 3))
    flat = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    with pytest.raises(ValueError, match=r"with a feature map .* none is found"):
        grad_cam(flat, image)
    own = Subclassed()
    own(image[None])
    with pytest.raises(ValueError, match="must be functional or Sequential"):
        grad_cam(own, image)
    with pytest.raises(ValueError, match="must have one output of shape"):
        grad_cam(base(), image)
    with pytest.raises(ValueError, match=r"where `preprocess` is not given.*uint8"):
        grad_cam(functional(), np.uint8(image))


def test_the_last_feature_map_of_the_zoo_is_before_the_pooling():
    """Behind it the model is linear, so Grad-CAM is the classifier's weights times the map."""
    options = {"weights": None, "input_shape": (64, 64, 3), "classes": 3}
    model = newnet_tf.create_model("mobilenet_v1_025", **options)
    noise = np.random.default_rng(0).normal(0, 1, (64, 64, 3)).astype("float32")
    last = model.get_layer("pool").input
    features = keras.Model(model.input, last)(noise[None])[0].numpy()
    kernel = model.get_layer("classifier").kernel.numpy()[0, 0]
    index = int((features.mean((0, 1)) @ kernel).argmax())
    expected = enlarged(np.maximum(features @ kernel[:, index], 0), 64)
    heat = grad_cam(model, noise)
    np.testing.assert_allclose(heat, expected, atol=1e-4)
    np.testing.assert_array_equal(heat, grad_cam(model, noise, index, "features_32"))


def test_class_score_maps_before_the_pooling_are_the_feature_map():
    """SqueezeNet pools the scores of the classes."""
    model = newnet_tf.create_model(
        "squeezenet1_1", weights=None, input_shape=(64, 64, 3), classes=3
    )
    noise = np.random.default_rng(0).normal(0, 1, (64, 64, 3)).astype("float32")
    scores = keras.Model(model.input, model.get_layer("classifier_act").output)(noise[None])[
        0
    ].numpy()
    expected = enlarged(scores[..., scores.mean((0, 1)).argmax()], 64)
    np.testing.assert_allclose(grad_cam(model, noise), expected, atol=1e-4)


def test_a_loaded_model_knows_its_preprocessing():
    preprocess = PreprocessConfig(image_size=SIZE, crop_pct=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    known = ModelMetadata(name="own", preprocess=preprocess)
    photo = np.zeros((80, 80, 3), np.uint8)
    photo[10:30, 50:70, 0] = 255
    heat = grad_cam(LoadedModel(model=functional(), metadata=known), photo)
    assert heat.shape == (80, 80)
    assert heat[10:30, 50:70].mean() > 0.85


def test_an_overlay_colors_hot_places_and_leaves_cold_ones():
    image = np.full((4, 6, 3), 100, np.uint8)
    heat = np.zeros((4, 6), np.float32)
    heat[1, 2] = 1
    colored = overlay(image, heat)
    assert (colored.dtype, colored.shape) == (np.uint8, (4, 6, 3))
    assert colored[1, 2].tolist() == [206, 208, 145]  # 0.3 * 100 + 0.7 * (252, 255, 164)
    colored[1, 2] = 100
    assert (colored == 100).all()
    with pytest.raises(ValueError, match=r"must have the image's height and width, \(4, 6\)"):
        overlay(image, heat.T)

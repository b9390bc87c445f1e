"""Networks for small images: the stem keeps their size, and nothing else changes."""

import functools

import keras
import numpy as np
import pytest

import newnet_tf
from newnet_tf.models.cifar_stem import small_preprocess, with_stride1_stem
from newnet_tf.models.config import PreprocessConfig

NAMES = [
    "newnet_small",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("mobilenet_v2_100", "efficientnet_b0", "rexnet_lite_100")
    ),
]


@functools.cache
def build_model(name, side=64):
    keras.utils.set_random_seed(1)
    return newnet_tf.create_model(
        name, weights=None, classes=10, input_shape=(side, side, 3), classifier_activation=None
    )


@pytest.mark.parametrize("name", NAMES)
def test_only_the_stems_stride_changes(name):
    model = build_model(name)
    small = with_stride1_stem(model)
    assert small.name == model.name == name
    assert small.input_shape == (None, 32, 32, 3)
    assert small.output_shape == (None, 10)
    assert [x.name for x in small.layers] == [x.name for x in model.layers]
    for one, other in zip(small.layers[1:], model.layers[1:], strict=True):
        config, before = one.get_config(), other.get_config()
        for record in (config, before):
            record.pop("build_config", None)
        if one.name == "stem_conv":
            assert (config.pop("strides"), before.pop("strides")) == ((1, 1), (2, 2))
        assert config == before, one.name
        if one.name not in ("image", "stem_conv_pad"):
            assert tuple(one.output.shape) == tuple(other.output.shape)
    rates = [x.rate for x in small.layers if isinstance(x, keras.layers.Dropout)]
    assert rates
    assert rates == [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)]
    for one, other in zip(small.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert small.get_layer("stem_conv").kernel is not model.get_layer("stem_conv").kernel
    assert small.get_layer("features_8").output.shape[1:3] == (8, 8)  # 32 / 4


def test_a_map_after_the_stem_is_every_second_one_there():
    """Without a stride the stem gives all positions, of which the strided one keeps every second."""
    model = newnet_tf.create_model("mobilenet_v1_025", weights=None, input_shape=(64, 64, 3))
    small = with_stride1_stem(model)
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    maps = keras.Model(small.input, small.get_layer("stem_conv").output)(image)
    strided = newnet_tf.create_model("mobilenet_v1_025", weights=None, input_shape=(32, 32, 3))
    strided.set_weights(model.get_weights())
    fewer = keras.Model(strided.input, strided.get_layer("stem_conv").output)(image)
    np.testing.assert_allclose(np.array(maps)[:, ::2, ::2], np.array(fewer), atol=1e-5)


@pytest.mark.parametrize(("name", "side"), [("shufflenet_v2_050", 64), ("mobilenet_v1_025", None)])
def test_reshaped_channels_and_unknown_sides_work(name, side):
    small = with_stride1_stem(build_model(name, side))
    assert small.input_shape == (None, *[side and 32] * 2, 3)
    assert np.array(small(np.zeros((1, 32, 32, 3), np.float32))).shape == (1, 10)


def test_it_saves_and_loads(tmp_path):
    small = with_stride1_stem(build_model("mobilenet_v1_025"))
    small.save(tmp_path / "small.keras")
    again = keras.models.load_model(tmp_path / "small.keras")
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.array(again(image)), np.array(small(image)))


def test_what_has_no_such_stem_is_refused():
    with pytest.raises(ValueError, match=r"even height and width.*63"):
        with_stride1_stem(build_model("mobilenet_v1_025", 63))
    with pytest.raises(ValueError, match=r"convolution of stride 2.*'stem_conv' of strides"):
        with_stride1_stem(with_stride1_stem(build_model("mobilenet_v1_025")))
    image = keras.Input((64, 64, 3))
    plain = keras.Model(image, keras.layers.Flatten()(image), name="plain")
    with pytest.raises(ValueError, match="Received: plain, without a convolution"):
        with_stride1_stem(plain)


def test_preprocessing_of_small_images():
    record = small_preprocess(PreprocessConfig(mean=(0.1,) * 3, interpolation="bilinear"), 32)
    assert record == PreprocessConfig(
        image_size=32, crop_pct=1.0, mean=(0.1,) * 3, interpolation="bilinear"
    )
    assert record.resize == 32

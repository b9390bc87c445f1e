"""Two backbones become one model by their inputs and outputs."""

import keras
import numpy as np
import pytest

import newnet_tf
from newnet_tf.deploy import fingerprint
from newnet_tf.models import blocks
from newnet_tf.models.inverted_residual import inverted_residual
from newnet_tf.models.layer_names import prefix_layer_names
from newnet_tf.models.model_file import weights_digest

IMAGE = np.random.default_rng(0).normal(0, 1, (1, 16, 16, 3)).astype("float32")


def backbone():
    """A small backbone of this package's blocks, with layers and operations."""
    image = keras.Input((16, 16, 3), name="image")
    style = blocks.TENSORFLOW
    x = blocks.conv_bn_act(image, 4, 3, 2, style=style, name="stem")
    x = inverted_residual(x, 6, partial=True, style=style, name="block0")  # pads and adds
    x = blocks.tag_feature(x, 2)
    x = blocks.conv_bn_act(x, 8, 3, 2, style=style, name="block1")
    return keras.Model(image, blocks.tag_feature(x, 4), name="small")


@pytest.fixture(scope="module")
def model():
    return backbone()


def test_two_backbones_are_joined(model, tmp_path):
    renamed = prefix_layer_names(backbone(), "right_")
    features = keras.layers.Concatenate()([model.output, renamed.output])
    joined = keras.Model([model.input, renamed.input], features)
    expected = np.concatenate([model(IMAGE), renamed(-IMAGE)], axis=-1)
    np.testing.assert_allclose(joined([IMAGE, -IMAGE]), expected, atol=1e-6)
    joined.save(tmp_path / "joined.keras")
    again = keras.models.load_model(tmp_path / "joined.keras")
    np.testing.assert_allclose(again([IMAGE, -IMAGE]), expected, atol=1e-6)
    assert {"right_image", "right_stem_conv"} < {layer.name for layer in renamed.layers}
    with pytest.raises(
        ValueError, match=r"must be one backbone: .* with .*features_4, .*features_4"
    ):
        newnet_tf.feature_extractor(joined, [4])


def test_two_models_of_the_zoo_are_joined():
    options = {"weights": None, "include_top": False, "pooling": "avg"}
    left = newnet_tf.create_model("mobilenet_v1_025", **options)
    right = prefix_layer_names(newnet_tf.create_model("squeezenet1_1", **options), "right_")
    features = keras.layers.Concatenate()([left.output, right.output])
    joined = keras.Model([left.input, right.input], features)
    assert joined.output_shape == (None, left.output_shape[1] + right.output_shape[1])


def test_names_are_all_that_changes(model, tmp_path):
    renamed = prefix_layer_names(model, "a_")
    assert fingerprint.graph_digest(renamed) == fingerprint.graph_digest(model)
    assert weights_digest(renamed) == weights_digest(model)
    assert (renamed.name, model.name) == ("a_small", "small")
    assert "stem_conv" in {layer.name for layer in model.layers}
    model.save_weights(tmp_path / "model.weights.h5")
    renamed.set_weights([np.zeros_like(w) for w in renamed.get_weights()])
    assert weights_digest(renamed) != weights_digest(model)
    renamed.load_weights(tmp_path / "model.weights.h5")
    assert weights_digest(renamed) == weights_digest(model)


def test_features_are_found_under_a_prefix(model):
    plain = newnet_tf.feature_extractor(model, [4, 2])
    for other in (
        newnet_tf.feature_extractor(prefix_layer_names(model, "a_"), [4, 2]),
        prefix_layer_names(plain, "b_"),
    ):
        assert (other.strides, other.channels) == ((4, 2), (8, 6))
        for ours, theirs in zip(other(IMAGE), plain(IMAGE), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_several_inputs_and_named_outputs():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    dense = keras.layers.Dense(3, name="dense")
    total = keras.ops.add(dense(a), dense(b))  # a shared layer, an operation
    model = keras.Model({"a": a, "b": b}, {"sum": total, "first": dense(a)})
    renamed = prefix_layer_names(model, "x_")
    inputs = {"a": np.ones((1, 2), "float32"), "b": np.zeros((1, 2), "float32")}
    wanted = model(inputs)
    outputs = renamed({f"x_{name}": value for name, value in inputs.items()})
    for name, value in wanted.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-6)


def test_what_cannot_be_renamed_is_refused(model):
    with pytest.raises(
        ValueError, match=r"`prefix` must be a str without '/'. Received: prefix=''"
    ):
        prefix_layer_names(model, "")
    sequential = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"`model` must be a functional keras.Model"):
        prefix_layer_names(sequential, "a_")

"""Checkpoints of other class counts and of gray images, in real models of the zoo."""

from pathlib import Path

import numpy as np
import pytest
import torch_files
from filled import as_torch, paint

import newnet_tf
from newnet_tf.cli import main
from newnet_tf.models.registry import REGISTRY
from newnet_tf.weights import CheckpointError, match, parity

NAME = "mobilenet_v1_025"
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def gray():
    """A model of gray images with five classes, every weight a value of its own."""
    model = newnet_tf.create_model(NAME, weights=None, classes=5, input_shape=(64, 64, 1))
    paint(model, seed=3)
    return model


@pytest.fixture(scope="module")
def checkpoint(gray, tmp_path_factory):
    """Its weights as Lightning saves a model with timm's names."""
    names = REGISTRY[NAME].target().checkpoint_formats[0].layers
    tensors = as_torch(gray, names, ["classifier"])
    path = tmp_path_factory.mktemp("gray") / "last.ckpt"
    torch_files.save_zip(path, {"state_dict": {f"net.{k}": v for k, v in tensors.items()}})
    return path


def outputs(model):
    """Returns a model's outputs for two random gray images."""
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 1)).astype("f4")
    return np.asarray(model(images, training=False))


def test_classes_and_channels_come_from_the_weights(gray, checkpoint):
    model = newnet_tf.create_model(NAME, weights=checkpoint)
    assert (model.input_shape, model.output_shape) == ((None, 224, 224, 1), (None, 5))
    metadata = newnet_tf.get_metadata(model)
    assert (metadata.trained, metadata.preprocess.channels) == (True, 1)
    model = newnet_tf.create_model(NAME, weights=checkpoint, input_shape=(64, 64, 1))
    np.testing.assert_array_equal(outputs(model), outputs(gray))


def test_a_new_classifier_is_not_trained(checkpoint):
    with pytest.warns(UserWarning, match="5 classes, the model 3"):
        model = newnet_tf.create_model(NAME, weights=checkpoint, classes=3)
    assert newnet_tf.get_metadata(model).trained is False


def test_the_constructor_s_graph_does_not_depend_on_weights(checkpoint):
    constructor = getattr(newnet_tf.applications, REGISTRY[NAME].name)
    with pytest.raises(
        CheckpointError, match=r"images of 1 channel\(s\), the model's 3: .*width, 1\)"
    ):
        constructor(weights=checkpoint)
    with pytest.warns(UserWarning, match="5 classes, the model 1000"):
        model = constructor(weights=checkpoint, input_shape=(64, 64, 1))
    assert model.output_shape == (None, 1000)


def test_convert_makes_the_gray_model_and_says_where_the_weights_were(
    gray, checkpoint, tmp_path, capsys
):
    result = newnet_tf.convert(NAME, checkpoint, tmp_path / "gray.npz")
    assert (result.classes, result.channels, result.state_dict) == (5, 1, "state_dict/net")
    model = newnet_tf.create_model(NAME, weights=result.file, input_shape=(64, 64, 1))
    np.testing.assert_array_equal(outputs(model), outputs(gray))
    assert main(["convert", NAME, str(checkpoint), "-o", str(tmp_path / "b.npz")]) == 0
    assert "of format timm, from state_dict/net, of gray images" in capsys.readouterr().out


def test_convert_takes_the_state_dict_that_is_asked_for(gray, tmp_path, capsys):
    names = REGISTRY[NAME].target().checkpoint_formats[0].layers
    tensors = as_torch(gray, names, ["classifier"])
    bad = {name: 0 * tensor for name, tensor in tensors.items()}
    torch_files.save_zip(tmp_path / "a.pth", {"model": tensors, "model_ema": bad})
    arguments = ["convert", NAME, str(tmp_path / "a.pth"), "-o", str(tmp_path / "a.npz")]
    assert main([*arguments, "--state-dict", "model"]) == 0
    model = newnet_tf.create_model(NAME, weights=tmp_path / "a.npz", input_shape=(64, 64, 1))
    np.testing.assert_array_equal(outputs(model), outputs(gray))
    assert main([*arguments, "--state-dict", "best"]) != 0
    assert "among 'model_ema', 'model'" in capsys.readouterr().err


def test_color_weights_do_not_fill_a_gray_model(tmp_path):
    model = newnet_tf.create_model(NAME, weights=None, classes=2, input_shape=(64, 64, 3))
    file = newnet_tf.weights.save(model, tmp_path / "color.npz")
    with pytest.raises(
        CheckpointError, match=r"images of 3 channel\(s\), the model's 1: .*width, 3\)"
    ):
        newnet_tf.create_model(NAME, weights=file, input_shape=(64, 64, 1))


@pytest.mark.parametrize("name", sorted({p.stem for p in GOLDEN.glob("*.npz")} & set(REGISTRY)))
def test_the_first_convolution_of_every_format_is_known(name):
    """The golden file holds the shapes of the reference's tensors: only the stem takes an image."""
    shapes = parity.Golden.read(GOLDEN / f"{name}.npz").shapes
    channels = REGISTRY[name].card.preprocess.channels
    found = []
    for known in REGISTRY[name].target().checkpoint_formats:
        stem = match.stem_layer(known.layers)
        assert stem is not None, known.name
        kernel = f"{known.layers[stem]}{match.SEPARATORS[known.layout]}weight"
        if kernel in shapes:
            found.append((len(shapes[kernel]), shapes[kernel][1]))
    assert not found or set(found) == {(4, channels)}

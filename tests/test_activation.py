"""One activation in place of another: the same network, weights and names, and files that say so."""

import argparse
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import small_network
from PIL import Image
from small_network import CLASSES, PREPROCESS, SIZE

import newnet_tf
from newnet_tf.cli import benchmark, main, train
from newnet_tf.data import sidecar
from newnet_tf.deploy import export_config, fingerprint
from newnet_tf.models import activations, blocks
from newnet_tf.models.activations import KINDS, activations_of, replace_activation

NEW = [kind for kind in KINDS if kind != "silu"]
LOADER = """
import sys, keras, numpy as np
model = keras.models.load_model("model.keras")
np.save("answer.npy", model(np.load("images.npy"), training=False))
assert "newnet_tf" not in sys.modules
"""


def noise(side=32):
    return np.random.RandomState(0).uniform(-2, 2, (2, side, side, 3)).astype("float32")


def build_model(act, name=None):
    """A network with `act` in stem, block and squeeze-and-excitation; its gate is of several layers."""
    keras.utils.set_random_seed(0)
    style = blocks.TORCH
    image = keras.Input((32, 32, 3), name="image")
    x = blocks.conv_bn_act(image, 8, 3, 2, act=act, style=style, name="stem")
    squeeze = blocks.SEConfig(4, act=act, gate="hard_sigmoid")
    options = {"act": act, "depthwise_act": "linear", "squeeze": squeeze, "style": style}
    x = blocks.inverted_residual(x, 8, partial=True, **options, name="block0")
    x = blocks.classifier(blocks.feature(x, 2), 5)
    return keras.Model(image, keras.layers.Activation("softmax", name="predictions")(x), name=name)


@pytest.fixture(scope="module")
def swish():
    """A network with SiLU whose answers vary."""
    return replace_activation(small_network.network(), "relu6", "silu")


@pytest.fixture(scope="module")
def folder(swish, tmp_path_factory):
    """It as `swish.keras`, images, and its fp32 file with ReLU6 by the command."""
    folder = tmp_path_factory.mktemp("activation")
    sidecar.save(swish, folder, "swish", PREPROCESS, [f"class_{i}" for i in range(CLASSES)])
    (folder / "images").mkdir()
    for number, image in enumerate(small_network.images()):
        Image.fromarray(image).save(folder / "images" / f"{number:02}.png")
    images = ("--images", str(folder / "images"))
    command = ["export", str(folder / "swish.keras"), "--activation", "relu6", *images]
    assert main([*command, "-o", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("new", NEW)
def test_it_is_the_network_that_is_built_with_the_other(new):
    model = build_model("silu", "net")
    made, expected = replace_activation(model, "silu", new), build_model(new)
    expected.set_weights(model.get_weights())
    assert fingerprint.graph_digest(made) == fingerprint.graph_digest(expected)
    assert fingerprint.weights_digest(made) == fingerprint.weights_digest(model)
    assert made.name == f"net-{new}"
    np.testing.assert_allclose(made(noise()), expected(noise()), atol=1e-6)
    assert not np.allclose(made(noise()), model(noise()), atol=1e-6)
    assert {layer.name for layer in model.layers} <= {layer.name for layer in made.layers}
    assert newnet_tf.features(made, [2]).output_shape == (None, 16, 16, 8)


@pytest.mark.parametrize("new", NEW)
def test_there_and_back(new):
    model = build_model("silu", "net")
    made = replace_activation(model, "silu", new)
    assert set(activations_of(made).values()) == {new}  # the parts of hard ones are none
    back = replace_activation(made, new, "silu")
    assert (back.name, activations_of(back)) == ("net-silu", activations_of(model))
    assert fingerprint.graph_digest(back) == fingerprint.graph_digest(model)


def test_variables_are_its_own():
    model = build_model("silu")
    made = replace_activation(model, "silu", "relu6")
    before = fingerprint.weights_digest(model)
    made.set_weights([value + 1 for value in made.get_weights()])
    assert fingerprint.weights_digest(model) == before != fingerprint.weights_digest(made)


def test_checkpoints_fit_either(tmp_path):
    options = {"input_shape": (32, 32, 3), "classes": 4}
    model = newnet_tf.create("rexnet_100", weights=None, **options)
    made = newnet_tf.replace_activation(model, "silu", "hard_swish")
    newnet_tf.weights.save(made, tmp_path / "made.safetensors")
    again = newnet_tf.create("rexnet_100", weights=tmp_path / "made.safetensors", **options)
    assert fingerprint.weights_digest(again) == fingerprint.weights_digest(model)
    found = list(activations_of(made).values())
    assert {kind: found.count(kind) for kind in KINDS} == {
        "silu": 0,
        "hard_swish": 17,  # stem, 15 expansions, final
        "relu6": 16,
        "relu": 13,
    }


def test_loads_where_newnet_tf_is_not(tmp_path):
    made = replace_activation(build_model("silu"), "silu", "hard_swish")
    made.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", noise())
    subprocess.run([sys.executable, "-c", LOADER], cwd=tmp_path, check=True, timeout=120)
    np.testing.assert_allclose(np.load(tmp_path / "answer.npy"), made(noise()), atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("swish", "relu", "`old` and `new` must be .*'silu'.*Received: old='swish'"),
        ("silu", "gelu", "Received: .*new='gelu'"),
        ("relu6", "relu6", "two different"),
        ("hard_swish", "relu", "must have .*hard_swish. Received: net, which has silu$"),
    ],
)
def test_what_cannot_be_replaced_is_said(old, new, words):
    with pytest.raises(ValueError, match=words):
        replace_activation(build_model("silu", "net"), old, new)


def test_names_tell_the_activation():
    assert activations.renamed("a", None) == "a"
    assert activations.renamed("a-relu", "hard_swish") == "a-hard_swish"
    assert activations.parted("a-hard_swish") == ("a", "hard_swish")
    for own in [*newnet_tf.list_models(), "my-net", "-relu.keras"]:
        assert activations.parted(own) == (own, None)


# Commands.


def test_export_is_judged_against_the_network_with_the_other(folder, swish):
    recipe = export_config.read(folder / "swish-relu6.fp32.tflite")
    logits = fingerprint.logits_model(small_network.network())
    assert recipe["model"] == "swish-relu6"
    assert recipe["graph"] == fingerprint.graph_digest(logits)
    assert recipe["graph"] != fingerprint.graph_digest(fingerprint.logits_model(swish))
    assert recipe["verification"]["agreed"] == len(small_network.images())
    assert (folder / "swish-relu6.labels.txt").is_file()


@pytest.mark.parametrize(("options", "status"), [([], 1), (["--activation", "relu6"], 0)])
def test_verify_tells_them_apart(options, status, folder, capsys):
    command = ["verify", str(folder / "swish-relu6.fp32.tflite"), *options]
    command += ["--model", str(folder / "swish.keras"), "--images", str(folder / "images")]
    assert main(command) == status
    assert ("FAILED" in capsys.readouterr().out) == bool(status)


def test_predict_says_what_it_asked(folder, capsys):
    image, model = str(folder / "images" / "00.png"), str(folder / "swish.keras")
    command = ["predict", image, "--model", model, "--json"]
    answers = []
    for options in ([], ["--activation", "relu6"]):
        assert main([*command, *options]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert [a["model"] for a in answers] == [model, f"{model} with relu6"]
    assert answers[0]["answers"] != answers[1]["answers"]
    assert main([*command[:3], str(folder / "swish-relu6.fp32.tflite"), *options]) == 1
    assert "`--activation` must come with" in capsys.readouterr().err


def test_a_network_without_silu_is_refused(capsys):
    assert main(["export", "mobilenet_v1_025", "--activation", "relu", "--no-verify"]) == 1
    assert "silu. Received: mobilenet_v1_025, which has relu6" in capsys.readouterr().err


def test_a_run_trains_the_network_with_the_other():
    parser = argparse.ArgumentParser()
    train.add_run_arguments(parser)
    given = ["--model", "efficientnet_b0", "--data", "none", "--recipe", "cifar", "--small"]
    arguments = parser.parse_args([*given, "--activation", "relu6"])
    record = train.preprocessing(arguments)
    made = train.network(arguments, record, 10)
    assert (made.name, made.input_shape) == ("efficientnet_b0-relu6", (None, 32, 32, 3))
    assert set(activations_of(made).values()) == {"relu6"}


def test_benchmark_knows_the_names():
    assert benchmark._names(["rexnet_100-relu6"]) == ["rexnet_100-relu6"]
    with pytest.raises(ValueError, match="Received: name='rexnet_100-gelu'"):
        benchmark._names(["rexnet_100-gelu"])


@pytest.mark.slow
def test_finetune_names_its_files(tmp_path, capsys):
    random = np.random.RandomState(0)
    for number in range(24):
        place = tmp_path / "data" / ("dark", "light")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.randint(0, 128, (SIZE, SIZE, 3)) + 127 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number:02}.png")
    model = newnet_tf.create("rexnet_100", weights=None, classes=2)
    newnet_tf.weights.save(model, tmp_path / "own.safetensors")
    command = ["finetune", "--model", "rexnet_100", "--data", str(tmp_path / "data")]
    command += ["--weights", str(tmp_path / "own.safetensors"), "--size", str(SIZE)]
    command += ["--epochs", "1", "--set", "batch=8", "--aside", "0", "-o", str(tmp_path / "run")]
    assert main([*command, "--activation", "hard_swish"]) == 0
    assert "rexnet_100-hard_swish on data" in capsys.readouterr().out
    made = keras.models.load_model(tmp_path / "run" / "rexnet_100-hard_swish.keras", compile=False)
    assert "silu" not in activations_of(made).values()
    assert "batch norm trained" in (tmp_path / "run" / "report.html").read_text()

"""A model with another activation: the same graph, weights and names, and files that say so."""

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
from newnet_tf.api import training_setup
from newnet_tf.cli import main
from newnet_tf.deploy import config_file, fingerprint
from newnet_tf.deploy.source_model import source_model
from newnet_tf.models import activations, blocks
from newnet_tf.models.activations import KINDS, activations_of, replace_activation
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.models.inverted_residual import inverted_residual
from newnet_tf.models.model_file import weights_digest
from newnet_tf.profiling.untrained_models import expand_names

NEW = [kind for kind in KINDS if kind != "silu"]
LOADER = """
import sys, keras, numpy as np
model = keras.models.load_model("model.keras")
np.save("output.npy", model(np.load("images.npy"), training=False))
assert "newnet_tf" not in sys.modules
"""


def noise(side=32):
    return np.random.RandomState(0).uniform(-2, 2, (2, side, side, 3)).astype("float32")


def build_model(act, name=None):
    """A model with `act` in stem, block and squeeze-and-excitation; its gate is of several layers."""
    keras.utils.set_random_seed(0)
    style = blocks.TORCH
    image = keras.Input((32, 32, 3), name="image")
    x = blocks.conv_bn_act(image, 8, 3, 2, act=act, style=style, name="stem")
    se = blocks.SEConfig(4, act=act, gate="hard_sigmoid")
    options = {"act": act, "depthwise_act": "linear", "se": se, "style": style}
    x = inverted_residual(x, 8, partial=True, **options, name="block0")
    x = blocks.classifier(blocks.tag_feature(x, 2), 5)
    return keras.Model(image, keras.layers.Activation("softmax", name="predictions")(x), name=name)


@pytest.fixture(scope="module")
def swish():
    """A model with SiLU whose outputs vary."""
    return replace_activation(small_network.network(), "relu6", "silu")


@pytest.fixture(scope="module")
def folder(swish, tmp_path_factory):
    """It as `swish.keras`, images, and its fp32 file with ReLU6 by the command."""
    folder = tmp_path_factory.mktemp("activation")
    metadata = ModelMetadata(
        name="swish",
        preprocess=PREPROCESS,
        class_names=tuple(f"class_{i}" for i in range(CLASSES)),
        output_type="probabilities",
    )
    newnet_tf.save_model(swish, folder / "swish.keras", metadata)
    (folder / "images").mkdir()
    for number, image in enumerate(small_network.images()):
        Image.fromarray(image).save(folder / "images" / f"{number:02}.png")
    images = ("--images", str(folder / "images"))
    command = ["export", str(folder / "swish.keras"), "--activation", "relu6", *images]
    assert main([*command, "-o", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("new", NEW)
def test_it_is_the_model_that_is_built_with_the_other(new):
    model = build_model("silu", "net")
    replaced, expected = replace_activation(model, "silu", new), build_model(new)
    expected.set_weights(model.get_weights())
    assert fingerprint.graph_digest(replaced) == fingerprint.graph_digest(expected)
    assert weights_digest(replaced) == weights_digest(model)
    assert replaced.name == f"net-{new}"
    np.testing.assert_allclose(replaced(noise()), expected(noise()), atol=1e-6)
    assert not np.allclose(replaced(noise()), model(noise()), atol=1e-6)
    assert {layer.name for layer in model.layers} <= {layer.name for layer in replaced.layers}
    assert newnet_tf.feature_extractor(replaced, [2]).output_shape == (None, 16, 16, 8)


@pytest.mark.parametrize("new", NEW)
def test_there_and_back(new):
    model = build_model("silu", "net")
    replaced = replace_activation(model, "silu", new)
    assert set(activations_of(replaced).values()) == {new}  # the parts of hard ones are none
    back = replace_activation(replaced, new, "silu")
    assert (back.name, activations_of(back)) == ("net-silu", activations_of(model))
    assert fingerprint.graph_digest(back) == fingerprint.graph_digest(model)


def test_variables_are_its_own():
    model = build_model("silu")
    replaced = replace_activation(model, "silu", "relu6")
    before = weights_digest(model)
    replaced.set_weights([value + 1 for value in replaced.get_weights()])
    assert weights_digest(model) == before != weights_digest(replaced)


def test_checkpoints_fit_either(tmp_path):
    options = {"input_shape": (32, 32, 3), "classes": 4}
    model = newnet_tf.create_model("rexnet_100", weights=None, **options)
    replaced = newnet_tf.replace_activation(model, "silu", "hard_swish")
    newnet_tf.weights.save(replaced, tmp_path / "replaced.safetensors")
    again = newnet_tf.create_model(
        "rexnet_100", weights=tmp_path / "replaced.safetensors", **options
    )
    assert weights_digest(again) == weights_digest(model)
    kinds = list(activations_of(replaced).values())
    assert {kind: kinds.count(kind) for kind in KINDS} == {
        "silu": 0,
        "hard_swish": 17,  # stem, 15 expansions, final
        "relu6": 16,
        "relu": 13,
    }


def test_loads_without_newnet_tf(tmp_path):
    replaced = replace_activation(build_model("silu"), "silu", "hard_swish")
    replaced.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", noise())
    subprocess.run([sys.executable, "-c", LOADER], cwd=tmp_path, check=True, timeout=120)
    np.testing.assert_allclose(np.load(tmp_path / "output.npy"), replaced(noise()), atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("swish", "relu", "`old` and `new` must be .*'silu'.*Received: old='swish'"),
        ("silu", "gelu", "Received: .*new='gelu'"),
        ("relu6", "relu6", "two different"),
        ("hard_swish", "relu", "must have .*hard_swish. Received: net, which has silu$"),
    ],
)
def test_errors_name_the_requirement(old, new, words):
    with pytest.raises(ValueError, match=words):
        replace_activation(build_model("silu", "net"), old, new)


def test_names_contain_the_activation():
    assert activations.name_with("a", None) == "a"
    assert activations.name_with("a-relu", "hard_swish") == "a-hard_swish"
    assert activations.split_name("a-hard_swish") == ("a", "hard_swish")
    for own in [*newnet_tf.list_models(), "my-net", "-relu.keras"]:
        assert activations.split_name(own) == (own, None)


# Commands.


def test_export_is_verified_against_the_model_with_the_other(folder, swish):
    file = folder / "swish-relu6.fp32.tflite"
    config = config_file.read_config(file)
    graph = source_model(small_network.network(), PREPROCESS).graph
    assert (config.model, config.output_type) == ("swish-relu6", "probabilities")
    assert config.metadata.class_names == tuple(f"class_{i}" for i in range(CLASSES))
    assert config.graph == fingerprint.graph_digest(graph)
    assert config.graph != fingerprint.graph_digest(source_model(swish, PREPROCESS).graph)
    values = json.loads(file.with_suffix(".json").read_text())
    assert values["verification"]["top1_matches"] == len(small_network.images())
    assert (folder / "swish-relu6.labels.txt").is_file()


@pytest.mark.parametrize(("options", "status"), [([], 1), (["--activation", "relu6"], 0)])
def test_verify_distinguishes_them(options, status, folder, capsys):
    command = ["verify", str(folder / "swish-relu6.fp32.tflite"), *options]
    command += ["--model", str(folder / "swish.keras"), "--images", str(folder / "images")]
    assert main(command) == status
    assert ("FAILED" in capsys.readouterr().out) == bool(status)


def test_predict_names_the_activation(folder, capsys):
    image, model = str(folder / "images" / "00.png"), str(folder / "swish.keras")
    results = []
    for options in ([], ["--activation", "relu6"]):
        assert main(["predict", model, image, "--json", *options]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0]["model"] != results[1]["model"]
    assert "relu6" in results[1]["model"]
    assert results[0]["images"][0]["predictions"] != results[1]["images"][0]["predictions"]
    assert main(["predict", str(folder / "swish-relu6.fp32.tflite"), image, *options]) == 1
    assert "activation" in capsys.readouterr().err


def test_a_network_without_silu_is_refused(capsys):
    assert main(["export", "mobilenet_v1_025", "--activation", "relu", "--allow-untrained"]) == 1
    assert "silu. Received: mobilenet_v1_025, which has relu6" in capsys.readouterr().err


def test_a_run_trains_the_model_with_the_other():
    preprocess = training_setup._zoo_preprocess("efficientnet_b0", None, None, cifar_stem=True)
    options = {"classes": 10, "cifar_stem": True, "activation": "relu6"}
    model = training_setup._build_zoo("efficientnet_b0", None, preprocess, **options)
    assert (model.name, model.input_shape) == ("efficientnet_b0-relu6", (None, 32, 32, 3))
    assert set(activations_of(model).values()) == {"relu6"}


def test_benchmark_knows_the_names():
    assert expand_names(["rexnet_100-relu6"]) == ["rexnet_100-relu6"]
    with pytest.raises(ValueError, match="Received: name='rexnet_100-gelu'"):
        expand_names(["rexnet_100-gelu"])


@pytest.mark.slow
def test_finetune_names_its_files(tmp_path, capsys):
    random = np.random.RandomState(0)
    for number in range(24):
        place = tmp_path / "data" / ("dark", "light")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.randint(0, 128, (SIZE, SIZE, 3)) + 127 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number:02}.png")
    model = newnet_tf.create_model("rexnet_100", weights=None, classes=2)
    newnet_tf.weights.save(model, tmp_path / "own.safetensors")
    command = ["finetune", "rexnet_100", "--data", str(tmp_path / "data")]
    command += ["--weights", str(tmp_path / "own.safetensors"), "--image-size", str(SIZE)]
    command += [
        "--epochs",
        "1",
        "--set",
        "batch_size=8",
        "--holdout-fraction",
        "0",
        "-o",
        str(tmp_path / "run"),
    ]
    assert main([*command, "--activation", "hard_swish"]) == 0
    assert "rexnet_100-hard_swish on data" in capsys.readouterr().out
    made = keras.models.load_model(tmp_path / "run" / "rexnet_100-hard_swish.keras", compile=False)
    assert "silu" not in activations_of(made).values()
    assert "batch norm trained" in (tmp_path / "run" / "report.html").read_text()

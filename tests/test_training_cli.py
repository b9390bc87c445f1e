"""`newnet train`: from a name and a folder to a network, a run folder and one line of result."""

import json

import keras
import pytest
import tiny_run
import tiny_zoo

from newnet_tf.cli import main
from newnet_tf.models.model_file import read_metadata

MODEL = tiny_zoo.NAME


@pytest.fixture(autouse=True)
def zoo():
    """A small network is a model of the zoo."""
    with tiny_zoo.registered():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_run.make_images(tmp_path_factory.mktemp("made"))


def command(folder, output, *more, model=MODEL):
    options = [model, "--data", folder, "--recipe", "cifar", "--cifar-stem", "-o", output]
    return [str(part) for part in ("train", *options, *more)]


def test_train_then_go_on(folder, tmp_path, capsys):
    output = tmp_path / "runs" / "one"
    few = ("--set", "batch_size=16,lr=0.05,warmup=0", "--max-samples", "32", "--seed", "5")
    assert main(command(folder, output, *few, "--epochs", "1", "--json")) == 0
    captured = capsys.readouterr()
    [row] = json.loads(captured.out)
    assert (row["model"], row["images"], row["diagnosis"]) == (MODEL, 12, "too short to tell")
    assert float(row["low"]) <= float(row["top-1 %"]) <= float(row["high"])
    assert "epoch 1/1: train loss" in captured.err
    network = keras.models.load_model(output / "best.keras")
    assert network.input_shape == (None, 32, 32, 3)
    assert network.output_shape == (None, 4)
    metadata = read_metadata(output / "best.keras")  # so that any command can use it
    assert (metadata.name, metadata.preprocess.image_size) == (MODEL, 32)
    assert metadata.class_names == ("class0", "class1", "class2", "class3")
    assert read_metadata(output / "last.keras").class_names == metadata.class_names
    summary = json.loads((output / "run.json").read_text())
    assert summary["recipe_name"] == "cifar"
    assert summary["recipe"]["seed"] == 5
    assert summary["data"]["train"] == 32
    assert main(command(folder, output, *few, "--epochs", "1")) == 1
    assert "--resume" in capsys.readouterr().err
    assert main(command(folder, output, *few, "--epochs", "2", "--resume")) == 1
    assert "recipe.epochs 1, now 2" in capsys.readouterr().err
    assert main(command(folder, output, *few, "--epochs", "1", "--resume")) == 0
    captured = capsys.readouterr()
    assert f"Too short to tell before epoch 4.\n{output}\n" in captured.out
    assert "epoch" not in captured.err


def test_wrong_arguments_say_what_is_known(folder, tmp_path, capsys):
    def refused(*more, model=MODEL):
        assert main(command(folder, tmp_path, *more, model=model)) == 1
        return capsys.readouterr().err

    assert "Did you mean 'cifar'" in refused("--recipe", "cifra")
    assert "augmentation.cutmix_alpha" in refused("--set", "cutmix=1")
    assert "`epochs` (--epochs) must be given once" in refused("--epochs", "2", "--set", "epochs=3")
    assert "`epochs` must be a positive int" in refused("--epochs", "0")
    assert "Did you mean 'mobilenet_v1" in refused(model="mobilenet_v1_0255")
    assert "a folder or a tarball" in refused("--data", "nowhere")


def test_help_lists_recipes_with_their_headers(capsys):
    with pytest.raises(SystemExit) as left:
        main(["train", "--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    for text in ("talk-cutmix", "--recipe rexnet -o runs/rexnet", "not run here", "--resume"):
        assert text in out

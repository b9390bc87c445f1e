"""`newnet tune`: what it prints and writes, and what wrong arguments are told."""

import json

import pytest
import tiny_run
import tiny_zoo

from newnet_tf.cli import main
from newnet_tf.training.tuning.trials import COMPLETE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_run.make_images(tmp_path_factory.mktemp("made"))


def command(folder, output, *more):
    options = [tiny_zoo.NAME, "--data", folder, "--recipe", "cifar"]
    few = ["--set", "batch_size=16,warmup=0", "--epochs", "1", "--max-samples", "32", "-o", output]
    return [str(part) for part in ("tune", *options, *few, *more)]


@pytest.fixture(autouse=True)
def zoo():
    """A small network is a model of the zoo."""
    with tiny_zoo.registered():
        yield


def test_the_command(folder, tmp_path, capsys):
    output = tmp_path / "cifar"
    over = ("--search", "lr=0.05,0.02", "--seed", "5")
    assert main(command(folder, output, *over, "--trials", "1")) == 0
    out, err = capsys.readouterr()
    assert "trial 1 of 1 (0000): lr=0.0" in err
    assert "epoch 1/1: train loss" in err
    lines = out.splitlines()
    assert " ".join(lines[0].split()) == "trial state lr test error % low high test loss seconds"
    assert "best by test error of the last epoch: --set lr=0.0" in out
    assert "- Early trends need not last: a run of 1 epoch" in out
    assert lines[-1] == str(output)
    assert main(command(folder, output, *over, "--trials", "1", "--json")) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [tried["state"] for tried in found["trials"]] == [COMPLETE]
    assert found["best"] == f"lr={found['trials'][0]['values']['lr']}"
    assert "trial" not in err
    summary = json.loads((output / "trials/0000/run.json").read_text())
    assert (summary["recipe_name"], summary["recipe"]["seed"]) == ("cifar", 5)

    def refused(*more):
        assert main(command(folder, output, *more)) == 1
        return capsys.readouterr().err

    assert "Did you mean 'lr'" in refused("--search", "lrr=1,2")
    assert "`--search` must be NAME=VALUE" in refused("--search", "lr")
    assert "`--search` must name a field once" in refused(
        "--search", "lr=1,2", "--search", "lr=2,3"
    )
    assert "set or varied, not both. Received: epochs" in refused("--search", "epochs=1,2")
    assert "set or varied, not both. Received: batch_size" in refused("--search", "batch_size=8,16")
    assert "a grid must have choices" in refused("--search", "lr=0.1..1", "--sampler", "grid")
    assert "`trials` (--trials) must be a positive number. Received: None" in refused(
        "--search", "lr=0.1..1"
    )
    assert "up to the grid's 2. Received: 3" in refused(*over, "--trials", "3")
    assert "up to the grid's 9. Received: 0" in refused("--set", "lr=0.05", "--trials", "0")

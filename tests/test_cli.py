"""The command line: what a person types, what comes out, what a mistake says."""

import argparse
import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import newnet_tf
from newnet_tf.cli import COMMANDS, main, parser
from newnet_tf.weights import reader

OWN_TEXT = {
    "--model",  # of detect: images come first; of verify: what files are compared with
    "--task",  # of list: a filter
    "model",
    "models",
    "images",
    "--save-results",
    "-o",
    "--output",
    "--images",
    "--baseline",
    "--layers",
    "--table",
}
CAT = ("tabby", "tiger_cat", "Egyptian_cat")


def run(capsys, *arguments):
    """Runs a command; returns exit status, stdout, stderr."""
    status = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def own_checkpoint(tmp_path_factory):
    """A checkpoint of MobileNetV1 x0.25 with 7 classes."""
    path = tmp_path_factory.mktemp("own") / "own.safetensors"
    model = newnet_tf.create_model("mobilenet_v1_025", weights=None, classes=7)
    newnet_tf.weights.save(model, path)
    return path


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*([command] if command else []), "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert "usage: newnet" in text
    assert (COMMANDS[command][1:] if command else "COMMAND") in " ".join(text.split())


def options_of(command):
    """Returns {option, or name of a positional argument: its argparse action} of a command."""
    commands = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    own = commands.choices[command]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        own.parse_known_args(["--help"])
    return {name: a for a in own._actions for name in a.option_strings or [a.dest]}


def test_an_option_has_one_meaning_in_all_commands():
    by_name = {}
    for command in COMMANDS:
        for name, action in options_of(command).items():
            by_name.setdefault(name, []).append(action)
    dests = {name: {action.dest for action in actions} for name, actions in by_name.items()}
    assert {name: d for name, d in dests.items() if len(d) > 1} == {}
    texts = {
        name: {(action.help or "").partition("; default:")[0] for action in actions}
        for name, actions in by_name.items()
        if name not in OWN_TEXT
    }
    assert {name: t for name, t in texts.items() if len(t) > 1} == {}
    assert {action.dest for action in by_name["-o"]} == {"output"}
    assert all(action.type is Path for action in by_name["--output"])
    assert [action.required for action in by_name["--model"]] == [False, False, False]


def test_list(capsys):
    status, out, _ = run(capsys, "list", "rexnet_*", "--json")
    rows = json.loads(out)
    assert status == 0
    assert [r["name"] for r in rows] == newnet_tf.list_models("rexnet_*")
    assert next(r for r in rows if r["name"] == "rexnet_100")["params_M"] == 4.8
    assert "12 models" in run(capsys, "list", "rexnet_*")[1]


def test_info(capsys):
    _, out, _ = run(capsys, "info", "rexnet_100.nav_in1k")
    for words in (
        "ReXNet x1.0",
        "4.8M",
        "4,796,873",
        "398.37M",
        "22.1 %",
        "MIT",
        "timm/rexnet_100",
    ):
        assert words in out
    record = json.loads(run(capsys, "info", "newnet_small", "--json")[1])
    assert record["reported"]["top1_error"] == 22.96
    assert record["measured"]["cost"][0]["params"] == "3764664"
    assert "none published" in run(capsys, "info", "newnet_small")[1]


def test_info_layers(capsys):
    out = run(capsys, "info", "mobilenet_v1_025", "--layers")[1]
    line = next(text for text in out.splitlines() if "stem_conv" in text)
    assert line.split() == ["stem_conv", "Conv2D", "112x112x8", "216", "2,709,504"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "rexnet_101"], ["rexnet_100", "Received: name='rexnet_101'"]),
        (["list", "nothing*"], ["`pattern`", "Received: 'nothing*'"]),
        (["predict", "newnet_small", "x.jpg"], ["--weights", "--allow-untrained", "Received"]),
        (["predict", "none.tflite", "x.jpg"], ["none.tflite", "Received"]),
        (["predict", "none.keras", "x.jpg"], ["none.keras", "Received"]),
        (["export", "newnet_small"], ["--allow-untrained", "Received"]),
        (
            ["export", "newnet_small", "--precision", "int4"],
            ["'fp32'", "Received: precision='int4'"],
        ),
        (["verify", "none.tflite"], ["none.tflite", "Received"]),
        (["benchmark", "newnet*x"], ["pattern", "Received: 'newnet*x'"]),
        (["benchmark", "keras:VGG16"], ["keras:MobileNetV2", "Received"]),
        (["benchmark"], ["--table", "Received: neither"]),
        (["benchmark", "--table", "nas,small"], ["'heavy'", "Received: 'small'"]),
        (["benchmark", "newnet_small", "--baseline", "newnet"], ["newnet_large", "Received"]),
        (["convert", "rexnet_100", "none.pth", "-o", "x.npz"], ["none.pth", "Received"]),
        (
            ["convert", "rexnet_100", "a.pth", "-o", "x.onnx"],
            [".npz", "Received: x.onnx"],
        ),
    ],
)
def test_mistakes_end_in_one_clear_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith("newnet: error: ") or "newnet: error: " in err
    assert all(word in err for word in words), err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".weights.h5", ".npz", ".safetensors", ".keras"])
def test_convert(suffix, capsys, own_checkpoint, tmp_path):
    output = tmp_path / f"converted{suffix}"
    arguments = ["convert", "mobilenet_v1_025", own_checkpoint, "-o", output, "--json"]
    status, out, _ = run(capsys, *arguments)
    done = json.loads(out)
    assert (status, done["tensors"], done["classes"]) == (0, 137, 7)
    loaded = newnet_tf.create_model("mobilenet_v1_025", weights=output, classes=7)
    original = reader.read(own_checkpoint).tensors
    kernel = loaded.get_layer("block3_pointwise_conv").get_weights()[0]
    np.testing.assert_array_equal(kernel, original["block3_pointwise_conv/kernel"])


def test_convert_without_head(capsys, own_checkpoint, tmp_path):
    output = tmp_path / "backbone.npz"
    arguments = ["convert", "mobilenet_v1_025", own_checkpoint, "-o", output, "--no-top"]
    assert run(capsys, *arguments)[0] == 0
    assert "classifier/kernel" not in reader.read(output).tensors


def test_convert_insists(capsys, own_checkpoint, tmp_path):
    options = [own_checkpoint, "-o", tmp_path / "x.npz"]
    status, _, err = run(capsys, "convert", "mobilenet_v1_025", *options, "--classes", 10)
    assert status == 1
    assert "7" in err
    assert "10" in err
    status, _, err = run(capsys, "convert", "mobilenet_v1_050", *options)
    assert status == 1
    assert "mobilenet_v1_025" in err
    assert list(tmp_path.iterdir()) == []


def test_predict(capsys, images):
    status, out, _ = run(capsys, "predict", "efficientnet_lite0", images["chelsea.png"], "--top", 3)
    assert status == 0
    names = [line.split()[0] for line in out.splitlines()[1:]]
    assert set(names) == set(CAT)


def test_a_network_of_ten_classes_and_gray_images(capsys, images, tmp_path):
    own, converted = tmp_path / "own.npz", tmp_path / "digits.weights.h5"
    newnet_tf.weights.save(newnet_tf.create_model("lenet5"), own)
    status, out, _ = run(capsys, "convert", "lenet5", own, "-o", converted, "--json")
    assert (status, json.loads(out)["classes"]) == (0, 10)
    arguments = ["predict", "lenet5", images["chelsea.png"], "--weights", converted]
    status, out, _ = run(capsys, *arguments, "--top", 10)
    assert status == 0
    assert {line.rsplit(maxsplit=2)[0].strip() for line in out.splitlines()[1:]} == {
        f"class {number}" for number in range(10)
    }


def test_a_reader_that_leaves_is_no_error():
    """As `newnet list | head -1`: the pipe is closed before the command has written."""
    command = [sys.executable, "-c", "from newnet_tf.cli import main; raise SystemExit(main())"]
    with subprocess.Popen(
        [*command, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0

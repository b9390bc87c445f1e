"""The command line: what a person types, what comes out, what a mistake says."""

import argparse
import contextlib
import io
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import newnet_tf
from newnet_tf import deploy, results
from newnet_tf.api import benchmark, demo
from newnet_tf.cli import COMMANDS, main, parser
from newnet_tf.profiling import paper_tables
from newnet_tf.weights import reader

OWN_TEXT = {
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
def demo_run(tmp_path_factory):
    """Runs the demo, with one untrained network; returns its folder and what it said."""
    folder, said = tmp_path_factory.mktemp("demo"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(demo, "UNTRAINED", ("mobilenet_v1_025",))
        assert main(["demo", "-o", str(folder), "--runs", "2"]) == 0
    return folder, said.getvalue()


@pytest.fixture(scope="module")
def exported(demo_run, tmp_path_factory):
    """A folder with EfficientNet-Lite0's fp32 and int8-full files, the demo's, which export keeps."""
    folder = tmp_path_factory.mktemp("exported")
    names = "fp32,int8-full"
    for name in names.split(","):
        for suffix in (".tflite", ".json"):
            file = demo_run[0] / "models" / f"efficientnet_lite0.{name}{suffix}"
            shutil.copy2(file, folder)
    assert main(["export", "efficientnet_lite0", "--precision", names, "-o", str(folder)]) == 0
    return folder


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
    assert [action.required for action in by_name["--model"]] == [False]  # of verify


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


def test_predict_skips_and_names_bad_images(capsys, images, exported, tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no image")
    whole = images["rocket.jpg"].read_bytes()
    (tmp_path / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("CMYK", (50, 40), (0, 200, 200, 0)).save(tmp_path / "cmyk.jpg")
    Image.new("L", (1, 1), 90).save(tmp_path / "one.png")
    file = exported / "efficientnet_lite0.int8-full.tflite"
    status, out, err = run(capsys, "predict", file, tmp_path, images["chelsea.png"], "--json")
    answer = json.loads(out)
    assert status == 1
    assert [a["image"].split("/")[-1] for a in answer["images"]] == [
        "cmyk.jpg",
        "one.png",
        "chelsea.png",
    ]
    assert answer["images"][-1]["predictions"][0]["label"] in CAT
    skipped = [s["image"].split("/")[-1] for s in answer["skipped"]]
    assert skipped == ["empty.jpg", "text.png", "truncated.jpg"]
    assert all(name in err for name in skipped)


def test_exported_files_verify(capsys, exported):
    files = sorted(exported.glob("*.tflite"))
    assert [f.name for f in files] == [
        "efficientnet_lite0.fp32.tflite",
        "efficientnet_lite0.int8-full.tflite",
    ]
    labels = (exported / "efficientnet_lite0.labels.txt").read_text(encoding="utf-8").splitlines()
    assert (len(labels), labels[281]) == (1000, "tabby")
    status, out, _ = run(capsys, "verify", *files, "--json")
    rows = json.loads(out)
    assert status == 0
    assert [row["passed"] for row in rows] == [True, True]
    assert rows[0]["cosine"] > rows[1]["cosine"] > 0.98


def test_verify_fails_for_other_weights(capsys, exported):
    file = exported / "efficientnet_lite0.fp32.tflite"
    status, _, err = run(capsys, "verify", file, "--model", "mobilenet_v1_025")
    assert status == 1
    assert "weights" in err
    assert "Received" in err


def test_export_keeps_what_has_not_changed(capsys, exported):
    before = {f.name: f.stat().st_mtime_ns for f in exported.glob("*.tflite")}
    status, out, _ = run(
        capsys,
        "export",
        "efficientnet_lite0",
        "--precision",
        "fp32,int8-full",
        "-o",
        exported,
        "--json",
    )
    assert status == 0
    assert [row["state"] for row in json.loads(out)] == ["cached", "cached"]
    assert before == {f.name: f.stat().st_mtime_ns for f in exported.glob("*.tflite")}


def test_export_saved_model(capsys, tmp_path):
    status, out, _ = run(
        capsys, "export", "efficientnet_lite0", "--to", "saved_model", "-o", tmp_path, "--json"
    )
    assert status == 0
    [row] = json.loads(out)
    assert (tmp_path / "efficientnet_lite0" / "saved_model.pb").exists()
    assert row["MB"] > 18


def test_benchmark(capsys, tmp_path):
    status, out, _ = run(
        capsys,
        *(
            "benchmark",
            "mobilenet_v1_025",
            "tf_mobilenet_v1_025",
            "--runs",
            3,
            "--threads",
            "1,2",
        ),
        *("-o", tmp_path, "--json"),
    )
    rows = json.loads(out)
    assert status == 0
    assert [(r["model"], r["threads"]) for r in rows] == [
        ("mobilenet_v1_025", 1),
        ("tf_mobilenet_v1_025", 1),
        ("mobilenet_v1_025", 2),
        ("tf_mobilenet_v1_025", 2),
    ]
    assert {r["weights"] for r in rows} == {"untrained (timing only)"}
    assert rows[0]["ratio"] == "1.00"


def test_benchmark_of_a_table(capsys, tmp_path, monkeypatch):
    """With --table: both precisions, 1 and 2 threads, the baseline too, recorded; refusals listed."""
    tables = {"new": [], "light": ["mobilenet_v1_025"], "nas": ["tf_mobilenet_v1_025"]}
    members = lambda cards, table: [newnet_tf.model_card(name) for name in tables[table]]  # noqa: E731
    export = deploy.export_tflite

    def refusing(model, preprocess, folder, name, precisions, **options):
        if name.startswith("tf_") and "int8-full" in precisions:
            raise deploy.ExportError("a reason. Received: this")
        return export(model, preprocess, folder, name=name, precisions=precisions, **options)

    monkeypatch.setattr(paper_tables, "members", members)
    base = ("--baseline", "mobilenet_v1_025")
    monkeypatch.setattr(deploy, "export_tflite", refusing)
    monkeypatch.setattr(results, "HERE", tmp_path)
    command = (
        "benchmark",
        "--table",
        "light",
        *base,
        "--runs",
        1,
        "-o",
        tmp_path / "files",
        "--json",
    )
    status, out, err = run(capsys, *command)
    assert status == 1
    assert "not timed: tf_mobilenet_v1_025 int8-full: a reason. Received: this" in err
    assert "2 of 2 models, 0 s left" in err
    rows = json.loads(out)
    keys = [(row["model"].startswith("tf_"), row["precision"], row["threads"]) for row in rows]
    fp32 = [(is_tf, "fp32", threads) for threads in (1, 2) for is_tf in (False, True)]
    assert keys == [*fp32, (False, "int8-full", 1), (False, "int8-full", 2)]
    recorded = results.read("latency", tmp_path)
    assert len(recorded) == len(rows)
    assert {row["baseline"] for row in recorded} == {"mobilenet_v1_025"}
    files = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "files").glob("*.tflite")}
    monkeypatch.setattr(deploy, "export_tflite", export)
    (tmp_path / "latency.csv").unlink()
    status, out, _ = run(capsys, *command, "--no-save-results", "--threads", 1)
    assert (status, len(json.loads(out))) == (0, 4)
    assert not (tmp_path / "latency.csv").exists()
    again = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "files").glob("*.tflite")}
    assert len(again) == 4
    assert files.items() <= again.items()  # those are kept


def test_tables_bring_their_networks():
    light = benchmark._table_models(benchmark._expand_tables(["light"]))
    assert {"newnet_small", "mobilenet_v3_large", "nasnet_a_mobile"} <= set(light)
    assert "resnet50" not in light
    assert benchmark._expand_tables(["nas", "new", "nas"]) == ["nas", "new"]
    assert set(benchmark._table_models(["heavy"])) >= {"vgg16_bn", "xception"}


def test_demo_twice(capsys, demo_run, monkeypatch):
    folder, out = demo_run
    assert any(name in out.splitlines()[1] for name in CAT)
    assert out.count("verified on") == 4
    assert out.count("timing only") == 2
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == 2
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    files = {f.name: f.stat().st_mtime_ns for f in (folder / "models").glob("*.tflite")}
    assert len(files) == 6
    start = time.time_ns()
    monkeypatch.setattr(demo, "UNTRAINED", ("mobilenet_v1_025",))
    assert run(capsys, "demo", "-o", folder, "--runs", 2)[0] == 0
    again = {f.name: f.stat().st_mtime_ns for f in (folder / "models").glob("*.tflite")}
    assert again == files
    assert (folder / "report.html").stat().st_mtime_ns > start


def test_a_reader_that_leaves_is_no_error():
    """As `newnet list | head -1`: the pipe is closed before the command has written."""
    command = [sys.executable, "-c", "from newnet_tf.cli import main; raise SystemExit(main())"]
    with subprocess.Popen(
        [*command, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0

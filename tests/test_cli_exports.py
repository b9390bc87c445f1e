"""The commands that export, verify, measure and report: files, exit status, JSON."""

import contextlib
import io
import json
import re
import shutil
import time

import own_models
import pytest
import tiny_zoo
from PIL import Image

import newnet_tf
from newnet_tf import deploy, results
from newnet_tf.api import benchmark, demo
from newnet_tf.cli import main
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.profiling import paper_tables

CAT = ("tabby", "tiger_cat", "Egyptian_cat")
TRAINED = tiny_zoo.NAME


def run(capsys, *arguments):
    """Runs a command; returns exit status, stdout, stderr."""
    status = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module", autouse=True)
def zoo(tmp_path_factory):
    """A network of a few layers is a model of the zoo, with public weights."""
    with tiny_zoo.registered(tmp_path_factory.mktemp("published")):
        yield


@contextlib.contextmanager
def small_demo():
    """The demo of two networks for images of 32 pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "TRAINED", TRAINED)
        patch.setattr(demo, "UNTRAINED", ("lenet5",))
        patch.setattr(demo, "DETECTOR", None)
        yield


@pytest.fixture(scope="module")
def demo_run(zoo, tmp_path_factory):
    """Runs the demo; returns its folder and what it said."""
    folder, said = tmp_path_factory.mktemp("demo"), io.StringIO()
    with small_demo(), contextlib.redirect_stdout(said):
        assert main(["demo", "-o", str(folder), "--runs", "2"]) == 0
    return folder, said.getvalue()


@pytest.fixture(scope="module")
def zoo_folder(demo_run, tmp_path_factory):
    """A folder with the fp32 file of a model of the zoo: the demo's, which export keeps."""
    folder = tmp_path_factory.mktemp("zoo")
    for suffix in (".tflite", ".json"):
        shutil.copy2(demo_run[0] / "models" / f"{TRAINED}.fp32{suffix}", folder)
    assert main(["export", TRAINED, "--precision", "fp32", "-o", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A `.keras` file of a user's model of three colors."""
    file = tmp_path_factory.mktemp("own") / "own.keras"
    preprocess = PreprocessConfig(
        image_size=own_models.SIZE, crop_pct=1.0, mean=(0.0,) * 3, std=(1 / 255,) * 3
    )
    metadata = ModelMetadata(
        name="colors",
        preprocess=preprocess,
        class_names=own_models.COLORS,
        output_type="probabilities",
    )
    newnet_tf.save_model(own_models.functional(), file, metadata)
    return file


@pytest.fixture(scope="module")
def exported(own, tmp_path_factory):
    """A folder with the fp32 and int8-full files of the user's model."""
    folder = tmp_path_factory.mktemp("exported")
    command = ["export", own, "--precision", "fp32,int8-full", "-o", folder]
    assert main([*map(str, command)]) == 0
    return folder


def test_predict_skips_and_names_bad_images(capsys, images, exported, tmp_path):
    folder, blue = tmp_path / "folder", tmp_path / "blue.png"
    folder.mkdir()
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no image")
    whole = images["rocket.jpg"].read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("CMYK", (50, 40), (0, 200, 200, 0)).save(folder / "cmyk.jpg")
    Image.new("L", (1, 1), 90).save(folder / "one.png")
    Image.fromarray(own_models.image(2)).save(blue)
    file = exported / "colors.int8-full.tflite"
    status, out, err = run(capsys, "predict", file, folder, blue, "--json")
    answer = json.loads(out)
    assert status == 1
    assert [a["image"].split("/")[-1] for a in answer["images"]] == [
        "cmyk.jpg",
        "one.png",
        "blue.png",
    ]
    assert [a["predictions"][0]["label"] for a in answer["images"]][::2] == ["red", "blue"]
    skipped = [s["image"].split("/")[-1] for s in answer["skipped"]]
    assert skipped == ["empty.jpg", "text.png", "truncated.jpg"]
    assert all(name in err for name in skipped)


def test_exported_files_verify(capsys, exported, own, zoo_folder):
    """Against the model that is given, and the model of the zoo that a file names."""
    files = sorted(exported.glob("*.tflite"))
    assert [f.name for f in files] == ["colors.fp32.tflite", "colors.int8-full.tflite"]
    labels = (exported / "colors.labels.txt").read_text(encoding="utf-8").splitlines()
    assert labels == list(own_models.COLORS)
    status, out, _ = run(capsys, "verify", *files, "--model", own, "--json")
    rows = json.loads(out)
    assert status == 0
    assert [row["passed"] for row in rows] == [True, True]
    assert rows[0]["cosine"] > rows[1]["cosine"] > 0.98
    labels = (zoo_folder / f"{TRAINED}.labels.txt").read_text(encoding="utf-8").splitlines()
    assert (len(labels), labels[3]) == (10, "kind 3")
    status, out, _ = run(capsys, "verify", zoo_folder / f"{TRAINED}.fp32.tflite", "--json")
    assert (status, [row["passed"] for row in json.loads(out)]) == (0, [True])


def test_verify_fails_for_other_weights(capsys, zoo_folder, own):
    status, _, err = run(capsys, "verify", zoo_folder / f"{TRAINED}.fp32.tflite", "--model", own)
    assert status == 1
    assert "weights" in err
    assert "Received" in err


def test_export_keeps_what_has_not_changed(capsys, exported, own):
    before = {f.name: f.stat().st_mtime_ns for f in exported.glob("*.tflite")}
    command = ("export", own, "--precision", "fp32,int8-full", "-o", exported, "--json")
    status, out, _ = run(capsys, *command)
    assert status == 0
    assert [row["state"] for row in json.loads(out)] == ["cached", "cached"]
    assert before == {f.name: f.stat().st_mtime_ns for f in exported.glob("*.tflite")}


def test_export_saved_model(capsys, own, tmp_path):
    command = ("export", own, "--to", "saved_model", "-o", tmp_path, "--json")
    status, out, _ = run(capsys, *command)
    assert status == 0
    [row] = json.loads(out)
    assert (tmp_path / "colors" / "saved_model.pb").exists()
    assert row["MB"] > 0


def test_benchmark(capsys, tmp_path):
    status, out, _ = run(
        capsys,
        *(
            "benchmark",
            "lenet5",
            tiny_zoo.NAME,
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
        ("lenet5", 1),
        (tiny_zoo.NAME, 1),
        ("lenet5", 2),
        (tiny_zoo.NAME, 2),
    ]
    assert {r["weights"] for r in rows} == {"untrained (timing only)"}
    assert rows[0]["ratio"] == "1.00"


def test_benchmark_of_a_table(capsys, tmp_path, monkeypatch):
    """With --table: both precisions, 1 and 2 threads, the baseline too, recorded; refusals listed."""
    tables = {"new": [], "light": ["lenet5"], "nas": [tiny_zoo.NAME]}
    members = lambda cards, table: [newnet_tf.model_card(name) for name in tables[table]]  # noqa: E731
    export = deploy.export_tflite

    def refusing(model, preprocess, folder, name, precisions, **options):
        if name == tiny_zoo.NAME and "int8-full" in precisions:
            raise deploy.ExportError("a reason. Received: this")
        return export(model, preprocess, folder, name=name, precisions=precisions, **options)

    monkeypatch.setattr(paper_tables, "members", members)
    base = ("--baseline", "lenet5")
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
    assert f"not timed: {tiny_zoo.NAME} int8-full: a reason. Received: this" in err
    assert "2 of 2 models, 0 s left" in err
    rows = json.loads(out)
    keys = [(row["model"] == tiny_zoo.NAME, row["precision"], row["threads"]) for row in rows]
    fp32 = [(is_other, "fp32", threads) for threads in (1, 2) for is_other in (False, True)]
    assert keys == [*fp32, (False, "int8-full", 1), (False, "int8-full", 2)]
    recorded = results.read("latency", tmp_path)
    assert len(recorded) == len(rows)
    assert {row["baseline"] for row in recorded} == {"lenet5"}
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


def check_demo(folder, out, verified, names):
    """What the demo says and writes; returns the times at which its files were written."""
    assert any(name in out.splitlines()[1] for name in names)
    assert out.count("verified on") == verified
    assert out.count("timing only") == 2
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == 2
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    files = {f.name: f.stat().st_mtime_ns for f in (folder / "models").glob("*.tflite")}
    assert len(files) == verified + 2
    return files


def test_demo_twice(capsys, demo_run):
    folder, out = demo_run
    files, start = check_demo(folder, out, 4, ["kind"]), time.time_ns()
    with small_demo():
        assert run(capsys, "demo", "-o", folder, "--runs", 2)[0] == 0
    again = {f.name: f.stat().st_mtime_ns for f in (folder / "models").glob("*.tflite")}
    assert again == files
    assert (folder / "report.html").stat().st_mtime_ns > start


@pytest.mark.slow
def test_demo_with_public_weights(capsys, tmp_path, monkeypatch):
    """As it stands, but for the number of untrained networks; its files verify and classify."""
    monkeypatch.setattr(demo, "UNTRAINED", ("mobilenet_v1_025",))
    status, out, _ = run(capsys, "demo", "-o", tmp_path, "--runs", 2)
    assert status == 0
    assert len(check_demo(tmp_path, out, 6, CAT)) == 8
    assert re.search(r"person \d+\.\d % at", out)
    assert (tmp_path / "astronaut.jpg").is_file()
    folder = tmp_path / "models"
    labels = (folder / f"{demo.TRAINED}.labels.txt").read_text(encoding="utf-8").splitlines()
    assert (len(labels), labels[281]) == (1000, "tabby")
    names = ("fp32", "int8-full")
    files = [folder / f"{demo.TRAINED}.{name}.tflite" for name in names]
    command = ("export", demo.TRAINED, "--precision", ",".join(names), "-o", folder, "--json")
    assert [row["state"] for row in json.loads(run(capsys, *command)[1])] == ["cached", "cached"]
    status, out, _ = run(capsys, "verify", *files, "--json")
    rows = json.loads(out)
    assert (status, [row["passed"] for row in rows]) == (0, [True, True])
    assert rows[0]["cosine"] > rows[1]["cosine"] > 0.98
    command = ("export", demo.TRAINED, "--to", "saved_model", "-o", tmp_path, "--json")
    [row] = json.loads(run(capsys, *command)[1])
    assert row["MB"] > 18

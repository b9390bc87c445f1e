"""The bundle for an app: its content, its check, and the refusal of a changed one."""

import json
import os
import runpy
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import small_network
import tiny_task

from newnet_tf.cli import main
from newnet_tf.data.preprocess import Transform
from newnet_tf.deploy import Runner
from newnet_tf.deploy.bundle import build
from newnet_tf.deploy.bundle.build import bundle_files, make_bundle
from newnet_tf.deploy.bundle.check import BundleError, check_bundle
from newnet_tf.deploy.config_file import LABELS, archive
from newnet_tf.deploy.flatbuffer import metadata
from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata

NAMES = [f"thing {number}" for number in range(small_network.CLASSES)]
LISTED = (
    *(
        "Classifier.kt",
        "Classifier.swift",
        "README.md",
        "expected_outputs.npz",
        "check.py",
        "classifier.h",
    ),
    *("small.fp32.json", "small.fp32.tflite", "small.int8-full.json", "small.int8-full.tflite"),
    *("small.labels.txt", "model.json"),
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle, as a zip."""
    known = ModelMetadata(
        name="small",
        preprocess=small_network.PREPROCESS,
        class_names=tuple(NAMES),
        license="Apache-2.0",
        author="a test",
    )
    return make_bundle(
        small_network.network(classifier_activation="linear"),
        known,
        tmp_path_factory.mktemp("bundle") / "small.zip",
        small_network.images(),
        precisions=["fp32", "int8-full"],
        calibration_images=small_network.images(),
        validation_images=small_network.images(),
    )


@pytest.fixture
def folder(bundle, tmp_path):
    """The bundle unpacked, for a test to change."""
    with zipfile.ZipFile(bundle.path) as zipped:
        zipped.extractall(tmp_path)
    return tmp_path / "small"


def test_a_bundle_is_complete(bundle, folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(LISTED)
    assert [path.name for path in bundle.path.parent.iterdir()] == ["small.zip"]
    info = json.loads((folder / "model.json").read_text())
    assert info == json.loads(json.dumps(bundle.info))
    assert info["input"]["shape"] == [1, 64, 64, 3]
    assert info["image"]["mean"] == list(small_network.PREPROCESS.mean)
    assert (info["task"], info["format"]) == ("classification", 4)
    assert (info["output_type"], info["image"]["colors"]) == ("logits", "RGB")
    [output] = info["outputs"]
    assert (output["name"], output["shape"], output["index"]) == ("logits", [1, 10], 0)
    assert (info["license"], info["provenance"]["author"]) == ("Apache-2.0", "a test")
    assert set(info["sha256"]) == set(LISTED) - {"model.json"}
    assert (folder / "small.labels.txt").read_text().splitlines() == NAMES
    assert "ok small.int8-full.tflite" in check_bundle(bundle.path, bundle.digest)


def test_the_archive_is_the_same_every_time(bundle, folder):
    assert build._zip(folder, "small") == bundle.path.read_bytes()


def test_metadata_is_inside(folder):
    for precision in ("fp32", "int8-full"):
        runner = Runner(folder / f"small.{precision}.tflite")
        assert runner.delegation().fully_delegated
        with zipfile.ZipFile(runner.file) as labels:
            assert labels.read(LABELS).decode().splitlines() == NAMES
        model = Graph(runner.file.read_bytes())._model
        (entry,) = [m for m in model.metadata if m.name == metadata.NAME.encode()]
        data = model.buffers[entry.buffer].data.tobytes()
        assert data[4:8] == metadata.IDENTIFIER
        assert all(text in data for text in (b"Apache-2.0", b"a test", b"labels.txt", b"1.1.0"))
        mean = np.float32([255 * value for value in small_network.PREPROCESS.mean])
        assert mean.tobytes() in data


def test_a_bundle_of_another_task(tmp_path):
    """Named outputs in a stable order, compared one by one; no labels, no classifier's code."""
    task = tiny_task.task()
    known = ModelMetadata(name="tiny", preprocess=tiny_task.preprocess(), task=tiny_task.NAME)
    with tiny_task.registered():
        bundle = make_bundle(
            *(tiny_task.trained_model(), known, tmp_path / "tiny"),
            tiny_task.images(3),
            task=task,
            precisions=["fp32", "int8-full"],
            calibration_images=tiny_task.images(20),
            validation_images=tiny_task.images(8),
        )
    info = bundle.info
    assert info["task"] == tiny_task.NAME
    assert [output["name"] for output in info["outputs"]] == ["point", "score_map"]
    assert [output["shape"] for output in info["outputs"]] == [[1, 2], [1, 4, 4, 1]]
    assert (info["labels"], info["output_type"]) == (None, None)
    files = {path.name for path in bundle.path.iterdir()}
    assert {"Model.kt", "Model.swift", "model.h"} < files
    assert not {"Classifier.kt", "tiny.labels.txt"} & files
    with np.load(bundle.path / "expected_outputs.npz") as arrays:
        assert arrays["tiny.int8-full.tflite/score_map"].shape == (3, 4, 4, 1)
    text = check_bundle(bundle)
    assert "ok tiny.fp32.tflite: 3 images, largest difference of point 0" in text
    assert "of score_map 0" in text

    def change(arrays):
        arrays["tiny.int8-full.tflite/score_map"][1, 2, 3] += 10

    rewrite(bundle.path, change)
    run = run_check(bundle.path)
    assert run.returncode == 1
    assert "FAILED tiny.int8-full.tflite" in run.stdout
    assert "ok tiny.fp32.tflite" in run.stdout


def test_a_bundle_of_an_earlier_format_says_so(folder):
    info = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(info | {"format": 1}))
    with pytest.raises(BundleError, match=r"must have format 4: write the bundle again.* format 1"):
        check_bundle(folder)


def run_check(folder, *arguments):
    """Runs the bundle's own check where NumPy and LiteRT are all that can be imported."""
    code = (
        "import runpy, sys\n"
        "for name in ('tensorflow', 'keras', 'PIL', 'flatbuffers', 'newnet_tf'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", code, folder / "check.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_bundle_s_own_check_needs_numpy_and_litert_alone(bundle, folder):
    run = run_check(folder, "--digest", bundle.digest)
    assert run.returncode == 0, run.stderr
    assert "ok small.fp32.tflite: 4 images, largest difference of logits 0" in run.stdout


def rewrite(folder, change):
    """Changes expected outputs, and updates all digests, as an attacker might."""
    with np.load(folder / "expected_outputs.npz") as arrays:
        arrays = dict(arrays)
    change(arrays)
    np.savez_compressed(folder / "expected_outputs.npz", **arrays)
    info = json.loads((folder / "model.json").read_text())
    info["sha256"]["expected_outputs.npz"] = build.io.sha256(folder / "expected_outputs.npz")
    del info["digest"]
    text = json.dumps(info, sort_keys=True).encode()
    info["digest"] = build.io.sha256_bytes(text)
    (folder / "model.json").write_text(json.dumps(info))


def test_other_outputs_are_found(folder):
    def change(arrays):
        arrays["small.fp32.tflite/logits"][2, 3] += 0.1

    rewrite(folder, change)
    run = run_check(folder)
    assert run.returncode == 1
    assert "FAILED small.fp32.tflite" in run.stdout
    assert "ok small.int8-full.tflite" in run.stdout


def test_probabilities_are_compared_by_their_logarithms(folder):
    """A file's own softmax: small classes count as much as large ones."""
    info = json.loads((folder / "model.json").read_text())
    module = runpy.run_path(folder / "check.py")
    info["output_type"] = "probabilities"
    (file, _), (_, make) = info["files"], module["interpreter"]()
    with np.load(folder / "expected_outputs.npz") as arrays:
        arrays = dict(arrays)
    key = f"{file['file']}/logits"
    shift = arrays[key].min() - 1

    class Shifted(make):
        """Gives positive scores, as a softmax does."""

        def get_tensor(self, index):
            return super().get_tensor(index) - np.float32(shift)

    arrays[key] = arrays[key] - np.float32(shift)
    assert module["compare"](folder, info, file, arrays, Shifted)
    arrays[key][0, 0] *= 1.5  # 0.4 in logarithms
    assert not module["compare"](folder, info, file, arrays, Shifted)


def test_a_bundle_changed_as_a_whole_is_refused_by_the_printed_digest(bundle, folder):
    rewrite(folder, lambda arrays: arrays.update(more=np.zeros(1)))
    check_bundle(folder)
    with pytest.raises(BundleError, match=rf"must have --digest, {bundle.digest:.16}"):
        check_bundle(folder, bundle.digest)


@pytest.mark.parametrize("name", LISTED)
def test_a_changed_file_is_refused(folder, name):
    data = bytearray((folder / name).read_bytes())
    place = len(data) // 2  # a letter, in the info: the last digits of a number may mean nothing
    while name == "model.json" and not chr(data[place]).isalpha():
        place += 1
    data[place] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.json must" if name == "model.json" else name):
        check_bundle(folder)


def test_missing_and_added_files_are_refused(folder):
    (folder / "small.labels.txt").unlink()
    (folder / "more.so").write_bytes(b"")
    with pytest.raises(BundleError, match=r"labels\.txt must have .*no such file\n.*more\.so"):
        check_bundle(folder)


@pytest.mark.parametrize("names", [["../evil"], ["a/b", "c/d"], ["a/b/c"], ["top"]])
def test_archives_of_another_shape_are_refused(tmp_path, names):
    path = tmp_path / "odd.zip"
    path.write_bytes(archive(dict.fromkeys(names, b"")))
    with pytest.raises(BundleError, match="must hold one folder of files"):
        check_bundle(path)
    path.write_bytes(b"no archive")
    with pytest.raises(BundleError, match="a folder or zip"):
        check_bundle(path)


def test_what_is_no_bundle_is_not_replaced(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(FileExistsError, match="must be new, or be a bundle"):
        make_bundle(None, None, tmp_path, [])
    assert (tmp_path / "notes").read_text() == "mine"


def test_nothing_is_left_of_a_bundle_that_fails(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`precision` must be among"):
        make_bundle(
            *(small_network.network(), small_network.PREPROCESS, tmp_path / "x"),
            small_network.images(),
            precisions=["int3"],
            validation_images=small_network.images(),
        )
    assert list(tmp_path.iterdir()) == []


def binary_model(preprocess, images):
    """A tiny classifier with one sigmoid: the second class is half of the images, the bluest."""
    image = keras.Input((32, 32, 3))
    x = keras.layers.AveragePooling2D(4)(image)
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(1, activation="sigmoid", name="score")(x)
    model = keras.Model(image, outputs, name="binary")
    kernel = np.zeros((3, 3, 3, 4), "float32")
    kernel[1, 1, 0, :] = (1, 0.5, 2, 1)  # the first channel, blue
    model.get_layer("conv").set_weights([kernel, np.zeros(4, "float32")])
    score = model.get_layer("score")
    ones = np.ones((4, 1), "float32")
    sums = keras.Model(image, score.input)(Transform(preprocess)(images)).numpy() @ ones
    score.set_weights([ones, -np.median(sums, axis=0)])
    return model


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    """A bundle of a binary classifier that takes blue, green, red, as a folder; and its model."""
    preprocess = PreprocessConfig(
        image_size=32, crop_pct=1.0, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), channel_order="BGR"
    )
    images = list(small_network.images())
    model = binary_model(preprocess, images[::6])
    path = tmp_path_factory.mktemp("binary") / "own"
    made = make_bundle(
        *(model, preprocess, path, images[::6]), precisions=["fp32"], validation_images=images
    )
    return made, model


def test_a_bundle_of_a_binary_classifier_with_bgr_input(binary):
    made, model = binary
    info = made.info
    assert (info["task"], info["output_type"], info["labels"]) == (
        "classification",
        "sigmoid",
        None,
    )
    assert info["image"]["colors"] == "BGR"
    assert info["image"]["mean"] == (0.5, 0.4, 0.3)
    module = runpy.run_path(made.path / "check.py")
    with np.load(made.path / "expected_outputs.npz") as arrays:
        pixels, [outputs] = arrays["pixels"], [arrays[n] for n in arrays.files if "/" in n]
    inputs = module["prepare"](pixels, info["input"], info["image"]["colors"])
    blue = (pixels[..., 2].astype("float32") / 255 - 0.5) / 0.2
    np.testing.assert_allclose(inputs[..., 0], blue, atol=1e-5)
    np.testing.assert_allclose(outputs, model(inputs), atol=1e-5)
    predictions = [int(p > 0.5) for p in outputs[:, 0]]
    assert sum(predictions) == 2
    assert f"top-1 predictions {predictions}" in check_bundle(made)
    kotlin = (made.path / "Classifier.kt").read_text()
    assert "intArrayOf(blue, green, red)" in kotlin
    assert "floatArrayOf(1f - second, second)" in kotlin
    assert "softmax" not in kotlin
    assert 'List(2) { "class $it" }' in kotlin
    assert not list(made.path.glob("*.labels.txt"))


def test_exported_files_are_bundled_as_they_are(binary, tmp_path):
    """The same files, without another export; for a package of the app's own."""
    made, _ = binary
    [file] = made.path.glob("*.tflite")
    images = small_network.images()[::6]
    again = bundle_files([file], tmp_path / "again", images, package="org.example.own")
    assert (again.path / file.name).read_bytes() == file.read_bytes()
    assert again.info["outputs"] == made.info["outputs"]
    assert "package org.example.own" in (again.path / "Classifier.kt").read_text()


def test_the_command_checks(bundle, folder, capsys):
    assert main(["bundle", "--check", str(bundle.path), "--digest", bundle.digest]) == 0
    assert "small.zip: as it was written" in capsys.readouterr().out
    (folder / "check.py").write_text("")
    assert main(["bundle", "--check", str(folder)]) == 1
    assert "check.py must have sha256" in capsys.readouterr().err
    assert main(["bundle"]) == 1
    assert "a MODEL or --check PATH must be given" in capsys.readouterr().err


def test_the_benchmark_script_is_sound_shell():
    script = os.path.join(os.path.dirname(__file__), "..", "export", "android_benchmark.sh")
    subprocess.run(["bash", "-n", script], check=True, timeout=60)

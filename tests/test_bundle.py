"""The bundle for an app: what is in it, what its code does, and that a changed one is refused."""

import json
import os
import runpy
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import small_network

from newnet_tf.cli import main
from newnet_tf.data.preprocess import normalize
from newnet_tf.deploy import Provenance, Runner
from newnet_tf.deploy.bundle import build
from newnet_tf.deploy.bundle.build import make_bundle
from newnet_tf.deploy.bundle.check import BundleError, check_bundle
from newnet_tf.deploy.flatbuffer import metadata
from newnet_tf.deploy.flatbuffer.graph import Graph

NAMES = [f"thing {number}" for number in range(small_network.CLASSES)]
LISTED = (
    *("Classifier.kt", "Classifier.swift", "README.md", "answers.npz", "check.py", "classifier.h"),
    *("small.fp32.json", "small.fp32.tflite", "small.int8-full.json", "small.int8-full.tflite"),
    *("small.labels.txt", "model.json"),
)


@pytest.fixture(scope="module")
def plain():
    """The .tflite files as they were before metadata was put into them, by precision."""
    return {}


@pytest.fixture(scope="module")
def made(tmp_path_factory, plain):
    """A bundle, as a zip."""

    def embed(result, *arguments):
        plain[result.recipe.precision] = result.file.read_bytes()
        return embedded(result, *arguments)

    embedded = build._embed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_embed", embed)
        return _made(tmp_path_factory.mktemp("made") / "small.zip")


def _made(path):
    return make_bundle(
        small_network.network(),
        small_network.PREPROCESS,
        path,
        "small",
        Provenance(license="Apache-2.0", author="a test"),
        small_network.images(),
        NAMES,
        precisions=["fp32", "int8-full"],
        calibration_images=small_network.images(),
        validation_images=small_network.images(),
    )


@pytest.fixture
def folder(made, tmp_path):
    """The bundle unpacked, to do with as one likes."""
    with zipfile.ZipFile(made.path) as zipped:
        zipped.extractall(tmp_path)
    return tmp_path / "small"


def test_a_bundle_is_whole_and_named(made, folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(LISTED)
    assert [path.name for path in made.path.parent.iterdir()] == ["small.zip"]
    record = json.loads((folder / "model.json").read_text())
    assert record == json.loads(json.dumps(made.record))
    assert record["input"]["shape"] == [1, 64, 64, 3]
    assert record["image"]["mean"] == list(small_network.PREPROCESS.mean)
    assert record["output"]["name"] == "logits"
    assert record["output"]["shape"] == [1, 10]
    assert (record["license"], record["provenance"]["origin"]) == ("Apache-2.0", "a test")
    assert set(record["sha256"]) == set(LISTED) - {"model.json"}
    assert (folder / "small.labels.txt").read_text().splitlines() == NAMES
    assert "ok small.int8-full.tflite" in check_bundle(made.path, made.digest)


def test_the_archive_is_the_same_every_time(made, folder):
    assert build._zipped(folder, "small") == made.path.read_bytes()


def test_metadata_is_inside_and_changes_no_answer(folder, plain, tmp_path):
    inputs = normalize(small_network.images()[:4], small_network.PREPROCESS)
    for precision in ("fp32", "int8-full"):
        runner = Runner(folder / f"small.{precision}.tflite")
        before = tmp_path / "before.tflite"
        before.write_bytes(plain[precision])
        np.testing.assert_array_equal(runner(inputs), Runner(before)(inputs))
        assert runner.delegation().fully_delegated
        with zipfile.ZipFile(runner.file) as labels:
            assert labels.read(metadata.LABELS).decode().splitlines() == NAMES
        model = Graph(runner.file.read_bytes())._model
        (entry,) = [m for m in model.metadata if m.name == metadata.NAME.encode()]
        data = model.buffers[entry.buffer].data.tobytes()
        assert data[4:8] == metadata.IDENTIFIER
        assert all(text in data for text in (b"Apache-2.0", b"a test", b"labels.txt", b"1.1.0"))
        mean = np.float32([255 * value for value in small_network.PREPROCESS.mean])
        assert mean.tobytes() in data


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


def test_the_bundle_s_own_check_needs_numpy_and_litert_alone(made, folder):
    run = run_check(folder, "--digest", made.digest)
    assert run.returncode == 0, run.stderr
    assert "ok small.fp32.tflite: 4 images, largest difference of logits 0" in run.stdout


def restated(folder, change):
    """Changes answers, and states all digests anew, as one might who means harm."""
    with np.load(folder / "answers.npz") as stored:
        stored = dict(stored)
    change(stored)
    np.savez_compressed(folder / "answers.npz", **stored)
    record = json.loads((folder / "model.json").read_text())
    record["sha256"]["answers.npz"] = build._sha256(folder / "answers.npz")
    del record["digest"]
    text = json.dumps(record, sort_keys=True).encode()
    record["digest"] = build.hashlib.sha256(text).hexdigest()
    (folder / "model.json").write_text(json.dumps(record))


def test_other_answers_are_found(folder):
    def change(stored):
        stored["small.fp32.tflite"][2, 3] += 0.1

    restated(folder, change)
    run = run_check(folder)
    assert run.returncode == 1
    assert "FAILED small.fp32.tflite" in run.stdout
    assert "ok small.int8-full.tflite" in run.stdout


def test_probabilities_are_compared_by_their_logarithms(folder):
    """A file's own softmax: small classes count as much as large ones."""
    record = json.loads((folder / "model.json").read_text())
    module = runpy.run_path(folder / "check.py")
    record["output"]["name"] = "probabilities"
    (file, _), (_, make) = record["files"], module["interpreter"]()
    with np.load(folder / "answers.npz") as stored:
        stored = dict(stored)
    shift = stored[file["file"]].min() - 1

    class Shifted(make):
        """Gives positive scores, as a softmax does."""

        def get_tensor(self, index):
            return super().get_tensor(index) - np.float32(shift)

    stored[file["file"]] = stored[file["file"]] - np.float32(shift)
    assert module["compare"](folder, record, file, stored, Shifted)
    stored[file["file"]][0, 0] *= 1.5  # 0.4 in logarithms
    assert not module["compare"](folder, record, file, stored, Shifted)


def test_a_bundle_changed_as_a_whole_is_refused_by_the_printed_digest(made, folder):
    restated(folder, lambda stored: stored.update(more=np.zeros(1)))
    check_bundle(folder)
    with pytest.raises(BundleError, match=rf"must have --digest, {made.digest:.16}"):
        check_bundle(folder, made.digest)


@pytest.mark.parametrize("name", LISTED)
def test_a_changed_file_is_refused(folder, name):
    data = bytearray((folder / name).read_bytes())
    place = len(data) // 2  # a letter, in the record: the last digits of a number may mean nothing
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
    path.write_bytes(metadata.archive(dict.fromkeys(names, b"")))
    with pytest.raises(BundleError, match="must hold one folder of files"):
        check_bundle(path)
    path.write_bytes(b"no archive")
    with pytest.raises(BundleError, match="a folder or zip"):
        check_bundle(path)


def test_what_is_no_bundle_is_not_replaced(tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(FileExistsError, match="must be new, or hold a bundle"):
        make_bundle(None, None, tmp_path, "small", Provenance(), [])
    assert (tmp_path / "kept").read_text() == "mine"


def test_nothing_is_left_of_a_bundle_that_fails(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`precision` must be among"):
        make_bundle(
            *(small_network.network(), small_network.PREPROCESS, tmp_path / "x", "small"),
            *(Provenance(), small_network.images()),
            precisions=["int3"],
            validation_images=small_network.images(),
        )
    assert list(tmp_path.iterdir()) == []


def test_the_command_checks(made, folder, capsys):
    assert main(["bundle", "--check", str(made.path), "--digest", made.digest]) == 0
    assert "small.zip: whole" in capsys.readouterr().out
    (folder / "check.py").write_text("")
    assert main(["bundle", "--check", str(folder)]) == 1
    assert "check.py must have sha256" in capsys.readouterr().err
    assert main(["bundle"]) == 1
    assert "a MODEL or --check PATH must be given" in capsys.readouterr().err


def test_the_benchmark_script_is_sound_shell():
    script = os.path.join(os.path.dirname(__file__), "..", "export", "android_benchmark.sh")
    subprocess.run(["bash", "-n", script], check=True, timeout=60)

"""The bundle for an app: what is in it, what its code does, and that a changed one is refused."""

import json
import os
import runpy
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import small_network
import tree_sitter
import tree_sitter_kotlin
import tree_sitter_swift

from newnet_tf.cli import main
from newnet_tf.data.preprocess import normalise
from newnet_tf.deploy import Provenance, Runner, bundle, metadata, snippets
from newnet_tf.deploy.bundle import make_bundle
from newnet_tf.deploy.bundle_check import BundleError, check_bundle
from newnet_tf.deploy.graph import Graph

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

    embedded = bundle._embed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "_embed", embed)
        return _made(tmp_path_factory.mktemp("made") / "small.zip")


def _made(path):
    return make_bundle(
        small_network.network(),
        small_network.PREPROCESS,
        path,
        "small",
        Provenance(licence="Apache-2.0", origin="a test"),
        small_network.pictures(),
        NAMES,
        precisions=["fp32", "int8-full"],
        calibration=small_network.pictures(),
        pictures=small_network.pictures(),
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
    assert record["picture"]["mean"] == list(small_network.PREPROCESS.mean)
    assert record["output"]["name"] == "logits"
    assert record["output"]["shape"] == [1, 10]
    assert (record["licence"], record["provenance"]["origin"]) == ("Apache-2.0", "a test")
    assert set(record["sha256"]) == set(LISTED) - {"model.json"}
    assert (folder / "small.labels.txt").read_text().splitlines() == NAMES
    assert "ok small.int8-full.tflite" in check_bundle(made.path, made.digest)


def test_the_archive_is_the_same_every_time(made, folder):
    assert bundle._zipped(folder, "small") == made.path.read_bytes()


def test_metadata_is_inside_and_changes_no_answer(folder, plain, tmp_path):
    inputs = normalise(small_network.pictures()[:4], small_network.PREPROCESS)
    for precision in ("fp32", "int8-full"):
        runner = Runner(folder / f"small.{precision}.tflite")
        before = tmp_path / "before.tflite"
        before.write_bytes(plain[precision])
        np.testing.assert_array_equal(runner(inputs), Runner(before)(inputs))
        assert runner.delegation().whole
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
    assert "ok small.fp32.tflite: 4 pictures, largest difference of logits 0" in run.stdout


def restated(folder, change):
    """Changes answers, and states all digests anew, as one might who means harm."""
    with np.load(folder / "answers.npz") as stored:
        stored = dict(stored)
    change(stored)
    np.savez_compressed(folder / "answers.npz", **stored)
    record = json.loads((folder / "model.json").read_text())
    record["sha256"]["answers.npz"] = bundle._sha256(folder / "answers.npz")
    del record["digest"]
    text = json.dumps(record, sort_keys=True).encode()
    record["digest"] = bundle.hashlib.sha256(text).hexdigest()
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
            *(Provenance(), small_network.pictures()),
            precisions=["int3"],
            pictures=small_network.pictures(),
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


# The generated code.

LANGUAGES = {
    tree_sitter_kotlin.language(): snippets.KOTLIN,
    tree_sitter_swift.language(): snippets.SWIFT,
}
STEPS = {"scale": 0.025, "zero_point": 3}
KINDS = {
    "floats": {"takes": "normalised", "dtype": "float32", "quantisation": None},
    "pixels": {"takes": "pixels", "dtype": "uint8", "quantisation": None},
    "int8": {"takes": "normalised", "dtype": "int8", "quantisation": STEPS},
    "uint8": {
        "takes": "normalised",
        "dtype": "uint8",
        "quantisation": {**STEPS, "zero_point": 131},
    },
}
# What TensorFlow Lite's c_api.h declares, as far as the code uses it.
C_API = """
#include <cstddef>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
struct TfLiteModel; struct TfLiteInterpreter; struct TfLiteInterpreterOptions; struct TfLiteTensor;
inline TfLiteModel* TfLiteModelCreateFromFile(const char*) { return nullptr; }
inline void TfLiteModelDelete(TfLiteModel*) {}
inline TfLiteInterpreterOptions* TfLiteInterpreterOptionsCreate() { return nullptr; }
inline void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions*) {}
inline void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions*, int) {}
inline TfLiteInterpreter* TfLiteInterpreterCreate(const TfLiteModel*, const TfLiteInterpreterOptions*) {
  return nullptr;
}
inline void TfLiteInterpreterDelete(TfLiteInterpreter*) {}
inline TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter*) { return kTfLiteError; }
inline TfLiteTensor* TfLiteInterpreterGetInputTensor(const TfLiteInterpreter*, int) { return nullptr; }
inline const TfLiteTensor* TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter*, int) {
  return nullptr;
}
inline TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor*, const void*, size_t) { return kTfLiteOk; }
inline TfLiteStatus TfLiteTensorCopyToBuffer(const TfLiteTensor*, void*, size_t) { return kTfLiteOk; }
inline TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter*) { return kTfLiteOk; }
"""
PREPARE = """
#include <cstdio>
#include "classifier.h"
int main() {
  std::vector<std::uint8_t> pixels(Classifier::kSize * Classifier::kSize * Classifier::kChannels);
  if (std::fread(pixels.data(), 1, pixels.size(), stdin) != pixels.size()) return 1;
  const auto input = Classifier::Prepare(pixels.data());
  std::fwrite(input.data(), sizeof(Classifier::Input), input.size(), stdout);
  try { Classifier().Probabilities(pixels.data()); } catch (const std::runtime_error&) { return 0; }
  return 2;  // the stand-in opens no file
}
"""


def record_of(kind, made, scores="logits"):
    """`model.json` of a bundle with files of another kind."""
    image = {key: made.record["input"][key] for key in ("shape", "scale", "offset")}
    output = {**made.record["output"], "name": scores}
    if kind in ("int8", "uint8"):
        output |= {"dtype": kind, "quantisation": STEPS}
    return {**made.record, "input": {**image, **KINDS[kind]}, "output": output}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_fill_in(kind, made):
    for scores in ("logits", "probabilities"):
        texts = snippets.generate(record_of(kind, made, scores))
        assert set(texts) == {*snippets.GENERATED, snippets.CHECK, snippets.README}
        for name, text in texts.items():
            assert name == snippets.CHECK or "@" not in text.replace("@property", ""), name
            assert text.count("{") == text.count("}"), name
        for name in snippets.GENERATED:
            calls = texts[name].lower().count("softmax(")
            assert calls == (2 if scores == "logits" else 1)
            assert "small.int8-full.tflite" in texts[name]
            assert ("0.01712" in texts[name]) == (kind != "pixels")


def errors(language, text):
    """Lines of a program that a parser of its language does not take."""
    tree = tree_sitter.Parser(tree_sitter.Language(language)).parse(text.encode())
    found, left = [], [tree.root_node]
    while left:
        node = left.pop()
        left += node.children
        if node.is_error or node.is_missing:
            found.append(node.start_point.row + 1)
    return found


@pytest.mark.parametrize("scores", ["logits", "probabilities"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_kotlin_and_the_swift_code_parse(kind, scores, made):
    texts = snippets.generate(record_of(kind, made, scores))
    for language, name in LANGUAGES.items():
        assert errors(language, texts[name]) == [], name
        assert errors(language, texts[name].replace("{", "", 1)), name


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
@pytest.mark.parametrize("kind", ["floats", "pixels", "int8"])
def test_the_cpp_code_compiles_and_prepares_as_python_does(kind, made, tmp_path):
    record = record_of(kind, made)
    header = tmp_path / "tensorflow/lite/c/c_api.h"
    header.parent.mkdir(parents=True)
    header.write_text(C_API)
    (tmp_path / "classifier.h").write_text(snippets.generate(record)["classifier.h"])
    (tmp_path / "main.cc").write_text(PREPARE)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I.", "main.cc", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    pixels = small_network.pictures()[0]
    run = subprocess.run(
        [tmp_path / "main"], input=pixels.tobytes(), capture_output=True, check=True, timeout=60
    )
    found = np.frombuffer(run.stdout, record["input"]["dtype"]).reshape(pixels.shape)
    if kind == "pixels":
        np.testing.assert_array_equal(found, pixels)
        return
    floats = normalise(pixels, small_network.PREPROCESS)
    if kind == "floats":
        np.testing.assert_allclose(found, floats, atol=1e-6)
        return
    steps = record["input"]["quantisation"]
    bounds = np.iinfo(found.dtype)
    whole = np.round(floats / np.float32(steps["scale"])) + steps["zero_point"]
    expected = np.clip(whole, bounds.min, bounds.max)
    assert np.abs(found - expected).max() <= 1  # a tie may fall to either side
    assert (found != expected).mean() < 0.01


def test_the_benchmark_script_is_sound_shell():
    script = os.path.join(os.path.dirname(__file__), "..", "export", "android_benchmark.sh")
    subprocess.run(["bash", "-n", script], check=True, timeout=60)

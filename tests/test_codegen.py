"""The generated code of a bundle: complete, valid, and preparing images as Python does."""

import copy
import re
import shutil
import subprocess

import codegen_cases
import numpy as np
import pytest
import tree_sitter_kotlin
import tree_sitter_swift
from codegen_cases import CASES, PIXELS, SIZE
from codegen_programs import (
    KOTLIN_STUBS,
    build_kotlin,
    compile_cpp,
    errors,
    needs_gpp,
    run_kotlin,
    write_c_api,
)

from newnet_tf.deploy.bundle import codegen

KOTLIN, SWIFT, CPP = codegen.CLASSIFIER_FILES
LANGUAGES = {
    tree_sitter_kotlin.language(): KOTLIN,
    tree_sitter_swift.language(): SWIFT,
}
CPP_MAIN = """
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <string>
#include "tensorflow/lite/c/c_api.h"
@NAMESPACES@
// Reads pixels and outputs; writes the input and the probabilities.
template <typename Classifier>
int run() {
  std::vector<std::uint8_t> pixels(Classifier::kSize * Classifier::kSize * Classifier::kChannels);
  if (std::fread(pixels.data(), 1, pixels.size(), stdin) != pixels.size()) return 1;
  for (int byte; (byte = std::getchar()) != EOF;) g_outputs[0].push_back(static_cast<char>(byte));
  const auto input = Classifier::Prepare(pixels.data());
  std::fwrite(input.data(), sizeof(typename Classifier::Input), input.size(), stdout);
  const std::vector<float> probabilities = Classifier().Probabilities(pixels.data());
  if (probabilities.size() != Classifier::kClasses) return 2;
  std::fwrite(probabilities.data(), sizeof(float), probabilities.size(), stdout);
  return 0;
}
int main(int, char** arguments) {
  const std::string name = arguments[1];
@CALLS@
  return 3;
}
"""
RUN_MODEL = """
#include "model.h"
int main() { return static_cast<int>(Model().Run(nullptr).at("boxes").size()); }
"""


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_left_to_fill_in(name):
    case = CASES[name]
    texts = codegen.generate(case)
    assert set(texts) == {*codegen.CLASSIFIER_FILES, codegen.CHECK, codegen.README}
    for file, text in texts.items():
        assert file == codegen.CHECK or not re.search(r"@[A-Z_]+@", text), file
        assert text.count("{") == text.count("}"), file
    for file in codegen.CLASSIFIER_FILES:
        assert "small.fp32.tflite" in texts[file]
        assert ("small.labels.txt" in texts[file]) == (case["labels"] is not None)
        assert ("class $it" in texts[file] or r"class \(" in texts[file]) == (
            case["labels"] is None and file != CPP
        )


@pytest.mark.parametrize("name", CASES)
def test_the_kotlin_and_the_swift_code_parse(name):
    texts = codegen.generate(CASES[name])
    for language, file in LANGUAGES.items():
        assert errors(language, texts[file]) == [], file
        assert errors(language, texts[file].replace("{", "", 1)), file
    assert errors(tree_sitter_kotlin.language(), activity(texts)) == []


def activity(texts) -> str:
    """The activity that the README shows."""
    return re.findall(r"```kotlin\n(package .*?)```", texts[codegen.README], re.S)[0]


def test_the_package_is_that_of_the_app():
    texts = codegen.generate(CASES["floats"], "org.example.birds")
    assert "\npackage org.example.birds\n" in texts[KOTLIN]
    assert "package org.example.birds\n" in activity(texts)
    assert "\npackage com.example.app\n" in codegen.generate(CASES["floats"])[KOTLIN]
    for package in ("", "two words", "org.2birds", "org.in.birds", ".app", None):
        with pytest.raises(ValueError, match="`package` must be the name of a Kotlin package"):
            codegen.generate(CASES["floats"], package)


def test_the_readme_says_what_the_outputs_are():
    expected = {
        "floats": "5 logits, float32",
        "sigmoided": "5 probabilities, each on its own, float32",
        "binary": "1 logit of the second of two classes, float32",
        "bgr": "24 x 24 x 3 float32, normalized, BGR",
    }
    for name, words in expected.items():
        assert words in codegen.generate(CASES[name])[codegen.README]
    numbered = codegen.generate(CASES["numbered"])[codegen.README]
    assert "the names of the classes were unknown" in numbered
    assert "noCompress" in numbered
    assert 'implementation("com.google.ai.edge.litert:litert:' in numbered


@needs_gpp
def test_the_cpp_code_compiles_and_computes_as_python_does(tmp_path):
    write_c_api(tmp_path)
    for name, case in CASES.items():
        (tmp_path / f"{name}.h").write_text(codegen.generate(case)[CPP])
    namespaces = "\n".join(f'namespace n_{name} {{\n#include "{name}.h"\n}}' for name in CASES)
    calls = "\n".join(
        f'  if (name == "{name}") return run<n_{name}::Classifier>();' for name in CASES
    )
    main = CPP_MAIN.replace("@NAMESPACES@", namespaces).replace("@CALLS@", calls)
    (tmp_path / "main.cc").write_text(main)
    compile_cpp(tmp_path)
    for name, case in CASES.items():
        pixels = PIXELS if case["input"]["shape"][3] == 3 else gray()
        given, expected = codegen_cases.outputs(case)
        data = pixels.tobytes() + given.tobytes()
        command = [tmp_path / "main", name]
        done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=60)
        size = len(done.stdout) - expected.size * 4
        codegen_cases.check_input(done.stdout[:size], case)
        probabilities = np.frombuffer(done.stdout[size:], np.float32)
        np.testing.assert_allclose(probabilities, expected, rtol=1e-5, err_msg=name)


def gray():
    weighted = PIXELS.astype(np.int64) @ [19595, 38470, 7471]
    return np.uint8((weighted + 0x8000) >> 16)


def task_info(output_kind):
    """`model.json` of a model of another task, with outputs of one type and of int64."""
    quantization = codegen_cases.QUANTIZATION if output_kind in ("int8", "uint8") else None
    named = {"dtype": output_kind, "quantization": quantization}
    outputs = [
        {"name": "boxes", "index": 1, "shape": [1, 20, 4], **named},
        {"name": "count", "index": 0, "shape": [1], "dtype": "int64", "quantization": None},
    ]
    other = {"task": "detection", "output_type": None, "outputs": outputs, "labels": None}
    return {**copy.deepcopy(CASES["pixels"]), **other}


@pytest.mark.parametrize("output_kind", ["float32", "int8", "uint8"])
def test_the_code_of_another_task(output_kind, tmp_path):
    info = task_info(output_kind)
    texts = codegen.generate(info)
    assert set(texts) == {*codegen.MODEL_FILES, codegen.CHECK, codegen.README}
    for name, text in texts.items():
        assert name == codegen.CHECK or not re.search(r"@[A-Z_]+@", text), name
    for language, name in zip(LANGUAGES, codegen.MODEL_FILES, strict=False):
        assert errors(language, texts[name]) == [], name
    if shutil.which("g++") is None or output_kind == "uint8":
        return
    write_c_api(tmp_path)
    (tmp_path / "model.h").write_text(texts["model.h"])
    (tmp_path / "main.cc").write_text(RUN_MODEL)
    compile_cpp(tmp_path)


def test_an_output_that_the_code_cannot_read_is_an_error():
    with pytest.raises(ValueError, match=r"outputs must be of type .*'boxes' of type complex64"):
        codegen.generate(task_info("complex64"))


def photo(degrees: int):
    """A photo of `PIXELS`, four times as large, with more at its sides, to be turned by `degrees`."""
    side = 3  # on the left and right, so that the center counts
    upright = np.pad(PIXELS, [(0, 0), (side, side), (0, 0)], constant_values=9)
    return np.rot90(upright.repeat(4, axis=0).repeat(4, axis=1), degrees // 90)


@pytest.mark.slow
def test_the_kotlin_code_compiles_and_predicts_as_python_does(tmp_path):
    """With stubs of Android's and LiteRT's classes, `tests/kotlin`; all cases in one compilation."""
    main = (KOTLIN_STUBS / "main" / "ClassifierMain.kt").read_text()
    sources = []
    for name, case in CASES.items():
        (tmp_path / name).mkdir()
        package = f"cases.{name}"
        code = codegen.generate(case, package)[KOTLIN]
        for file, text in ((KOTLIN, code), ("Main.kt", main.replace("com.example.app", package))):
            (tmp_path / name / file).write_text(text)
            sources.append(tmp_path / name / file)
    build_kotlin(tmp_path / "classes", sources)
    for number, (name, case) in enumerate(CASES.items()):
        folder, degrees = tmp_path / name, 90 * (number % 5) - 90
        (folder / "model.tflite").write_bytes(bytes(100))
        labels = codegen_cases.labels(case)
        if case["labels"]:
            (folder / case["labels"]).write_text("".join(f"{label}\n" for label in labels))
        image = photo(degrees)
        (folder / "pixels.bin").write_bytes(image.tobytes())
        given, expected = codegen_cases.outputs(case)
        (folder / "output.bin").write_bytes(given.tobytes())
        kind = ["ARGB_8888", "HARDWARE"][number % 2]
        size = [str(image.shape[1]), str(image.shape[0])]
        main_class = f"cases.{name}.MainKt"
        first, still_open, *best = run_kotlin(
            tmp_path / "classes", main_class, folder, *size, str(degrees), kind
        )
        codegen_cases.check_input((folder / "input.bin").read_bytes(), case)
        probabilities = [float(value) for value in first.split()]
        np.testing.assert_allclose(probabilities, expected, rtol=1e-5, err_msg=name)
        assert still_open == "1 bitmaps"  # the app's own
        assert [line.split("\t")[0] for line in best] == [
            labels[i] for i in np.argsort(-expected)[:2]
        ]


@pytest.mark.slow
def test_the_activity_of_the_readme_compiles(tmp_path):
    stubs = (KOTLIN_STUBS / "androidx").glob("*.kt")
    sources = []
    for package, info in (("one.app", CASES["floats"]), ("two.app", task_info("float32"))):
        texts = codegen.generate(info, package)
        for name in (codegen.code_files(info)[0], "ImageActivity.kt"):
            file = tmp_path / f"{package}.{name}"
            file.write_text(texts.get(name) or activity(texts))
            sources.append(file)
    build_kotlin(tmp_path / "classes", [*stubs, *sources])


@pytest.mark.slow
def test_the_kotlin_code_of_another_task_compiles_and_reads_outputs(tmp_path):
    main = (KOTLIN_STUBS / "main" / "ModelMain.kt").read_text()
    kinds, sources = ("float32", "int8", "uint8"), []
    for kind in kinds:
        (tmp_path / kind).mkdir()
        package = f"cases.{kind}"
        code = codegen.generate(task_info(kind), package)["Model.kt"]
        for file, text in (
            ("Model.kt", code),
            ("Main.kt", main.replace("com.example.app", package)),
        ):
            (tmp_path / kind / file).write_text(text)
            sources.append(tmp_path / kind / file)
    build_kotlin(tmp_path / "classes", sources)
    for kind in kinds:
        folder = tmp_path / kind
        (folder / "model.tflite").write_bytes(bytes(100))
        (folder / "pixels.bin").write_bytes(PIXELS.tobytes())
        boxes = np.random.default_rng(0).normal(0, 1, 80).astype("float32")
        expected = boxes
        if kind != "float32":
            bounds, scale = np.iinfo(kind), codegen_cases.QUANTIZATION["scale"]
            zero_point = codegen_cases.QUANTIZATION["zero_point"]
            steps = np.round(boxes / scale) + zero_point
            boxes = np.clip(steps, bounds.min, bounds.max).astype(kind)
            expected = (boxes.astype("float32") - zero_point) * np.float32(scale)
        (folder / "boxes.bin").write_bytes(boxes.tobytes())
        (folder / "count.bin").write_bytes(np.int64([17]).tobytes())
        size = [str(SIZE), str(SIZE)]
        lines = run_kotlin(tmp_path / "classes", f"cases.{kind}.MainKt", folder, *size)
        values = dict(line.split("\t") for line in lines)
        np.testing.assert_allclose([float(v) for v in values["boxes"].split()], expected, rtol=1e-6)
        assert float(values["count"]) == 17
        assert (folder / "input.bin").read_bytes() == PIXELS.tobytes()

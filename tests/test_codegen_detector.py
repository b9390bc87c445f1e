"""A bundle's code that stretches or interpolates images, and that decodes boxes: Python's results."""

import copy
import re
import subprocess

import codegen_cases
import numpy as np
import pytest
import tiny_detector
import tree_sitter_kotlin
import tree_sitter_swift
from codegen_programs import (
    KOTLIN_STUBS,
    build_kotlin,
    compile_cpp,
    errors,
    needs_gpp,
    run_kotlin,
    write_c_api,
)

from newnet_tf.data.box_geometry import to_original
from newnet_tf.data.preprocess import crop_image, normalize, preprocess_image
from newnet_tf.deploy.bundle import codegen
from newnet_tf.detection.decoder_spec import decoder_spec
from newnet_tf.detection.postprocess import postprocess
from newnet_tf.models.config import PreprocessConfig

SIZE = codegen_cases.SIZE
RAW = {"interpolation": "bilinear", "antialias": False}
HALF = {"mean": (0.4, 0.5, 0.6), "std": (0.5, 0.6, 0.7)}


def stretched(**options) -> PreprocessConfig:
    return PreprocessConfig(image_size=SIZE, resize_mode="stretch", **HALF, **options)


def detector_info(style, preprocess, dtype="float32", **options):
    """`model.json` of the tiny detector with an input of codegen_cases' size."""
    info = codegen_cases.info(preprocess=preprocess, **options)
    known = tiny_detector.config(style)
    quantization = codegen_cases.QUANTIZATION if dtype != "float32" else None
    named = {"dtype": dtype, "quantization": quantization}
    anchors = known.anchor_count
    outputs = [
        {"name": "boxes", "index": 1, "shape": [1, anchors, 4], **named},
        {"name": "scores", "index": 0, "shape": [1, anchors, known.columns], **named},
    ]
    other = {"task": "detection", "output_type": None, "outputs": outputs}
    return {**info, **other, "decoder": decoder_spec(known)}


CONFIGS = {
    "unrounded": stretched(**RAW),
    "legacy": stretched(half_pixel_centers=False, channel_order="BGR", **RAW),
    "bilinear": stretched(interpolation="bilinear"),
    "bicubic": stretched(),
    "cropped": PreprocessConfig(image_size=SIZE, crop_pct=0.7, **HALF, **RAW),
}
DETECTORS = {
    "unrounded": detector_info("tf", CONFIGS["unrounded"]),
    "legacy": detector_info("torchvision", CONFIGS["legacy"], labels=None),
    "bilinear": detector_info("torchvision", CONFIGS["bilinear"], "int8"),
    "bicubic": detector_info("tf", CONFIGS["bicubic"], "uint8", values="pixels", labels=None),
    "pixels": detector_info("tf", CONFIGS["unrounded"], values="pixels"),
}
DETECTORS["pixels"]["input"]["dtype"] = DETECTORS["bicubic"]["input"]["dtype"] = "uint8"
CONFIGS["pixels"] = CONFIGS["unrounded"]
CLASSIFIERS = {
    "cropped": codegen_cases.info(preprocess=CONFIGS["cropped"]),
    "stretched": codegen_cases.info(preprocess=CONFIGS["bicubic"]),
}
STYLES = {"legacy": "torchvision", "bilinear": "torchvision"}
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
#include <tuple>
#include "tensorflow/lite/c/c_api.h"
@NAMESPACES@
std::vector<std::uint8_t> Read(std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  if (std::fread(bytes.data(), 1, size, stdin) != size) throw std::runtime_error("too few bytes");
  return bytes;
}
// Reads an image and writes the input.
template <typename Model>
void WriteInput(const std::vector<std::uint8_t>& image, std::size_t width, std::size_t height) {
  const auto input = Model::Prepare(Model::Resize(image.data(), width, height).data());
  std::fwrite(input.data(), sizeof(typename Model::Input), input.size(), stdout);
}
int main(int, char** arguments) {
  const std::string name = arguments[1];
  const std::size_t width = std::stoul(arguments[2]), height = std::stoul(arguments[3]);
  const std::vector<std::uint8_t> image = Read(width * height * 3);
  if (name == "cropped") WriteInput<n_cropped::Classifier>(image, width, height);
  if (name == "cropped") return 0;
  for (int index = 0; index < 2; ++index) {
    const auto bytes = Read(std::stoul(arguments[4 + index]));
    g_outputs[index].assign(bytes.begin(), bytes.end());
  }
@CALLS@
  return 3;
}
"""
CPP_CALL = """
  if (name == "@") {
    WriteInput<n_@::Detector>(image, width, height);
    for (const auto& found : n_@::Detector().Detect(image.data(), width, height)) {
      const float values[] = {static_cast<float>(found.label), found.score, found.x1, found.y1,
                              found.x2, found.y2};
      std::fwrite(values, sizeof(float), 6, stdout);
    }
    return 0;
  }
"""


@pytest.mark.parametrize("name", [*DETECTORS, *CLASSIFIERS])
def test_the_code_is_complete_and_parses(name):
    info = DETECTORS.get(name) or CLASSIFIERS[name]
    texts = codegen.generate(info)
    kotlin, swift, cpp = codegen.code_files(info)
    assert (kotlin == "Detector.kt") == (name in DETECTORS)
    assert set(texts) == {kotlin, swift, cpp, codegen.CHECK, codegen.README}
    for file in (kotlin, swift, cpp, codegen.README):
        assert not re.search(r"@[A-Z_]+@", texts[file]), file
        assert texts[file].count("{") == texts[file].count("}"), file
    assert errors(tree_sitter_kotlin.language(), texts[kotlin]) == []
    assert errors(tree_sitter_swift.language(), texts[swift]) == []
    assert ("detect(image" in texts[codegen.README]) == (name in DETECTORS)


def images():
    """Images of several shapes, each with the raw outputs that the interpreter gives for it."""
    random = np.random.default_rng(5)
    for number, (height, width) in enumerate([(40, 61), (19, 7), (5, 400)]):
        yield random.integers(0, 256, (height, width, 3), np.uint8), number


def raw_outputs(name, info, seed):
    """Returns what the interpreter gives, by output, and what it stands for."""
    real = tiny_detector.outputs(STYLES.get(name, "tf"), seed)
    given = {}
    for output in info["outputs"]:
        values = given[output["name"]] = real[output["name"]]
        if output["quantization"]:
            step, zero = output["quantization"]["scale"], output["quantization"]["zero_point"]
            bounds = np.iinfo(output["dtype"])
            whole = np.clip(np.round(values / step) + zero, bounds.min, bounds.max)
            given[output["name"]] = whole.astype(output["dtype"])
            real[output["name"]] = ((whole - zero) * step).astype(np.float32)
    return given, real


def check_input(data, info, image, preprocess):
    """Compares the input that a program computed with Python's."""
    values = np.frombuffer(data, info["input"]["dtype"]).reshape(preprocess.shape)
    if info["input"]["values"] == "pixels":
        np.testing.assert_array_equal(values, crop_image(image, preprocess))
    else:
        np.testing.assert_allclose(values, preprocess_image(image, preprocess), atol=2e-5)


def check_detections(found, real, name, size):
    """Compares (class, score, box) of a program with Python's."""
    expected = postprocess(real, tiny_detector.config(STYLES.get(name, "tf")))
    assert len(expected.scores) > 10
    order = np.lexsort((found[:, 2], found[:, 0], -found[:, 1].round(4)))
    boxes = to_original(expected.boxes, size, CONFIGS[name])
    wanted = np.lexsort((boxes[:, 0], expected.classes, -expected.scores.round(4)))
    np.testing.assert_array_equal(found[order, 0], expected.classes[wanted])
    np.testing.assert_allclose(found[order, 1], expected.scores[wanted], atol=1e-4)
    np.testing.assert_allclose(found[order, 2:], boxes[wanted], atol=0.02)


@needs_gpp
def test_the_cpp_code_resizes_and_finds_boxes_as_python_does(tmp_path):
    write_c_api(tmp_path)
    cases = {**DETECTORS, "cropped": CLASSIFIERS["cropped"]}
    for name, info in cases.items():
        (tmp_path / f"{name}.h").write_text(codegen.generate(info)[codegen.code_files(info)[2]])
    namespaces = "\n".join(f'namespace n_{name} {{\n#include "{name}.h"\n}}' for name in cases)
    calls = "".join(CPP_CALL.replace("@", name) for name in DETECTORS)
    main = CPP_MAIN.replace("@NAMESPACES@", namespaces).replace("@CALLS@", calls)
    (tmp_path / "main.cc").write_text(main)
    compile_cpp(tmp_path)
    for name, info in cases.items():
        for image, seed in images():
            given, real = raw_outputs(name, info, seed) if name in DETECTORS else ({}, {})
            size = image.shape[:2]
            blobs = [given[n].tobytes() for n in ("scores", "boxes")] if given else []
            lengths = [str(n) for n in (size[1], size[0], *map(len, blobs))]
            command = [tmp_path / "main", name, *lengths]
            data = b"".join([image.tobytes(), *blobs])
            done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=60)
            count = SIZE * SIZE * 3 * (1 if info["input"]["dtype"] == "uint8" else 4)
            check_input(done.stdout[:count], info, image, CONFIGS[name])
            if given:
                found = np.frombuffer(done.stdout[count:], np.float32).reshape(-1, 6)
                check_detections(found, real, name, size)


def test_a_detector_that_crops_is_refused():
    with pytest.raises(ValueError, match=r"`resize_mode='stretch'`. Received: 'center_crop', 3"):
        codegen.generate(detector_info("tf", CONFIGS["cropped"]))


@pytest.mark.slow
def test_the_kotlin_code_finds_boxes_as_python_does(tmp_path):
    """Of turned images; without antialiasing with Python's input, else with halved pixels."""
    main = (KOTLIN_STUBS / "main" / "DetectorMain.kt").read_text()
    sources = []
    detectors = {name: DETECTORS[name] for name in ("bilinear", "legacy", "pixels")}
    for name, info in detectors.items():
        (tmp_path / name).mkdir()
        package = f"cases.{name}"
        code = codegen.generate(info, package)["Detector.kt"]
        for file, text in (("Detector.kt", code), ("Main.kt", main)):
            (tmp_path / name / file).write_text(text.replace("com.example.app", package))
            sources.append(tmp_path / name / file)
    build_kotlin(tmp_path / "classes", sources)
    random = np.random.default_rng(5)
    for number, (name, info) in enumerate(detectors.items(), 1):
        folder, preprocess, degrees = tmp_path / name, CONFIGS[name], 90 * number
        (folder / "model.tflite").write_bytes(bytes(100))
        if info["labels"]:
            lines = "".join(f"{label}\n" for label in tiny_detector.CLASS_NAMES)
            (folder / info["labels"]).write_text(lines)
        small = random.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        image = small.repeat(4, axis=0).repeat(2, axis=1)
        if not preprocess.antialias:
            image = random.integers(0, 256, (61, 40, 3), np.uint8)
        stored = np.rot90(image, degrees // 90)
        (folder / "pixels.bin").write_bytes(stored.tobytes())
        given, real = raw_outputs(name, info, number)
        for output, values in given.items():
            (folder / f"{output}.bin").write_bytes(values.tobytes())
        kind = ["ARGB_8888", "HARDWARE"][number % 2]
        arguments = [str(stored.shape[1]), str(stored.shape[0]), str(degrees), kind]
        lines = run_kotlin(tmp_path / "classes", f"cases.{name}.MainKt", folder, *arguments)
        data = (folder / "input.bin").read_bytes()
        if preprocess.antialias:
            dtype = info["input"]["dtype"]
            values = np.frombuffer(data, dtype).reshape(small.shape)
            is_pixels = info["input"]["values"] == "pixels"
            expected = small if is_pixels else normalize(small, preprocess)
            np.testing.assert_allclose(values, expected, atol=1e-5)
        else:
            check_input(data, info, image, preprocess)
        names = list(tiny_detector.CLASS_NAMES)
        if not info["labels"]:
            names = [f"class {label}" for label in range(len(names))]
        rows = [line.split("\t") for line in lines]
        found = np.array([[names.index(row[0]), *map(float, row[1:])] for row in rows])
        check_detections(found, real, name, image.shape[:2])


def test_a_model_without_decoder_keeps_its_outputs():
    info = copy.deepcopy(DETECTORS["unrounded"]) | {"decoder": None, "labels": None}
    assert codegen.code_files(info) == codegen.MODEL_FILES
    assert "the whole upright image" in codegen.generate(info)["Model.kt"]

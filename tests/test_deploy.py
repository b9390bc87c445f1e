"""From a Keras model to verified files: exports, refusals, and what failure leaves behind."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil

import keras
import numpy as np
import pytest
import small_network
from small_network import PREPROCESS, WHOLE, logits, logits_network

from newnet_tf import model_card
from newnet_tf.applications import LeNet5
from newnet_tf.data.preprocess import crop_image, normalize
from newnet_tf.deploy import (
    PRECISIONS,
    DegenerateOutputsError,
    ExportConfig,
    ExportError,
    Runner,
    config_file,
    export_tflite,
    verify_file,
)
from newnet_tf.deploy.config_file import read_config
from newnet_tf.deploy.converter import silence
from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.deploy.quantization import precisions, weight_only
from newnet_tf.models import blocks
from newnet_tf.models.config import IMAGENET_STD, PreprocessConfig
from newnet_tf.models.inverted_residual import inverted_residual
from newnet_tf.profiling.untrained_models import calibrate_batch_norm


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return small_network.exported(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def pixels():
    return small_network.images()


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory, pixels):
    """The fp32 file of a network of two layers."""
    folder = tmp_path_factory.mktemp("tiny")
    (result,) = export_tflite(small_network.tiny(), PREPROCESS, folder, validation_images=pixels)
    return result.file


def files_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# Files.


def test_each_precision_with_its_config(exported, pixels):
    for precision, result in exported.items():
        assert result.file.name == f"small.{precision}.tflite"
        kind = PRECISIONS[precision]
        assert result.delegation.fully_delegated == kind.delegated
        assert result.verification.passed
        assert not result.cached
        # The description next to the file says the same, and how the file was verified.
        assert config_file.description_path(result.file) == result.file.with_suffix(".json")
        record = json.loads(result.file.with_suffix(".json").read_text())
        assert ExportConfig.from_dict(record) == result.config
        assert read_config(result.file).digest == result.config.digest
        assert record["sha256"] == hashlib.sha256(result.file.read_bytes()).hexdigest()
        assert record["bytes"] == result.file.stat().st_size
        assert record["purpose"] == "deployment"
        assert record["verification"]["top1_matches"] >= 23
        assert record["delegated"].startswith("100% of" if kind.delegated else "0% of")
        assert record["metadata"]["preprocess"]["std"] == list(IMAGENET_STD)
        packages = {kind.package} if kind.package else set()
        assert set(record["versions"]) == {"tensorflow", "keras"} | packages
        calibration = result.config.calibration
        takes = precisions.uses_calibration_images(precision)
        assert calibration.count == len(pixels) + 1 if takes else calibration is None
    sizes = {precision: result.file.stat().st_size for precision, result in exported.items()}
    assert sizes["fp32"] > 1.5 * sizes["fp16"] > 1.5 * sizes["int8-full"] / 1.2


def test_exports_are_silent_but_for_progress(tmp_path, capfd, pixels):
    export_tflite(small_network.tiny(), PREPROCESS, tmp_path, validation_images=pixels)
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert all(line.startswith(("newnet: tiny: ", "newnet: tiny.fp32.tflite: ")) for line in lines)
    assert len(lines) == 4  # the graph, the conversion, the comparison, the result
    assert re.search(r"100% of \d+ nodes in 1 partition; cosine 1\.000000", err)


def test_pixels_in_and_integers_out(tmp_path, pixels):
    """All options at once, for a model whose normalization fits the input's quantization."""
    model = small_network.tiny(preprocess=WHOLE)
    (result,) = export_tflite(
        model,
        WHOLE,
        tmp_path,
        name="whole",
        precisions=["int8-full"],
        calibration_images=list(pixels),
        validation_images=pixels,
        io_dtype="uint8",
        embed_normalization=True,
    )
    assert files_in(tmp_path) == [f"whole.int8-full.uint8.pixels.{s}" for s in ("json", "tflite")]
    runner = Runner(result.file)
    assert (runner.expects_uint8_pixels, runner.output_type, runner.dtype) == (
        True,
        "logits",
        np.uint8,
    )
    graph = Graph(result.file.read_bytes())
    assert graph.operators[:2] == ["DEQUANTIZE", "QUANTIZE"]
    assert graph.quantization(graph.body.inputs[0]) == pytest.approx((1 / 128, 127))
    network_input = graph.body.operators[1].outputs[0]  # its steps are the pixels' own
    assert graph.quantization(network_input) == pytest.approx((1 / 128, -1))
    expected = logits(model, normalize(pixels, WHOLE))
    assert np.abs(runner(pixels) - expected).max() < 0.5


def test_pixels_in_and_probabilities_out(tmp_path, pixels):
    model = small_network.tiny()
    (result,) = export_tflite(
        model,
        PREPROCESS,
        tmp_path,
        validation_images=pixels,
        embed_normalization=True,
        output_type="probabilities",
    )
    assert result.file.name == "tiny.fp32.pixels.probabilities.tflite"
    assert result.verification.passed
    scores = model(normalize(pixels, PREPROCESS))
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(scores))
    np.testing.assert_allclose(Runner(result.file)(pixels), expected, atol=1e-5)


def test_a_file_returns_what_the_model_returns(tmp_path, pixels):
    """A softmax stays a softmax; logits of the same model are another file."""
    model, inputs = small_network.tiny("softmax"), normalize(pixels, PREPROCESS)
    (own,) = export_tflite(model, PREPROCESS, tmp_path, validation_images=pixels)
    assert (own.file.name, own.config.output_type) == ("tiny.fp32.tflite", "probabilities")
    assert own.config.outputs[0].name == "probabilities"
    np.testing.assert_allclose(Runner(own.file)(inputs), model(inputs), atol=1e-5)
    options = {"validation_images": pixels, "output_type": "logits"}
    (bare,) = export_tflite(model, PREPROCESS, tmp_path, **options)
    assert (bare.file.name, bare.config.output_type) == ("tiny.fp32.logits.tflite", "logits")
    np.testing.assert_allclose(Runner(bare.file)(inputs), logits(model, inputs), atol=1e-4)


@pytest.fixture
def strict(monkeypatch):
    """A tolerance that no file meets."""
    never = precisions.Tolerance(cosine=1.1, max_normalized_error=0, max_top1_changes=0)
    hard = dataclasses.replace(PRECISIONS["fp32"], tolerance=never)
    monkeypatch.setitem(PRECISIONS, "fp32", hard)


def test_beyond_the_tolerance_nothing_is_left_behind(tmp_path, pixels, strict):
    folder = tmp_path / "new" / "folder"
    with pytest.raises(
        ExportError, match=r"tiny\.fp32\.tflite must give the model.* cosine .* < 1\.1"
    ):
        export_tflite(
            small_network.tiny(),
            PREPROCESS,
            folder,
            precisions=["fp16", "fp32"],
            validation_images=pixels,
        )
    assert not folder.exists()


def test_an_earlier_file_survives_a_failed_export(tmp_path, pixels, tiny_file, strict):
    for suffix in (".tflite", ".json"):
        shutil.copy2(tiny_file.with_suffix(suffix), tmp_path)
    model, options = small_network.tiny(), {"validation_images": pixels, "force": True}
    with pytest.raises(ExportError):
        export_tflite(model, PREPROCESS, tmp_path, **options)
    assert files_in(tmp_path) == ["tiny.fp32.json", "tiny.fp32.tflite"]
    assert (tmp_path / tiny_file.name).read_bytes() == tiny_file.read_bytes()


def test_a_graph_that_xnnpack_splits_fails(tmp_path, pixels, monkeypatch):
    """The converter's own dynamic files are split: their depthwise kernels are integers."""
    monkeypatch.setitem(weight_only.MIN_VERSIONS, "DEPTHWISE_CONV_2D", 6)
    with pytest.raises(ExportError, match=r"taken by XNNPACK whole.*outside: \d DEPTHWISE_CONV_2D"):
        export_tflite(
            wide_network(), PREPROCESS, tmp_path, precisions=["int8-dynamic"], verify=False
        )
    assert files_in(tmp_path) == []
    (timed,) = export_tflite(
        wide_network(),
        PREPROCESS,
        tmp_path,
        precisions=["int8-dynamic"],
        verify=False,
        require_full_delegation=False,
    )
    assert not timed.delegation.fully_delegated
    assert files_in(tmp_path) == ["wide.int8-dynamic.json", "wide.int8-dynamic.tflite"]


def wide_network():
    """A depthwise convolution with enough weights (1,024) for the converter to quantize it."""
    image = keras.Input((64, 64, 3), name="image")
    x = keras.layers.Conv2D(128, 3, 2, activation="relu", name="stem")(image)
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Flatten()(keras.layers.Conv2D(10, 1)(x))
    return keras.Model(image, x, name="wide")


def test_blocks_on_phones(tmp_path, pixels):
    """Hard swish, squeeze-and-excitation and groups, in integers: XNNPACK runs the graph whole."""
    image, style = keras.Input((64, 64, 3), name="image"), blocks.TORCH
    x = blocks.conv_bn_act(image, 8, 3, 4, act="hard_swish", style=style, name="stem")
    squeeze = blocks.SEConfig(channels=8, gate="hard_sigmoid")
    x = inverted_residual(x, 16, stride=2, se=squeeze, style=style, name="block0")
    x = blocks.conv_bn_act(x, 16, 3, groups=4, style=style, name="grouped")
    model = keras.Model(image, blocks.classifier(x, 10, dropout=0.0), name="blocks")
    calibrate_batch_norm(model, PREPROCESS)
    options = {"precisions": ["fp32", "int8-full"], "calibration_images": pixels}
    results = export_tflite(model, PREPROCESS, tmp_path, verify=False, **options)
    assert [result.delegation.fully_delegated for result in results] == [True, True]


def test_operators_that_phones_lack_fail(tmp_path):
    image = keras.Input((64, 64, 3), name="image")
    x = keras.layers.Flatten()(keras.layers.Conv2D(10, 64, use_bias=False)(image))
    turned = keras.ops.transpose(keras.layers.Conv2D(4, 1)(image), (0, 2, 1, 3))
    y = keras.layers.Flatten()(keras.layers.Conv2D(10, 64)(turned))
    with pytest.raises(ExportError, match=r"0 TRANSPOSE at most.*Received: 1 TRANSPOSE"):
        export_tflite(keras.Model(image, y, name="t"), PREPROCESS, tmp_path, verify=False)
    (result,) = export_tflite(keras.Model(image, x, name="p"), PREPROCESS, tmp_path, verify=False)
    assert result.delegation.fully_delegated


def test_an_untrained_network_is_refused_before_anything_is_written(tmp_path, pixels):
    untrained = small_network.untrained()
    with pytest.raises(DegenerateOutputsError):
        export_tflite(untrained, PREPROCESS, tmp_path / "out", validation_images=pixels)
    assert not (tmp_path / "out").exists()


def test_files_for_timing_only_are_marked_and_verified_later(tmp_path, pixels, tiny_file):
    model = small_network.tiny()
    (first,) = export_tflite(model, PREPROCESS, tmp_path, verify=False)

    def purpose():
        return json.loads(first.file.with_suffix(".json").read_text())["purpose"]

    assert first.verification is None
    assert purpose() == Runner(first.file).config.purpose == "timing only"
    (second,) = export_tflite(model, PREPROCESS, tmp_path, validation_images=pixels)
    assert second.cached
    assert second.verification.passed
    assert purpose() == Runner(first.file).config.purpose == "deployment"
    (third,) = export_tflite(model, PREPROCESS, tmp_path, verify=False)
    assert third.cached
    assert purpose() == Runner(first.file).config.purpose == "deployment"
    assert first.file.read_bytes() == tiny_file.read_bytes()


def test_a_file_is_exported_again_only_where_its_config_changed(tmp_path, pixels, tiny_file):
    model = small_network.tiny()
    for suffix in (".tflite", ".json"):
        shutil.copy2(tiny_file.with_suffix(suffix), tmp_path)

    def export(model=model, **options):
        options = {"precisions": ["fp32"], "validation_images": pixels} | options
        return [r.cached for r in export_tflite(model, PREPROCESS, tmp_path, **options)]

    assert export() == [True]
    assert export(force=True) == [False]
    file = tmp_path / "tiny.fp32.tflite"
    file.write_bytes(file.read_bytes()[:-16])
    assert export() == [False]
    damaged = bytearray(file.read_bytes())
    damaged[500] ^= 1
    file.write_bytes(damaged)
    assert export() == [False]
    file.with_suffix(".json").write_text("{")  # it is for people: written again, never read
    assert export() == [True]
    assert json.loads(file.with_suffix(".json").read_text())["purpose"] == "deployment"
    changed = small_network.tiny(seed=1)
    assert export(changed, validation_images=pixels) == [False]


def test_verification_needs_the_same_weights(tmp_path, pixels, exported):
    file = exported["fp16"].file
    for model in (small_network.network(), logits_network()):
        assert verify_file(model, file, pixels, PREPROCESS).passed
    with pytest.raises(
        ValueError, match=r"must have the weights that .*small.fp16.tflite was made"
    ):
        verify_file(small_network.untrained(), file, pixels, PREPROCESS)
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(file.read_bytes())  # no description next to it, which nothing reads
    assert verify_file(small_network.network(), alone, pixels, PREPROCESS).passed
    alone.write_bytes(Graph(file.read_bytes()).to_bytes())  # without the record behind it
    with pytest.raises(ValueError, match=r"must come with its config.* Received: no config"):
        verify_file(small_network.network(), alone, pixels, PREPROCESS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "`validation_images` must be given unless `verify=False`"),
        ({"precisions": ["int8-full"], "verify": False}, "`calibration_images` must be given"),
        ({"precisions": ["int2"], "verify": False}, "Received: precision='int2'"),
        ({"precisions": [], "verify": False}, r"`precisions` must be a list .* Received: \[\]"),
        (
            {"precisions": "fp32", "verify": False},
            "`precisions` must be a list .* Received: 'fp32'",
        ),
        (
            {"validation_images": "cat.jpg"},
            "`validation_images` must be a list of images. Received: 'cat.jpg'",
        ),
        (
            {"validation_images": []},
            "`validation_images` must hold at least one image. Received: none",
        ),
        (
            {"metadata": PreprocessConfig(image_size=32), "verify": False},
            r"Received: input shape \(None, 64",
        ),
    ],
)
def test_bad_arguments_are_errors(tmp_path, options, message):
    options = {"metadata": PREPROCESS} | options
    with pytest.raises(ValueError, match=message):
        export_tflite(small_network.network(), out_dir=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_conversion_shows_no_native_output_also_if_it_fails(capfd):
    """The error says what failed; the converter's own report is hundreds of lines of MLIR."""
    with contextlib.suppress(KeyError), silence():
        os.write(2, b"what went wrong")
        raise KeyError
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def gray_network():
    """A network of one channel, and the record of its images."""
    keras.utils.set_random_seed(0)
    return LeNet5(weights=None), model_card("lenet5").preprocess


@pytest.mark.parametrize("embed_normalization", [False, True])
def test_a_network_of_one_channel_runs_on_color_images(
    tmp_path, pixels, gray_network, embed_normalization
):
    model, record = gray_network
    record = dataclasses.replace(record, mean=(0.3,))  # no whole-numbered zero: MUL and ADD
    options = {"embed_normalization": embed_normalization, "output_type": "logits"}
    (result,) = export_tflite(model, record, tmp_path, verify=False, **options)
    gray = np.stack([crop_image(image, record) for image in pixels[:2]])
    runner = Runner(result.file)
    assert (runner.image_size, runner.channels, runner.classes) == (32, 1, 10)
    found = runner(gray if embed_normalization else normalize(gray, record))
    np.testing.assert_allclose(found, logits(model, normalize(gray, record)), atol=1e-5)
    with pytest.raises(ValueError, match=r"\(n, 32, 32, 1\). Received: shape=\(1, 32, 32, 3\)"):
        runner(np.zeros((1, 32, 32, 3), np.float32))


def test_a_model_of_other_channels_than_its_preprocessing_is_refused(tmp_path, gray_network):
    model, record = gray_network
    colors = PreprocessConfig(image_size=record.image_size)
    with pytest.raises(ValueError, match=r"3 channels. Received: .*\(None, 32, 32, 1\)"):
        export_tflite(model, colors, tmp_path, verify=False)

"""Bias correction, layers that stay float32, and `newnet quantize`."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
import small_network
from PIL import Image
from small_network import CLASSES, PREPROCESS

import newnet_tf
from newnet_tf.cli import main
from newnet_tf.data.preprocess import normalize
from newnet_tf.deploy import ExportConfig, Runner, converter, image_batch
from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.deploy.quantization import observers, quantizer
from newnet_tf.deploy.quantization.quantizer import CORRECTIONS
from newnet_tf.deploy.quantization.sensitivity import (
    LayerSensitivity,
    SensitivityAnalysis,
    most_sensitive,
)
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata

NAMES = [f"class_{number}" for number in range(CLASSES)]


def seen(pixels) -> np.ndarray:
    """The class that the network sees in each image."""
    scores = small_network.network()(normalize(pixels, PREPROCESS))
    return keras.ops.convert_to_numpy(scores).argmax(1)


@pytest.fixture(scope="module")
def analysis():
    pixels = small_network.images()
    labels = seen(pixels)
    labels[:2] = (labels[:2] + 1) % CLASSES  # even the float network gets these wrong
    return SensitivityAnalysis(small_network.network(), PREPROCESS, pixels[::2], pixels, labels)


@pytest.fixture(scope="module")
def measured(analysis):
    return analysis.measure_layers(8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The network as a Keras file, and images in folders of the classes that it sees in them."""
    folder = tmp_path_factory.mktemp("quantize")
    known = ModelMetadata(name="small", preprocess=PREPROCESS, class_names=tuple(NAMES))
    newnet_tf.save_model(small_network.logits_network(), folder / "small.keras", known)
    pixels = small_network.images()
    for number, (image, label) in enumerate(zip(pixels, seen(pixels), strict=True)):
        place = folder / "data" / NAMES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:02}.png")
    (folder / "calibration").mkdir()
    for number, image in enumerate(pixels[::2]):
        Image.fromarray(image).save(folder / "calibration" / f"{number:02}.png")
    return folder


# Biases.


@pytest.mark.parametrize("kind", ["CONV_2D", "grouped", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_the_shift_of_a_mean_is_that_of_a_constant_input(kind):
    random = np.random.default_rng(0)
    mean = random.normal(size=8).astype(np.float32)
    flat = np.broadcast_to(mean, (1, 3, 3, 8))
    shapes = {"CONV_2D": (6, 3, 3, 8), "grouped": (6, 3, 3, 4), "FULLY_CONNECTED": (6, 8)}
    error = random.normal(size=shapes.get(kind, (1, 3, 3, 16))).astype(np.float32)
    if kind == "FULLY_CONNECTED":
        expected = mean @ error.T
    elif kind == "DEPTHWISE_CONV_2D":
        expected = keras.ops.depthwise_conv(flat, error.reshape(3, 3, 8, 2))
    else:
        expected = keras.ops.conv(flat, error.transpose(1, 2, 3, 0))
    found = quantizer.mean_shift(kind.replace("grouped", "CONV_2D"), error, mean)
    np.testing.assert_allclose(found, np.ravel(expected), rtol=1e-4, atol=1e-5)


def test_correction_restores_the_mean_output(tmp_path):
    """One large weight in each channel makes the scale coarse; the mean of the images is far from 0."""
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 5, strides=4, activation="relu", name="coarse")(image)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    random = np.random.default_rng(0)
    kernel = random.normal(0, 0.005, (5, 5, 3, 16))
    kernel[2, 2, 1] = 1.0
    model.get_layer("coarse").set_weights([kernel, np.zeros(16)])
    preprocess = PreprocessConfig(image_size=32, mean=(0.0,) * 3, std=(1.0,) * 3)
    pixels = random.integers(100, 256, (8, 32, 32, 3), np.uint8)
    read = image_batch.read(pixels, preprocess, "images")
    converter.save(model, preprocess, tmp_path / "saved")
    graph = converter.GraphFactory(
        tmp_path / "saved", image_batch.with_extremes(read), "coarse"
    ).calibrated
    expected = keras.ops.convert_to_numpy(model(read.inputs)).mean(0)

    def error(corrections):
        file = tmp_path / "coarse.tflite"
        with converter.silence():
            file.write_bytes(graph.quantize(corrections=corrections).to_bytes())
        return np.abs(Runner(file)(read.inputs).mean(0) - expected).max()

    assert error(["biases"]) < 0.05 * error([])


# Layers.


def test_layers_have_their_keras_names(analysis):
    known = {layer.name for layer in small_network.network().layers}
    weighty = {layer.name for layer in small_network.network().layers if "conv" in layer.name}
    assert weighty <= set(analysis.layers)
    assert len(set(analysis.layers) - known) <= 2  # the shortcut's padding, the reshape at the end


def test_all_layers_float_are_the_float_network(analysis):
    found, won = analysis.evaluate(analysis.layers)
    assert found.sqnr > 80
    assert won == 0
    assert analysis.accuracy_drop(analysis.layers) == 0


def test_each_layer_has_its_share(analysis, measured):
    assert tuple(layer.name for layer in measured) == analysis.layers
    assert sum(layer.share for layer in measured) == pytest.approx(1)
    assert {layer.verification.images for layer in measured} == {8}
    ranked = most_sensitive(measured, 8)
    assert [x.share for x in ranked] == sorted((x.share for x in measured), reverse=True)[:8]
    found, others = ([x.name for x in part] for part in (ranked, set(measured) - set(ranked)))
    assert analysis.evaluate(found)[0].sqnr > analysis.evaluate()[0].sqnr + 1
    assert analysis.evaluate(found)[0].sqnr > analysis.evaluate(others)[0].sqnr + 3


def test_the_proposal_stops_at_half_of_the_error(measured):
    shares = (0.05, 0.3, 0.25, 0.2, 0.2)
    layers = [dataclasses.replace(measured[0], name=f"{x}", share=x) for x in shares]
    assert [layer.name for layer in most_sensitive(layers)] == ["0.3", "0.25"]
    assert (
        len(most_sensitive([dataclasses.replace(layer, share=0.01) for layer in layers * 3])) == 5
    )
    assert [LayerSensitivity, len(most_sensitive(layers, 0))] == [LayerSensitivity, 0]


def test_unknown_layers_are_errors(analysis):
    with pytest.raises(
        ValueError, match=r"`exclude_layers` must be layers among stem_conv.*\['stem'\]"
    ):
        analysis.evaluate(["stem"])


def test_corrections_bring_the_outputs_closer_to_the_model(analysis):
    nearest = analysis.evaluate(corrections=())[0].sqnr
    each = [analysis.evaluate(corrections=[correction])[0].sqnr for correction in CORRECTIONS]
    assert analysis.evaluate()[0].sqnr > nearest + 0.3
    assert max(each) > nearest


def test_an_image_with_outlier_activations_is_not_measured(analysis, monkeypatch):
    monkeypatch.setattr(observers, "find_outlier_images", lambda largest: (1,))
    graph = analysis._graph
    expected = graph.excluded_images
    assert expected == []
    with converter.silence():
        found = observers.collect_statistics(graph._graph, graph._images)
        monkeypatch.undo()
        again = observers.collect_statistics(graph._graph, np.delete(graph._images, 1, axis=0))
    assert found.excluded == (1,)
    assert found.ranges == again.ranges
    for tensor, counts in again.counts.items():
        np.testing.assert_array_equal(found.counts[tensor], counts)


def test_a_config_names_the_layers_that_stay_float():
    metadata = ModelMetadata(name="m", preprocess=PREPROCESS, sha256="0")
    fields = {"metadata": metadata, "graph": "1", "versions": {}}
    plain = ExportConfig(precision="int8-full", **fields)
    kept = dataclasses.replace(plain, exclude_layers=("stem_conv", "pool"))
    assert kept.stem == "m.int8-full.float2"
    assert kept.digest != plain.digest
    assert ExportConfig.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept
    older = plain.to_dict() | {"format": 8}
    with pytest.raises(ValueError, match=r"must have format 10: export the model anew.*format 8"):
        ExportConfig.from_dict(older)
    with pytest.raises(ValueError, match=r"`exclude_layers` must be empty .* but 'int8-full'"):
        ExportConfig(precision="fp32", exclude_layers=("pool",), **fields)
    with pytest.raises(ValueError, match=r"`calibration_method` must be None .* but 'int8-full'"):
        ExportConfig(precision="fp16", calibration_method="entropy", **fields)
    with pytest.raises(ValueError, match=r"`calibration_method` must be among \('mse'.*'widest'"):
        ExportConfig(precision="int8-full", calibration_method="widest", **fields)


def test_constants_after_the_tables_are_read(analysis):
    with converter.silence():
        graph = analysis._graph.quantize()
    weights = next(o for o in graph.body.operators if graph.name_of(o) == "CONV_2D").inputs[1]
    expected = graph.constant(weights)
    buffer = graph._model.buffers[graph.body.tensors[weights].buffer]
    buffer.data, buffer.offset, buffer.size = None, 1 << 20, expected.nbytes
    outside = graph.to_bytes().ljust(1 << 20, b"\0") + expected.tobytes()
    again = Graph(Graph(outside).to_bytes())
    np.testing.assert_array_equal(again.constant(weights), expected)


def test_the_page_is_fresh():
    from tools.make_quantization_page import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tools.make_quantization_page"


# The command.


def command(folder, *arguments):
    options = ("--calibration-images", folder / "calibration", "-o", folder / "out", *arguments)
    return main(["quantize", f"{folder / 'small.keras'}", *map(str, options)])


def test_the_command_writes_table_chart_and_file(folder, capsys):
    assert command(folder, "--sensitivity", "--exclude-layers", 1, "--images", folder / "data") == 0
    out, err = capsys.readouterr()
    with (folder / "out" / "small.sensitivity.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lowest = min(rows, key=lambda row: float(row["SQNR dB"]))
    assert [row["layer"] for row in rows if row["float"]] == [lowest["layer"]]
    with Image.open(folder / "out" / "small.sensitivity.png") as drawn:
        assert drawn.height > 200
    runner = Runner(folder / "out" / "small.int8-full.float1.tflite")
    assert runner.config.exclude_layers == (lowest["layer"],)
    assert runner.delegation().fully_delegated
    assert all(row["layer"] in out for row in rows)
    assert "small.int8-full.float1.tflite" in out
    assert "measuring ranges on 12 images" in err


def test_named_layers_stay_float_without_an_analysis(folder, capsys, monkeypatch):
    monkeypatch.setattr(SensitivityAnalysis, "measure_layers", None)
    assert command(folder, "--exclude-layers", "stem_conv,pool") == 0
    file = folder / "out" / "small.int8-full.float2.tflite"
    assert Runner(file).config.exclude_layers == ("stem_conv", "pool")
    graph = Graph(file.read_bytes())
    types = [graph.constant(o.inputs[1]).dtype for o in graph.body.operators if len(o.inputs) > 2]
    assert types[0] == np.float32
    assert set(types[1:]) == {np.dtype(np.int8)}
    before = file.read_bytes()
    assert command(folder, "--exclude-layers", "stem_conv,stem") == 1
    assert "must be layers among stem_conv" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_a_drop_out_of_reach_writes_no_file(folder, capsys, monkeypatch):
    monkeypatch.setattr(
        SensitivityAnalysis, "accuracy_drop", lambda self, keep: 2.0 - len(keep) / 100
    )
    monkeypatch.setattr(
        SensitivityAnalysis, "measure_layers", lambda self, *_: fake_layers(self.layers)
    )
    arguments = ("--images", folder / "data", "--max-accuracy-drop", 0.5)
    before = sorted(folder.rglob("*.tflite"))
    assert command(folder, *arguments) == 1
    assert "`max_accuracy_drop` must be within reach" in capsys.readouterr().err
    assert sorted(folder.rglob("*.tflite")) == before


def fake_layers(names):
    return [
        LayerSensitivity(name=name, verification=None, share=1 / len(names), top1_gain=0)
        for name in names
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--exclude-layers", "-1"], "`exclude_layers` must not be negative. Received: -1"),
        (["--max-accuracy-drop", "nan"], "`max_accuracy_drop` must not be negative. Received: nan"),
        (
            ["--max-accuracy-drop", "1"],
            "`max_accuracy_drop` needs `validation_images` (--images), labeled",
        ),
    ],
)
def test_meaningless_options_are_errors(arguments, message, folder, capsys):
    assert command(folder, *arguments) == 1
    assert message in capsys.readouterr().err

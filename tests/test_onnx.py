"""ONNX files, and the verification of files of every format."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import small_network
from small_network import PREPROCESS

import newnet_tf
from newnet_tf.cli import main
from newnet_tf.data.preprocess import normalize
from newnet_tf.deploy import ExportError, export_saved_model, export_tflite, formats
from newnet_tf.deploy.model_outputs import IMAGE
from newnet_tf.deploy.onnx import OPSET, export_onnx
from newnet_tf.deploy.onnx_runner import METADATA_KEY, OnnxRunner
from newnet_tf.deploy.runtime import ModelFileError
from newnet_tf.models import blocks
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.models.inverted_residual import inverted_residual

onnx = pytest.importorskip("onnx", reason="ONNX needs pip install 'newnet_tf[onnx]'")
pytest.importorskip("onnxruntime", reason="ONNX needs pip install 'newnet_tf[onnx]'")
pytest.importorskip("tf2onnx", reason="ONNX needs pip install 'newnet_tf[onnx]'")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    return export_onnx(
        small_network.logits_network(), PREPROCESS, folder, validation_images=small_network.images()
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "small"
    return export_saved_model(small_network.network(), folder, PREPROCESS)


def changed(path, to):
    """Copies an ONNX file with its classifier's bias moved."""
    model = onnx.load(path)
    (bias,) = [t for t in model.graph.initializer if list(t.dims) == [small_network.CLASSES]]
    values = onnx.numpy_helper.to_array(bias) + np.float32(np.arange(small_network.CLASSES))
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    onnx.save(model, to)
    return to


def test_the_file_gives_the_models_outputs_in_batches(exported):
    assert exported.file.name == "small.onnx"
    assert [path.name for path in exported.file.parent.iterdir()] == ["small.onnx"]
    assert exported.verification.passed
    assert exported.verification.top1_matches == len(small_network.images())
    inputs = normalize(small_network.images()[:5], PREPROCESS)
    runner = OnnxRunner(exported.file)
    expected = small_network.logits_network()(inputs)
    np.testing.assert_allclose(runner(inputs), expected, atol=1e-4)
    assert (runner.classes, runner.config.model) == (10, "small")


def test_the_file_says_what_it_is(exported):
    model = onnx.load(exported.file)
    onnx.checker.check_model(model)
    assert {o.version for o in model.opset_import if not o.domain} == {OPSET} == {exported.opset}
    (image,), (scores,) = model.graph.input, model.graph.output
    assert (image.name, scores.name) == (IMAGE, "logits")
    dims = image.type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["n", 64, 64, 3]
    (entry,) = [p for p in model.metadata_props if p.key == METADATA_KEY]
    record = json.loads(entry.value)
    assert record["metadata"]["preprocess"]["mean"] == list(PREPROCESS.mean)
    assert record["metadata"]["output_type"] == "logits"
    assert record["opset"] == OPSET


def test_a_file_with_other_outputs_is_not_written(tmp_path, monkeypatch):
    """Another network's graph under this one's name."""
    from newnet_tf.deploy import onnx as export_module

    other = keras.models.clone_model(small_network.logits_network())
    convert = export_module._convert
    monkeypatch.setattr(
        export_module,
        "_convert",
        lambda source, *rest: convert(dataclasses.replace(source, graph=other), *rest),
    )
    with pytest.raises(ExportError, match=r"small\.onnx must give the model.s outputs.*cosine"):
        export_onnx(
            small_network.logits_network(),
            PREPROCESS,
            tmp_path,
            validation_images=small_network.images(),
        )
    assert list(tmp_path.iterdir()) == []


def test_hard_sigmoid_and_grouped_convolutions_keep_the_graph_clean(tmp_path):
    style = blocks.TENSORFLOW
    image = keras.Input((64, 64, 3))
    x = blocks.conv_bn_act(image, 16, 3, 2, act="hard_swish", style=style, name="stem")
    squeeze = blocks.SEConfig(channels=8, gate="hard_sigmoid")
    x = inverted_residual(x, 16, se=squeeze, style=style, name="block0")
    x = blocks.conv_bn_act(x, 32, 3, groups=4, style=style, name="grouped")
    model = keras.Model(image, blocks.classifier(x, 10, dropout=0.0), name="odd")
    made = export_onnx(model, PREPROCESS, tmp_path, verify=False)
    inputs = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    expected = np.asarray(model(inputs))
    found = OnnxRunner(made.file)(inputs)
    assert np.abs(found - expected).max() < 1e-4 * expected.std()
    kinds = [node.op_type for node in onnx.load(made.file).graph.node]
    assert kinds.count("Transpose") <= 1
    assert kinds.count("Conv") == 8


def test_a_graph_that_onnxruntime_does_not_take_is_not_written(tmp_path):
    image = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(8, 3, activation="gelu")(image)  # exact: with Erfc, which ONNX has not
    logits = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, logits, name="exact")
    with pytest.raises(ExportError, match=r"exact\.onnx must be a graph that onnxruntime takes"):
        export_onnx(model, PREPROCESS, tmp_path, verify=False)
    assert list(tmp_path.iterdir()) == []


def test_verify_takes_every_format(exported, saved, tmp_path, capsys):
    network = tmp_path / "network.keras"
    known = ModelMetadata(name="own", preprocess=PREPROCESS, output_type="probabilities")
    newnet_tf.save_model(small_network.network(), network, known)
    images = small_network.images()
    (tflite,) = export_tflite(
        small_network.network(), PREPROCESS, tmp_path, validation_images=images
    )
    files = [exported.file, saved, network, tflite.file]
    assert [formats.model_name_of(f) for f in files] == ["small", "small", "own", "small"]
    assert main(["verify", *map(str, files), "--model", str(network), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["passed"] for row in rows] == [True] * 4
    assert max(row["max_normalized_error"] for row in rows) < 1e-3
    wrong = changed(exported.file, tmp_path / "wrong.onnx")
    assert main(["verify", str(wrong), "--model", str(network)]) == 1
    assert "FAILED: cosine" in capsys.readouterr().out


def test_other_weights_are_refused(exported, saved):
    other = keras.models.clone_model(small_network.network())
    for file in (exported.file, saved):
        with pytest.raises(ValueError, match=r"must have the weights that .* was made from"):
            formats.verify_file(other, file, small_network.images(), PREPROCESS)


def test_a_file_of_no_known_format_is_named(saved, tmp_path):
    for name in ("none.onnx", "none.keras", "none.tflite"):
        with pytest.raises(ValueError, match=rf"{name}.*Received"):
            formats.verify_file(
                small_network.network(), tmp_path / name, small_network.images(), PREPROCESS
            )
    with pytest.raises(ValueError, match=r"must be one of \.tflite, \.onnx"):
        formats.format_of(tmp_path)
    (tmp_path / "odd.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelFileError, match=r"odd\.onnx must be an ONNX file"):
        OnnxRunner(tmp_path / "odd.onnx")
    copy = tmp_path / "copy"
    shutil.copytree(saved, copy)
    (copy / "assets.extra" / "newnet_tf.json").write_text("{}")
    with pytest.raises(ModelFileError, match="must be a SavedModel that `export_saved_model`"):
        formats.model_name_of(copy)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v1_100", "resnet18"])
def test_networks_of_the_zoo(name, tmp_path):
    model = newnet_tf.create_model(name, weights=None, classifier_activation=None)
    made = export_onnx(model, newnet_tf.model_card(name).preprocess, tmp_path, name, verify=False)
    inputs = np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype(np.float32)
    expected = np.asarray(model(inputs, training=False))
    assert np.abs(OnnxRunner(made.file)(inputs) - expected).max() < 1e-4 * expected.std()

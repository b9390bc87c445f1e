"""Every model of the zoo: its figures and its config; the public functions of `newnet_tf.models`."""

import inspect
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage

import newnet_tf
from newnet_tf import applications, results
from newnet_tf.models import variants
from newnet_tf.models.registry import resolve
from newnet_tf.profiling import paper_tables
from newnet_tf.profiling.cost import cost
from newnet_tf.weights import parity

GOLDEN = Path(__file__).parent / "golden"
QUICK = (
    "alexnet",
    "mobilenet_v1_025",
    "mobilenet_v3_small",
    "shufflenet_v1_100",
    "squeezenet1_1",
)  # the parameters of one model of each family are compared in test_parity
# Trainable parameters and multiply-adds (conv + linear, batch 1, native size) of the new model and
# its successors, as the talk's table was reconstructed and as the authors print them.
DESIGNED = {
    "newnet_small": (3_764_664, 399.05e6),
    "newnet_large": (3_994_233, 706.64e6),
    "rexnet_090": (4_091_257, 348e6),
    "rexnet_100": (4_796_873, 398e6),
    "rexnet_130": (7_557_091, 662e6),
    "rexnet_150": (9_728_593, 876e6),
    "rexnet_200": (16_366_620, 1529e6),
    "rexnet_300": (34_708_792, 3396e6),
    "rexnet_lite_100": (4_740_056, 407e6),
    "rexnet_lite_130": (6_747_960, 646e6),
    "rexnet_lite_150": (8_332_296, 836e6),
    "rexnet_lite_200": (12_966_200, 1498e6),
}
ALL = newnet_tf.list_models(task="classification")


def reference(name):
    return parity.Golden.read(GOLDEN / f"{name}.npz")


def cases():
    """All models; all but some small ones with every kind of block in `make test-all` alone."""
    for name in ALL:
        yield pytest.param(name, id=name, marks=() if name in QUICK else pytest.mark.slow)


@pytest.mark.parametrize("name", list(cases()))
def test_parameters_macs_and_config(name):
    model = newnet_tf.create_model(name, weights=None)
    measured, golden = cost(model), reference(name)
    assert (measured.params, measured.macs) == (golden.params, golden.macs)
    again = keras.Model.from_config(model.get_config())
    assert [x.name for x in again.layers if x.weights] == [
        x.name for x in model.layers if x.weights
    ]
    assert again.count_params() == model.count_params()


@pytest.mark.parametrize("name", DESIGNED)
def test_figures_of_newnet_and_rexnet(name):
    golden = reference(name)
    params, macs = DESIGNED[name]
    assert golden.params == params
    assert golden.macs == pytest.approx(macs, rel=2e-3)


@pytest.mark.parametrize("name", ALL)
def test_reported_figures_are_near_the_model_s(name):
    """Printed figures are rounded and counted in several ways; more than that needs a reason."""
    reported, golden = newnet_tf.model_card(name).reported, reference(name)
    if reported is None or reported.discrepancy:
        return
    if reported.params:
        assert reported.params == pytest.approx(golden.params / 1e6, rel=0.13)
    if reported.macs:
        assert reported.macs == pytest.approx(golden.macs / 1e9, rel=0.06)


@pytest.mark.parametrize("table", paper_tables.TABLES)
def test_deviations_from_the_talk_have_a_reason(table):
    for row in paper_tables.rows(map(newnet_tf.model_card, ALL), table):
        off = [abs(float(row[column].rstrip(" %"))) for column in ("off by", "off by (G)")]
        assert row["why it differs"] or max(off) <= 1, row


def test_zoo_page_is_fresh():
    from tools.make_zoo_page import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tools/make_zoo_page.py"


def test_cifar_page_is_fresh():
    from tools.make_cifar_page import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tools.make_cifar_page"


def test_own_weights_ship_with_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("NEWNET_HOME", str(tmp_path))
    model = newnet_tf.create_model("newnet_small_cifar.cifar10")
    [weights] = newnet_tf.model_card("newnet_small_cifar").weights
    assert weights.class_names[3] == "cat"
    [row] = [row for row in results.read("cifar") if row["run"] == "long"]
    assert row["top1"] in newnet_tf.model_card("newnet_small_cifar").notes
    cat = skimage.transform.resize(skimage.data.cat(), (32, 32), anti_aliasing=True)
    image = newnet_tf.create_transform("newnet_small_cifar").preprocess
    answers = model.predict(255 * cat[None] * image.scale + image.offset, verbose=0)
    assert answers.argmax() == 3


def test_input_tensor_is_used():
    image = keras.Input((64, 64, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, -1)(image)
    model = newnet_tf.create_model("mobilenet_v1_025", weights=None, input_tensor=scaled)
    assert model.inputs[0] is image


def test_constructors_are_proper_functions():
    for variant in variants.REGISTRY.values():
        constructor = getattr(applications, variant.name)
        assert pickle.loads(pickle.dumps(constructor)) is constructor
        assert constructor.__qualname__ == variant.name
        parameters = inspect.signature(constructor).parameters
        assert list(parameters)[:5] == [
            "include_top",
            "weights",
            "input_tensor",
            "input_shape",
            "pooling",
        ]
        assert parameters["weights"].default == variant.card.default_weights
        for word in ("Args:", "Returns:", "Raises:", "Example:", variant.family.source):
            assert word in constructor.__doc__


def test_classes_and_channels_are_the_card_s():
    """A card says how many; constructors, `create`, errors and docstrings follow."""
    model = newnet_tf.create_model("lenet5")
    assert (model.input_shape, model.output_shape) == ((None, 32, 32, 1), (None, 10))
    assert newnet_tf.create_model("lenet5", classes=26).output_shape == (None, 26)
    assert inspect.signature(applications.LeNet5).parameters["classes"].default == 10
    assert inspect.signature(applications.NewNetSmall).parameters["classes"].default == 1000
    assert "(None, 10)" in applications.LeNet5.__doc__
    assert "(height, width, 1)" in applications.LeNet5.__doc__
    with pytest.raises(ValueError, match=r"\(height, width, 1\).*Received: .*\(32, 32, 3\)"):
        newnet_tf.create_model("lenet5", input_shape=(32, 32, 3))


def test_stub_files_are_up_to_date():
    from tools.make_stubs import files

    for path, text in files().items():
        assert path.read_text(encoding="utf-8") == text, "run: python tools/make_stubs.py"


def test_a_graph_never_depends_on_weights(tmp_path):
    model = newnet_tf.create_model("mobilenet_v1_025", weights=None, input_shape=(64, 64, 3))
    newnet_tf.weights.save(model, tmp_path / "own.npz")
    loaded = newnet_tf.create_model(
        "mobilenet_v1_025", weights=tmp_path / "own.npz", input_shape=(64, 64, 3)
    )
    assert loaded.get_config() == model.get_config()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "rexnet_101"}, ["`name`", "rexnet_100", "Received: name='rexnet_101'"]),
        ({"name": "rexnet_100.nope"}, ["`weights`", "nav_in1k", "Received: weights='nope'"]),
        ({"name": "newnet_small", "weights": "imagenet"}, ["none are published", "Received"]),
        ({"name": "rexnet_100.nav_in1k", "weights": None}, ["left out", "Received"]),
        ({"name": "newnet_small", "drop_rate": 1.0}, ["`drop_rate`", "[0, 1)", "drop_rate=1.0"]),
        ({"name": "resnet18", "drop_rate": 0.1}, ["Dropout layer", "'resnet18'"]),
        ({"name": "newnet_small", "pooling": "avg"}, ["include_top=False", "Received"]),
        ({"name": "newnet_small", "include_top": False, "pooling": "sum"}, ["'avg'", "'sum'"]),
        ({"name": "newnet_small", "include_top": 1}, ["`include_top`", "Received"]),
        ({"name": "newnet_small", "classes": 0}, ["`classes`", "Received: classes=0"]),
        ({"name": "newnet_small", "classes": "10"}, ["`classes`", "Received: classes='10'"]),
        ({"name": "newnet_small", "input_shape": (31, 64, 3)}, ["at least 32", "(31, 64, 3)"]),
        ({"name": "newnet_small", "input_shape": (64, 64, 2)}, ["`input_shape`", "(64, 64, 2)"]),
        ({"name": "newnet_small", "input_shape": (64, 64)}, ["`input_shape`", "(64, 64)"]),
        ({"name": "newnet_small", "input_tensor": 3}, ["`input_tensor`", "Received"]),
    ],
)
def test_errors_say_what_was_expected(arguments, words):
    with pytest.raises(ValueError, match="Received") as error:
        newnet_tf.create_model(**({"weights": None} | arguments))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_unknown_arguments_are_errors():
    with pytest.raises(TypeError, match="width_mult"):
        newnet_tf.create_model("newnet_small", weights=None, width_mult=2)


def test_models_are_listed_by_pattern_task_and_weights():
    assert set(newnet_tf.list_models()) > set(ALL)
    assert sorted(ALL) == ALL
    pretrained = newnet_tf.list_models("rexnet*", pretrained=True)
    assert "rexnet_100" in pretrained
    assert "rexnet_060" in set(newnet_tf.list_models("rexnet*")) - set(pretrained)
    with pytest.raises(
        ValueError, match=r"'detection', 'text_detection'\]. Received: task='sorting'"
    ):
        newnet_tf.list_models(task="sorting")


def test_drop_rate_and_model_name():
    options = {"weights": None, "input_shape": (32, 32, 3), "classes": 3}
    model = newnet_tf.create_model("newnet_small", drop_rate=0.5, model_name="mine", **options)
    assert (model.name, model.get_layer("dropout").rate) == ("mine", 0.5)
    model = newnet_tf.create_model("newnet_small", **options)
    assert (model.name, model.get_layer("dropout").rate) == ("newnet_small", 0.2)


def test_reset_classifier(tmp_path):
    """The backbone is the same, the classifier is new, built and loaded models alike."""
    options = {"weights": None, "input_shape": (64, 64, 3), "classes": 7}
    model = newnet_tf.create_model("mobilenet_v1_025", **options)
    model.save(tmp_path / "model.keras")
    image = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype("float32")
    for source in (model, keras.models.load_model(tmp_path / "model.keras", compile=False)):
        new = newnet_tf.reset_classifier(source, 3, classifier_activation=None)
        assert (new.name, new.output_shape, source.output_shape) == (
            model.name,
            (None, 3),
            (None, 7),
        )
        assert not np.isclose(np.asarray(new(image)).sum(), 1)
        features = [newnet_tf.feature_extractor(x, [32])(image) for x in (source, new)]
        np.testing.assert_array_equal(*map(np.asarray, features))
        kernels = [x.get_layer("classifier").kernel.shape for x in (source, new)]
        assert kernels == [(1, 1, 256, 7), (1, 1, 256, 3)]
    assert newnet_tf.reset_classifier(newnet_tf.reset_classifier(new, 4), 5).output_shape[-1] == 5
    headless = newnet_tf.create_model("mobilenet_v1_025", weights=None, include_top=False)
    for wrong, classes, words in ((headless, 3, "`model` must have"), (model, 0, "`classes`")):
        with pytest.raises(ValueError, match=words):
            newnet_tf.reset_classifier(wrong, classes)


def test_timm_names_are_known():
    assert resolve("mobilenetv2_100.ra_in1k")[0].card.name == "mobilenet_v2_100"
    assert resolve("tf_efficientnet_lite0")[0].card.name == "efficientnet_lite0"
    assert resolve("rexnet_150.nav_in1k") == (resolve("rexnet_150")[0], "nav_in1k")


def test_feature_extractor():
    model = newnet_tf.create_model("mobilenet_v1_025", weights=None, input_shape=(64, 64, 3))
    backbone = newnet_tf.feature_extractor(model, strides=(16, 8))
    assert (backbone.strides, backbone.channels) == ((16, 8), (128, 64))
    assert [output.shape[1:] for output in backbone.outputs] == [(4, 4, 128), (8, 8, 64)]
    with pytest.raises(ValueError, match=r"2, 4, 8, 16, 32. Received: strides=\(8, 12\)"):
        newnet_tf.feature_extractor(model, strides=(8, 12))
    bare = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match=r"\[\].*Received"):
        newnet_tf.feature_extractor(bare)

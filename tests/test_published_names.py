"""Loading into a real model: exact round trips, published names, the model that a file would fit."""

import functools

import numpy as np
import pytest
from filled import as_torch, assert_same, checkpoint_of, paint

from newnet_tf import weights
from newnet_tf.applications import rexnet
from newnet_tf.models.variants import REGISTRY
from newnet_tf.weights import CheckpointError, assign

FILES = ("a.weights.h5", "a.keras", "a.npz", "a.safetensors")
QUICK = "a.safetensors"


@pytest.fixture(scope="module")
def network():
    """ReXNet x0.6, every weight a value of its own."""
    model = rexnet.ReXNet060()
    paint(model, seed=0)
    return model


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    """A function from a name to the file that `weights.save` writes."""
    folder = tmp_path_factory.mktemp("saved")
    return functools.cache(lambda name: weights.save(network, folder / name))


@pytest.fixture(scope="module")
def blanks():
    """The same network with its classifier, without, and with 10 classes; values to be replaced."""
    return rexnet.ReXNet060(), rexnet.ReXNet060(include_top=False), rexnet.ReXNet060(classes=10)


@pytest.fixture(scope="module")
def target():
    """What a ReXNet x0.6 checkpoint must fit."""
    return REGISTRY["rexnet_060"].target()


@pytest.mark.parametrize(
    "name",  # each format is read in test_checkpoint.py, too
    [name if name == QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FILES],
)
def test_files_come_back_exactly(network, blanks, saved, target, name):
    for blank in blanks:
        paint(blank, seed=1)
    full, headless, ten = blanks
    report = weights.load(full, saved(name), target)
    assert_same(full, network)
    assert (report.tensors, report.skipped, report.newly_initialized) == (len(full.weights), (), ())

    report = weights.load(headless, saved(name), target)
    assert_same(headless, network)
    assert {n.split("/")[0] for n in report.skipped} == {"classifier"}

    before = ten.get_layer("classifier").kernel.numpy()
    warning = r"'classifier' is newly initialized: 'a\..*' has 1000 classes, the model 10"
    with pytest.warns(UserWarning, match=warning) as seen:
        report = weights.load(ten, saved(name), target)
    assert len(seen) == 1
    assert_same(ten, network, but=["classifier"])
    np.testing.assert_array_equal(ten.get_layer("classifier").kernel.numpy(), before)
    assert report.newly_initialized == ("classifier",)


@pytest.mark.parametrize(("format_name", "linear"), [("timm", ["classifier"]), ("clovaai", [])])
def test_published_names_of_rexnet(network, blanks, target, format_name, linear):
    names = next(n.layers for n in target.checkpoint_formats if n.name == format_name)
    checkpoint = checkpoint_of(as_torch(network, names, linear))
    assert assign.classes_in(checkpoint, target) == 1000
    blank = blanks[0]
    paint(blank, seed=1)
    report = assign.assign_weights(blank, checkpoint, target)
    assert_same(blank, network)
    assert (report.format, report.tensors) == (format_name, len(network.weights))
    assert len(report.skipped) == sum(n.endswith("_bn") for n in names)
    assert all(n.endswith("num_batches_tracked") for n in report.skipped)


def test_constructors_take_a_file(network, saved):
    model = rexnet.ReXNet060(weights=str(saved("a.npz")), pooling="avg", include_top=False)
    assert_same(model, network)
    with pytest.warns(UserWarning, match="is newly initialized") as seen:
        model = rexnet.ReXNet060(weights=saved("a.safetensors"), classes=3)
    assert [warning.category for warning in seen].count(UserWarning) == 1
    assert_same(model, network, but=["classifier"])


def test_another_width_is_named(blanks):
    names = REGISTRY["rexnet_130"].target().checkpoint_formats[0].layers
    checkpoint = checkpoint_of(as_torch(REGISTRY["rexnet_130"].build(), names, ["classifier"]))
    others = [
        REGISTRY[name].target
        for name in ("mobilenet_v2_100", "rexnet_090", "rexnet_130", "rexnet_150")
    ]
    with pytest.raises(CheckpointError) as caught:
        assign.assign_weights(blanks[0], checkpoint, REGISTRY["rexnet_060"].target(), others=others)
    text = str(caught.value)
    assert "It fits 'rexnet_130'." in text
    assert "Read as 'timm'" in text
    assert "350 shapes that differ (in Keras layout): stem.conv.weight (3, 3, 3, 42) for" in text

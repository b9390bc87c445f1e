"""Every model equals its reference: golden outputs of timm, torchvision, pytorchcv, the authors."""

import dataclasses
import gc
from pathlib import Path

import keras
import numpy as np
import pytest

import newnet_tf
from newnet_tf.models.config import CheckpointFormat
from newnet_tf.models.registry import resolve
from newnet_tf.weights import assign, parity
from newnet_tf.weights.reader import Checkpoint

GOLDEN = Path(__file__).parent / "golden"
# Compared by `make test`, with what no model before it has; `make test-all` compares all of them.
QUICK = {
    "lenet5": "gray images, convolutions without padding, average pooling, tanh",
    "mobilenet_v1_025": "depthwise convolutions, PyTorch's padding, ReLU",
    "mobilenet_v2_050": "inverted residuals, ReLU6",
    "mobilenet_v2_100.torchvision": "torchvision's names of tensors",
    "gluon_mobilenet_v2_100": "GluonCV's names of tensors, an expansion in the first block",
    "mobilenet_v3_small": "squeeze-and-excitation, hard swish, hard sigmoid",
    "efficientnet_lite0.package": "TensorFlow's padding and epsilon, another package's names",
    "mixnet_s": "kernels of several sizes side by side, groups of pointwise convolutions, swish",
    "rexnet_060": "partial shortcuts, squeeze-and-excitation with batch norm",
    "rexnet_100.clovaai": "the authors' names of tensors",
    "newnet_small": "linear depthwise convolutions, `same` padding with PyTorch's epsilon",
    "newnet_small_cifar": "strides of small images",
    "shufflenet_v1_100": "grouped convolutions, shuffled channels, joined average pools",
    "shufflenet_v2_050": "channels split, interleaved",
    "ghostnet_100": "cheap convolutions joined to their input",
    "squeezenet1_1": "no batch norm, pools that round up, the classifier before the last pool",
    "resnet18": "basic blocks, max pooling with padding, shortcuts with convolutions",
    "xception_small": "separable convolutions, activation first",
    "pelee": "dense blocks, a stem of two branches",
    "randwire_ws_small": "weighted sums over a random graph",
    "nasnet_a_mobile": "cells of two inputs, factorized reductions",
}
# Of these the second, odd size is quick too: it differs where pools round up or cut, and where maps of
# two strides meet. Convolutions alone pad an odd map alike in every style.
ODD = (
    "lenet5",
    "newnet_small_cifar",
    "mobilenet_v1_025",
    "squeezenet1_1",
    "pelee",
    "nasnet_a_mobile",
)
FILES = sorted(path for path in GOLDEN.glob("*.npz") if path.stem != "preprocess")


def test_every_variant_has_a_golden_file():
    stems = {path.stem for path in FILES}
    assert set(newnet_tf.list_models(task="classification")) <= stems
    assert {path.stat().st_size < 50 * 1024 for path in FILES} == {True}


@pytest.fixture(autouse=True)
def one_network_at_a_time():
    """Frees each network before the next is built: VGG holds 1.1 GB in float64."""
    yield
    gc.collect()


@pytest.fixture
def double_precision():
    """float64 on both sides: what is left of a difference is a difference of definition."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


def target(variant, model):
    """What the golden file must fit; NewNet's is in PyTorch's layout under our own layer names."""
    load_target = variant.target()
    layers = {layer.name: layer.name for layer in model.layers if layer.weights}
    own = CheckpointFormat(name="our names in PyTorch", layers=layers)
    return (
        load_target
        if load_target.checkpoint_formats
        else dataclasses.replace(load_target, checkpoint_formats=(own,))
    )


def filled(path):
    golden = parity.Golden.read(path)
    variant, _ = resolve(path.stem.partition(".")[0])
    channels = variant.card.preprocess.channels
    model = variant.build(input_shape=(None, None, channels), classifier_activation=None)
    checkpoint = Checkpoint(path=path, kind="golden", tensors=golden.tensors())
    report = assign.assign_weights(model, checkpoint, target(variant, model))
    return golden, model, report


def cases():
    """Every golden file with the sizes to compare; what is not in QUICK and ODD is slow."""
    for path in FILES:
        sizes = tuple(parity.Golden.read(path).logits)
        parts = {path.stem: (sizes, path.stem not in QUICK)}
        if path.stem in QUICK and path.stem not in ODD and len(sizes) > 1:
            parts = {path.stem: (sizes[:1], False), f"{path.stem}-odd": (sizes[1:], True)}
        for name, (compared, is_slow) in parts.items():
            marks = pytest.mark.slow if is_slow else ()
            yield pytest.param(path, compared, id=name, marks=marks)


@pytest.mark.parametrize(("path", "sizes"), list(cases()))
def test_equals_reference(path, sizes, double_precision):
    golden, model, report = filled(path)
    channels = model.input_shape[-1]
    assert report.tensors == len(golden.shapes)
    strides = tuple(golden.features)
    maps = newnet_tf.feature_extractor(model, strides).outputs if strides else ()
    network = keras.Model(model.input, {"logits": model.output, "maps": list(maps)})
    for size in sizes:
        outputs = network(parity.pixels(size, channels), training=False)
        logits = np.asarray(outputs["logits"])
        assert parity.difference(logits, golden.logits[size]) < parity.TOLERANCE, size
        if size != next(iter(golden.logits)):
            continue
        for map_, (stride, mean) in zip(outputs["maps"], golden.features.items(), strict=True):
            found = np.asarray(map_)[:1].mean(axis=(0, 1, 2))
            np.testing.assert_allclose(found, mean, atol=1e-5, err_msg=f"stride {stride}")


def test_quick_models_are_compared():
    assert set(ODD) < set(QUICK) < {path.stem for path in FILES}


def test_float32_equals_reference_too():
    golden, model, _ = filled(GOLDEN / "mobilenet_v3_small.npz")
    size, reference = next(iter(golden.logits.items()))
    outputs = np.asarray(model(parity.pixels(size), training=False))
    assert parity.difference(outputs, reference) < 1e-4


def test_a_wrong_epsilon_shows(double_precision):
    """The comparison fails for a small error of definition (and not for what inference ignores)."""
    golden, model, _ = filled(GOLDEN / "newnet_small_cifar.npz")
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    size, reference = next(iter(golden.logits.items()))
    for attribute, value in (("momentum", 0.5), ("epsilon", 1e-3)):
        setattr(norms[-1], attribute, value)
        outputs = np.asarray(model(parity.pixels(size), training=False))
        differs = parity.difference(outputs, reference) > parity.TOLERANCE
        assert differs == (attribute == "epsilon")

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
HEAVY_PARAMS, HEAVY_MACS = 60e6, 2e9  # more are compared by `make test-all`
# So are those of the most layers; cells are compared in nasnet_a_mobile always.
DEEP = ("amoebanet_a", "condensenet74", "darts", "newnet_large", "pnasnet_mobile")
FILES = sorted(path for path in GOLDEN.glob("*.npz") if path.stem != "preprocess")


def test_every_variant_has_a_golden_file():
    stems = {path.stem for path in FILES}
    assert set(newnet_tf.list_models()) <= stems
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


def by_family():
    """Every golden file; all but the smallest of each family, and what is heavy, are slow."""
    smallest, heavy = {}, set()
    for path in FILES:
        family, golden = (
            resolve(path.stem.partition(".")[0])[0].family.module,
            parity.Golden.read(path),
        )
        smallest[family] = min(smallest.get(family, (golden.macs, path)), (golden.macs, path))
        if golden.params > HEAVY_PARAMS or golden.macs > HEAVY_MACS or path.stem in DEEP:
            heavy.add(path)
    quick = {path for _, path in smallest.values()}
    for path in FILES:
        other_kind = "." in path.stem or path.stem[:6] in ("newnet", "gluon_")
        is_quick = (path in quick or other_kind) and path not in heavy
        marks = () if is_quick else pytest.mark.slow
        yield pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", list(by_family()))
def test_equals_reference(path, double_precision):
    golden, model, report = filled(path)
    channels = model.input_shape[-1]
    assert report.tensors == len(golden.shapes)
    for size, reference in golden.logits.items():
        outputs = np.asarray(model(parity.pixels(size, channels), training=False))
        assert parity.difference(outputs, reference) < parity.TOLERANCE, size
    if golden.features:
        size = next(iter(golden.logits))
        backbone = newnet_tf.feature_extractor(model, tuple(golden.features))
        maps = backbone(parity.pixels(size, channels)[:1], training=False)
        for map_, (stride, reference) in zip(maps, golden.features.items(), strict=True):
            outputs = np.asarray(map_).mean(axis=(0, 1, 2))
            np.testing.assert_allclose(outputs, reference, atol=1e-5, err_msg=f"stride {stride}")


def test_float32_equals_reference_too():
    golden, model, _ = filled(GOLDEN / "rexnet_100.npz")
    for size, reference in golden.logits.items():
        outputs = np.asarray(model(parity.pixels(size), training=False))
        assert parity.difference(outputs, reference) < 1e-4


@pytest.mark.parametrize(("attribute", "value"), [("epsilon", 1e-3), ("momentum", 0.5)])
def test_a_wrong_epsilon_shows(attribute, value, double_precision):
    """The comparison fails for a small error of definition (and not for what inference ignores)."""
    golden, model, _ = filled(GOLDEN / "mobilenet_v1_025.npz")
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    for norm in norms[-1:]:
        setattr(norm, attribute, value)
    outputs = np.asarray(model(parity.pixels(224), training=False))
    differs = parity.difference(outputs, golden.logits[224]) > parity.TOLERANCE
    assert differs == (attribute == "epsilon")

"""What every model of the zoo does for a user.

A few models run always: those whose blocks occur in no other of them. Exports take longest, and what is
exported always is `small_network` (see `test_deploy`) and the network of `test_blocks_on_phones`. All
other models are marked slow: `make test-all` runs them and writes `results/compatibility.csv`.
"""

import functools
import math
import subprocess
import sys

import keras
import numpy as np
import pytest

import newnet_tf
from newnet_tf.deploy import ExportError
from newnet_tf.models.features import STRIDES
from newnet_tf.models.registry import resolve
from newnet_tf.profiling.untrained_models import export_untrained

QUICK = (
    "mobilenet_v3_small",  # hard swish, squeeze-and-excitation
    "shufflenet_v1_100",  # grouped convolutions
    "squeezenet1_1",  # no batch norm
)
WITH_FEATURES = ("mobilenet_v3_small", "squeezenet1_1")  # others are in test_parity
SAVED = ("mobilenet_v3_small", "newnet_small")  # layers of `keras.ops`; partial shortcuts
MIXED = ("mobilenet_v3_small",)
EXPORTED = ()
LARGEST_EXPORTED = 30e6  # parameters
PRECISIONS = ("fp32", "int8-full")
GROWTH = 64  # pixels
FALLBACK_OPS = {"condensenet74": "GATHER"}  # operators that XNNPACK does not run
LOADER = """
import sys, keras, numpy as np
for line in sys.stdin:
    folder = line.strip()
    model = keras.models.load_model(f"{folder}/model.keras")
    np.save(f"{folder}/output.npy", model(np.load(f"{folder}/images.npy"), training=False))
    assert "newnet_tf" not in sys.modules
    print("done", flush=True)
"""


def every_network(always):
    """Parametrizes a test by all models; those not in `always` are marked slow."""
    models = newnet_tf.list_models(task="classification")
    slow = {name: () if name in always else pytest.mark.slow for name in models}
    names = [pytest.param(name, marks=marks, id=name) for name, marks in slow.items()]
    return pytest.mark.parametrize("name", names)


@pytest.fixture(autouse=True)
def seeded():
    """Seeds each test, and frees its models: hundreds of them do not fit in memory."""
    keras.utils.set_random_seed(1)
    yield
    keras.utils.clear_session(free_memory=True)


@pytest.fixture(scope="module")
def loader():
    """A process that loads saved models and never imports newnet_tf: send it a folder."""
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", LOADER], **options) as process:
        yield process
        process.stdin.close()
        process.wait(60)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A function from a model to its files, exported together; it caches those of the last model."""
    folder = tmp_path_factory.mktemp("exported")

    @functools.lru_cache(maxsize=1)
    def files(name):
        for old in folder.iterdir():
            old.unlink()
        return export_untrained([name], PRECISIONS, folder, force=True)

    return files


def shape(name, side=64):
    """A small input that the model accepts."""
    variant, _ = resolve(name)
    side = max(side, variant.family.min_size)
    return side, side, len(variant.card.preprocess.mean)


def noise(*shape):
    return np.random.RandomState(0).uniform(-2, 2, shape).astype("float32")


@every_network(QUICK)
def test_accepts_sizes_down_to_its_minimum(name):
    variant, _ = resolve(name)
    least, channels = variant.family.min_size, len(variant.card.preprocess.mean)
    arguments = {"weights": None, "classes": 7, "input_shape": (None, None, channels)}
    model = newnet_tf.create_model(name, **arguments)
    for sides in ((least, least), (least + 33, least + 129)):
        probabilities = np.asarray(model(np.zeros((1, *sides, channels), "float32")))
        assert probabilities.shape == (1, 7)
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match=rf"at least {least}.*Received"):
        newnet_tf.create_model(name, weights=None, input_shape=(least, least - 1, channels))


@every_network(WITH_FEATURES)
def test_outputs_feature_maps(name):
    """An image larger by GROWTH has feature maps larger by GROWTH / stride, whatever the padding."""
    variant, _ = resolve(name)
    side, channels = variant.card.preprocess.image_size, variant.card.preprocess.channels
    model, larger = (
        newnet_tf.create_model(name, weights=None, include_top=False, input_shape=(s, s, channels))
        for s in (side, side + GROWTH)
    )
    layers = {layer.name for layer in model.layers}
    known = [s for s in STRIDES if f"features_{s}" in layers]
    maps, larger_maps = (newnet_tf.feature_extractor(one, known).outputs for one in (model, larger))
    for stride, map_, larger_map in zip(known, maps, larger_maps, strict=True):
        grown = {b - a for a, b in zip(map_.shape[1:3], larger_map.shape[1:3], strict=True)}
        assert grown == {GROWTH // stride}
    assert model.output.shape[1:3] == map_.shape[1:3]
    for missing in set(STRIDES) - set(known):
        with pytest.raises(ValueError, match=rf"among \{known}.*Received".replace("]", r"\]")):
            newnet_tf.feature_extractor(model, [missing])
    for pooling in ("avg", "max"):
        options = {"include_top": False, "pooling": pooling}
        pooled = newnet_tf.create_model(name, weights=None, input_shape=shape(name), **options)
        assert pooled.output.shape == (None, model.output.shape[-1])


def policies():
    """All models in both precisions, float32 first."""
    for policy, always in (("float32", QUICK), ("mixed_bfloat16", MIXED)):
        for name in newnet_tf.list_models(task="classification"):
            marks = () if name in always else pytest.mark.slow
            yield pytest.param(policy, name, marks=marks, id=f"{policy}-{name}")


@pytest.mark.parametrize(("policy", "name"), list(policies()))
def test_trains(name, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = newnet_tf.create_model(name, weights=None, input_shape=shape(name), classes=5)
    finally:
        keras.config.set_dtype_policy(before)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    first = model.trainable_weights[0].numpy().copy()
    loss = model.train_on_batch(noise(2, *shape(name)), np.arange(2))
    assert math.isfinite(loss)
    assert np.isfinite(model.trainable_weights[0].numpy()).all()
    assert not np.array_equal(first, model.trainable_weights[0].numpy())


@every_network(SAVED)
def test_loads_without_newnet_tf(name, loader, tmp_path):
    model = newnet_tf.create_model(name, weights=None, input_shape=shape(name), classes=5)
    images = noise(2, *shape(name))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    loader.stdin.write(f"{tmp_path}\n")
    loader.stdin.flush()
    assert loader.stdout.readline() == "done\n"
    np.testing.assert_allclose(np.load(tmp_path / "output.npy"), model(images), atol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
@every_network(EXPORTED)
def test_exports_to_one_delegate(name, precision, exported):
    """Builtin operators only, and all of them in one partition of XNNPACK's."""
    from newnet_tf.deploy import Runner

    params = newnet_tf.create_model(name, weights=None, input_shape=shape(name)).count_params()
    if params > LARGEST_EXPORTED:
        pytest.skip(f"{params / 1e6:.0f}M parameters; up to 30M are for phones")
    try:
        file = exported(name)[name, precision]
    except ExportError as error:
        pytest.fail(f"{error}")
    delegation = Runner(file).delegation()
    assert (
        set(delegation.fallback_ops) == {FALLBACK_OPS[name]}
        if name in FALLBACK_OPS
        else delegation.fully_delegated
    )
    if name in FALLBACK_OPS:
        assert FALLBACK_OPS[name] in newnet_tf.model_card(name).notes
        pytest.skip(f"exported in several partitions: {delegation}")

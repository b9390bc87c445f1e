"""What every network of the zoo does for a user; twelve that span the kinds of block run always.

Half of them are saved and exported always, which takes longest. The other networks are marked slow:
`make test-all` runs them and writes `results/proof.csv`.
"""

import functools
import math
import subprocess
import sys

import keras
import numpy as np
import pytest

import newnet_tf
from newnet_tf.cli.benchmark import untrained_files
from newnet_tf.deploy import ExportError
from newnet_tf.models.features import STRIDES
from newnet_tf.models.registry import resolve

TWELVE = (
    "efficientnet_b0",  # squeeze-and-excitation, SiLU
    "ghostnet_100",  # cheap operations
    "mixnet_s",  # kernels by parts of the channels
    "mobilenet_v1_025",  # depthwise separable
    "mobilenet_v3_small",  # hard swish
    "newnet_small",  # linear depthwise, partial shortcuts
    "pelee",  # dense blocks
    "resnet18",  # residual blocks
    "rexnet_100",  # both, with squeeze-and-excitation
    "shufflenet_v1_100",  # grouped convolutions
    "shufflenet_v2_050",  # split channels
    "squeezenet1_1",  # no batch norm
)
SIX = (
    "mobilenet_v3_small",
    "newnet_small",
    "pelee",
    "rexnet_100",
    "shufflenet_v1_100",
    "squeezenet1_1",
)
LARGEST_EXPORTED = 30e6  # parameters
PRECISIONS = ("fp32", "int8-full")
GROWTH = 64  # pixels
LEFT_OUT = {"condensenet74": "GATHER"}  # operators that XNNPACK has not, which no twin can replace
LOADER = """
import sys, keras, numpy as np
for line in sys.stdin:
    folder = line.strip()
    model = keras.models.load_model(f"{folder}/model.keras")
    np.save(f"{folder}/answer.npy", model(np.load(f"{folder}/images.npy"), training=False))
    assert "newnet_tf" not in sys.modules
    print("done", flush=True)
"""


def every_network(always):
    """Gives a test every network, those not among `always` marked slow."""
    slow = {name: () if name in always else pytest.mark.slow for name in newnet_tf.list_models()}
    names = [pytest.param(name, marks=marks, id=name) for name, marks in slow.items()]
    return pytest.mark.parametrize("name", names)


@pytest.fixture(autouse=True)
def seeded():
    """Seeds each test, and lets go of its networks: hundreds of them do not fit in memory."""
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
    """A function from a network to its files, made of one graph; those of the last one are kept."""
    folder = tmp_path_factory.mktemp("exported")

    @functools.lru_cache(maxsize=1)
    def files(name):
        for old in folder.iterdir():
            old.unlink()
        return untrained_files([name], PRECISIONS, folder, force=True)

    return files


def shape(name, side=64):
    """A small input that the network takes."""
    variant, _ = resolve(name)
    side = max(side, variant.family.minimum)
    return side, side, len(variant.card.preprocess.mean)


def noise(*shape):
    return np.random.RandomState(0).uniform(-2, 2, shape).astype("float32")


@every_network(TWELVE)
def test_takes_sides_down_to_its_minimum(name):
    variant, _ = resolve(name)
    least, channels = variant.family.minimum, len(variant.card.preprocess.mean)
    arguments = {"weights": None, "classes": 7, "input_shape": (None, None, channels)}
    model = newnet_tf.create(name, **arguments)
    for sides in ((least, least), (least + 33, least + 129)):
        probabilities = np.asarray(model(np.zeros((1, *sides, channels), "float32")))
        assert probabilities.shape == (1, 7)
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match=rf"at least {least}.*Received"):
        newnet_tf.create(name, weights=None, input_shape=(least, least - 1, channels))


@every_network(TWELVE)
def test_gives_its_features_and_maps(name):
    """An image larger by GROWTH has maps larger by GROWTH / stride, whatever the padding."""
    variant, _ = resolve(name)
    side, channels = variant.card.preprocess.image_size, variant.card.preprocess.channels
    model, larger = (
        newnet_tf.create(name, weights=None, include_top=False, input_shape=(s, s, channels))
        for s in (side, side + GROWTH)
    )
    layers = {layer.name for layer in model.layers}
    known = [s for s in STRIDES if f"features_{s}" in layers]
    maps, larger_maps = (newnet_tf.features(one, known).outputs for one in (model, larger))
    for stride, map_, larger_map in zip(known, maps, larger_maps, strict=True):
        grown = {b - a for a, b in zip(map_.shape[1:3], larger_map.shape[1:3], strict=True)}
        assert grown == {GROWTH // stride}
    assert model.output.shape[1:3] == map_.shape[1:3]
    for missing in set(STRIDES) - set(known):
        with pytest.raises(ValueError, match=rf"among \{known}.*Received".replace("]", r"\]")):
            newnet_tf.features(model, [missing])
    for pooling in ("avg", "max"):
        options = {"include_top": False, "pooling": pooling}
        pooled = newnet_tf.create(name, weights=None, input_shape=shape(name), **options)
        assert pooled.output.shape == (None, model.output.shape[-1])


@every_network(TWELVE)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_trains(name, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = newnet_tf.create(name, weights=None, input_shape=shape(name), classes=5)
    finally:
        keras.config.set_dtype_policy(before)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    first = model.trainable_weights[0].numpy().copy()
    loss = model.train_on_batch(noise(2, *shape(name)), np.arange(2))
    assert math.isfinite(loss)
    assert np.isfinite(model.trainable_weights[0].numpy()).all()
    assert not np.array_equal(first, model.trainable_weights[0].numpy())


@every_network(SIX)
def test_loads_where_newnet_tf_is_not(name, loader, tmp_path):
    model = newnet_tf.create(name, weights=None, input_shape=shape(name), classes=5)
    images = noise(2, *shape(name))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    loader.stdin.write(f"{tmp_path}\n")
    loader.stdin.flush()
    assert loader.stdout.readline() == "done\n"
    np.testing.assert_allclose(np.load(tmp_path / "answer.npy"), model(images), atol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
@every_network(SIX)
def test_exports_whole(name, precision, exported):
    """Builtin operators only, and all of them in one piece of XNNPACK's."""
    from newnet_tf.deploy import Runner

    params = newnet_tf.create(name, weights=None, input_shape=shape(name)).count_params()
    if params > LARGEST_EXPORTED:
        pytest.skip(f"{params / 1e6:.0f}M parameters; up to 30M are for phones")
    try:
        file = exported(name)[name, precision]
    except ExportError as error:
        pytest.fail(f"{error}")
    found = Runner(file).delegation()
    assert (
        set(found.fallback_ops) == {LEFT_OUT[name]} if name in LEFT_OUT else found.fully_delegated
    )
    if name in LEFT_OUT:
        assert LEFT_OUT[name] in newnet_tf.card(name).notes
        pytest.skip(f"exported in pieces: {found}")

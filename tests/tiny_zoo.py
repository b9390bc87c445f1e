"""A network of a few layers as a model of the zoo, for tests of what does not depend on the network.

`registered()` adds it under the name `NAME` for a while, so that commands and functions build it by
name, like any model.
"""

import contextlib
import dataclasses
import hashlib
from pathlib import Path

import small_network

from newnet_tf.data.preprocess import Transform
from newnet_tf.models import blocks
from newnet_tf.models.config import Card, PackageFile, PreprocessConfig, Weights
from newnet_tf.models.inverted_residual import inverted_residual
from newnet_tf.models.variants import REGISTRY, Family, Variant
from newnet_tf.profiling.untrained_models import calibrate_batch_norm

NAME, CLASSES, SIZE = "tiny_net", 10, 32


def build(x, config):
    """Input to the last feature map before pooling."""
    style = blocks.TORCH
    x = blocks.conv_bn_act(x, 16, 3, 2, style=style, name="stem")
    x = inverted_residual(x, 24, stride=2, style=style, name="block0")
    return blocks.conv_bn_act(x, 32, style=style, name="final")


def build_head(x, config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes, dropout=0.2)


FAMILY = Family(__name__, build=build, build_head=build_head, source="made for tests")
PREPROCESS = PreprocessConfig(image_size=SIZE, crop_pct=1.0)
CARD = Card(name=NAME, title="Tiny", preprocess=PREPROCESS, classes=CLASSES)
VARIANT = Variant(FAMILY, "TinyNet", None, CARD)
TinyNet = VARIANT.constructor()


@contextlib.contextmanager
def registered(published: Path | None = None):
    """Adds the network to the zoo for a while; gives its name.

    Args:
        published: path of a folder in which a package with weights of it is made; they are the default
            then, as public weights are. Default: None, no such weights.
    """
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        variant = VARIANT
        if published:
            record = package(published)
            patch.syspath_prepend(published)
            patch.setenv("NEWNET_HOME", str(published / "home"))
            variant = dataclasses.replace(
                VARIANT, card=dataclasses.replace(CARD, weights=(record,))
            )
        patch.setitem(REGISTRY, NAME, variant)
        yield NAME


def weights(file: Path) -> Path:
    """Writes weights of ten classes whose logits vary from image to image; returns the path."""
    import keras

    import newnet_tf

    keras.utils.set_random_seed(0)
    model = VARIANT.build(weights=None, classifier_activation=None)
    calibrate_batch_norm(model, PREPROCESS)
    scores = model(Transform(PREPROCESS)(list(small_network.images())))
    small_network.spread(model.get_layer("classifier"), keras.ops.convert_to_numpy(scores))
    newnet_tf.weights.save(model, file)
    return file


def package(folder: Path) -> Weights:
    """Writes a package that holds `weights`; returns its record."""
    place = folder / "tiny_net_weights"
    place.mkdir()
    (place / "__init__.py").touch()
    file = weights(place / "tiny_net.safetensors")
    source = PackageFile(
        distribution=place.name,
        module=place.name,
        file=file.name,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
    )
    names = tuple(f"kind {number}" for number in range(CLASSES))
    about = {"license": "MIT", "author": "a test", "dataset": "noise"}
    return Weights(
        tag="made",
        sources=(source,),
        preprocess=PREPROCESS,
        classes=CLASSES,
        class_names=names,
        **about,
    )

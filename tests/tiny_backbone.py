"""A backbone of a few layers with feature maps at strides 16 and 32, as a model of the zoo.

`registered()` adds it under the name `NAME` for a while; `ssdlite_<NAME>` is then a detector of few
layers.
"""

import contextlib

from newnet_tf.models import blocks
from newnet_tf.models.config import Card, PreprocessConfig
from newnet_tf.models.variants import REGISTRY, Family, Variant

NAME, SIZE = "tiny_backbone", 96


def build(x, config):
    """Input to the last feature map before pooling: each layer halves the image."""
    style = blocks.TORCH
    for number, channels in enumerate((8, 8, 16, 24, 32), 1):
        x = blocks.conv_bn_act(x, channels, 3, 2, style=style, name=f"conv{number}")
        x = blocks.tag_feature(x, 2**number)
    return x


FAMILY = Family(__name__, build=build, build_head=blocks.classifier, source="made for tests")
CARD = Card(name=NAME, title="Tiny", preprocess=PreprocessConfig(image_size=SIZE), classes=10)
VARIANT = Variant(FAMILY, "TinyBackbone", None, CARD)
TinyBackbone = VARIANT.constructor()


@contextlib.contextmanager
def registered():
    """Adds the network to the zoo for a while; gives the name of a detector on it."""
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(REGISTRY, NAME, VARIANT)
        yield f"ssdlite_{NAME}"

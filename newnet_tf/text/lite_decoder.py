"""CRAFT-lite's network: a light-weight backbone and a decoder of separable convolutions.

The talk that NewNet comes from (DEVIEW 2019) replaces CRAFT's VGG-16 by its own backbone and slims the
decoder to a ninth of CRAFT's parameters in all; it shows no layer table, so this one is ours. CRAFT
concatenates a map that it enlarged with one of the backbone and convolves both. Here each has a 1x1
convolution of its own, before the map is enlarged, and the results are added. That is the same function
(a 1x1 convolution and bilinear upsampling commute), for a quarter of the multiply-adds.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from newnet_tf.models import blocks
from newnet_tf.models.blocks import ConvBNConfig
from newnet_tf.models.features import feature_extractor
from newnet_tf.text.score_layers import score_maps
from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras

CHANNELS = {16: 128, 8: 96, 4: 64, 2: 32}  # of the decoder, by stride
HEAD_CHANNELS = 16
DEEP_BLOCKS = 3  # blocks of stride 32 that are kept
STYLE = ConvBNConfig(padding="same", eps=1e-5, momentum=0.9)
BLOCK = re.compile(r"(block\d+)_")


def build(backbone: keras.Model, stride: int) -> dict:
    """Returns the score maps of a backbone's images.

    Args:
        backbone: `keras.Model` of the zoo with features at strides 2 to 32, built with
            `include_top=False`.

        stride: int among 2, 4, 8, of the score maps.

    Returns:
        `{"region": (batch, height / stride, width / stride, 1), "affinity": the same}`. New layers are
        `decoder16_...` to `decoder<stride>_...`, `head_...` and `maps`.
    """
    strides = [s for s in CHANNELS if s >= stride]
    skips = feature_extractor(backbone, strides).outputs
    x = deep_features(backbone)
    for s, skip in zip(strides, skips, strict=True):
        x = _merge(x, skip, CHANNELS[s], f"decoder{s}")
        x = _separable(x, CHANNELS[s], f"decoder{s}")
    return score_maps(_separable(x, HEAD_CHANNELS, "head"))


def deep_features(backbone: keras.Model) -> keras.KerasTensor:
    """Returns the output of the third block of stride 32, of the last one where there are fewer.

    In NewNet, ReXNet-lite and EfficientNet-Lite0 it is block 13 (counted from 0). The later blocks
    hold half of the backbone's parameters.

    Args:
        backbone: `keras.Model` of the zoo.

    Returns:
        Keras tensor of the graph of `backbone`.
    """
    last = feature_extractor(backbone, (32,)).outputs[0]
    names = [layer.name for layer in backbone.layers]
    start, end = names.index("features_16"), names.index("features_32")
    inside = [layer for layer in backbone.layers[start + 1 : end] if BLOCK.match(layer.name)]
    blocks_ = [list(group) for _, group in groupby(inside, lambda x: BLOCK.match(x.name)[1])]
    return blocks_[DEEP_BLOCKS - 1][-1].output if len(blocks_) > DEEP_BLOCKS else last


def _merge(x, skip, channels: int, name: str):
    """A map at twice the stride, enlarged, and one of the backbone, added, ReLU."""
    options = {"act": "linear", "style": STYLE}
    x = blocks.conv_bn_act(x, channels, **options, name=f"{name}_top")
    x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_up")(x)
    skip = blocks.conv_bn_act(skip, channels, **options, name=f"{name}_skip")
    x = keras.layers.Add(name=f"{name}_add")([x, skip])
    return blocks.activation(x, "relu", name=f"{name}_act")


def _separable(x, channels: int, name: str):
    """A 3x3 depthwise and a 1x1 convolution, each with batch norm and ReLU."""
    x = blocks.depthwise_bn_act(x, act="relu", style=STYLE, name=f"{name}_depthwise")
    return blocks.conv_bn_act(x, channels, act="relu", style=STYLE, name=f"{name}_pointwise")

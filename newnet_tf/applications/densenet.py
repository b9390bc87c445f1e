"""DenseNet.

Huang, Liu, van der Maaten, Weinberger: "Densely Connected Convolutional Networks", arXiv 1608.06993;
original code under BSD-3. As torchvision and timm have it, with growth rate 32. Difference:
the classifier is a 1x1 convolution. The pooling after the stem pads zeros, which after a ReLU equals
PyTorch's minus infinity.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import (
    Card,
    CheckpointFormat,
    HubFile,
    PreprocessConfig,
    ReportedResults,
    Weights,
)
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

GROWTH, BOTTLENECK = 32, 4


@dataclass(frozen=True)
class Config:
    """One model: layers of the four dense blocks (paper, table 1)."""

    depths: tuple[int, ...]


def dense_layer(x, *, name: str):
    """Batch norm, ReLU, 1x1, batch norm, ReLU, 3x3, concatenated with its input."""
    y = blocks.bn_act(x, style=TORCH, name=f"{name}_1")
    y = blocks.conv(y, BOTTLENECK * GROWTH, style=TORCH, name=f"{name}_1_conv")
    y = blocks.bn_act(y, style=TORCH, name=f"{name}_2")
    y = blocks.conv(y, GROWTH, 3, style=TORCH, name=f"{name}_2_conv")
    return keras.layers.Concatenate(name=f"{name}_join")([x, y])


def transition(x, *, name: str):
    """Batch norm, ReLU, 1x1 to half of the channels, average pooling."""
    x = blocks.bn_act(x, style=TORCH, name=name)
    x = blocks.conv(x, x.shape[-1] // 2, style=TORCH, name=f"{name}_conv")
    return pooling.average_pool(x, 2, 2, name=f"{name}_pool")


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = blocks.conv_bn_act(x, 2 * GROWTH, 7, 2, act="relu", style=TORCH, name="stem")
    x = pooling.max_pool(blocks.tag_feature(x, 2), padding=1, name="stem_pool")
    for b, depth in enumerate(config.depths):
        if b:
            x = blocks.tag_feature(x, 2 ** (b + 1))
            x = transition(x, name=f"transition{b - 1}")
        for n in range(depth):
            x = dense_layer(x, name=f"block{b}_{n}")
    return blocks.tag_feature(blocks.bn_act(x, style=TORCH, name="final"), 32)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load; timm's names are torchvision's."""
    names = {"stem_conv": "conv0", "stem_bn": "norm0", "final_bn": "norm5"}
    for b, depth in enumerate(config.depths):
        for n in range(depth):
            for part in (1, 2):
                prefix = f"denseblock{b + 1}.denselayer{n + 1}"
                names[f"block{b}_{n}_{part}_bn"] = f"{prefix}.norm{part}"
                names[f"block{b}_{n}_{part}_conv"] = f"{prefix}.conv{part}"
        if b:
            names[f"transition{b - 1}_bn"] = f"transition{b}.norm"
            names[f"transition{b - 1}_conv"] = f"transition{b}.conv"
    layers = {layer: f"features.{module}" for layer, module in names.items()}
    return (CheckpointFormat(name="torchvision", layers=layers | {"classifier": "classifier"}),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1608.06993",
)
preprocess_input = FAMILY.preprocess_input()


def _densenet(number: int, depths: tuple[int, ...], reported: ReportedResults):
    name = f"densenet{number}"
    weights = Weights(
        tag="tv_in1k",
        sources=(HubFile(repo=f"timm/{name}.tv_in1k"),),
        license="Apache-2.0",
        author="torchvision, in timm's repository",
        preprocess=PreprocessConfig(),
    )
    card = Card(name=name, title=f"DenseNet-{number}", reported=reported, weights=(weights,))
    return FAMILY.register(f"DenseNet{number}", Config(depths), card)


TALK = "DEVIEW 2019 talk, table of heavy models"
COUNTED = "the talk counts batch norm, activations and pooling too"

DenseNet169 = _densenet(
    169,
    (6, 12, 32, 32),
    ReportedResults(
        source=TALK, top1_error=24.0, top5_error=7.0, params=14.2, macs=3.4, discrepancy=COUNTED
    ),
)
DenseNet201 = _densenet(
    201,
    (6, 12, 48, 32),
    ReportedResults(
        source=TALK, top1_error=22.8, top5_error=6.4, params=20.0, macs=4.4, discrepancy=COUNTED
    ),
)

"""Xception.

Chollet: "Xception: Deep Learning with Depthwise Separable Convolutions", arXiv 1610.02357. Follows the
PyTorch conversion that timm calls `legacy_xception` (Apache-2.0): symmetric padding, batch-norm
epsilon 1e-5; Keras' own file, of the same weights, pads as TensorFlow does. Difference: the
classifier is a 1x1 convolution.
"""

from dataclasses import dataclass, replace

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, PreprocessConfig, ReportedResults
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

UNPADDED = replace(TORCH, padding="valid")


@dataclass(frozen=True)
class Config:
    """The model (paper, figure 5).

    Args:
        stem: two int, channels of the two convolutions of the stem.

        blocks: (channels of the separable convolutions, stride) of every residual block.

        final: two int, channels of the two separable convolutions at the end.
    """

    stem: tuple[int, int] = (32, 64)
    blocks: tuple[tuple[tuple[int, ...], int], ...] = (
        ((128, 128), 2),
        ((256, 256), 2),
        ((728, 728), 2),
        *[((728, 728, 728), 1)] * 8,
        ((728, 1024), 2),
    )
    final: tuple[int, int] = (1536, 2048)


def separable(x, channels: int, stride: int = 1, *, name: str):
    """Depthwise 3x3 convolution, 1x1 convolution, batch norm."""
    x = blocks.depthwise(x, 3, stride, style=TORCH, name=f"{name}_depthwise")
    return blocks.conv_bn_act(x, channels, act="linear", style=TORCH, name=name)


def build(x, config: Config):
    """Input to the last feature map before pooling.

    Features are the activated outputs, as in timm, which differ from what the shortcuts carry.
    """
    reduction = 2
    for n, channels in enumerate(config.stem):
        stride, name = 2 - n, f"stem{n}"
        x = blocks.conv_bn_act(x, channels, 3, stride, act="relu", style=UNPADDED, name=name)
    for i, (widths, stride) in enumerate(config.blocks):
        name, shortcut = f"block{i}", x
        for n, channels in enumerate(widths):
            if i or n:  # the stem ends in a ReLU
                x = blocks.activation(x, "relu", name=f"{name}_{n}_act")
            if n == 0 and stride == 2:
                x, reduction = blocks.tag_feature(x, reduction), reduction * 2
            x = separable(x, channels, name=f"{name}_{n}")
        if stride == 2:
            x = pooling.max_pool_repeated_edges(x, name=f"{name}_pool")
            shortcut = blocks.conv_bn_act(
                shortcut, widths[-1], 1, 2, act="linear", style=TORCH, name=f"{name}_shortcut"
            )
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    for n, channels in enumerate(config.final):
        x = separable(x, channels, name=f"final{n}")
        x = blocks.activation(x, "relu", name=f"final{n}_act")
    return blocks.tag_feature(x, reduction)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    names = {"classifier": "fc"}

    def add(layer, conv, bn):
        names[f"{layer}_depthwise"] = f"{conv}.conv1"
        names[f"{layer}_conv"], names[f"{layer}_bn"] = f"{conv}.pointwise", bn

    for n in range(2):
        names[f"stem{n}_conv"], names[f"stem{n}_bn"] = f"conv{n + 1}", f"bn{n + 1}"
        add(f"final{n}", f"conv{n + 3}", f"bn{n + 3}")
    for i, (widths, stride) in enumerate(config.blocks):
        for n in range(len(widths)):
            place = 3 * n + (1 if i else 0)  # the first block has no ReLU before
            add(f"block{i}_{n}", f"block{i + 1}.rep.{place}", f"block{i + 1}.rep.{place + 1}")
        if stride == 2:
            names[f"block{i}_shortcut_conv"] = f"block{i + 1}.skip"
            names[f"block{i}_shortcut_bn"] = f"block{i + 1}.skipbn"
    return (CheckpointFormat(name="timm", layers=names),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1610.02357",
)
preprocess_input = FAMILY.preprocess_input()

Xception = FAMILY.register(
    "Xception",
    Config(),
    Card(
        name="xception",
        title="Xception",
        preprocess=PreprocessConfig(
            image_size=299, crop_pct=0.8975, mean=(0.5,) * 3, std=(0.5,) * 3
        ),
        reported=ReportedResults(
            source="DEVIEW 2019 talk, table of heavy models",
            top1_error=21.0,
            top5_error=5.5,
            params=22.9,
            macs=8.4,
            image_size=299,
        ),
        notes=(
            "No weights are on a public hub; pass a checkpoint file (timm's `legacy_xception`, "
            "Apache-2.0) as `weights`."
        ),
    ),
)

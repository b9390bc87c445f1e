"""Xception.

Chollet: "Xception: Deep Learning with Depthwise Separable Convolutions", arXiv 1610.02357. Follows the
PyTorch conversion that timm calls `legacy_xception` (Apache-2.0): symmetric padding, batch-norm
epsilon 1e-5; Keras' own file, of the same weights, pads as TensorFlow does. What differs here: the
classifier is a 1x1 convolution.
"""

from dataclasses import dataclass, replace

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, PreprocessConfig, ReportedResults
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

UNPADDED = replace(TORCH, padding="valid")


@dataclass(frozen=True)
class Row:
    """The network (paper, figure 5).

    Args:
        stem: channels of the two convolutions of the stem.
        blocks: (channels of the separable convolutions, stride) of every residual block.
        final: channels of the two separable convolutions at the end.
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


def separable(x, filters: int, stride: int = 1, *, name: str):
    """Depthwise 3x3 and 1x1 with nothing between, batch norm."""
    x = blocks.depthwise(x, 3, stride, style=TORCH, name=f"{name}_depthwise")
    return blocks.conv_bn_act(x, filters, act="linear", style=TORCH, name=name)


def pool(x, *, name: str):
    """Max pooling 3x3 of stride 2, padded on all sides.

    Border rows and columns are repeated: it changes no maximum, as PyTorch's minus infinity, where
    zeros would hide negative values.
    """
    x = keras.layers.Concatenate(1, name=f"{name}_rows")([x[:, :1], x, x[:, -1:]])
    x = keras.layers.Concatenate(2, name=f"{name}_columns")([x[:, :, :1], x, x[:, :, -1:]])
    return keras.layers.MaxPooling2D(3, 2, name=name)(x)


def build(x, row: Row):
    """Input to the last map before pooling.

    Features are the activated outputs, as in timm, which differ from what the shortcuts carry.
    """
    reduction = 2
    for n, filters in enumerate(row.stem):
        stride, name = 2 - n, f"stem{n}"
        x = blocks.conv_bn_act(x, filters, 3, stride, act="relu", style=UNPADDED, name=name)
    for i, (widths, stride) in enumerate(row.blocks):
        name, shortcut = f"block{i}", x
        for n, filters in enumerate(widths):
            if i or n:  # the stem ends in a ReLU
                x = blocks.activation(x, "relu", name=f"{name}_{n}_act")
            if n == 0 and stride == 2:
                x, reduction = blocks.feature(x, reduction), reduction * 2
            x = separable(x, filters, name=f"{name}_{n}")
        if stride == 2:
            x = pool(x, name=f"{name}_pool")
            shortcut = blocks.conv_bn_act(
                shortcut, widths[-1], 1, 2, act="linear", style=TORCH, name=f"{name}_shortcut"
            )
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    for n, filters in enumerate(row.final):
        x = separable(x, filters, name=f"final{n}")
        x = blocks.activation(x, "relu", name=f"final{n}_act")
    return blocks.feature(x, reduction)


def top(x, row: Row, classes: int):
    """The last map to logits."""
    return blocks.classifier(x, classes)


def checkpoint_formats(row: Row) -> tuple[CheckpointFormat, ...]:
    """The checkpoint kinds that this family reads."""
    names = {"classifier": "fc"}

    def add(ours, conv, bn):
        names[f"{ours}_depthwise"] = f"{conv}.conv1"
        names[f"{ours}_conv"], names[f"{ours}_bn"] = f"{conv}.pointwise", bn

    for n in range(2):
        names[f"stem{n}_conv"], names[f"stem{n}_bn"] = f"conv{n + 1}", f"bn{n + 1}"
        add(f"final{n}", f"conv{n + 3}", f"bn{n + 3}")
    for i, (widths, stride) in enumerate(row.blocks):
        for n in range(len(widths)):
            place = 3 * n + (1 if i else 0)  # the first block has no ReLU before
            add(f"block{i}_{n}", f"block{i + 1}.rep.{place}", f"block{i + 1}.rep.{place + 1}")
        if stride == 2:
            names[f"block{i}_shortcut_conv"] = f"block{i + 1}.skip"
            names[f"block{i}_shortcut_bn"] = f"block{i + 1}.skipbn"
    return (CheckpointFormat(name="timm", layers=names),)


FAMILY = Family(
    __name__, build=build, top=top, checkpoint_formats=checkpoint_formats, source="arXiv 1610.02357"
)
preprocess_input = FAMILY.preprocess_input()

Xception = FAMILY.variant(
    "Xception",
    Row(),
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

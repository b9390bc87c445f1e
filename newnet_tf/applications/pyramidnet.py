"""PyramidNet.

Han, Kim, Kim: "Deep Pyramidal Residual Networks", arXiv 1610.02915 (jhkim89/PyramidNet,
dyhan0920/PyramidNet-PyTorch). Follows pytorchcv (MIT), which has the authors' one ImageNet network
in PyTorch: a ResNet-101 whose width grows linearly from block to block, by `alpha` in total.
Batch norms come before the convolutions, and one more at a block's end; the shortcut has no weights.
Difference: the head is `blocks.classifier`.
"""

from dataclasses import dataclass

from newnet_tf.applications.resnet import EXPANSION, FIRST_STRIDES
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

STEM = 64


@dataclass(frozen=True)
class Config:
    """One model of the family: blocks of the four stages, channels that they add to the stem's 64."""

    depths: tuple[int, ...]
    alpha: int

    @property
    def widths(self) -> list[int]:
        """Width inside of every block (paper, equation 2); its output has four times as many."""
        blocks_ = sum(self.depths)
        return [round(STEM + self.alpha * n / blocks_) for n in range(1, blocks_ + 1)]


def pyramidal(x, width: int, stride: int, *, name: str):
    """Bottleneck without a ReLU at its beginning, a batch norm at its end (paper, figure 6 d)."""
    y = blocks.norm(x, style=TORCH, name=f"{name}_1_bn")
    y = blocks.conv(y, width, style=TORCH, name=f"{name}_1_conv")
    y = blocks.bn_act(y, style=TORCH, name=f"{name}_2")
    y = blocks.conv(y, width, 3, stride, style=TORCH, name=f"{name}_2_conv")
    y = blocks.bn_act(y, style=TORCH, name=f"{name}_3")
    y = blocks.conv(y, width * EXPANSION, style=TORCH, name=f"{name}_3_conv")
    y = blocks.norm(y, style=TORCH, name=f"{name}_end_bn")
    if stride > 1:  # rounds up, and does not count padding
        x = keras.layers.AveragePooling2D(2, 2, padding="same", name=f"{name}_shortcut_pool")(x)
    return blocks.add_first_channels(y, x, name=f"{name}_add")


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    widths = config.widths

    def block(x, i, stride):
        if i == len(widths):
            return blocks.bn_act(x, style=TORCH, name="final")
        return pyramidal(x, widths[i], stride, name=f"block{i}")

    x = blocks.conv_bn_act(x, STEM, 7, 2, act="relu", style=TORCH, name="stem")
    x = pooling.max_pool(blocks.tag_feature(x, 2), padding=1, name="stem_pool")
    strides = blocks.block_strides(config.depths, FIRST_STRIDES)
    return blocks.stack(x, (*strides, 1), block, reduction=4)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    names = {f"stem_{part}": f"features.init_block.{part}" for part in ("conv", "bn")}
    names["final_bn"] = "features.post_activ.bn"
    places = [
        (stage, b) for stage, depth in enumerate(config.depths, 1) for b in range(1, depth + 1)
    ]
    for i, (stage, b) in enumerate(places):
        prefix = f"features.stage{stage}.unit{b}"
        names[f"block{i}_end_bn"] = f"{prefix}.bn"
        for n in (1, 2, 3):
            for part in ("bn", "conv"):
                names[f"block{i}_{n}_{part}"] = f"{prefix}.body.conv{n}.{part}"
    return (CheckpointFormat(name="pytorchcv", layers=names | {"classifier": "output"}),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1610.02915",
)
preprocess_input = FAMILY.preprocess_input()

PyramidNet101A360 = FAMILY.register(
    "PyramidNet101A360",
    Config(depths=(3, 4, 23, 3), alpha=360),
    Card(
        name="pyramidnet101_a360",
        title="PyramidNet-101 (alpha 360)",
        reported=ReportedResults(
            source="the authors' page, github.com/dyhan0920/PyramidNet-PyTorch",
            top1_error=21.98,
            top5_error=6.20,
            params=42.5,
        ),
        notes="No weights are on a public hub; pass pytorchcv's checkpoint file as `weights`.",
    ),
)

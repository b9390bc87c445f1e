"""The small Xception: a shallow residual network of separable convolutions.

Li et al.: "Light-Head R-CNN", arXiv 1711.07264, calls it a small Xception-like network; Ma et al.:
"ShuffleNet V2", arXiv 1807.11164, compare with it at four widths. Neither publishes a definition.
Determined are the stem of 24 channels and its pooling, stages of 4, 8 and 4 bottlenecks, and the
multiply-adds of the four widths: 40, 145, 305 and 525 million. The block is that of the authors'
laboratory's Xception39 (BiSeNet, arXiv 1808.00897; TorchSeg, MIT): three separable convolutions, the
first two a quarter as wide, and another on the shortcut. Assumed are the widths, 128, 256 and 512
times the factor: they give 145.3, 305.2 and 526.2 million, and at x0.5 with a stem of 8 channels, which
is Xception39, 39.7 million. (Others' versions have 144, 288 and 576; with this block those make 180
million.) Difference: the classifier is a 1x1 convolution.
"""

from dataclasses import dataclass

from newnet_tf.applications.xception import separable
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

DEPTHS = (4, 8, 4)
STRIDES = blocks.block_strides(DEPTHS, firsts=(2, 2, 2))
CHANNELS = (128, 256, 512)
BOTTLENECK = 4


@dataclass(frozen=True)
class Config:
    """One model of the family: factor of the stages' widths, and width of the stem."""

    width: float = 1.0
    stem: int = 24


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    widths = [int(c * config.width) for c in CHANNELS]
    channels = [c for c, depth in zip(widths, DEPTHS, strict=True) for _ in range(depth)]
    x = blocks.conv_bn_act(x, config.stem, 3, 2, act="relu", style=TORCH, name="stem")
    x = blocks.tag_feature(x, 2)
    x = pooling.max_pool(x, padding=1, name="stem_pool")

    def block(x, i, stride):
        return _unit(x, channels[i], stride, f"block{i}")

    return blocks.stack(x, STRIDES, block, reduction=4)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def _unit(x, channels: int, stride: int, name: str):
    """A residual block; where it halves the map, its shortcut is a separable convolution too."""
    shortcut = x
    for n, width in enumerate((channels // BOTTLENECK, channels // BOTTLENECK, channels)):
        x = separable(x, width, 1 if n else stride, name=f"{name}_{n}")
        if n < 2:
            x = blocks.activation(x, "relu", name=f"{name}_{n}_act")
    if stride == 2:
        shortcut = separable(shortcut, channels, stride, name=f"{name}_shortcut")
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return blocks.activation(x, "relu", name=f"{name}_act")


def torchseg_names() -> dict[str, str]:
    """Maps our layer names to TorchSeg's module names."""
    names = {"stem_conv": "conv1.conv", "stem_bn": "conv1.bn", "classifier": "fc"}
    places = [(stage, j) for stage, depth in enumerate(DEPTHS, 1) for j in range(depth)]
    for i, (stage, j) in enumerate(places):
        parts = {str(n): f"residual_branch.{n}" for n in range(3)}
        if j == 0:
            parts["shortcut"] = "proj"
        for layer, prefix in parts.items():
            module = f"layer{stage}.{j}.{prefix}"
            names[f"block{i}_{layer}_depthwise"] = f"{module}.conv1"
            names[f"block{i}_{layer}_conv"] = f"{module}.point_wise_cbr.conv"
            names[f"block{i}_{layer}_bn"] = f"{module}.point_wise_cbr.bn"
    return names


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="torchseg", layers=torchseg_names()),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1711.07264",
)
preprocess_input = FAMILY.preprocess_input()

XceptionSmall = FAMILY.register(
    "XceptionSmall",
    Config(),
    Card(
        name="xception_small",
        title="Xception (small)",
        reported=ReportedResults(source="arXiv 1807.11164, table 8", top1_error=34.1, macs=0.145),
        notes=(
            "A reconstruction: papers print its depths and multiply-adds, not its widths and block. No "
            "weights are published; a checkpoint in TorchSeg's names can be read."
        ),
    ),
)

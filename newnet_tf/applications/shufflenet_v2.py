"""ShuffleNetV2.

Ma, Zhang, Zheng, Sun: "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
arXiv 1807.11164 (megvii-model/ShuffleNet-Series, PyTorch). Follows torchvision (BSD-3-Clause):
symmetric padding, batch-norm epsilon 1e-5. The x1.4 of the talk is in no paper; its widths are those
of x1.0 times 1.4, rounded to even numbers. Difference: half of the channels is taken by slices, and the
head is `blocks.classifier`.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

DEPTHS = (4, 8, 4)
STRIDES = blocks.block_strides(DEPTHS, firsts=(2, 2, 2))
STEM = 24


@dataclass(frozen=True)
class Config:
    """One model of the family (paper, table 5): widths of the three stages and the last one."""

    channels: tuple[int, int, int]
    final: int = 1024


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    channels = [c for c, depth in zip(config.channels, DEPTHS, strict=True) for _ in range(depth)]
    x = blocks.conv_bn_act(x, STEM, 3, 2, act="relu", style=TORCH, name="stem")
    x = blocks.tag_feature(x, 2)
    x = pooling.max_pool(x, padding=1, name="stem_pool")
    x = blocks.stack(x, STRIDES, lambda x, i, s: _unit(x, channels[i], s, f"block{i}"), reduction=4)
    return blocks.conv_bn_act(x, config.final, act="relu", style=TORCH, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def _unit(x, channels: int, stride: int, name: str):
    """Two branches of half the channels each, shuffled (paper, figure 3 c and d)."""
    half = channels // 2
    if stride == 1:
        unchanged, x = x[..., :half], x[..., half:]
    else:
        part = f"{name}_shortcut"
        unchanged = blocks.depthwise_bn_act(
            x, 3, 2, act="linear", style=TORCH, name=f"{part}_depthwise"
        )
        unchanged = blocks.conv_bn_act(unchanged, half, act="relu", style=TORCH, name=part)
    x = blocks.conv_bn_act(x, half, act="relu", style=TORCH, name=f"{name}_expand")
    x = blocks.depthwise_bn_act(x, 3, stride, act="linear", style=TORCH, name=f"{name}_depthwise")
    x = blocks.conv_bn_act(x, half, act="relu", style=TORCH, name=f"{name}_project")
    x = keras.layers.Concatenate(name=f"{name}_join")([unchanged, x])
    return blocks.channel_shuffle(x, 2, name=f"{name}_shuffle")


def torchvision_names() -> dict[str, str]:
    """Maps our layer names to torchvision's module names."""
    names = {"stem_conv": "conv1.0", "stem_bn": "conv1.1"}
    places = [(stage, j) for stage, depth in enumerate(DEPTHS, 2) for j in range(depth)]
    for i, (stage, j) in enumerate(places):
        prefix = f"stage{stage}.{j}"
        parts = {"expand": "branch2.0", "depthwise": "branch2.3", "project": "branch2.5"}
        if j == 0:
            parts |= {"shortcut_depthwise": "branch1.0", "shortcut": "branch1.2"}
        for layer, module in parts.items():
            branch, number = module.split(".")
            names[f"block{i}_{layer}_conv"] = f"{prefix}.{module}"
            names[f"block{i}_{layer}_bn"] = f"{prefix}.{branch}.{int(number) + 1}"
    return names | {"final_conv": "conv5.0", "final_bn": "conv5.1", "classifier": "fc"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="torchvision", layers=torchvision_names()),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1807.11164",
)
preprocess_input = FAMILY.preprocess_input()

FILE = "No weights are on a public hub; pass torchvision's checkpoint file as `weights`."
EVEN = "Named by the talk only; no weights are published for this width."
PAPER = "arXiv 1807.11164, tables 5 and 8"
TALK = "DEVIEW 2019 talk, table of light models"


def _v2(width: float, config: Config, reported: ReportedResults | None, notes: str = FILE):
    code = f"{round(width * 100):03}"
    name, title = f"shufflenet_v2_{code}", f"ShuffleNetV2 x{width}"
    card = Card(name=name, title=title, reported=reported, notes=notes)
    return FAMILY.register(f"ShuffleNetV2_{code}", config, card)


ShuffleNetV2_050 = _v2(
    0.5,
    Config((48, 96, 192)),
    ReportedResults(source=PAPER, top1_error=39.7, params=1.4, macs=0.041),
)
ShuffleNetV2_100 = _v2(
    1.0,
    Config((116, 232, 464)),
    ReportedResults(source=PAPER, top1_error=30.6, params=2.3, macs=0.146),
)
ShuffleNetV2_140 = _v2(1.4, Config((162, 324, 648)), reported=None, notes=EVEN)
ShuffleNetV2_150 = _v2(
    1.5,
    Config((176, 352, 704)),
    ReportedResults(source=TALK, top1_error=27.4, params=3.5, macs=0.30),
)
ShuffleNetV2_200 = _v2(
    2.0,
    Config((244, 488, 976), 2048),
    ReportedResults(source=PAPER, top1_error=25.1, params=7.4, macs=0.591),
)

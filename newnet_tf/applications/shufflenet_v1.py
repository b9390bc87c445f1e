"""ShuffleNetV1.

Zhang, Zhou, Lin, Sun: "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile
Devices", arXiv 1707.01083 (megvii-model/ShuffleNet-Series). Follows pytorchcv (MIT), which alone has
it with its checkpoints: the stem is widened with the rest (48 at x2.0), symmetric padding, batch-norm
epsilon 1e-5. Difference: the head is `blocks.classifier`, and at stride 2 ReLU is applied to
the convolved branch alone, since the pooled one has no negative values.
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
CHANNELS = {3: (240, 480, 960)}  # paper, table 1: widths of the stages by number of groups


@dataclass(frozen=True)
class Config:
    """One model of the family: groups of its 1x1 convolutions, width multiplier."""

    groups: int
    width: float


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    widths = [int(c * config.width) for c in CHANNELS[config.groups]]
    channels = [c for c, depth in zip(widths, DEPTHS, strict=True) for _ in range(depth)]

    def block(x, i, stride):
        groups = config.groups if i else 1, config.groups
        return _unit(x, channels[i], stride, groups, f"block{i}")

    x = blocks.conv_bn_act(x, int(STEM * config.width), 3, 2, act="relu", style=TORCH, name="stem")
    x = blocks.tag_feature(x, 2)
    x = pooling.max_pool(x, padding=1, name="stem_pool")
    return blocks.stack(x, STRIDES, block, reduction=4)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def _unit(x, channels: int, stride: int, groups: tuple[int, int], name: str):
    """Grouped bottleneck with shuffle; at stride 2 concatenated with the pooled input (figure 2)."""
    shortcut, inner = x, channels // 4
    x = blocks.conv_bn_act(
        x, inner, act="relu", groups=groups[0], style=TORCH, name=f"{name}_reduce"
    )
    x = blocks.channel_shuffle(x, groups[1], name=f"{name}_shuffle")
    x = blocks.depthwise_bn_act(x, 3, stride, act="linear", style=TORCH, name=f"{name}_depthwise")
    grouped = {"groups": groups[1], "style": TORCH, "name": f"{name}_expand"}
    if stride == 1:
        x = blocks.conv_bn_act(x, channels, act="linear", **grouped)
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
        return blocks.activation(x, "relu", name=f"{name}_act")
    x = blocks.conv_bn_act(x, channels - shortcut.shape[-1], act="relu", **grouped)
    shortcut = pooling.average_pool(shortcut, padding=1, name=f"{name}_shortcut_pool")
    return keras.layers.Concatenate(name=f"{name}_join")([x, shortcut])


def pytorchcv_names() -> dict[str, str]:
    """Maps our layer names to pytorchcv's module names."""
    names = {f"stem_{part}": f"features.init_block.{part}" for part in ("conv", "bn")}
    places = [(stage, j) for stage, depth in enumerate(DEPTHS, 1) for j in range(1, depth + 1)]
    modules = {
        "reduce": ("compress_conv1", "compress_bn1"),
        "depthwise": ("dw_conv2", "dw_bn2"),
        "expand": ("expand_conv3", "expand_bn3"),
    }
    for i, (stage, j) in enumerate(places):
        for layer, (conv, bn) in modules.items():
            names[f"block{i}_{layer}_conv"] = f"features.stage{stage}.unit{j}.{conv}"
            names[f"block{i}_{layer}_bn"] = f"features.stage{stage}.unit{j}.{bn}"
    return names | {"classifier": "output"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="pytorchcv", layers=pytorchcv_names()),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1707.01083",
)
preprocess_input = FAMILY.preprocess_input()

FILE = "No weights are on a public hub; pass pytorchcv's checkpoint file as `weights`."


def _v1(width: float, reported: ReportedResults):
    groups, code = 3, f"{round(width * 100):03}"
    card = Card(
        name=f"shufflenet_v1_{code}",
        title=f"ShuffleNetV1 x{width} (g={groups})",
        reported=reported,
        notes=FILE,
    )
    return FAMILY.register(f"ShuffleNetV1_{code}", Config(groups, width), card)


ShuffleNetV1_100 = _v1(
    1.0, ReportedResults(source="arXiv 1707.01083, tables 1 and 2", top1_error=32.6, macs=0.137)
)
ShuffleNetV1_200 = _v1(
    2.0,
    ReportedResults(
        source="DEVIEW 2019 talk, table of light models", top1_error=26.3, params=5.4, macs=0.52
    ),
)

"""GhostNet.

Han, Wang, Tian, Guo, Xu, Xu: "GhostNet: More Features from Cheap Operations", arXiv 1911.11907
(huawei-noah/Efficient-AI-Backbones, Apache-2.0). Follows timm: symmetric padding, batch-norm epsilon
1e-5. Half of each module's channels are computed by a 1x1 convolution, the other half from those by
a cheap depthwise one. Difference: features are the last block outputs at each stride, where
timm takes those of the blocks that stride.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks
from newnet_tf.models.blocks import TORCH, SEConfig
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

HIDDEN = 1280


@dataclass(frozen=True)
class Bottleneck:
    """A block: depthwise kernel, expanded and output channels, squeeze-and-excitation, stride."""

    kernel: int
    expanded_channels: int
    channels: int
    has_se: bool = False
    stride: int = 1


# paper, table 1; timm's stages, which its names count, begin where the stride or the width changes
STAGES = (
    (Bottleneck(3, 16, 16),),
    (Bottleneck(3, 48, 24, stride=2),),
    (Bottleneck(3, 72, 24),),
    (Bottleneck(5, 72, 40, has_se=True, stride=2),),
    (Bottleneck(5, 120, 40, has_se=True),),
    (Bottleneck(3, 240, 80, stride=2),),
    (
        Bottleneck(3, 200, 80),
        Bottleneck(3, 184, 80),
        Bottleneck(3, 184, 80),
        Bottleneck(3, 480, 112, has_se=True),
        Bottleneck(3, 672, 112, has_se=True),
    ),
    (Bottleneck(5, 672, 160, has_se=True, stride=2),),
    (
        Bottleneck(5, 960, 160),
        Bottleneck(5, 960, 160, has_se=True),
        Bottleneck(5, 960, 160),
        Bottleneck(5, 960, 160, has_se=True),
    ),
)


@dataclass(frozen=True)
class Config:
    """One model of the family: width multiplier."""

    width: float

    def channels(self, base: int) -> int:
        """Returns a scaled number of channels."""
        return blocks.make_divisible(base * self.width, 4)


def per_block() -> list[Bottleneck]:
    """Returns all blocks in order."""
    return [block for stage in STAGES for block in stage]


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = blocks.conv_bn_act(x, config.channels(16), 3, 2, act="relu", style=TORCH, name="stem")

    def block(x, i, stride):
        return _bottleneck(x, per_block()[i], config, f"block{i}")

    x = blocks.stack(x, [block.stride for block in per_block()], block)
    final = config.channels(per_block()[-1].expanded_channels)
    return blocks.conv_bn_act(x, final, act="relu", style=TORCH, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits, by a hidden layer."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = blocks.conv(x, HIDDEN, style=TORCH, bias=True, name="hidden_conv")
    x = blocks.activation(x, "relu", name="hidden_act")
    return blocks.logits(x, classes, dropout=0.2)


def _ghost(x, channels: int, act: str, name: str):
    """Half of the channels by a 1x1 convolution, half from those by 3x3 depthwise (figure 1)."""
    x = blocks.conv_bn_act(x, channels // 2, act=act, style=TORCH, name=name)
    cheap = blocks.depthwise_bn_act(x, 3, act=act, style=TORCH, name=f"{name}_cheap")
    return keras.layers.Concatenate(name=f"{name}_join")([x, cheap])


def _bottleneck(x, block: Bottleneck, config: Config, name: str):
    """Two ghost modules, a depthwise convolution between them at stride 2 (paper, figure 3)."""
    shortcut, style = x, TORCH
    channels, expanded_channels = (
        config.channels(block.channels),
        config.channels(block.expanded_channels),
    )
    options = {"act": "linear", "style": style}
    x = _ghost(x, expanded_channels, "relu", f"{name}_expand")
    if block.stride == 2:
        x = blocks.depthwise_bn_act(x, block.kernel, 2, **options, name=f"{name}_depthwise")
    if block.has_se:
        se = SEConfig(blocks.make_divisible(expanded_channels / 4, 4), gate="hard_sigmoid")
        x = blocks.squeeze_excite(x, se, style=style, name=f"{name}_se")
    x = _ghost(x, channels, "linear", f"{name}_project")
    if block.stride == 2 or shortcut.shape[-1] != channels:
        part = f"{name}_shortcut"
        shortcut = blocks.depthwise_bn_act(
            shortcut, block.kernel, block.stride, **options, name=f"{part}_depthwise"
        )
        shortcut = blocks.conv_bn_act(shortcut, channels, **options, name=part)
    return keras.layers.Add(name=f"{name}_add")([x, shortcut])


def timm_names() -> dict[str, str]:
    """Maps our layer names to timm's module names."""
    names = {"stem_conv": "conv_stem", "stem_bn": "bn1"}
    pairs = {
        "expand": "ghost1.primary_conv.{}",
        "expand_cheap": "ghost1.cheap_operation.{}",
        "project": "ghost2.primary_conv.{}",
        "project_cheap": "ghost2.cheap_operation.{}",
    }
    places = [(s, b) for s, stage in enumerate(STAGES) for b in range(len(stage))]
    for i, (s, b) in enumerate(places):
        prefix = f"blocks.{s}.{b}"
        for layer, module in pairs.items():
            for number, part in enumerate(("conv", "bn")):
                names[f"block{i}_{layer}_{part}"] = f"{prefix}.{module.format(number)}"
        for part in ("conv", "bn"):
            names[f"block{i}_depthwise_{part}"] = f"{prefix}.{part}_dw"
        for part in ("reduce", "expand"):
            names[f"block{i}_se_{part}"] = f"{prefix}.se.conv_{part}"
        for number, part in enumerate(("depthwise_conv", "depthwise_bn", "conv", "bn")):
            names[f"block{i}_shortcut_{part}"] = f"{prefix}.shortcut.{number}"
    names |= {
        "final_conv": f"blocks.{len(STAGES)}.0.conv",
        "final_bn": f"blocks.{len(STAGES)}.0.bn1",
    }
    return names | {"hidden_conv": "conv_head", "classifier": "classifier"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="timm", layers=timm_names()),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    head=("hidden_conv", "classifier"),
    source="arXiv 1911.11907",
)
preprocess_input = FAMILY.preprocess_input()

GhostNet100 = FAMILY.register(
    "GhostNet100",
    Config(1.0),
    Card(
        name="ghostnet_100",
        title="GhostNet x1.0",
        reported=ReportedResults(
            source="arXiv 1911.11907, table 7",
            top1_error=26.1,
            top5_error=8.6,
            params=5.2,
            macs=0.141,
        ),
        weights=(
            Weights(
                tag="in1k",
                sources=(HubFile(repo="timm/ghostnet_100.in1k"),),
                license="Apache-2.0",
                author="Huawei Noah's Ark Lab, in timm's naming",
                preprocess=PreprocessConfig(),
            ),
        ),
    ),
)

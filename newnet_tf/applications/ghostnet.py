"""GhostNet.

Han, Wang, Tian, Guo, Xu, Xu: "GhostNet: More Features from Cheap Operations", arXiv 1911.11907
(huawei-noah/Efficient-AI-Backbones, Apache-2.0). Follows timm: symmetric padding, batch-norm epsilon
1e-5. Half of each module's channels are computed by a 1x1 convolution, the other half from those by
a cheap depthwise one. What differs here: features are the last block outputs at each stride, where
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
    """A block: kernel of its depthwise convolutions, expanded and output channels, squeeze, stride."""

    kernel: int
    expanded: int
    filters: int
    squeezed: bool = False
    stride: int = 1


# paper, table 1; timm's stages, which its names count, begin where the stride or the width changes
STAGES = (
    (Bottleneck(3, 16, 16),),
    (Bottleneck(3, 48, 24, stride=2),),
    (Bottleneck(3, 72, 24),),
    (Bottleneck(5, 72, 40, squeezed=True, stride=2),),
    (Bottleneck(5, 120, 40, squeezed=True),),
    (Bottleneck(3, 240, 80, stride=2),),
    (
        Bottleneck(3, 200, 80),
        Bottleneck(3, 184, 80),
        Bottleneck(3, 184, 80),
        Bottleneck(3, 480, 112, squeezed=True),
        Bottleneck(3, 672, 112, squeezed=True),
    ),
    (Bottleneck(5, 672, 160, squeezed=True, stride=2),),
    (
        Bottleneck(5, 960, 160),
        Bottleneck(5, 960, 160, squeezed=True),
        Bottleneck(5, 960, 160),
        Bottleneck(5, 960, 160, squeezed=True),
    ),
)


@dataclass(frozen=True)
class Row:
    """One network of the family: width multiplier."""

    width: float

    def channels(self, base: int) -> int:
        """Returns a scaled number of channels."""
        return blocks.make_divisible(base * self.width, 4)


def each() -> list[Bottleneck]:
    """Returns all blocks in order."""
    return [block for stage in STAGES for block in stage]


def build(x, row: Row):
    """Input to the last map before pooling."""
    x = blocks.conv_bn_act(x, row.channels(16), 3, 2, act="relu", style=TORCH, name="stem")

    def block(x, i, stride):
        return _bottleneck(x, each()[i], row, f"block{i}")

    x = blocks.stack(x, [block.stride for block in each()], block)
    final = row.channels(each()[-1].expanded)
    return blocks.conv_bn_act(x, final, act="relu", style=TORCH, name="final")


def top(x, row: Row, classes: int):
    """The last map to logits, by a hidden layer."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = blocks.conv(x, HIDDEN, style=TORCH, bias=True, name="hidden_conv")
    x = blocks.activation(x, "relu", name="hidden_act")
    return blocks.logits(x, classes, dropout=0.2)


def _ghost(x, filters: int, act: str, name: str):
    """Half of the channels by a 1x1 convolution, half from those by 3x3 depthwise (figure 1)."""
    x = blocks.conv_bn_act(x, filters // 2, act=act, style=TORCH, name=name)
    cheap = blocks.depthwise_bn_act(x, 3, act=act, style=TORCH, name=f"{name}_cheap")
    return keras.layers.Concatenate(name=f"{name}_join")([x, cheap])


def _bottleneck(x, block: Bottleneck, row: Row, name: str):
    """Two ghost modules, a depthwise convolution between them at stride 2 (paper, figure 3)."""
    shortcut, style = x, TORCH
    filters, expanded = row.channels(block.filters), row.channels(block.expanded)
    options = {"act": "linear", "style": style}
    x = _ghost(x, expanded, "relu", f"{name}_expand")
    if block.stride == 2:
        x = blocks.depthwise_bn_act(x, block.kernel, 2, **options, name=f"{name}_depthwise")
    if block.squeezed:
        squeeze = SEConfig(blocks.make_divisible(expanded / 4, 4), gate="hard_sigmoid")
        x = blocks.squeeze_excite(x, squeeze, style=style, name=f"{name}_se")
    x = _ghost(x, filters, "linear", f"{name}_project")
    if block.stride == 2 or shortcut.shape[-1] != filters:
        part = f"{name}_shortcut"
        shortcut = blocks.depthwise_bn_act(
            shortcut, block.kernel, block.stride, **options, name=f"{part}_depthwise"
        )
        shortcut = blocks.conv_bn_act(shortcut, filters, **options, name=part)
    return keras.layers.Add(name=f"{name}_add")([x, shortcut])


def timm_names() -> dict[str, str]:
    """Our layer name to timm's module name."""
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
        for ours, theirs in pairs.items():
            for number, part in enumerate(("conv", "bn")):
                names[f"block{i}_{ours}_{part}"] = f"{prefix}.{theirs.format(number)}"
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


def checkpoint_formats(row: Row) -> tuple[CheckpointFormat, ...]:
    """The checkpoint kinds that this family reads."""
    return (CheckpointFormat(name="timm", layers=timm_names()),)


FAMILY = Family(
    __name__,
    build=build,
    top=top,
    checkpoint_formats=checkpoint_formats,
    head=("hidden_conv", "classifier"),
    source="arXiv 1911.11907",
)
preprocess_input = FAMILY.preprocess_input()

GhostNet100 = FAMILY.variant(
    "GhostNet100",
    Row(1.0),
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

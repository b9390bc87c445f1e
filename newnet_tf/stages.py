"""Networks that are a table of stages of inverted residual blocks, and how timm names their modules.

MobileNetV2 wrote its network as such a table (arXiv 1801.04381, table 2); EfficientNet and most
searched mobile networks followed. A family that does keeps its table and leaves the rest to here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from newnet_tf import blocks


@dataclass(frozen=True)
class Stage:
    """A run of inverted residual blocks: output channels, depth, first stride, expansion, kernel.

    `expansion=None` leaves the expanding convolution out.
    """

    filters: int
    depth: int
    stride: int
    expansion: int | None = 6
    kernel: int = 3


def scale(
    stages: Sequence[Stage], width: float = 1.0, depth: float = 1.0, ends: bool = True
) -> tuple[Stage, ...]:
    """Returns the stages with channels and depths multiplied as EfficientNet does.

    Args:
        stages: the table.
        width: float, factor of the channels, which stay multiples of 8.
        depth: float, factor of the depths, rounded up.
        ends: bool, whether the first and the last stage become deeper too.
    """
    scaled = []
    for i, stage in enumerate(stages):
        deepened = math.ceil(stage.depth * depth)
        fixed = not ends and i in (0, len(stages) - 1)
        scaled.append(
            Stage(
                blocks.make_divisible(stage.filters * width),
                stage.depth if fixed else deepened,
                stage.stride,
                stage.expansion,
                stage.kernel,
            )
        )
    return tuple(scaled)


def each(stages: Sequence[Stage]) -> list[Stage]:
    """Returns the stage of every block, in order."""
    return [stage for stage in stages for _ in range(stage.depth)]


def build(x, stages: Sequence[Stage], *, act="relu6", style):
    """Applies all blocks to `x`, the output of a stem of stride 2, and marks the features."""
    of_block = each(stages)

    def block(x, i, stride):
        return blocks.inverted_residual(
            x,
            of_block[i].filters,
            expansion=of_block[i].expansion,
            kernel=of_block[i].kernel,
            stride=stride,
            act=act,
            depthwise_act=act,
            style=style,
            name=f"block{i}",
        )

    strides = blocks.block_strides([s.depth for s in stages], [s.stride for s in stages])
    return blocks.stack(x, strides, block)


def timm_names(stages: Sequence[Stage]) -> dict[str, str]:
    """Our layer name to timm's module name, for networks of timm's EfficientNet class."""
    names = {"stem_conv": "conv_stem", "stem_bn": "bn1"}
    places = [(s, b) for s, stage in enumerate(stages) for b in range(stage.depth)]
    for i, (place, stage) in enumerate(zip(places, each(stages), strict=True)):
        prefix = f"blocks.{place[0]}.{place[1]}"
        parts = {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"}
        if stage.expansion is None:
            parts = {"depthwise": "conv_dw", "project": "conv_pw"}
        for n, (ours, module) in enumerate(parts.items(), 1):
            names[f"block{i}_{ours}_conv"] = f"{prefix}.{module}"
            names[f"block{i}_{ours}_bn"] = f"{prefix}.bn{n}"
    return names | {"final_conv": "conv_head", "final_bn": "bn2", "classifier": "classifier"}

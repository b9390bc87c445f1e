"""Networks that are a table of stages of inverted residual blocks, and how timm names their modules.

MobileNetV2 wrote its network as such a table (arXiv 1801.04381, table 2); EfficientNet and most
searched mobile networks followed. A family that does keeps its table and leaves the rest to here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from newnet_tf.models import blocks
from newnet_tf.models.blocks import SEConfig


@dataclass(frozen=True)
class Stage:
    """A run of inverted residual blocks.

    Args:
        filters, depth, stride: int, output channels, number of blocks, stride of the first.
        expansion: float, factor of the channels inside; None leaves the expanding convolution out.
        kernel: int, or several for as many parts of the channels (MixNet).
        squeeze: float or None, the share of channels in squeeze-and-excitation.
        act: str or None, activation where it is not the network's.
        parts: two ints, into how many parts the expanding and projecting convolutions fall.
        continues_stage: bool, whether it belongs to the stage before; only names depend on it.
    """

    filters: int
    depth: int
    stride: int
    expansion: float | None = 6
    kernel: int | tuple[int, ...] = 3
    squeeze: float | None = None
    act: str | None = None
    parts: tuple[int, int] = (1, 1)
    continues_stage: bool = False


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
        filters = blocks.make_divisible(stage.filters * width)
        scaled.append(replace(stage, filters=filters, depth=stage.depth if fixed else deepened))
    return tuple(scaled)


def each(stages: Sequence[Stage]) -> list[Stage]:
    """Returns the stage of every block, in order."""
    return [stage for stage in stages for _ in range(stage.depth)]


def squeeze_inputs(share: float, inputs: int, inner: int, act: str) -> SEConfig:
    """A share of the block's input channels, and the block's activation (MnasNet, EfficientNet)."""
    return SEConfig(int(inputs * share), act=act)


def build(
    x,
    stages: Sequence[Stage],
    *,
    act="relu6",
    squeeze: Callable = squeeze_inputs,
    end: Callable | None = None,
    style,
):
    """Applies all blocks to `x`, the output of a stem of stride 2, and marks the features.

    Args:
        x: Keras tensor. stages: the table.
        act: str, activation. style: `blocks.Style`.
        squeeze: callable (a stage's `squeeze`, block's input channels, channels inside, activation)
            -> `blocks.Squeeze`.
        end: callable (tensor) -> tensor, what follows the blocks and belongs to the last feature.

    Returns:
        Keras tensor, the last feature.
    """
    of_block = each(stages)

    def block(x, i, stride):
        if i == len(of_block):
            return end(x)
        stage, inputs = of_block[i], x.shape[-1]
        kind, inner = stage.act or act, blocks.expanded(inputs, stage.expansion or 1)
        return blocks.inverted_residual(
            x,
            stage.filters,
            expansion=stage.expansion,
            kernel=stage.kernel,
            stride=stride,
            act=kind,
            depthwise_act=kind,
            squeeze=squeeze(stage.squeeze, inputs, inner, kind) if stage.squeeze else None,
            parts=stage.parts,
            style=style,
            name=f"block{i}",
        )

    strides = blocks.block_strides([s.depth for s in stages], [s.stride for s in stages])
    return blocks.stack(x, strides + (1,) * bool(end), block)


def timm_names(stages: Sequence[Stage]) -> dict[str, str]:
    """Our layer name to timm's module name, for networks of timm's EfficientNet class."""
    names, i, s, b = {"stem_conv": "conv_stem", "stem_bn": "bn1"}, 0, -1, 0
    for stage in stages:
        s, b = (s, b) if stage.continues_stage else (s + 1, 0)
        for _ in range(stage.depth):
            names |= _timm_block(stage, f"block{i}", f"blocks.{s}.{b}")
            i, b = i + 1, b + 1
    return names | {"final_conv": "conv_head", "final_bn": "bn2", "classifier": "classifier"}


def _timm_block(stage: Stage, ours: str, theirs: str) -> dict[str, str]:
    """The layers of one block; a convolution in parts is several, numbered on either side."""
    kernels = len(stage.kernel) if isinstance(stage.kernel, tuple) else 1
    modules = [
        ("expand", "conv_pw", stage.parts[0]),
        ("depthwise", "conv_dw", kernels),
        ("project", "conv_pwl", stage.parts[1]),
    ]
    if stage.expansion is None:
        modules = [modules[1], ("project", "conv_pw", stage.parts[1])]
    names = {}
    for n, (part, conv, pieces) in enumerate(modules, 1):
        names[f"{ours}_{part}_bn"] = f"{theirs}.bn{n}"
        if pieces == 1:
            names[f"{ours}_{part}_conv"] = f"{theirs}.{conv}"
        else:
            numbered = {f"{ours}_{part}_conv_{k}": f"{theirs}.{conv}.{k}" for k in range(pieces)}
            names |= numbered
    if stage.squeeze:
        names |= {f"{ours}_se_{part}": f"{theirs}.se.conv_{part}" for part in ("reduce", "expand")}
    return names

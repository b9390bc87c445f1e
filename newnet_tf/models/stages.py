"""Models that are a table of stages of inverted residual blocks, and timm's names of their modules.

MobileNetV2 is described by such a table (arXiv 1801.04381, table 2); EfficientNet and most mobile
models of architecture search followed. Such a family's file holds the table alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from newnet_tf.models import blocks
from newnet_tf.models.blocks import SEConfig
from newnet_tf.models.inverted_residual import expanded_channels, inverted_residual


@dataclass(frozen=True)
class Stage:
    """A sequence of inverted residual blocks.

    Args:
        channels: int, of every block's output.

        depth: int, number of blocks.

        stride: int, of the first block; the others have stride 1.

        expansion: float or None, channels inside over those of the input; None leaves the expanding
            convolution out. Default: 6.

        kernel: int, of the depthwise convolutions; or tuple of int, one for each split of the channels
            (MixNet). Default: 3.

        se_ratio: float or None, relative width of squeeze-and-excitation. Default: None, without.

        act: str or None, activation. Default: None, that of the model.

        splits: tuple of two int, splits of the expanding and projecting convolutions. Default: (1, 1).

        continues_stage: bool, whether checkpoints count the blocks as part of the stage before.
            Default: False.
    """

    channels: int
    depth: int
    stride: int
    expansion: float | None = 6
    kernel: int | tuple[int, ...] = 3
    se_ratio: float | None = None
    act: str | None = None
    splits: tuple[int, int] = (1, 1)
    continues_stage: bool = False


def scale(
    stages: Sequence[Stage], width: float = 1.0, depth: float = 1.0, scale_ends: bool = True
) -> tuple[Stage, ...]:
    """Returns the stages with channels and depths multiplied as EfficientNet does.

    Args:
        stages: the table.

        width: float, factor of the channels, which stay multiples of 8. Default: 1.0.

        depth: float, factor of the depths, rounded up. Default: 1.0.

        scale_ends: bool, whether the depth of the first and the last stage is multiplied too.
            Default: True.
    """
    scaled = []
    for i, stage in enumerate(stages):
        is_fixed = not scale_ends and i in (0, len(stages) - 1)
        blocks_in_stage = stage.depth if is_fixed else math.ceil(stage.depth * depth)
        channels = blocks.make_divisible(stage.channels * width)
        scaled.append(replace(stage, channels=channels, depth=blocks_in_stage))
    return tuple(scaled)


def per_block(stages: Sequence[Stage]) -> list[Stage]:
    """Returns the stage of every block, in order."""
    return [stage for stage in stages for _ in range(stage.depth)]


def se_of_input(se_ratio: float, input_channels: int, expanded_channels: int, act: str) -> SEConfig:
    """A share of the block's input channels, and the block's activation (MnasNet, EfficientNet)."""
    return SEConfig(int(input_channels * se_ratio), act=act)


def build(
    x,
    stages: Sequence[Stage],
    *,
    act="relu6",
    se_config: Callable[[float, int, int, str], SEConfig] = se_of_input,
    end: Callable | None = None,
    style,
):
    """Applies all blocks to `x`, the output of a stem of stride 2, and tags the features.

    Args:
        x: Keras tensor.

        stages: the table.

        act: str, activation of stages that have none of their own. Default: `"relu6"`.

        se_config: callable (se_ratio, input channels, expanded channels, activation) -> `SEConfig`.
            Default: `se_of_input`.

        end: callable (tensor) -> tensor or None, layers after the blocks that belong to the last
            feature. Default: None.

        style: `blocks.ConvBNConfig`.

    Returns:
        Keras tensor, the last feature.
    """
    stage_of_block = per_block(stages)

    def block(x, i, stride):
        if i == len(stage_of_block):
            return end(x)
        stage, inputs = stage_of_block[i], x.shape[-1]
        block_act, se = stage.act or act, None
        if stage.se_ratio:
            expanded = expanded_channels(inputs, stage.expansion or 1)
            se = se_config(stage.se_ratio, inputs, expanded, block_act)
        return inverted_residual(
            x,
            stage.channels,
            expansion=stage.expansion,
            kernel=stage.kernel,
            stride=stride,
            act=block_act,
            depthwise_act=block_act,
            se=se,
            splits=stage.splits,
            style=style,
            name=f"block{i}",
        )

    strides = blocks.block_strides([s.depth for s in stages], [s.stride for s in stages])
    return blocks.stack(x, strides + (1,) * bool(end), block)


def timm_names(stages: Sequence[Stage]) -> dict[str, str]:
    """{layer: module} of timm's EfficientNet class."""
    names, i, s, b = {"stem_conv": "conv_stem", "stem_bn": "bn1"}, 0, -1, 0
    for stage in stages:
        s, b = (s, b) if stage.continues_stage else (s + 1, 0)
        for _ in range(stage.depth):
            names |= _timm_block(stage, f"block{i}", f"blocks.{s}.{b}")
            i, b = i + 1, b + 1
    return names | {"final_conv": "conv_head", "final_bn": "bn2", "classifier": "classifier"}


def _timm_block(stage: Stage, block: str, prefix: str) -> dict[str, str]:
    """{layer: module} of one block; the splits of a convolution are numbered on both sides."""
    kernels = len(stage.kernel) if isinstance(stage.kernel, tuple) else 1
    modules = [
        ("expand", "conv_pw", stage.splits[0]),
        ("depthwise", "conv_dw", kernels),
        ("project", "conv_pwl", stage.splits[1]),
    ]
    if stage.expansion is None:
        modules = [modules[1], ("project", "conv_pw", stage.splits[1])]
    names = {}
    for n, (layer, module, splits) in enumerate(modules, 1):
        names[f"{block}_{layer}_bn"] = f"{prefix}.bn{n}"
        if splits == 1:
            names[f"{block}_{layer}_conv"] = f"{prefix}.{module}"
        else:
            for k in range(splits):
                names[f"{block}_{layer}_conv_{k}"] = f"{prefix}.{module}.{k}"
    if stage.se_ratio:
        names |= {f"{block}_se_{conv}": f"{prefix}.se.conv_{conv}" for conv in ("reduce", "expand")}
    return names

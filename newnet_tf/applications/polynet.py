"""PolyNet.

Zhang, Li, Loy, Lin: "PolyNet: A Pursuit of Structural Diversity in Very Deep Networks", arXiv
1611.05725 (CUHK-MMLAB/polynet). The "very deep PolyNet" of the authors' Caffe file, as pytorchcv
(MIT) has it: Inception-ResNet-V2's blocks, two in parallel (2-way), and three in sequence that
share all but their batch norms and last convolution (poly-3). The factor of each module is a little
smaller than that of the one before. Difference: the head is `blocks.classifier`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from newnet_tf.applications.inception_v3 import (
    MAX_POOL,
    MIN_SIZE,
    Branch,
    Mixed,
    Unit,
    layer_prefix,
    mixed,
    mixed_names,
    unit,
    unit_names,
)
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, PreprocessConfig, ReportedResults
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

WAYS, ORDER = 2, 3
DROPOUT = 0.2


def _chain(name: str, *steps: tuple) -> Branch:
    """Units one after another, as pytorchcv numbers them; a step has the arguments of `Unit`."""
    names = [f"{name}.conv_list.conv{n}" for n in range(1, len(steps) + 1)]
    return tuple(Unit(n, *step) for n, step in zip(names, steps, strict=True))


STEM = (Unit("conv1", 32, 3, 2), Unit("conv2", 32, 3, unpadded=True), Unit("conv3", 64, 3))
MIXED_3 = ((MAX_POOL,), (Unit("branch2.conv", 96, 3, 2),))
MIXED_4 = (
    _chain("branch1", (64,), (96, 3, 1, True)),
    _chain("branch2", (64,), (64, (7, 1)), (64, (1, 7)), (96, 3, 1, True)),
)
MIXED_5 = ((MAX_POOL,), (Unit("branch2.conv", 192, 3, 2),))
REDUCTION_A = (
    _chain("branch1", (256,), (256, 3), (384, 3, 2)),
    _chain("branch2", (384, 3, 2)),
    (MAX_POOL,),
)
REDUCTION_B = (
    _chain("branch1", (256,), (256, 3), (256, 3, 2)),
    _chain("branch2", (256,), (256, 3, 2)),
    _chain("branch3", (256,), (384, 3, 2)),
    (MAX_POOL,),
)
A = (
    _chain("branch1", (32,), (48, 3), (64, 3)),
    _chain("branch2", (32,), (32, 3)),
    (Unit("branch3.conv", 32),),
)
B_LONG = _chain("branch1", (128,), (160, (1, 7)), (192, (7, 1)))
C_LONG = _chain("branch1", (192,), (224, (1, 3)), (256, (3, 1)))


@dataclass(frozen=True)
class Stage:
    """The modules of one stride.

    Args:
        depth: int, number of units.

        pair: mixed block that the 2-way module of a unit has twice.

        three: mixed block that the poly-3 module before it has three times; or None.

        reduction: mixed block before the units, or None.
    """

    depth: int
    pair: Mixed
    three: Mixed | None = None
    reduction: Mixed | None = None


@dataclass(frozen=True)
class Config:
    """One model of the family: its stages (paper, section 4.3)."""

    stages: tuple[Stage, ...] = (
        Stage(10, A),
        Stage(
            10,
            (B_LONG, (Unit("branch2.conv", 192),)),
            (B_LONG, (Unit("branch2", 192),)),
            REDUCTION_A,
        ),
        Stage(
            5,
            (C_LONG, (Unit("branch2.conv", 192),)),
            (C_LONG, (Unit("branch2", 192),)),
            REDUCTION_B,
        ),
    )


def scale(module: int) -> float:
    """Factor of the output of a module, by its number: 1 to 0.7, in six digits as in pytorchcv."""
    return round(1 - module / 130, 6)


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    for step in STEM:
        x = unit(x, step, "stem", TORCH)
    x = mixed(blocks.tag_feature(x, 2), MIXED_3, "mixed3", TORCH)
    x = mixed(x, MIXED_4, "mixed4", TORCH)
    x = mixed(blocks.tag_feature(x, 4), MIXED_5, "mixed5", TORCH)
    module = 0
    for s, stage in enumerate(config.stages):
        if stage.reduction:
            x = mixed(x, stage.reduction, f"reduction{s}", TORCH)
        for i in range(stage.depth):
            name = f"stage{s}_{i}"
            if stage.three:
                x = _in_turn(x, stage.three, scale(module), f"{name}_poly")
                module += 1
            x = _side_by_side(x, stage.pair, scale(module), f"{name}_way")
            module += 1
        x = blocks.tag_feature(x, 8 << s)
    return x


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes, dropout=DROPOUT)


def _side_by_side(x, branches: Mixed, factor: float, name: str):
    """2-way module: two residual blocks on the same input (paper, figure 3 d)."""

    def block(i, y):
        y = mixed(x, branches, f"{name}{i}", TORCH)
        return _project(y, x.shape[-1], f"{name}{i}")

    return _add(x, block, WAYS, factor, name)


def _in_turn(x, branches: Mixed, factor: float, name: str):
    """Poly-3 module: three residual blocks, each on the one before it (paper, figure 3 a).

    All use the same convolutions, but for the last, and each its own batch norms.
    """
    units = [step for branch in branches for step in branch]
    convs = {
        step: blocks.conv_layer(step.channels, step.kernel, name=f"{layer_prefix(name, step)}_conv")
        for step in units
    }

    def block(i, y):
        y = blocks.activation(y, "relu", name=f"{name}{i}_act") if i else y
        maps = []
        for branch in branches:
            z = y
            for step in branch:
                z = blocks.bn_act(
                    convs[step](z), style=TORCH, name=layer_prefix(f"{name}{i}", step)
                )
            maps.append(z)
        y = keras.layers.Concatenate(name=f"{name}{i}_join")(maps)
        return _project(y, x.shape[-1], f"{name}{i}")

    return _add(x, block, ORDER, factor, name)


def _project(x, channels: int, name: str):
    return blocks.conv_bn_act(x, channels, act="linear", style=TORCH, name=f"{name}_project")


def _add(x, block: Callable, count: int, factor: float, name: str):
    """Adds to `x` the scaled outputs of `block(i, output of the block before)`."""
    total = output = x
    for i in range(count):
        output = block(i, output)
        scaled = keras.ops.multiply(output, factor)
        total = keras.layers.Add(name=f"{name}{i}_add")([total, scaled])
    return blocks.activation(total, "relu", name=f"{name}_act")


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    init = "features.init_block"
    names = unit_names({f"stem_{step.name}": f"{init}.{step.name}" for step in STEM})
    for n, branches in enumerate((MIXED_3, MIXED_4, MIXED_5)):
        names |= mixed_names(branches, f"mixed{n + 3}", f"{init}.block{n + 1}.branches")
    for s, stage in enumerate(config.stages):
        first = 1
        if stage.reduction:
            prefix, first = f"features.stage{s + 1}.unit1.branches", 2
            names |= mixed_names(stage.reduction, f"reduction{s}", prefix)
        for i in range(stage.depth):
            prefix = f"features.stage{s + 1}.unit{i + first}"
            names |= _unit_names(stage, f"stage{s}_{i}", prefix)
    return (CheckpointFormat(name="pytorchcv", layers=names | {"classifier": "output.fc"}),)


def _unit_names(stage: Stage, name: str, prefix: str) -> dict[str, str]:
    """The layers of a poly-3 and of a 2-way module."""
    names = {}
    for i in range(WAYS):
        module = f"{prefix}.twoway.res_blocks.{i}"
        names |= mixed_names(stage.pair, f"{name}_way{i}", f"{module}.branches")
        names |= unit_names({f"{name}_way{i}_project": f"{module}.conv"})
    for step in (step for branch in stage.three or () for step in branch):
        module = f"{prefix}.poly.pre_block.branches.{step.name}"
        names[f"{layer_prefix(f'{name}_poly', step)}_conv"] = f"{module}.conv"
        for i in range(ORDER):
            names[f"{layer_prefix(f'{name}_poly{i}', step)}_bn"] = f"{module}.bns.{i}"
    for i in range(ORDER if stage.three else 0):
        names |= unit_names({f"{name}_poly{i}_project": f"{prefix}.poly.res_blocks.{i}"})
    return names


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1611.05725",
    min_size=MIN_SIZE,
)
preprocess_input = FAMILY.preprocess_input()

PolyNet = FAMILY.register(
    "PolyNet",
    Config(),
    Card(
        name="polynet",
        title="PolyNet (very deep)",
        preprocess=PreprocessConfig(image_size=331),
        reported=ReportedResults(
            source="arXiv 1611.05725, table 2 (single crop)",
            top1_error=18.71,
            top5_error=4.25,
            image_size=331,
        ),
        notes="No weights are on a public hub; pass pytorchcv's checkpoint file as `weights`.",
    ),
)

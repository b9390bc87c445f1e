"""PolyNet.

Zhang, Li, Loy, Lin: "PolyNet: A Pursuit of Structural Diversity in Very Deep Networks", arXiv
1611.05725 (CUHK-MMLAB/polynet). The "very deep PolyNet" of the authors' Caffe file, as pytorchcv
(MIT) has it: Inception-ResNet-V2's blocks, side by side in pairs (2-way), and one after another in
threes that share all but their batch norms and last convolution (poly-3). Each pair or three is
scaled a little less than the one before. What differs here: the head is the zoo's.
"""

from collections.abc import Callable
from dataclasses import dataclass

from newnet_tf.applications.inception_v3 import (
    LARGEST,
    MINIMUM,
    Branch,
    Mixed,
    Unit,
    mixed,
    mixed_names,
    part,
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
    """Units one after another, as pytorchcv numbers them; a step is what `Unit` takes."""
    names = [f"{name}.conv_list.conv{n}" for n in range(1, len(steps) + 1)]
    return tuple(Unit(n, *step) for n, step in zip(names, steps, strict=True))


STEM = (Unit("conv1", 32, 3, 2), Unit("conv2", 32, 3, bare=True), Unit("conv3", 64, 3))
MIXED_3 = ((LARGEST,), (Unit("branch2.conv", 96, 3, 2),))
MIXED_4 = (
    _chain("branch1", (64,), (96, 3, 1, True)),
    _chain("branch2", (64,), (64, (7, 1)), (64, (1, 7)), (96, 3, 1, True)),
)
MIXED_5 = ((LARGEST,), (Unit("branch2.conv", 192, 3, 2),))
REDUCTION_A = (
    _chain("branch1", (256,), (256, 3), (384, 3, 2)),
    _chain("branch2", (384, 3, 2)),
    (LARGEST,),
)
REDUCTION_B = (
    _chain("branch1", (256,), (256, 3), (256, 3, 2)),
    _chain("branch2", (256,), (256, 3, 2)),
    _chain("branch3", (256,), (384, 3, 2)),
    (LARGEST,),
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
    """Units of one map size.

    Args:
        depth: int, how many.
        pair: what a unit's 2-way module has twice.
        three: what its poly-3 module, which comes first, has three times; or None.
        reduction: the mixed block before them, or None.
    """

    depth: int
    pair: Mixed
    three: Mixed | None = None
    reduction: Mixed | None = None


@dataclass(frozen=True)
class Row:
    """One network of the family: its stages (paper, section 4.3)."""

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
    """Factor of what the module of that number adds: 1 to 0.7, in six digits as in pytorchcv."""
    return round(1 - module / 130, 6)


def build(x, row: Row):
    """Input to the last map before pooling."""
    for step in STEM:
        x = unit(x, step, "stem", TORCH)
    x = mixed(blocks.feature(x, 2), MIXED_3, "mixed3", TORCH)
    x = mixed(x, MIXED_4, "mixed4", TORCH)
    x = mixed(blocks.feature(x, 4), MIXED_5, "mixed5", TORCH)
    module = 0
    for s, stage in enumerate(row.stages):
        if stage.reduction:
            x = mixed(x, stage.reduction, f"reduction{s}", TORCH)
        for i in range(stage.depth):
            name = f"stage{s}_{i}"
            if stage.three:
                x = _in_turn(x, stage.three, scale(module), f"{name}_poly")
                module += 1
            x = _side_by_side(x, stage.pair, scale(module), f"{name}_way")
            module += 1
        x = blocks.feature(x, 8 << s)
    return x


def top(x, row: Row, classes: int):
    """The last map to logits."""
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
        step: blocks.conv_layer(step.filters, step.kernel, name=f"{part(name, step)}_conv")
        for step in units
    }

    def block(i, y):
        y = blocks.activation(y, "relu", name=f"{name}{i}_act") if i else y
        maps = []
        for branch in branches:
            z = y
            for step in branch:
                z = blocks.bn_act(convs[step](z), style=TORCH, name=part(f"{name}{i}", step))
            maps.append(z)
        y = keras.layers.Concatenate(name=f"{name}{i}_join")(maps)
        return _project(y, x.shape[-1], f"{name}{i}")

    return _add(x, block, ORDER, factor, name)


def _project(x, filters: int, name: str):
    return blocks.conv_bn_act(x, filters, act="linear", style=TORCH, name=f"{name}_project")


def _add(x, block: Callable, count: int, factor: float, name: str):
    """Adds to `x` what `block(i, what the last one gave)` gives, scaled."""
    total = given = x
    for i in range(count):
        given = block(i, given)
        scaled = keras.ops.multiply(given, factor)
        total = keras.layers.Add(name=f"{name}{i}_add")([total, scaled])
    return blocks.activation(total, "relu", name=f"{name}_act")


def checkpoint_formats(row: Row) -> tuple[CheckpointFormat, ...]:
    """The checkpoint kinds that this family reads."""
    init = "features.init_block"
    names = unit_names({f"stem_{step.name}": f"{init}.{step.name}" for step in STEM})
    for n, branches in enumerate((MIXED_3, MIXED_4, MIXED_5)):
        names |= mixed_names(branches, f"mixed{n + 3}", f"{init}.block{n + 1}.branches")
    for s, stage in enumerate(row.stages):
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
        theirs = f"{prefix}.twoway.res_blocks.{i}"
        names |= mixed_names(stage.pair, f"{name}_way{i}", f"{theirs}.branches")
        names |= unit_names({f"{name}_way{i}_project": f"{theirs}.conv"})
    for step in (step for branch in stage.three or () for step in branch):
        theirs = f"{prefix}.poly.pre_block.branches.{step.name}"
        names[f"{part(f'{name}_poly', step)}_conv"] = f"{theirs}.conv"
        for i in range(ORDER):
            names[f"{part(f'{name}_poly{i}', step)}_bn"] = f"{theirs}.bns.{i}"
    for i in range(ORDER if stage.three else 0):
        names |= unit_names({f"{name}_poly{i}_project": f"{prefix}.poly.res_blocks.{i}"})
    return names


FAMILY = Family(
    __name__,
    build=build,
    top=top,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1611.05725",
    minimum=MINIMUM,
)
preprocess_input = FAMILY.preprocess_input()

PolyNet = FAMILY.variant(
    "PolyNet",
    Row(),
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

"""InceptionV3.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: "Rethinking the Inception Architecture for Computer
Vision", arXiv 1512.00567 (tensorflow/models, Apache-2.0). Follows timm, after torchvision
(BSD-3-Clause): batch-norm epsilon 1e-3, average pooling counts its padding, and no auxiliary head,
which only training needs. Difference: the head is `blocks.classifier`.

Inception-V4, Inception-ResNet-V2 and PolyNet use this file's classes: a mixed block is a tuple of
parallel branches, a branch a tuple of steps.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import ConvBNConfig
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

MIN_SIZE = 75
PADDED = ConvBNConfig(padding="same", eps=1e-3, momentum=0.9)
PREPROCESS = PreprocessConfig(image_size=299, mean=(0.5,) * 3, std=(0.5,) * 3)


@dataclass(frozen=True)
class Unit:
    """Convolution, batch norm, ReLU, named as in timm (PolyNet: as in pytorchcv).

    With `unpadded` or at stride 2 it does not pad.
    """

    name: str
    channels: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1
    unpadded: bool = False


@dataclass(frozen=True)
class Pool:
    """3x3 pooling: maximum at stride 2, or average at stride 1 that counts its padding or not."""

    maximum: bool = False
    count_padding: bool = False


@dataclass(frozen=True)
class Fork:
    """Units with the same input whose outputs are concatenated."""

    units: tuple[Unit, ...]


MAX_POOL = Pool(maximum=True)
AVERAGE_POOL = Pool(count_padding=True)
Branch = tuple[Unit | Pool | Fork, ...]
Mixed = tuple[Branch, ...]


def unit(x, step: Unit, name: str, style: ConvBNConfig = PADDED):
    """Applies one unit, in layers that begin with `name` and its own."""
    if step.unpadded or step.stride == 2:
        style = dataclasses.replace(style, padding="valid")
    options = {"act": "relu", "style": style, "name": layer_prefix(name, step)}
    return blocks.conv_bn_act(x, step.channels, step.kernel, step.stride, **options)


def layer_prefix(name: str, step: Unit) -> str:
    """Returns the beginning of the layer names of a unit in the block `name`."""
    return f"{name}_{step.name}".replace(".", "_")


def mixed(x, branches: Mixed, name: str, style: ConvBNConfig = PADDED):
    """Applies all branches to `x` and concatenates their outputs."""
    maps = [_branch(x, branch, f"{name}_{i}", name, style) for i, branch in enumerate(branches)]
    return _concat(maps, name)


def mixed_names(branches: Mixed, name: str, prefix: str) -> dict[str, str]:
    """Maps our layer names to timm's module names, of the mixed block `prefix`."""
    steps = [step for branch in branches for step in branch]
    forked = [unit for step in steps if isinstance(step, Fork) for unit in step.units]
    units = [step for step in steps if isinstance(step, Unit)] + forked
    return unit_names({layer_prefix(name, u): f"{prefix}.{u.name}" for u in units})


def unit_names(modules: Mapping[str, str]) -> dict[str, str]:
    """Maps the layer names of units to timm's, from {beginning of the layer names: module}."""
    return {f"{n}_{part}": f"{m}.{part}" for n, m in modules.items() for part in ("conv", "bn")}


def _concat(maps, name: str):
    return keras.layers.Concatenate(name=f"{name}_join")(maps)


def _branch(x, branch: Branch, place: str, name: str, style: ConvBNConfig):
    for step in branch:
        if isinstance(step, Unit):
            x = unit(x, step, name, style)
        elif isinstance(step, Fork):
            x = _concat([unit(x, forked, name, style) for forked in step.units], place)
        else:
            x = _pool(x, step, f"{place}_pool")
    return x


def _pool(x, pool: Pool, name: str):
    if pool.maximum:
        return pooling.max_pool(x, name=name)
    if pool.count_padding:
        return pooling.average_pool(x, stride=1, padding=1, name=name)
    return keras.layers.AveragePooling2D(3, 1, padding="same", name=name)(x)


def _a(pooled: int) -> Mixed:
    """Paper, figure 5."""
    return (
        (Unit("branch1x1", 64),),
        (Unit("branch5x5_1", 48), Unit("branch5x5_2", 64, 5)),
        (
            Unit("branch3x3dbl_1", 64),
            Unit("branch3x3dbl_2", 96, 3),
            Unit("branch3x3dbl_3", 96, 3),
        ),
        (AVERAGE_POOL, Unit("branch_pool", pooled)),
    )


def _c(inner: int) -> Mixed:
    """Paper, figure 6."""
    wide, tall = (1, 7), (7, 1)
    return (
        (Unit("branch1x1", 192),),
        (
            Unit("branch7x7_1", inner),
            Unit("branch7x7_2", inner, wide),
            Unit("branch7x7_3", 192, tall),
        ),
        (
            Unit("branch7x7dbl_1", inner),
            Unit("branch7x7dbl_2", inner, tall),
            Unit("branch7x7dbl_3", inner, wide),
            Unit("branch7x7dbl_4", inner, tall),
            Unit("branch7x7dbl_5", 192, wide),
        ),
        (AVERAGE_POOL, Unit("branch_pool", 192)),
    )


B = (
    (Unit("branch3x3", 384, 3, 2),),
    (
        Unit("branch3x3dbl_1", 64),
        Unit("branch3x3dbl_2", 96, 3),
        Unit("branch3x3dbl_3", 96, 3, 2),
    ),
    (MAX_POOL,),
)
D = (
    (Unit("branch3x3_1", 192), Unit("branch3x3_2", 320, 3, 2)),
    (
        Unit("branch7x7x3_1", 192),
        Unit("branch7x7x3_2", 192, (1, 7)),
        Unit("branch7x7x3_3", 192, (7, 1)),
        Unit("branch7x7x3_4", 192, 3, 2),
    ),
    (MAX_POOL,),
)
E = (  # paper, figure 7
    (Unit("branch1x1", 320),),
    (
        Unit("branch3x3_1", 384),
        Fork((Unit("branch3x3_2a", 384, (1, 3)), Unit("branch3x3_2b", 384, (3, 1)))),
    ),
    (
        Unit("branch3x3dbl_1", 448),
        Unit("branch3x3dbl_2", 384, 3),
        Fork((Unit("branch3x3dbl_3a", 384, (1, 3)), Unit("branch3x3dbl_3b", 384, (3, 1)))),
    ),
    (AVERAGE_POOL, Unit("branch_pool", 192)),
)


@dataclass(frozen=True)
class Config:
    """One model of the family (paper, table 1): its stem and its mixed blocks, by timm's names."""

    stem: tuple[Unit, ...] = (
        Unit("1a_3x3", 32, 3, 2),
        Unit("2a_3x3", 32, 3, unpadded=True),
        Unit("2b_3x3", 64, 3),
        Unit("3b_1x1", 80),
        Unit("4a_3x3", 192, 3, unpadded=True),
    )
    stages: tuple[tuple[tuple[str, Mixed], ...], ...] = (
        (("5b", _a(32)), ("5c", _a(64)), ("5d", _a(64))),
        (("6a", B), ("6b", _c(128)), ("6c", _c(160)), ("6d", _c(160)), ("6e", _c(192))),
        (("7a", D), ("7b", E), ("7c", E)),
    )


def stem(x, units: tuple[Unit, ...]):
    """Input to stride 8: five units, a pooling after the third and the last (V3, ResNet-V2)."""
    for i, step in enumerate(units):
        x = unit(x, step, "stem")
        if i in (2, 4):
            x = blocks.tag_feature(x, i)
            x = pooling.max_pool(x, name=f"stem_pool{i}")
    return x


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = stem(x, config.stem)
    for stage, stride in zip(config.stages, (8, 16, 32), strict=True):
        for name, branches in stage:
            x = mixed(x, branches, f"mixed_{name}")
        x = blocks.tag_feature(x, stride)
    return x


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def timm_names(config: Config) -> dict[str, str]:
    """Maps our layer names to timm's module names."""
    names = unit_names({f"stem_{u.name}": f"Conv2d_{u.name}" for u in config.stem})
    for name, branches in (block for stage in config.stages for block in stage):
        names |= mixed_names(branches, f"mixed_{name}", f"Mixed_{name}")
    return names | {"classifier": "fc"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="timm", layers=timm_names(config)),)


def _weights(tag: str, author: str, **preprocess) -> Weights:
    return Weights(
        tag=tag,
        sources=(HubFile(repo=f"timm/inception_v3.{tag}"),),
        license="Apache-2.0",
        author=author,
        preprocess=dataclasses.replace(PREPROCESS, **preprocess),
    )


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1512.00567",
    min_size=MIN_SIZE,
)
preprocess_input = FAMILY.preprocess_input()
GLUON = {"mean": PreprocessConfig().mean, "std": PreprocessConfig().std}

InceptionV3 = FAMILY.register(
    "InceptionV3",
    Config(),
    Card(
        name="inception_v3",
        title="InceptionV3",
        preprocess=PREPROCESS,
        reported=ReportedResults(
            source="DEVIEW 2019 talk, table of heavy models",
            top1_error=22.6,
            top5_error=6.4,
            params=27.2,
            macs=2.9,
            discrepancy="the talk counts the auxiliary head, and an input of 224",
        ),
        weights=(
            _weights("tf_in1k", "Google (tensorflow/models), in timm's naming"),
            _weights("gluon_in1k", "GluonCV, in timm's naming", **GLUON),
        ),
        notes="The talk's figures count the auxiliary head (27.2M) and an input of 224 (2.9G).",
    ),
)

"""Inception-ResNet-V2.

Szegedy, Ioffe, Vanhoucke, Alemi: "Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning", arXiv 1602.07261 (tensorflow/models, Apache-2.0). Follows timm, which
follows Google's code where that and the paper differ: 10, 20 and 10 residual blocks, scaled by 0.17,
0.1 and 0.2, and a stem like InceptionV3's. Difference: the head is `blocks.classifier`.
"""

import dataclasses
from dataclasses import dataclass

from newnet_tf.applications.inception_v3 import (
    MAX_POOL,
    MIN_SIZE,
    PADDED,
    PREPROCESS,
    Mixed,
    Pool,
    Unit,
    mixed,
    mixed_names,
    stem,
    unit,
    unit_names,
)
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks
from newnet_tf.models.config import Card, CheckpointFormat, HubFile, ReportedResults, Weights
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

STEM = (
    Unit("1a", 32, 3, 2),
    Unit("2a", 32, 3, unpadded=True),
    Unit("2b", 64, 3),
    Unit("3b", 80),
    Unit("4a", 192, 3, unpadded=True),
)
FINAL = Unit("7b", 1536)
MIXED_5B = (
    (Unit("branch0", 96),),
    (Unit("branch1.0", 48), Unit("branch1.1", 64, 5)),
    (Unit("branch2.0", 64), Unit("branch2.1", 96, 3), Unit("branch2.2", 96, 3)),
    (Pool(), Unit("branch3.1", 64)),
)
MIXED_6A = (  # paper, figure 7
    (Unit("branch0", 384, 3, 2),),
    (Unit("branch1.0", 256), Unit("branch1.1", 256, 3), Unit("branch1.2", 384, 3, 2)),
    (MAX_POOL,),
)
MIXED_7A = (  # figure 18
    (Unit("branch0.0", 256), Unit("branch0.1", 384, 3, 2)),
    (Unit("branch1.0", 256), Unit("branch1.1", 288, 3, 2)),
    (Unit("branch2.0", 256), Unit("branch2.1", 288, 3), Unit("branch2.2", 320, 3, 2)),
    (MAX_POOL,),
)
BLOCK35 = (  # figure 16
    (Unit("branch0", 32),),
    (Unit("branch1.0", 32), Unit("branch1.1", 32, 3)),
    (Unit("branch2.0", 32), Unit("branch2.1", 48, 3), Unit("branch2.2", 64, 3)),
)
BLOCK17 = (  # figure 17
    (Unit("branch0", 192),),
    (Unit("branch1.0", 128), Unit("branch1.1", 160, (1, 7)), Unit("branch1.2", 192, (7, 1))),
)
BLOCK8 = (  # figure 19
    (Unit("branch0", 192),),
    (Unit("branch1.0", 192), Unit("branch1.1", 224, (1, 3)), Unit("branch1.2", 256, (3, 1))),
)


@dataclass(frozen=True)
class Stage:
    """A mixed block and the residual blocks after it, by timm's names; `scale` is their factor."""

    name: str
    first: Mixed
    repeat: str
    depth: int
    block: Mixed
    scale: float


@dataclass(frozen=True)
class Config:
    """One model of the family (paper, figure 15)."""

    stages: tuple[Stage, ...] = (
        Stage("mixed_5b", MIXED_5B, "repeat", 10, BLOCK35, 0.17),
        Stage("mixed_6a", MIXED_6A, "repeat_1", 20, BLOCK17, 0.1),
        Stage("mixed_7a", MIXED_7A, "repeat_2", 9, BLOCK8, 0.2),
    )


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = stem(x, STEM)
    for stage, stride in zip(config.stages, (8, 16, None), strict=True):
        x = mixed(x, stage.first, stage.name)
        for i in range(stage.depth):
            x = _residual(x, stage.block, stage.scale, "relu", f"{stage.repeat}_{i}")
        x = blocks.tag_feature(x, stride) if stride else x
    x = _residual(x, BLOCK8, 1.0, "linear", "block8")
    return blocks.tag_feature(unit(x, FINAL, "final"), 32)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def _residual(x, branches: Mixed, scale: float, act: str, name: str):
    """Adds a mixed block, brought to the width of `x` and scaled (paper, figure 20)."""
    change = mixed(x, branches, name)
    change = blocks.conv(change, x.shape[-1], style=PADDED, bias=True, name=f"{name}_project")
    if scale != 1:
        change = keras.ops.multiply(change, scale)  # Rescaling would round to float32 under float64
    x = keras.layers.Add(name=f"{name}_add")([x, change])
    return blocks.activation(x, act, name=f"{name}_act")


def timm_names(config: Config) -> dict[str, str]:
    """Maps our layer names to timm's module names."""
    modules = {f"stem_{step.name}": f"conv2d_{step.name}" for step in STEM}
    names = unit_names(modules | {f"final_{FINAL.name}": f"conv2d_{FINAL.name}"})
    blocks_ = {"block8": ("block8", BLOCK8)}
    for stage in config.stages:
        names |= mixed_names(stage.first, stage.name, stage.name)
        for i in range(stage.depth):
            blocks_[f"{stage.repeat}_{i}"] = (f"{stage.repeat}.{i}", stage.block)
    for name, (prefix, branches) in blocks_.items():
        names |= mixed_names(branches, name, prefix)
        names[f"{name}_project"] = f"{prefix}.conv2d"
    return names | {"classifier": "classif"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="timm", layers=timm_names(config)),)


def _weights(tag: str, author: str) -> Weights:
    return Weights(
        tag=tag,
        sources=(HubFile(repo=f"timm/inception_resnet_v2.{tag}"),),
        license="Apache-2.0",
        author=author,
        preprocess=dataclasses.replace(PREPROCESS, crop_pct=0.8975),
    )


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1602.07261",
    min_size=MIN_SIZE,
)
preprocess_input = FAMILY.preprocess_input()

InceptionResNetV2 = FAMILY.register(
    "InceptionResNetV2",
    Config(),
    Card(
        name="inception_resnet_v2",
        title="Inception-ResNet-V2",
        preprocess=dataclasses.replace(PREPROCESS, crop_pct=0.8975),
        reported=ReportedResults(
            source="arXiv 1602.07261, table 2", top1_error=19.9, top5_error=4.9, image_size=299
        ),
        weights=(
            _weights("tf_in1k", "Google (tensorflow/models), in timm's naming"),
            _weights("tf_ens_adv_in1k", "Google, ensemble adversarial training, in timm's naming"),
        ),
    ),
)

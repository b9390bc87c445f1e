"""Inception-V4.

Szegedy, Ioffe, Vanhoucke, Alemi: "Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning", arXiv 1602.07261 (tensorflow/models, Apache-2.0). Follows timm: batch-norm
epsilon 1e-3, average pooling does not count its padding. Difference: the head is `blocks.classifier`.
"""

from dataclasses import dataclass

from newnet_tf.applications.inception_v3 import (
    MAX_POOL,
    MIN_SIZE,
    PREPROCESS,
    Fork,
    Mixed,
    Pool,
    Unit,
    mixed,
    mixed_names,
    unit,
    unit_names,
)
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks
from newnet_tf.models.config import Card, CheckpointFormat, HubFile, ReportedResults, Weights
from newnet_tf.models.variants import Family

AVERAGE = Pool()
WIDE, TALL = (1, 7), (7, 1)
STEM = (Unit("0", 32, 3, 2), Unit("1", 32, 3, unpadded=True), Unit("2", 64, 3))
MIXED_3A = ((MAX_POOL,), (Unit("conv", 96, 3, 2),))  # paper, figure 3
MIXED_4A = (
    (Unit("branch0.0", 64), Unit("branch0.1", 96, 3, unpadded=True)),
    (
        Unit("branch1.0", 64),
        Unit("branch1.1", 64, WIDE),
        Unit("branch1.2", 64, TALL),
        Unit("branch1.3", 96, 3, unpadded=True),
    ),
)
MIXED_5A = ((Unit("conv", 192, 3, 2),), (MAX_POOL,))
A = (  # paper, figure 4
    (Unit("branch0", 96),),
    (Unit("branch1.0", 64), Unit("branch1.1", 96, 3)),
    (Unit("branch2.0", 64), Unit("branch2.1", 96, 3), Unit("branch2.2", 96, 3)),
    (AVERAGE, Unit("branch3.1", 96)),
)
REDUCTION_A = (  # figure 7
    (Unit("branch0", 384, 3, 2),),
    (Unit("branch1.0", 192), Unit("branch1.1", 224, 3), Unit("branch1.2", 256, 3, 2)),
    (MAX_POOL,),
)
B = (  # figure 5
    (Unit("branch0", 384),),
    (Unit("branch1.0", 192), Unit("branch1.1", 224, WIDE), Unit("branch1.2", 256, TALL)),
    (
        Unit("branch2.0", 192),
        Unit("branch2.1", 192, TALL),
        Unit("branch2.2", 224, WIDE),
        Unit("branch2.3", 224, TALL),
        Unit("branch2.4", 256, WIDE),
    ),
    (AVERAGE, Unit("branch3.1", 128)),
)
REDUCTION_B = (  # figure 8
    (Unit("branch0.0", 192), Unit("branch0.1", 192, 3, 2)),
    (
        Unit("branch1.0", 256),
        Unit("branch1.1", 256, WIDE),
        Unit("branch1.2", 320, TALL),
        Unit("branch1.3", 320, 3, 2),
    ),
    (MAX_POOL,),
)
C = (  # figure 6
    (Unit("branch0", 256),),
    (
        Unit("branch1_0", 384),
        Fork((Unit("branch1_1a", 256, (1, 3)), Unit("branch1_1b", 256, (3, 1)))),
    ),
    (
        Unit("branch2_0", 384),
        Unit("branch2_1", 448, (3, 1)),
        Unit("branch2_2", 512, (1, 3)),
        Fork((Unit("branch2_3a", 256, (1, 3)), Unit("branch2_3b", 256, (3, 1)))),
    ),
    (AVERAGE, Unit("branch3.1", 256)),
)


@dataclass(frozen=True)
class Config:
    """One model of the family (paper, figure 9): its mixed blocks, by the stride they end at."""

    stages: tuple[tuple[int, tuple[Mixed, ...]], ...] = (
        (4, (MIXED_3A,)),
        (8, (MIXED_4A, MIXED_5A, *(A,) * 4)),
        (16, (REDUCTION_A, *(B,) * 7)),
        (32, (REDUCTION_B, *(C,) * 3)),
    )


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    for step in STEM:
        x = unit(x, step, "stem")
    x, number = blocks.tag_feature(x, 2), len(STEM)
    for stride, stage in config.stages:
        for branches in stage:
            x, number = mixed(x, branches, f"mixed{number}"), number + 1
        x = blocks.tag_feature(x, stride)
    return x


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def timm_names(config: Config) -> dict[str, str]:
    """Maps our layer names to timm's module names."""
    names = unit_names({f"stem_{step.name}": f"features.{step.name}" for step in STEM})
    every = [branches for _, stage in config.stages for branches in stage]
    for number, branches in enumerate(every, len(STEM)):
        names |= mixed_names(branches, f"mixed{number}", f"features.{number}")
    return names | {"classifier": "last_linear"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="timm", layers=timm_names(config)),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1602.07261",
    min_size=MIN_SIZE,
)
preprocess_input = FAMILY.preprocess_input()

InceptionV4 = FAMILY.register(
    "InceptionV4",
    Config(),
    Card(
        name="inception_v4",
        title="Inception-V4",
        preprocess=PREPROCESS,
        reported=ReportedResults(
            source="arXiv 1602.07261, table 2", top1_error=20.0, top5_error=5.0, image_size=299
        ),
        weights=(
            Weights(
                tag="tf_in1k",
                sources=(HubFile(repo="timm/inception_v4.tf_in1k"),),
                license="Apache-2.0",
                author="Google (tensorflow/models), in timm's naming",
                preprocess=PREPROCESS,
            ),
        ),
    ),
)

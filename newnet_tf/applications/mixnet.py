"""MixNet S, M and L.

Tan, Le: "MixConv: Mixed Depthwise Convolutional Kernels", arXiv 1907.09595; Google's code
(tensorflow/tpu, `models/official/mnasnet/mixnet`) is under Apache-2.0. Channels fall into parts, each
with a depthwise kernel of its own from 3 to 11. Definition, names and weights are timm's (symmetric
padding, batch-norm epsilon 1e-5). Difference: the head is `blocks.classifier`.
"""

from dataclasses import dataclass, replace

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, stages
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import (
    Card,
    CheckpointFormat,
    HubFile,
    PreprocessConfig,
    ReportedResults,
    Weights,
)
from newnet_tf.models.stages import Stage
from newnet_tf.models.variants import Family

HALVES = (2, 2)
K5, K7, K9, K11 = (3, 5), (3, 5, 7), (3, 5, 7, 9), (3, 5, 7, 9, 11)


def _wide(channels, depth, stride, kernel, se_ratio, expansion=6, splits=(1, 1)) -> Stage:
    """A stage with squeeze-and-excitation and SiLU."""
    return Stage(channels, depth, stride, expansion, kernel, se_ratio, "silu", splits)


def _then(*arguments, **options) -> Stage:
    """The same, as a part of the stage before, of stride 1."""
    return replace(_wide(*arguments, **options), continues_stage=True)


SMALL = (  # paper, figure 5; tensorflow/tpu, mixnet_builder.py
    Stage(16, 1, 1, expansion=None),
    Stage(24, 1, 2, splits=HALVES),
    Stage(24, 1, 1, expansion=3, splits=HALVES, continues_stage=True),
    _wide(40, 1, 2, K7, 0.5),
    _then(40, 3, 1, K5, 0.5, splits=HALVES),
    _wide(80, 1, 2, K7, 0.25, splits=(1, 2)),
    _then(80, 2, 1, K5, 0.25, splits=(1, 2)),
    _wide(120, 1, 1, K7, 0.5, splits=HALVES),
    _then(120, 2, 1, K9, 0.5, expansion=3, splits=HALVES),
    _wide(200, 1, 2, K11, 0.5),
    _then(200, 2, 1, K9, 0.5, splits=(1, 2)),
)
MEDIUM = (
    Stage(24, 1, 1, expansion=None),
    Stage(32, 1, 2, kernel=K7, splits=HALVES),
    Stage(32, 1, 1, expansion=3, splits=HALVES, continues_stage=True),
    _wide(40, 1, 2, K9, 0.5),
    _then(40, 3, 1, K5, 0.5, splits=HALVES),
    _wide(80, 1, 2, K7, 0.25),
    _then(80, 3, 1, K9, 0.25, splits=HALVES),
    _wide(120, 1, 1, 3, 0.5),
    _then(120, 3, 1, K9, 0.5, expansion=3, splits=HALVES),
    _wide(200, 1, 2, K9, 0.5),
    _then(200, 3, 1, K9, 0.5, splits=(1, 2)),
)


@dataclass(frozen=True)
class Config:
    """One model of the family: table of stages, channels of the stem, width factor of both."""

    base: tuple[Stage, ...]
    stem: int
    width: float = 1.0

    @property
    def stages(self) -> tuple[Stage, ...]:
        return stages.scale(self.base, self.width)


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    stem = blocks.make_divisible(config.stem * config.width)
    x = blocks.conv_bn_act(x, stem, 3, 2, act="relu", style=TORCH, name="stem")
    x = stages.build(x, config.stages, act="relu", style=TORCH)
    return blocks.conv_bn_act(x, 1536, act="relu", style=TORCH, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes, dropout=0.25)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="timm", layers=stages.timm_names(config.stages)),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1907.09595",
)
preprocess_input = FAMILY.preprocess_input()


def _mixnet(
    size: str, config: Config, top1: float, top5: float, params: float, macs: float, discrepancy=""
):
    name = f"mixnet_{size.lower()}"
    reported = ReportedResults(
        source="arXiv 1907.09595, table 2",
        top1_error=round(100 - top1, 1),
        top5_error=round(100 - top5, 1),
        params=params,
        macs=macs,
        discrepancy=discrepancy,
    )
    weights = Weights(
        tag="ft_in1k",
        sources=(HubFile(repo=f"timm/{name}.ft_in1k"),),
        license="Apache-2.0",
        author="Ross Wightman (timm)",
        preprocess=PreprocessConfig(),
    )
    card = Card(name=name, title=f"MixNet-{size}", reported=reported, weights=(weights,))
    return FAMILY.register(f"MixNet{size}", config, card)


COUNTED = (
    "the paper prints 6 to 7 % more multiply-adds than timm and pytorchcv have; why is not known"
)

MixNetS = _mixnet("S", Config(SMALL, stem=16), 75.8, 92.8, 4.1, 0.256, COUNTED)
MixNetM = _mixnet("M", Config(MEDIUM, stem=24), 77.0, 93.3, 5.0, 0.360, COUNTED)
MixNetL = _mixnet("L", Config(MEDIUM, stem=24, width=1.3), 78.9, 94.2, 7.3, 0.565)

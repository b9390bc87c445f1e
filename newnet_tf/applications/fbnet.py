"""FBNet-C.

Wu et al.: "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture
Search", arXiv 1812.03443. The network is read off the paper's figure; definition, names and weights are
timm's (`fbnetc_100`, Apache-2.0: symmetric padding, batch-norm epsilon 1e-5). Blocks of expansion 1
keep their expanding convolution. Difference: the head is `blocks.classifier`.
"""

from dataclasses import dataclass

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

C = (  # paper, figure 4
    Stage(16, 1, 1, expansion=1),
    Stage(24, 1, 2),
    Stage(24, 2, 1, expansion=1, continues_stage=True),
    Stage(32, 1, 2, kernel=5),
    Stage(32, 1, 1, expansion=3, kernel=5, continues_stage=True),
    Stage(32, 1, 1, kernel=5, continues_stage=True),
    Stage(32, 1, 1, continues_stage=True),
    Stage(64, 1, 2, kernel=5),
    Stage(64, 1, 1, expansion=3, kernel=5, continues_stage=True),
    Stage(64, 2, 1, kernel=5, continues_stage=True),
    Stage(112, 3, 1, kernel=5),
    Stage(112, 1, 1, expansion=3, kernel=5, continues_stage=True),
    Stage(184, 4, 2, kernel=5),
    Stage(352, 1, 1),
)


@dataclass(frozen=True)
class Config:
    """One model of the family: stages, widths of stem and last convolution."""

    stages: tuple[Stage, ...]
    stem: int
    final: int


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = blocks.conv_bn_act(x, config.stem, 3, 2, act="relu", style=TORCH, name="stem")
    x = stages.build(x, config.stages, act="relu", style=TORCH)
    return blocks.conv_bn_act(x, config.final, act="relu", style=TORCH, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes, dropout=0.2)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="timm", layers=stages.timm_names(config.stages)),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1812.03443",
)
preprocess_input = FAMILY.preprocess_input()

BILINEAR = PreprocessConfig(interpolation="bilinear")
CARD = Card(
    name="fbnet_c",
    title="FBNet-C",
    preprocess=BILINEAR,
    reported=ReportedResults(
        source="DEVIEW 2019 talk, table of NAS models",
        top1_error=25.1,
        params=5.5,
        macs=0.38,
        discrepancy="the paper prints 5.5M and 0.375G; its published network has what is built here",
    ),
    weights=(
        Weights(
            tag="rmsp_in1k",
            sources=(HubFile(repo="timm/fbnetc_100.rmsp_in1k"),),
            license="Apache-2.0",
            author="Ross Wightman (timm)",
            preprocess=BILINEAR,
        ),
    ),
)

FBNetC = FAMILY.register("FBNetC", Config(C, stem=16, final=1984), CARD)

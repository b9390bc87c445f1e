"""MnasNet-B1, MnasNet-A1 and a reconstruction of MnasNet-A2.

Tan et al.: "MnasNet: Platform-Aware Neural Architecture Search for Mobile", arXiv 1807.11626;
Google's code (tensorflow/tpu, `models/official/mnasnet`) is under Apache-2.0. B1 is the network without
squeeze-and-excitation, A1 that with it; definition, names and weights are timm's (`mnasnet_100`,
`semnasnet_100`: symmetric padding, batch-norm epsilon 1e-5). Difference: the head is
`blocks.classifier`.

The paper prints A2's accuracy, parameters and multiply-adds, and no network; none is published. Many
tables of its search space give those figures. The one here is assumed: A1 with the operators of its
stages as they are (kernels, expansions, squeeze-and-excitation), every width from 40 channels on the
largest that the space has, 1.25 of MobileNetV2's, and within one block of MobileNetV2's depths those
that meet the printed 4.8M and 340M: 4.79M and 340.4M.
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

B1 = (  # tensorflow/tpu, mnasnet_models.py
    Stage(16, 1, 1, expansion=None),
    Stage(24, 3, 2, expansion=3),
    Stage(40, 3, 2, expansion=3, kernel=5),
    Stage(80, 3, 2, kernel=5),
    Stage(96, 2, 1),
    Stage(192, 4, 2, kernel=5),
    Stage(320, 1, 1),
)
A1 = (  # paper, figure 7
    Stage(16, 1, 1, expansion=None),
    Stage(24, 2, 2),
    Stage(40, 3, 2, expansion=3, kernel=5, se_ratio=0.25),
    Stage(80, 4, 2),
    Stage(112, 2, 1, se_ratio=0.25),
    Stage(160, 3, 2, kernel=5, se_ratio=0.25),
    Stage(320, 1, 1),
)
A2 = (  # assumed
    Stage(16, 1, 1, expansion=None),
    Stage(24, 1, 2),
    Stage(40, 4, 2, expansion=3, kernel=5, se_ratio=0.25),
    Stage(80, 4, 2),
    Stage(120, 2, 1, se_ratio=0.25),
    Stage(200, 3, 2, kernel=5, se_ratio=0.25),
    Stage(400, 1, 1),
)


@dataclass(frozen=True)
class Config:
    """One model of the family: its table of stages."""

    stages: tuple[Stage, ...]


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = blocks.conv_bn_act(x, 32, 3, 2, act="relu", style=TORCH, name="stem")
    x = stages.build(x, config.stages, act="relu", style=TORCH)
    return blocks.conv_bn_act(x, 1280, act="relu", style=TORCH, name="final")


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
    source="arXiv 1807.11626",
)
preprocess_input = FAMILY.preprocess_input()


RECONSTRUCTED = (
    "A reconstruction: the paper prints figures and no network. A1's operators, with widths and depths "
    "of the paper's search space that meet the printed parameters and multiply-adds. No weights exist."
)


def _timm(name: str) -> Weights:
    return Weights(
        tag="rmsp_in1k",
        sources=(HubFile(repo=f"timm/{name}.rmsp_in1k"),),
        license="Apache-2.0",
        author="Ross Wightman (timm)",
        preprocess=PreprocessConfig(),
    )


def _mnasnet(
    letter: str, table: tuple[Stage, ...], reported: ReportedResults, weights=(), notes: str = ""
):
    name, title = f"mnasnet_{letter.lower()}", f"MnasNet-{letter}"
    card = Card(name=name, title=title, reported=reported, weights=weights, notes=notes)
    return FAMILY.register(f"MnasNet{letter}", Config(table), card)


MnasNetB1 = _mnasnet(
    "B1",
    B1,
    ReportedResults(
        source="DEVIEW 2019 talk, table of NAS models",
        top1_error=26.0,
        top5_error=8.2,
        params=4.2,
        macs=0.32,
        discrepancy="the talk prints 4.2M and 0.32G; every public implementation has 4.38M and 0.314G",
    ),
    (_timm("mnasnet_100"),),
)
MnasNetA1 = _mnasnet(
    "A1",
    A1,
    ReportedResults(
        source="arXiv 1807.11626, table 1",
        top1_error=24.8,
        top5_error=7.5,
        params=3.9,
        macs=0.312,
    ),
    (_timm("semnasnet_100"),),
)
MnasNetA2 = _mnasnet(
    "A2",
    A2,
    ReportedResults(
        source="DEVIEW 2019 talk, table of NAS models",
        top1_error=24.4,
        top5_error=7.3,
        params=4.8,
        macs=0.34,
    ),
    notes=RECONSTRUCTED,
)

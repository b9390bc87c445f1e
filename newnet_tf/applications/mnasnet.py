"""MnasNet-B1 and MnasNet-A1.

Tan et al.: "MnasNet: Platform-Aware Neural Architecture Search for Mobile", arXiv 1807.11626;
Google's code (tensorflow/tpu, `models/official/mnasnet`) is under Apache-2.0. B1 is the network without
squeeze-and-excitation, A1 that with it; definition, names and weights are timm's (`mnasnet_100`,
`semnasnet_100`: symmetric padding, batch-norm epsilon 1e-5). What differs here: the zoo's head.
"""

from dataclasses import dataclass

from newnet_tf import blocks, stages
from newnet_tf.blocks import TORCH
from newnet_tf.cards import Card, Claim, Hub, Naming, Preprocess, Weights
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.stages import Stage
from newnet_tf.variants import Family

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
    Stage(40, 3, 2, expansion=3, kernel=5, squeeze=0.25),
    Stage(80, 4, 2),
    Stage(112, 2, 1, squeeze=0.25),
    Stage(160, 3, 2, kernel=5, squeeze=0.25),
    Stage(320, 1, 1),
)


@dataclass(frozen=True)
class Row:
    """One network of the family: its table of stages."""

    stages: tuple[Stage, ...]


def build(x, row: Row):
    """Input to the last map before pooling."""
    x = blocks.conv_bn_act(x, 32, 3, 2, act="relu", style=TORCH, name="stem")
    x = stages.build(x, row.stages, act="relu", style=TORCH)
    return blocks.conv_bn_act(x, 1280, act="relu", style=TORCH, name="final")


def top(x, row: Row, classes: int):
    """The last map to logits."""
    return blocks.classifier(x, classes, dropout=0.2, style=TORCH)


def namings(row: Row) -> tuple[Naming, ...]:
    """The checkpoint kinds that this family reads."""
    return (Naming(name="timm", layers=stages.timm_names(row.stages)),)


FAMILY = Family(__name__, build=build, top=top, namings=namings, source="arXiv 1807.11626")
preprocess_input = FAMILY.preprocess_input()


def _mnasnet(letter: str, timm: str, table: tuple[Stage, ...], claim: Claim):
    weights = Weights(
        tag="rmsp_in1k",
        sources=(Hub(repo=f"timm/{timm}.rmsp_in1k"),),
        licence="Apache-2.0",
        origin="Ross Wightman (timm)",
        preprocess=Preprocess(),
    )
    name, title = f"mnasnet_{letter.lower()}", f"MnasNet-{letter}"
    card = Card(name=name, title=title, claim=claim, weights=(weights,))
    return FAMILY.variant(f"MnasNet{letter}", Row(table), card)


MnasNetB1 = _mnasnet(
    "B1",
    "mnasnet_100",
    B1,
    Claim(
        source="DEVIEW 2019 talk, table of NAS models",
        top1_error=26.0,
        top5_error=8.2,
        params=4.2,
        macs=0.32,
    ),
)
MnasNetA1 = _mnasnet(
    "A1",
    "semnasnet_100",
    A1,
    Claim(
        source="arXiv 1807.11626, table 1",
        top1_error=24.8,
        top5_error=7.5,
        params=3.9,
        macs=0.312,
    ),
)

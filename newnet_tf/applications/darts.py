"""DARTS, the network of the second-order search on CIFAR-10, for ImageNet.

Liu, Simonyan, Yang: "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055. The
authors' code (quark0/darts) is under the Apache-2.0 license; module names are pytorchcv's, which has
the network without the training-time auxiliary tower. What differs here: sides that are no multiple
of 32 work, because the factorized reduction pads a row and column where the authors' fails.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, cells
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.cells import CURRENT, PREVIOUS, Cell, CheckpointNames
from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.models.variants import Family

NORMAL = Cell(  # paper, figure 4
    nodes=(
        ("separable_3", PREVIOUS, "separable_3", CURRENT),
        ("separable_3", PREVIOUS, "separable_3", CURRENT),
        ("separable_3", CURRENT, "skip", PREVIOUS),
        ("skip", PREVIOUS, "dilated_3", 2),
    ),
    output=(2, 3, 4, 5),
)
REDUCTION = Cell(  # paper, figure 5
    nodes=(
        ("max", PREVIOUS, "max", CURRENT),
        ("skip", 2, "max", CURRENT),
        ("max", PREVIOUS, "skip", 2),
        ("skip", 2, "max", CURRENT),
    ),
    output=(2, 3, 4, 5),
)
PYTORCHCV = CheckpointNames(
    squeeze="preprocess",
    previous="preprocess_prev",
    halved=("preprocess_prev.conv1", "preprocess_prev.conv2", "preprocess_prev.bn"),
    operation="body.ops.{index}",
    separable=("conv{}.conv.dw_conv", "conv{}.conv.pw_conv", "conv{}.bn"),
)


@dataclass(frozen=True)
class Row:
    """One network of the family: width of the first cells, normal cells in each stage."""

    filters: int = 48
    depths: tuple[int, ...] = (4, 4, 4)


def build(x, row: Row):
    """Input to the last map before pooling."""
    x = blocks.conv_bn_act(x, row.filters // 2, 3, 2, act="relu", style=TORCH, name="stem")
    x = blocks.feature(x, 2)
    options = {"style": TORCH, "name": "stem2"}
    x = blocks.conv_bn_act(x, row.filters, 3, 2, act="relu", **options)
    previous = blocks.feature(x, 4)
    options = {"style": TORCH, "name": "stem3"}
    x = blocks.conv_bn_act(previous, row.filters, 3, 2, act="linear", **options)
    plan = cells.steps(row.filters, row.depths, stem=False)
    x = cells.stack(x, NORMAL, REDUCTION, plan, previous=previous, stride=8, style=TORCH)
    return blocks.feature(x, 32)


def top(x, row: Row, classes: int):
    """The last map to logits."""
    return blocks.classifier(x, classes)


def pytorchcv_names(row: Row) -> dict[str, str]:
    """Our layer name to pytorchcv's module name."""
    names = {"classifier": "output"}
    for ours, theirs in (("stem", "stem1_unit.conv1"), ("stem2", "stem1_unit.conv2")):
        names |= {f"{ours}_{part}": f"features.{theirs}.{part}" for part in ("conv", "bn")}
    names |= {f"stem3_{part}": f"features.stem2_unit.{part}" for part in ("conv", "bn")}
    units = [
        f"features.stage{stage + 1}.unit{unit + 1}"
        for stage, depth in enumerate(row.depths)
        for unit in range(depth + (stage > 0))
    ]
    plan = cells.steps(row.filters, row.depths, stem=False)
    return names | cells.stacked_names(NORMAL, REDUCTION, plan, PYTORCHCV, units, stem=False)


def checkpoint_formats(row: Row) -> tuple[CheckpointFormat, ...]:
    """The checkpoint kinds that this family reads."""
    return (CheckpointFormat(name="pytorchcv", layers=pytorchcv_names(row)),)


FAMILY = Family(
    __name__, build=build, top=top, checkpoint_formats=checkpoint_formats, source="arXiv 1806.09055"
)
preprocess_input = FAMILY.preprocess_input()

DARTS = FAMILY.variant(
    "DARTS",
    Row(),
    Card(
        name="darts",
        title="DARTS",
        reported=ReportedResults(
            source="DEVIEW 2019 talk, table of NAS models",
            top1_error=26.9,
            top5_error=9.0,
            params=4.9,
            macs=0.60,
            discrepancy="the talk prints the figures of the paper's first version",
        ),
        notes="The talk prints the figures of the paper's first version, 4.9M parameters and 0.60G "
        "multiply-adds; the published network has 4.7M and, convolutions and classifier counted, "
        "0.53G. No weights are on a public hub; pass a checkpoint file with pytorchcv's names as "
        "`weights`.",
    ),
)

"""DARTS, the network of the second-order search on CIFAR-10, for ImageNet.

Liu, Simonyan, Yang: "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055. The
authors' code (quark0/darts) is under the Apache-2.0 license; module names are pytorchcv's, which has
the network without the training-time auxiliary tower. Difference: image sizes that are no multiple
of 32 work, because the factorized reduction pads a row and column where the authors' fails.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, cell_names, cells
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.cell_names import CheckpointNames
from newnet_tf.models.cells import CURRENT, PREVIOUS, Cell
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
class Config:
    """One model of the family: width of the first cells, normal cells in each stage."""

    channels: int = 48
    depths: tuple[int, ...] = (4, 4, 4)


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = blocks.conv_bn_act(x, config.channels // 2, 3, 2, act="relu", style=TORCH, name="stem")
    x = blocks.tag_feature(x, 2)
    options = {"style": TORCH, "name": "stem2"}
    x = blocks.conv_bn_act(x, config.channels, 3, 2, act="relu", **options)
    previous = blocks.tag_feature(x, 4)
    options = {"style": TORCH, "name": "stem3"}
    x = blocks.conv_bn_act(previous, config.channels, 3, 2, act="linear", **options)
    specs = cells.cell_specs(config.channels, config.depths, stem=False)
    x = cells.stack(x, NORMAL, REDUCTION, specs, previous=previous, stride=8, style=TORCH)
    return blocks.tag_feature(x, 32)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def pytorchcv_names(config: Config) -> dict[str, str]:
    """Maps our layer names to pytorchcv's module names."""
    names = {"classifier": "output"}
    for layer, module in (("stem", "stem1_unit.conv1"), ("stem2", "stem1_unit.conv2")):
        names |= {f"{layer}_{part}": f"features.{module}.{part}" for part in ("conv", "bn")}
    names |= {f"stem3_{part}": f"features.stem2_unit.{part}" for part in ("conv", "bn")}
    units = [
        f"features.stage{stage + 1}.unit{unit + 1}"
        for stage, depth in enumerate(config.depths)
        for unit in range(depth + (stage > 0))
    ]
    specs = cells.cell_specs(config.channels, config.depths, stem=False)
    return names | cell_names.stack_names(NORMAL, REDUCTION, specs, PYTORCHCV, units, stem=False)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="pytorchcv", layers=pytorchcv_names(config)),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1806.09055",
)
preprocess_input = FAMILY.preprocess_input()

DARTS = FAMILY.register(
    "DARTS",
    Config(),
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

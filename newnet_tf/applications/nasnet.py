"""NASNet-A, mobile.

Zoph, Vasudevan, Shlens, Le: "Learning Transferable Architectures for Scalable Image Recognition",
CVPR 2018, arXiv 1707.07012. The authors' TensorFlow code (tensorflow/models, slim) and the weights
are under the Apache-2.0 licence. Padding is TensorFlow's at every side, as the weights were trained;
pytorchcv has that padding written down for its native side only. Average pooling does not count
padding, as in TensorFlow and pytorchcv.
"""

from dataclasses import dataclass

from newnet_tf import blocks, cells
from newnet_tf.blocks import TENSORFLOW
from newnet_tf.cards import INCEPTION, Card, Claim, Naming
from newnet_tf.cells import CURRENT, PREVIOUS, Cell, Words
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.variants import Family

NORMAL = Cell(  # paper, figure 4, left
    nodes=(
        ("separable_5", CURRENT, "separable_3", PREVIOUS),
        ("separable_5", PREVIOUS, "separable_3", PREVIOUS),
        ("average", CURRENT, "skip", PREVIOUS),
        ("average", PREVIOUS, "average", PREVIOUS),
        ("separable_3", CURRENT, "skip", CURRENT),
    ),
    output=(PREVIOUS, 2, 3, 4, 5, 6),
)
REDUCTION = Cell(  # paper, figure 4, right
    nodes=(
        ("separable_5", CURRENT, "separable_7", PREVIOUS),
        ("max", CURRENT, "separable_7", PREVIOUS),
        ("average", CURRENT, "separable_5", PREVIOUS),
        ("skip", 3, "average", 2),
        ("separable_3", 2, "max", CURRENT),
    ),
    output=(3, 4, 5, 6),
)
PYTORCHCV = Words(
    squeeze="conv1x1",
    previous="conv1x1_prev",
    halved=("path.path1.conv", "path.path2.conv", "path.bn"),
    operation="comb{node}_{side}",
    separable=("conv{}.conv.dw_conv", "conv{}.conv.pw_conv", "conv{}.bn"),
)
STAGES = 3


@dataclass(frozen=True)
class Row:
    """One network of the family: filters of the stem and of the first stage, cells in a stage."""

    stem: int
    filters: int
    depth: int


def plan(row: Row) -> tuple[cells.Step, ...]:
    """The network's cells, the two of the stem first."""
    return cells.steps(row.filters, (row.depth,) * STAGES)


def build(x, row: Row):
    """Input to the last map before pooling."""
    return cells.network(x, row.stem, NORMAL, REDUCTION, plan(row))


def top(x, row: Row, classes: int):
    """The last map to logits."""
    return blocks.classifier(x, classes, dropout=0.5, style=TENSORFLOW)


def pytorchcv_names(row: Row) -> dict[str, str]:
    """Our layer name to pytorchcv's module name."""
    prefixes = ["features.stem1_unit", "features.stem2_unit"]
    for stage in range(STAGES):
        units = range(1, row.depth + 1 + (stage > 0))
        prefixes += [f"features.stage{stage + 1}.unit{unit}" for unit in units]
    names = {f"stem_{part}": f"features.init_block.{part}" for part in ("conv", "bn")}
    names |= cells.stacked_names(NORMAL, REDUCTION, plan(row), PYTORCHCV, prefixes)
    return names | {"classifier": "output.fc"}


def namings(row: Row) -> tuple[Naming, ...]:
    """The checkpoint kinds that this family reads."""
    return (Naming(name="pytorchcv", layers=pytorchcv_names(row)),)


FAMILY = Family(__name__, build=build, top=top, namings=namings, source="arXiv 1707.07012")
preprocess_input = FAMILY.preprocess_input()

NASNetAMobile = FAMILY.variant(
    "NASNetAMobile",
    Row(stem=32, filters=44, depth=4),
    Card(
        name="nasnet_a_mobile",
        title="NASNet-A (4 @ 1056), mobile",
        preprocess=INCEPTION,
        claim=Claim(
            source="DEVIEW 2019 talk, table of NAS models",
            top1_error=26.0,
            top5_error=8.3,
            params=5.3,
            macs=0.56,
        ),
        notes="No weights are on a public hub; pass a checkpoint file with pytorchcv's names as "
        "`weights`. No TFLite export: XNNPACK leaves its five-fold concatenations out.",
    ),
)

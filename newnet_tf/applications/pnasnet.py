"""PNASNet-5, mobile.

Liu et al.: "Progressive Neural Architecture Search", ECCV 2018, arXiv 1712.00559. The authors'
TensorFlow code (tensorflow/models, slim) and the weights are under the Apache-2.0 licence. One cell
serves as normal and as reduction cell. Padding is TensorFlow's. Where a halved map's width is odd, in
the mobile network's stem, its second convolution has one filter more than its first, as in slim.
"""

from dataclasses import dataclass

from newnet_tf import blocks, cells
from newnet_tf.blocks import TENSORFLOW
from newnet_tf.cards import INCEPTION, Card, Claim, Naming
from newnet_tf.cells import CURRENT, PREVIOUS, Cell, Words
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.variants import Family

CELL = Cell(  # paper, figure 1, left
    nodes=(
        ("separable_5", PREVIOUS, "max", PREVIOUS),
        ("separable_7", CURRENT, "max", CURRENT),
        ("separable_5", CURRENT, "separable_3", CURRENT),
        ("separable_3", 4, "max", CURRENT),
        ("separable_3", PREVIOUS, "skip", CURRENT),
    ),
    output=(2, 3, 4, 5, 6),
)
TIMM = Words(
    squeeze="conv_1x1",
    previous="conv_prev_1x1",
    halved=(
        "conv_prev_1x1.path_1.conv",
        "conv_prev_1x1.path_2.conv",
        "conv_prev_1x1.final_path_bn",
    ),
    operation="comb_iter_{node}_{side}",
    separable=(
        "separable_{}.depthwise_conv2d",
        "separable_{}.pointwise_conv2d",
        "bn_sep_{}",
    ),
)


@dataclass(frozen=True)
class Row:
    """One network of the family: filters of the stem and of the first stage, cells in a stage."""

    stem: int
    filters: int
    depth: int


def plan(row: Row) -> tuple[cells.Step, ...]:
    """The network's cells, the two of the stem first; a reduction is one of its stage's cells."""
    return cells.steps(row.filters, (row.depth, row.depth - 1, row.depth - 1))


def build(x, row: Row):
    """Input to the last map before pooling."""
    return cells.network(x, row.stem, CELL, CELL, plan(row))


def top(x, row: Row, classes: int):
    """The last map to logits."""
    return blocks.classifier(x, classes, dropout=0.5, style=TENSORFLOW)


def timm_names(row: Row) -> dict[str, str]:
    """Our layer name to timm's module name, which is pretrainedmodels' (Cadene's) too."""
    prefixes = ["cell_stem_0", "cell_stem_1"] + [f"cell_{i}" for i in range(3 * row.depth)]
    names = {f"stem_{part}": f"conv_0.{part}" for part in ("conv", "bn")}
    names |= cells.stacked_names(CELL, CELL, plan(row), TIMM, prefixes)
    return names | {"classifier": "last_linear"}


def namings(row: Row) -> tuple[Naming, ...]:
    """The checkpoint kinds that this family reads."""
    return (Naming(name="timm", layers=timm_names(row)),)


FAMILY = Family(__name__, build=build, top=top, namings=namings, source="arXiv 1712.00559")
preprocess_input = FAMILY.preprocess_input()

PNASNetMobile = FAMILY.variant(
    "PNASNetMobile",
    Row(stem=32, filters=54, depth=3),
    Card(
        name="pnasnet_mobile",
        title="PNASNet-5 (N = 3, F = 54), mobile",
        preprocess=INCEPTION,
        claim=Claim(
            source="DEVIEW 2019 talk, table of NAS models",
            top1_error=25.8,
            top5_error=8.1,
            params=5.1,
            macs=0.59,
        ),
        notes="No weights are on a public hub; pass a checkpoint file with timm's names as `weights`.",
    ),
)

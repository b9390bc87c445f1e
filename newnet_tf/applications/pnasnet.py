"""PNASNet-5, mobile and large.

Liu et al.: "Progressive Neural Architecture Search", ECCV 2018, arXiv 1712.00559. The authors'
TensorFlow code (tensorflow/models, slim) and the weights are under the Apache-2.0 license. One cell
serves as normal and as reduction cell. Padding is TensorFlow's. Where a halved map's width is odd, in
the mobile network's stem, its second convolution has one filter more than its first, as in slim.
"""

from dataclasses import replace

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import cells
from newnet_tf.models.cells import CURRENT, LARGE, PREVIOUS, Cell, Row
from newnet_tf.models.config import (
    INCEPTION,
    Card,
    CheckpointFormat,
    HubFile,
    ReportedResults,
    Weights,
)
from newnet_tf.models.variants import Family

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
TIMM = replace(
    cells.TIMM, halved=tuple(f"{cells.TIMM.previous}.{part}" for part in cells.TIMM.halved)
)


def build(x, row: Row):
    """Input to the last map before pooling."""
    return cells.network(x, row, CELL, CELL)


def timm_names(row: Row) -> dict[str, str]:
    """Our layer name to timm's module name, which is pretrainedmodels' too."""
    found = ["cell_stem_0", "cell_stem_1"]
    found += [f"cell_{i}" for i in range(len(row.plan) - len(found))]
    ends = {"stem": "conv_0", "classifier": "last_linear"}
    return cells.network_names(row, CELL, CELL, TIMM, found, **ends)


def checkpoint_formats(row: Row) -> tuple[CheckpointFormat, ...]:
    """The checkpoint kinds that this family reads."""
    return (CheckpointFormat(name="timm", layers=timm_names(row)),)


FAMILY = Family(
    __name__,
    build=build,
    top=cells.top,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1712.00559",
)
preprocess_input = FAMILY.preprocess_input()

PNASNetMobile = FAMILY.variant(
    "PNASNetMobile",
    Row(stem=32, filters=54, depths=(3, 2, 2)),  # a reduction is one of its stage's N cells
    Card(
        name="pnasnet_mobile",
        title="PNASNet-5 (N = 3, F = 54), mobile",
        preprocess=INCEPTION,
        reported=ReportedResults(
            source="DEVIEW 2019 talk, table of NAS models",
            top1_error=25.8,
            top5_error=8.1,
            params=5.1,
            macs=0.59,
        ),
        notes="No weights are on a public hub; pass a checkpoint file with timm's names as `weights`.",
    ),
)
PNASNetLarge = FAMILY.variant(
    "PNASNetLarge",
    Row(stem=96, filters=216, depths=(4, 3, 3)),
    Card(
        name="pnasnet_large",
        title="PNASNet-5 (N = 4, F = 216), large",
        preprocess=LARGE,
        reported=ReportedResults(
            source="arXiv 1712.00559, table 5",
            top1_error=17.1,
            top5_error=3.8,
            params=86.1,
            macs=25.0,
            image_size=331,
        ),
        weights=(
            Weights(
                tag="tf_in1k",
                sources=(HubFile(repo="timm/pnasnet5large.tf_in1k"),),
                license="Apache-2.0",
                author="the authors (Google), in timm's naming",
                preprocess=LARGE,
            ),
        ),
    ),
)

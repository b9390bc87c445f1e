"""PNASNet-5, mobile and large.

Liu et al.: "Progressive Neural Architecture Search", ECCV 2018, arXiv 1712.00559. The authors'
TensorFlow code (tensorflow/models, slim) and the weights are under the Apache-2.0 license. One cell
serves as normal and as reduction cell. Padding is TensorFlow's. Where a halved map's width is odd, in
the mobile network's stem, its second convolution has one filter more than its first, as in slim.
"""

from dataclasses import replace

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import cell_names, cells
from newnet_tf.models.cells import CURRENT, LARGE, PREVIOUS, Cell, Config
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
    cell_names.TIMM,
    halved=tuple(f"{cell_names.TIMM.previous}.{part}" for part in cell_names.TIMM.halved),
)


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    return cells.build(x, config, CELL, CELL)


def timm_names(config: Config) -> dict[str, str]:
    """Maps our layer names to timm's module names, which is pretrainedmodels' too."""
    prefixes = ["cell_stem_0", "cell_stem_1"]
    prefixes += [f"cell_{i}" for i in range(len(config.specs) - len(prefixes))]
    ends = {"stem": "conv_0", "classifier": "last_linear"}
    return cell_names.model_names(config, CELL, CELL, TIMM, prefixes, **ends)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="timm", layers=timm_names(config)),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=cells.build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1712.00559",
)
preprocess_input = FAMILY.preprocess_input()

PNASNetMobile = FAMILY.register(
    "PNASNetMobile",
    Config(stem=32, channels=54, depths=(3, 2, 2)),  # a reduction is one of its stage's N cells
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
PNASNetLarge = FAMILY.register(
    "PNASNetLarge",
    Config(stem=96, channels=216, depths=(4, 3, 3)),
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

"""NASNet-A, mobile and large.

Zoph, Vasudevan, Shlens, Le: "Learning Transferable Architectures for Scalable Image Recognition",
CVPR 2018, arXiv 1707.07012. The authors' TensorFlow code (tensorflow/models, slim) and the weights
are under the Apache-2.0 license. Padding is TensorFlow's at every image size, as in training;
pytorchcv has that padding for its native image size only. Average pooling does not count
padding, as in TensorFlow and pytorchcv and unlike timm at stride 2.
"""

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import cell_names, cells
from newnet_tf.models.cell_names import TIMM, CheckpointNames
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
PYTORCHCV = CheckpointNames(
    squeeze="conv1x1",
    previous="conv1x1_prev",
    halved=("path.path1.conv", "path.path2.conv", "path.bn"),
    operation="comb{node}_{side}",
    separable=("conv{}.conv.dw_conv", "conv{}.conv.pw_conv", "conv{}.bn"),
)


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    return cells.build(x, config, NORMAL, REDUCTION)


def timm_names(config: Config) -> dict[str, str]:
    """Maps our layer names to timm's and pretrainedmodels' module names."""
    prefixes = ["cell_stem_0", "cell_stem_1"]
    for stage, depth in enumerate(config.depths):
        prefixes += [f"reduction_cell_{stage - 1}"] * (stage > 0)
        prefixes += [f"cell_{6 * stage + i}" for i in range(depth)]
    ends = {"stem": "conv0", "classifier": "last_linear"}
    return cell_names.model_names(config, NORMAL, REDUCTION, TIMM, prefixes, **ends)


def pytorchcv_names(config: Config) -> dict[str, str]:
    """Maps our layer names to pytorchcv's module names."""
    prefixes = ["features.stem1_unit", "features.stem2_unit"]
    for stage, depth in enumerate(config.depths):
        units = range(1, depth + 1 + (stage > 0))
        prefixes += [f"features.stage{stage + 1}.unit{unit}" for unit in units]
    ends = {"stem": "features.init_block", "classifier": "output.fc"}
    return cell_names.model_names(config, NORMAL, REDUCTION, PYTORCHCV, prefixes, **ends)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    timm = CheckpointFormat(name="timm", layers=timm_names(config))
    return (timm, CheckpointFormat(name="pytorchcv", layers=pytorchcv_names(config)))


FAMILY = Family(
    __name__,
    build=build,
    build_head=cells.build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1707.07012",
)
preprocess_input = FAMILY.preprocess_input()

NASNetAMobile = FAMILY.register(
    "NASNetAMobile",
    Config(stem=32, channels=44, depths=(4, 4, 4)),
    Card(
        name="nasnet_a_mobile",
        title="NASNet-A (4 @ 1056), mobile",
        preprocess=INCEPTION,
        reported=ReportedResults(
            source="DEVIEW 2019 talk, table of NAS models",
            top1_error=26.0,
            top5_error=8.3,
            params=5.3,
            macs=0.56,
        ),
        notes="No weights are on a public hub; pass a checkpoint file with pytorchcv's or "
        "pretrainedmodels' names as `weights`.",
    ),
)
NASNetALarge = FAMILY.register(
    "NASNetALarge",
    Config(stem=96, channels=168, depths=(6, 6, 6), skip=True),
    Card(
        name="nasnet_a_large",
        title="NASNet-A (6 @ 4032), large",
        preprocess=LARGE,
        reported=ReportedResults(
            source="arXiv 1707.07012, table 2",
            top1_error=17.3,
            top5_error=3.8,
            params=88.9,
            macs=23.8,
            image_size=331,
        ),
        weights=(
            Weights(
                tag="tf_in1k",
                sources=(HubFile(repo="timm/nasnetalarge.tf_in1k"),),
                license="Apache-2.0",
                author="the authors (Google), in timm's naming",
                preprocess=LARGE,
            ),
        ),
    ),
)

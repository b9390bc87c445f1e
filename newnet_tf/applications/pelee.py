"""PeleeNet, the backbone of Pelee.

Wang, Li, Ling: "Pelee: A Real-Time Object Detection System on Mobile Devices", arXiv 1804.06882
(Robert-JunWang/PeleeNet, Apache-2.0). Follows pytorchcv (MIT): a DenseNet of convolution, batch
norm, ReLU in that order, whose layers have two branches of 16 channels, one with two 3x3
convolutions; transitions keep the number of channels. Difference: the head is `blocks.classifier`, and
the stem's pooling pads (`ceil_mode`), so that every image size works.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

STEM = 32


@dataclass(frozen=True)
class Config:
    """One model of the family (paper, table 1).

    Args:
        depths: tuple of int, dense layers of each stage.

        bottlenecks: tuple of int, channels of their 1x1 convolutions over those of a branch's output.

        growth: int, channels that a dense layer adds.
    """

    depths: tuple[int, ...] = (3, 4, 8, 6)
    bottlenecks: tuple[int, ...] = (1, 2, 4, 4)
    growth: int = 32


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = _stem(x)
    for stage, (depth, bottleneck) in enumerate(
        zip(config.depths, config.bottlenecks, strict=True)
    ):
        if stage:
            x = blocks.tag_feature(x, 2 << stage)
            x = _conv(x, x.shape[-1], name=f"stage{stage}_transition")
            x = pooling.average_pool(x, 2, name=f"stage{stage}_pool")
        for i in range(depth):
            branch = config.growth // 2
            x = _dense(x, branch, branch * bottleneck, f"stage{stage}_block{i}")
    x = blocks.tag_feature(x, 32)
    return _conv(x, x.shape[-1], name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes, dropout=0.5)


def _conv(x, channels, kernel=1, stride=1, *, name):
    return blocks.conv_bn_act(x, channels, kernel, stride, act="relu", style=TORCH, name=name)


def _stem(x):
    """Two strides, the second by a convolution and a max pooling in parallel (figure 3)."""
    x = blocks.tag_feature(_conv(x, STEM, 3, 2, name="stem"), 2)
    strided = _conv(x, STEM // 2, name="stem_reduce")
    strided = _conv(strided, STEM, 3, 2, name="stem_stride")
    pooled = pooling.max_pool(x, 2, padding=pooling.CEIL, name="stem_pool")
    x = keras.layers.Concatenate(name="stem_join")([strided, pooled])
    return _conv(x, STEM, name="stem_project")


def _dense(x, channels: int, inner: int, name: str):
    """Two-way dense layer (paper, figure 2): receptive fields of 3x3 and 5x5, and the input."""
    near = _conv(x, inner, name=f"{name}_near_reduce")
    near = _conv(near, channels, 3, name=f"{name}_near")
    far = _conv(x, inner, name=f"{name}_far_reduce")
    far = _conv(far, channels, 3, name=f"{name}_far0")
    far = _conv(far, channels, 3, name=f"{name}_far1")
    return keras.layers.Concatenate(name=f"{name}_join")([x, near, far])


def pytorchcv_names(config: Config) -> dict[str, str]:
    """Maps our layer names to pytorchcv's module names."""
    init = "features.init_block"
    modules = {
        "stem": f"{init}.first_conv",
        "stem_reduce": f"{init}.branches.branch1.conv1",
        "stem_stride": f"{init}.branches.branch1.conv2",
        "stem_project": f"{init}.last_conv",
        "final": "features.final_block",
    }
    branches = {
        "near_reduce": "branch1.conv1",
        "near": "branch1.conv2",
        "far_reduce": "branch2.conv1",
        "far0": "branch2.conv2",
        "far1": "branch2.conv3",
    }
    for stage, depth in enumerate(config.depths):
        prefix = f"features.stage{stage + 1}"
        if stage:
            modules[f"stage{stage}_transition"] = f"{prefix}.trans{stage + 1}.conv"
        for i in range(depth):
            for layer, module in branches.items():
                modules[f"stage{stage}_block{i}_{layer}"] = f"{prefix}.unit{i + 1}.{module}"
    names = {f"{n}_{part}": f"{m}.{part}" for n, m in modules.items() for part in ("conv", "bn")}
    return names | {"classifier": "output.fc"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="pytorchcv", layers=pytorchcv_names(config)),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1804.06882",
)
preprocess_input = FAMILY.preprocess_input()

Pelee = FAMILY.register(
    "Pelee",
    Config(),
    Card(
        name="pelee",
        title="Pelee",
        reported=ReportedResults(
            source="DEVIEW 2019 talk, table of light models",
            top1_error=27.4,
            top5_error=9.4,
            params=2.8,
            macs=0.51,
        ),
        notes="No weights are on a public hub; pass pytorchcv's checkpoint file as `weights`.",
    ),
)

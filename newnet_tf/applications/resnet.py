"""ResNet, ResNeXt, Wide ResNet.

He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", arXiv 1512.03385; Xie et al.:
"Aggregated Residual Transformations for Deep Neural Networks", arXiv 1611.05431; Zagoruyko,
Komodakis: "Wide Residual Networks", arXiv 1605.07146. The original code is under MIT and BSD
licenses. As in torchvision and timm, whose checkpoints load, the stride of a bottleneck sits on its
3x3 convolution (the paper has it on the first 1x1). The pooling after the stem pads zeros, which
after a ReLU equals PyTorch's minus infinity. Difference: the classifier is a 1x1 convolution.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH, SEConfig
from newnet_tf.models.config import (
    Card,
    CheckpointFormat,
    HubFile,
    PreprocessConfig,
    ReportedResults,
    Weights,
)
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

EXPANSION = 4
FIRST_STRIDES = (1, 2, 2, 2)
BILINEAR = PreprocessConfig(interpolation="bilinear")


@dataclass(frozen=True)
class Config:
    """One model of the family.

    Args:
        depths: tuple of int, blocks of the four stages (ResNet paper, table 1).

        bottleneck: bool, 1x1 - 3x3 - 1x1 blocks, else 3x3 - 3x3.

        groups: int, of the 3x3 convolutions.

        base: int, width of a group in the first stage (64 for ResNet).
    """

    depths: tuple[int, ...]
    bottleneck: bool = True
    groups: int = 1
    base: int = 64


@dataclass(frozen=True)
class Conv:
    """One convolution of a residual block."""

    channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1


def residual(x, convs: Sequence[Conv], *, shortcut_kernel=1, se: SEConfig | None = None, name: str):
    """Residual block: convolutions and optional squeeze-and-excitation, added to the input.

    The input goes through a convolution of its own where stride or channels change. SENet shares it.
    """
    shortcut, stride = x, max(c.stride for c in convs)
    for n, c in enumerate(convs, 1):
        x = blocks.conv_bn_act(
            x,
            c.channels,
            c.kernel,
            c.stride,
            act="relu" if n < len(convs) else "linear",
            groups=c.groups,
            style=TORCH,
            name=f"{name}_{n}",
        )
    if se:
        x = blocks.squeeze_excite(x, se, style=TORCH, name=f"{name}_se")
    if stride > 1 or shortcut.shape[-1] != x.shape[-1]:
        shortcut = blocks.conv_bn_act(
            shortcut,
            x.shape[-1],
            shortcut_kernel if stride > 1 else 1,
            stride,
            act="linear",
            style=TORCH,
            name=f"{name}_shortcut",
        )
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return blocks.activation(x, "relu", name=f"{name}_act")


def body(x, depths: Sequence[int], padding, block: Callable):
    """A stem's output to the last feature map: pooling and `block(x, name, planes, stride)`, 4 stages.

    `planes` is 64 in the first stage and doubles. SENet shares it.
    """
    planes = [64 << stage for stage, depth in enumerate(depths) for _ in range(depth)]
    x = pooling.max_pool(blocks.tag_feature(x, 2), padding=padding, name="stem_pool")
    strides = blocks.block_strides(depths, FIRST_STRIDES)
    return blocks.stack(
        x, strides, lambda x, i, stride: block(x, f"block{i}", planes[i], stride), reduction=4
    )


def build(x, config: Config):
    """Input to the last feature map before pooling."""

    def block(x, name, planes, stride):
        if config.bottleneck:
            width = planes * config.base // 64 * config.groups
            middle = Conv(width, 3, stride, config.groups)
            return residual(x, (Conv(width), middle, Conv(planes * EXPANSION)), name=name)
        return residual(x, (Conv(planes, 3, stride), Conv(planes, 3)), name=name)

    x = blocks.conv_bn_act(x, 64, 7, 2, act="relu", style=TORCH, name="stem")
    return body(x, config.depths, 1, block)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def block_names(depths: Sequence[int], bottleneck: bool = True) -> dict[str, str]:
    """Maps our layer names to torchvision's module names, for the blocks; SENet shares it."""
    names = {}
    places = [(stage, b) for stage, depth in enumerate(depths) for b in range(depth)]
    for i, (stage, b) in enumerate(places):
        prefix = f"layer{stage + 1}.{b}"
        for n in range(1, 4 if bottleneck else 3):
            names[f"block{i}_{n}_conv"] = f"{prefix}.conv{n}"
            names[f"block{i}_{n}_bn"] = f"{prefix}.bn{n}"
        if b == 0 and (stage or bottleneck):
            names[f"block{i}_shortcut_conv"] = f"{prefix}.downsample.0"
            names[f"block{i}_shortcut_bn"] = f"{prefix}.downsample.1"
    return names


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load; timm's names are torchvision's."""
    ends = {"stem_conv": "conv1", "stem_bn": "bn1", "classifier": "fc"}
    names = block_names(config.depths, config.bottleneck) | ends
    return (CheckpointFormat(name="torchvision", layers=names),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1512.03385, 1611.05431, 1605.07146",
)
preprocess_input = FAMILY.preprocess_input()

ORIGINS = {
    "tv": ("BSD-3-Clause", "torchvision, first recipe", BILINEAR),
    "gluon": ("Apache-2.0", "GluonCV, converted by timm", PreprocessConfig()),
    "a1": ("Apache-2.0", "timm, arXiv 2110.00476", PreprocessConfig(crop_pct=0.95)),
    "c1": ("Apache-2.0", "timm, arXiv 2110.00476", PreprocessConfig(crop_pct=0.95)),
    "racm": ("Apache-2.0", "Ross Wightman (timm)", PreprocessConfig()),
}


def _weights(name: str, recipe: str) -> Weights:
    license, author, preprocess = ORIGINS[recipe]
    return Weights(
        tag=f"{recipe}_in1k",
        sources=(HubFile(repo=f"timm/{name}.{recipe}_in1k"),),
        license=license,
        author=author,
        preprocess=preprocess,
    )


def _talk(
    top1: float, top5: float, params: float, macs: float, discrepancy: str = ""
) -> ReportedResults:
    return ReportedResults(
        source="DEVIEW 2019 talk, table of heavy models",
        top1_error=top1,
        top5_error=top5,
        params=params,
        macs=macs,
        discrepancy=discrepancy,
    )


def _resnet(
    name: str, title: str, config: Config, reported: ReportedResults, recipes: tuple[str, ...]
):
    """Registers a model; `"imagenet"` selects the weights of its first recipe."""
    weights = tuple(_weights(name, recipe) for recipe in recipes)
    preprocess = weights[0].preprocess
    card = Card(name=name, title=title, preprocess=preprocess, reported=reported, weights=weights)
    constructor = title.replace("Wide ResNet-50-2", "WideResNet50_2").replace("-", "")
    return FAMILY.register(constructor, config, card)


PAPER = "arXiv 1512.03385, tables 1 and 2 (10 crops)"
WIDE_PAPER = "arXiv 1605.07146, table 8"
BARE = (
    "the talk counts parameters without the classifier, multiply-adds with batch norm and pooling"
)
CONFIG_50, CONFIG_101 = Config((3, 4, 6, 3)), Config((3, 4, 23, 3))
NEXT_32, NEXT_64 = (Config(CONFIG_101.depths, groups=groups, base=4) for groups in (32, 64))

ResNet18 = _resnet(
    "resnet18",
    "ResNet-18",
    Config((2, 2, 2, 2), bottleneck=False),
    ReportedResults(source=PAPER, top1_error=27.88, macs=1.8),
    ("tv", "a1", "gluon"),
)
ResNet34 = _resnet(
    "resnet34",
    "ResNet-34",
    Config((3, 4, 6, 3), bottleneck=False),
    ReportedResults(source=PAPER, top1_error=25.03, macs=3.6),
    ("tv", "a1", "gluon"),
)
ResNet50 = _resnet(
    "resnet50", "ResNet-50", CONFIG_50, _talk(23.9, 7.1, 23.5, 4.1, BARE), ("tv", "a1", "gluon")
)
ResNet101 = _resnet(
    "resnet101", "ResNet-101", CONFIG_101, _talk(22.6, 6.4, 42.5, 7.9, BARE), ("tv", "a1", "gluon")
)
ResNet152 = _resnet(
    "resnet152",
    "ResNet-152",
    Config((3, 8, 36, 3)),
    _talk(21.7, 5.9, 60.2, 11.6),
    ("tv", "a1", "gluon"),
)
ResNeXt101_32x4d = _resnet(
    "resnext101_32x4d", "ResNeXt-101_32x4d", NEXT_32, _talk(21.8, 6.1, 44.2, 8.0), ("gluon",)
)
ResNeXt101_64x4d = _resnet(
    "resnext101_64x4d",
    "ResNeXt-101_64x4d",
    NEXT_64,
    _talk(21.0, 5.8, 83.5, 15.6),
    ("gluon", "tv", "c1"),
)
WideResNet50_2 = _resnet(
    "wide_resnet50_2",
    "Wide ResNet-50-2",
    Config(CONFIG_50.depths, base=128),
    ReportedResults(source=WIDE_PAPER, top1_error=21.9, top5_error=6.03, params=68.9),
    ("tv", "racm"),
)

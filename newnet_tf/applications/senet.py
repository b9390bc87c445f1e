"""SE-ResNet, SE-ResNeXt, SENet-154.

Hu, Shen, Sun: "Squeeze-and-Excitation Networks", arXiv 1709.01507. The authors' Caffe code and weights
are under the Apache-2.0 license; their PyTorch conversion, timm's `legacy_` networks, loads here. From
Caffe come the stride of SE-ResNet-50 on the first 1x1 convolution and the pooling after the stem,
which rounds up (`ceil_mode`) instead of padding on all sides. Difference: the classifier is a
1x1 convolution. All but the squeeze-and-excitation is ResNet's code.
"""

from dataclasses import dataclass

from newnet_tf.applications.resnet import BILINEAR, EXPANSION, Conv, block_names, body, residual
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH, SEConfig
from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.models.variants import Family

REDUCTION = 16


@dataclass(frozen=True)
class Config:
    """One model of the family.

    Args:
        depths: tuple of int, blocks of the four stages.

        widths: two int, channels of a block's first two convolutions; ResNet-50 has 64 (paper,
            table 1).

        groups: int, of the 3x3 convolutions.

        stride_first: bool, a block's stride on its first 1x1 convolution instead of its 3x3.

        shortcut: int, kernel of the shortcut's convolution in blocks of stride 2.

        stem: (kernel, channels) of the stem's convolutions; the first has stride 2.

        dropout: float, rate before the classifier.
    """

    depths: tuple[int, ...]
    widths: tuple[int, int] = (64, 64)
    groups: int = 1
    stride_first: bool = False
    shortcut: int = 1
    stem: tuple[tuple[int, int], ...] = ((7, 64),)
    dropout: float = 0.0


def build(x, config: Config):
    """Input to the last feature map before pooling."""

    def block(x, name, planes, stride):
        first, second = (planes * width // 64 for width in config.widths)
        convs = (
            Conv(first, stride=stride if config.stride_first else 1),
            Conv(second, 3, 1 if config.stride_first else stride, config.groups),
            Conv(planes * EXPANSION),
        )
        se = SEConfig(planes * EXPANSION // REDUCTION)
        return residual(x, convs, shortcut_kernel=config.shortcut, se=se, name=name)

    for n, (kernel, channels) in enumerate(config.stem, 1):
        stride = 2 if n == 1 else 1
        x = blocks.conv_bn_act(
            x, channels, kernel, stride, act="relu", style=TORCH, name=f"stem_{n}"
        )
    return body(x, config.depths, pooling.CEIL, block)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes, dropout=config.dropout)


def timm_names(config: Config) -> dict[str, str]:
    """Maps our layer names to timm's module names."""
    names = block_names(config.depths)
    for layer, module in list(names.items()):
        if layer.endswith("_1_conv"):
            name, prefix = layer.removesuffix("_1_conv"), module.removesuffix("conv1")
            names[f"{name}_se_reduce"] = f"{prefix}se_module.fc1"
            names[f"{name}_se_expand"] = f"{prefix}se_module.fc2"
    for n in range(1, len(config.stem) + 1):
        names |= {f"stem_{n}_{part}": f"layer0.{part}{n}" for part in ("conv", "bn")}
    return names | {"classifier": "last_linear"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="timm", layers=timm_names(config)),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1709.01507",
)
preprocess_input = FAMILY.preprocess_input()

FILE = (
    "No weights are on a public hub; pass a checkpoint file (timm's "
    "`legacy_{name}`, Apache-2.0) as `weights`."
)


def _senet(name: str, constructor: str, title: str, config: Config, reported: ReportedResults):
    notes = FILE.format(name=name)
    card = Card(name=name, title=title, preprocess=BILINEAR, reported=reported, notes=notes)
    return FAMILY.register(constructor, config, card)


SEResNet50 = _senet(
    "seresnet50",
    "SEResNet50",
    "SE-ResNet-50",
    Config((3, 4, 6, 3), stride_first=True),
    ReportedResults(
        source="arXiv 1709.01507, table 2", top1_error=23.29, top5_error=6.62, macs=3.87
    ),
)
SEResNeXt101_32x4d = _senet(
    "seresnext101_32x4d",
    "SEResNeXt101_32x4d",
    "SE-ResNeXt-101 32x4d",
    Config((3, 4, 23, 3), (128, 128), groups=32),
    ReportedResults(source="arXiv 1709.01507, table 2", top1_error=20.7, top5_error=5.01, macs=8.0),
)
SENet154 = _senet(
    "senet154",
    "SENet154",
    "SENet-154",
    Config(
        depths=(3, 8, 36, 3),
        widths=(128, 256),
        groups=64,
        shortcut=3,
        stem=((3, 64), (3, 64), (3, 128)),
        dropout=0.2,
    ),
    ReportedResults(
        source="arXiv 1709.01507, 224 x 224 center crop", top1_error=18.68, top5_error=4.47
    ),
)

"""DPN: dual path networks.

Chen, Li, Xiao, Jin, Yan, Feng: "Dual Path Networks", arXiv 1707.01629 (cypw/DPNs, Apache-2.0).
Follows timm: batch norm (epsilon 1e-3) and ReLU before each convolution, symmetric padding. A block
adds its first channels to a residual path and concatenates the others to a dense path; both are one
tensor. Difference: the layer names.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import ConvBNConfig
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

STYLE = ConvBNConfig(padding="symmetric", eps=1e-3, momentum=0.9)
PREPROCESS = PreprocessConfig(mean=(124 / 255, 117 / 255, 104 / 255), std=(1 / (0.0167 * 255),) * 3)
GROUPS = 32


@dataclass(frozen=True)
class Config:
    """One model of the family (paper, table 1).

    Args:
        stem: int, channels of the first convolution.

        kernel: int, its kernel size.

        inner: int, channels of the first stage's grouped convolutions; they double at each stage.

        residual: int, channels of the first stage's residual path; they double too.

        depths: tuple of int, blocks of each stage.

        growths: tuple of int, channels that a block of each stage adds to the dense path.
    """

    stem: int
    kernel: int
    inner: int
    residual: int
    depths: tuple[int, ...]
    growths: tuple[int, ...]


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    stem = {"act": "relu", "style": STYLE, "name": "stem"}
    x = blocks.tag_feature(blocks.conv_bn_act(x, config.stem, config.kernel, 2, **stem), 2)
    x = pooling.max_pool(x, padding=1, name="stem_pool")
    for stage, (depth, growth) in enumerate(zip(config.depths, config.growths, strict=True)):
        widths = config.inner << stage, config.residual << stage, growth
        for i in range(depth):
            stride = 2 if stage and i == 0 else 1
            x = _block(x, widths, stride, i == 0, f"stage{stage}_block{i}")
        x = blocks.tag_feature(x, 4 << stage)
    x = blocks.norm(x, style=STYLE, name="final_bn")
    return blocks.activation(x, "relu", name="final_act")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def _conv(x, channels: int, kernel=1, stride=1, groups=1, *, name: str):
    """Batch norm, ReLU, convolution."""
    x = blocks.norm(x, style=STYLE, name=f"{name}_bn")
    x = blocks.activation(x, "relu", name=f"{name}_act")
    return blocks.conv(x, channels, kernel, stride, style=STYLE, groups=groups, name=f"{name}_conv")


def _block(x, widths: tuple[int, int, int], stride: int, first: bool, name: str):
    """Dual path block (paper, figure 2 d); the first of a stage projects its input."""
    inner, residual, growth = widths
    paths = x
    if first:
        paths = _conv(x, residual + 2 * growth, stride=stride, name=f"{name}_shortcut")
    x = _conv(x, inner, name=f"{name}_reduce")
    x = _conv(x, inner, 3, stride, GROUPS, name=f"{name}_grouped")
    x = _conv(x, residual + growth, name=f"{name}_expand")
    added = keras.layers.Add(name=f"{name}_add")([paths[..., :residual], x[..., :residual]])
    dense = [paths[..., residual:], x[..., residual:]]
    return keras.layers.Concatenate(name=f"{name}_join")([added, *dense])


def timm_names(config: Config) -> dict[str, str]:
    """Maps our layer names to timm's module names."""
    names = {f"stem_{part}": f"features.conv1_1.{part}" for part in ("conv", "bn")}
    modules = {"reduce": "c1x1_a", "grouped": "c3x3_b", "expand": "c1x1_c"}
    for stage, depth in enumerate(config.depths):
        for i in range(depth):
            shortcut = {"shortcut": "c1x1_w_s2" if stage else "c1x1_w_s1"} if i == 0 else {}
            for layer, module in (modules | shortcut).items():
                for part in ("bn", "conv"):
                    prefix = f"features.conv{stage + 2}_{i + 1}.{module}"
                    names[f"stage{stage}_block{i}_{layer}_{part}"] = f"{prefix}.{part}"
    return names | {"final_bn": "features.conv5_bn_ac.bn", "classifier": "classifier"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="timm", layers=timm_names(config)),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1707.01629",
)
preprocess_input = FAMILY.preprocess_input()


def _dpn(layers: int, config: Config, reported: ReportedResults):
    weights = Weights(
        tag="mx_in1k",
        sources=(HubFile(repo=f"timm/dpn{layers}.mx_in1k"),),
        license="Apache-2.0",
        author="the authors (cypw/DPNs), in timm's naming",
        preprocess=PREPROCESS,
    )
    card = Card(
        name=f"dpn{layers}",
        title=f"DPN-{layers}",
        preprocess=PREPROCESS,
        reported=reported,
        weights=(weights,),
    )
    return FAMILY.register(f"DPN{layers}", config, card)


DPN68 = _dpn(
    68,
    Config(10, 3, 128, 64, (3, 4, 12, 3), (16, 32, 32, 64)),
    ReportedResults(source="cypw/DPNs README", top1_error=23.6, top5_error=6.9),
)
DPN92 = _dpn(
    92,
    Config(64, 7, 96, 256, (3, 4, 20, 3), (16, 32, 24, 128)),
    ReportedResults(source="arXiv 1707.01629, table 2", top1_error=20.7, top5_error=5.4, macs=6.5),
)

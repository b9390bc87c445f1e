"""VGG.

Simonyan, Zisserman: "Very Deep Convolutional Networks for Large-Scale Image Recognition",
arXiv 1409.1556; the authors' weights are under CC BY 4.0, torchvision's code and weights, which these
follow, under BSD-3. Difference: the three dense layers are convolutions, the first as large as
the 7x7 map, and read the same checkpoints. Maps of another size are pooled to 7x7 first, as in
torchvision (Keras' adaptive pooling, which becomes several operators in TFLite files).
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
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

CHANNELS = (64, 128, 256, 512, 512)
HIDDEN, MAP_SIDE = 4096, 7


@dataclass(frozen=True)
class Config:
    """One model: convolutions of the five stages (paper, table 1), and whether with batch norm."""

    depths: tuple[int, ...]
    batch_norm: bool

    @property
    def names(self) -> list[tuple[str, ...]]:
        """Names of the convolutions, stage by stage."""
        return [tuple(f"stage{s}_{n}" for n in range(d)) for s, d in enumerate(self.depths)]


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    for stage, (names, channels) in enumerate(zip(config.names, CHANNELS, strict=True)):
        for name in names:
            x = blocks.conv(x, channels, 3, style=TORCH, bias=True, name=f"{name}_conv")
            if config.batch_norm:
                x = blocks.norm(x, style=TORCH, name=f"{name}_bn")
            x = blocks.activation(x, "relu", name=f"{name}_act")
        if stage:
            x = blocks.tag_feature(x, 2**stage)
        x = pooling.max_pool(x, 2, 2, name=f"stage{stage}_pool")
    return blocks.tag_feature(x, 32)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    x = pooling.adaptive_pool(x, MAP_SIDE, name="pool")
    for name in ("fc1", "fc2"):
        x = blocks.global_conv(x, HIDDEN, name=name)
        x = blocks.activation(x, "relu", name=f"{name}_act")
        x = keras.layers.Dropout(0.5, name=f"{name}_dropout")(x)
    return blocks.logits(x, classes)


def names(config: Config, head: tuple[str, str, str]) -> dict[str, str]:
    """Maps our layer names to PyTorch's module names; `head` are its names of the dense layers."""
    modules = dict(zip(("fc1", "fc2", "classifier"), head, strict=True))
    index = 0
    for stage in config.names:
        for name in stage:
            modules[f"{name}_conv"] = f"features.{index}"
            if config.batch_norm:
                modules[f"{name}_bn"] = f"features.{index + 1}"
            index += 3 if config.batch_norm else 2
        index += 1
    return modules


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    dense = ("classifier.0", "classifier.3", "classifier.6")
    convolutions = ("pre_logits.fc1", "pre_logits.fc2", "head.fc")
    return (
        CheckpointFormat(name="torchvision", layers=names(config, dense)),
        CheckpointFormat(name="timm", layers=names(config, convolutions)),
    )


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1409.1556",
    head=("fc1", "fc2", "classifier"),
    min_size=64,  # Keras pools a map of 1 x 1 to 7 x 7 only in eager mode
)
preprocess_input = FAMILY.preprocess_input()

BILINEAR = PreprocessConfig(interpolation="bilinear")
DEPTHS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
PAPER = "arXiv 1409.1556, tables 2 and 3 (one scale)"
TALK = "DEVIEW 2019 talk, table of heavy models"


def _vgg(number: int, reported: ReportedResults, batch_norm: bool = False):
    name = f"vgg{number}{'_bn' * batch_norm}"
    weights = Weights(
        tag="tv_in1k",
        sources=(HubFile(repo=f"timm/{name}.tv_in1k"),),
        license="BSD-3-Clause",
        author="torchvision",
        preprocess=BILINEAR,
    )
    card = Card(
        name=name,
        title=f"VGG-{number}{' with batch norm' * batch_norm}",
        preprocess=BILINEAR,
        reported=reported,
        weights=(weights,),
    )
    return FAMILY.register(
        f"VGG{number}{'BN' * batch_norm}", Config(DEPTHS[number], batch_norm), card
    )


VGG16 = _vgg(16, ReportedResults(source=PAPER, top1_error=27.0, top5_error=8.8, params=138))
VGG19 = _vgg(19, ReportedResults(source=PAPER, top1_error=27.3, top5_error=9.0, params=144))
VGG16BN = _vgg(
    16,
    ReportedResults(source=TALK, top1_error=28.5, top5_error=10.2, params=138.4, macs=15.5),
    batch_norm=True,
)
VGG19BN = _vgg(
    19,
    ReportedResults(source=TALK, top1_error=25.8, top5_error=8.2, params=143.7, macs=19.7),
    batch_norm=True,
)

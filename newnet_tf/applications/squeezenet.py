"""SqueezeNet.

Iandola et al.: "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
arXiv 1602.07360; original weights under BSD-2, torchvision's definition, which this follows, under
BSD-3. Poolings round up (`ceil_mode`): a border of zeros right and below, which after a ReLU equals
PyTorch's numbers. The head is the paper's: classes by a 1x1 convolution on the map, ReLU, mean.
"""

from dataclasses import dataclass, replace

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

UNPADDED = replace(TORCH, padding="valid")
PARTS = ("squeeze", "expand1x1", "expand3x3")
SQUEEZED = (16, 16, 32, 32, 48, 48, 64, 64)
EXPANSION = 4


@dataclass(frozen=True)
class Config:
    """One model: the stem's kernel and channels, and the fire modules between two poolings."""

    kernel: int
    channels: int
    depths: tuple[int, int, int]


def _conv(x, channels, kernel=1, stride=1, *, name):
    """Convolution and ReLU, without batch norm."""
    style = UNPADDED if stride > 1 else TORCH
    x = blocks.conv(x, channels, kernel, stride, style=style, bias=True, name=f"{name}_conv")
    return blocks.activation(x, "relu", name=f"{name}_act")


def fire(x, squeezed: int, *, name: str):
    """Fire module (paper, figure 1): 1x1, then 1x1 and 3x3 in parallel."""
    x = _conv(x, squeezed, name=f"{name}_squeeze")
    width = squeezed * EXPANSION
    wide = [_conv(x, width, k, name=f"{name}_expand{k}x{k}") for k in (1, 3)]
    return keras.layers.Concatenate(name=f"{name}_join")(wide)


def build(x, config: Config):
    """Input to the last feature map before the classifier."""
    x = _conv(x, config.channels, config.kernel, 2, name="stem")
    modules = enumerate(SQUEEZED)
    for stage, depth in enumerate(config.depths, 1):
        x = blocks.tag_feature(x, 2**stage)
        x = pooling.max_pool(x, padding=pooling.CEIL, name=f"pool{stage}")
        for _ in range(depth):
            i, squeezed = next(modules)
            x = fire(x, squeezed, name=f"fire{i}")
    return blocks.tag_feature(x, 16)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    x = blocks.conv(x, classes, style=TORCH, bias=True, name="classifier")
    x = blocks.activation(x, "relu", name="classifier_act")
    return keras.layers.GlobalAveragePooling2D(name="logits")(x)


def torchvision_names(config: Config) -> dict[str, str]:
    """Maps our layer names to torchvision's module names."""
    names, index, modules = {"stem_conv": "features.0", "classifier": "classifier.1"}, 2, 0
    for depth in config.depths:
        index += 1
        for _ in range(depth):
            names |= {f"fire{modules}_{p}_conv": f"features.{index}.{p}" for p in PARTS}
            index, modules = index + 1, modules + 1
    return names


def gluon_names() -> dict[str, str]:
    """Maps our layer names to GluonCV's module prefixes, which counts the convolutions."""
    layers = ["stem_conv"]
    layers += [f"fire{i}_{part}_conv" for i in range(len(SQUEEZED)) for part in PARTS]
    return {name: f"squeezenet0_conv{n}" for n, name in enumerate([*layers, "classifier"])}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (
        CheckpointFormat(name="torchvision", layers=torchvision_names(config)),
        CheckpointFormat(name="gluon", layers=gluon_names(), layout="gluon"),
    )


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1602.07360",
    min_size=21,
)
preprocess_input = FAMILY.preprocess_input()

FILE = "No weights are on a public hub; pass torchvision's or GluonCV's file as `weights`."
PAPER = ReportedResults(
    source="arXiv 1602.07360, tables 1 and 2", top1_error=42.5, top5_error=19.7, params=1.248
)


def _squeezenet(version: str, config: Config, reported: ReportedResults | None = None):
    code = version.replace(".", "_")
    card = Card(
        name=f"squeezenet{code}", title=f"SqueezeNet {version}", reported=reported, notes=FILE
    )
    return FAMILY.register(f"SqueezeNet{code}", config, card)


SqueezeNet1_0 = _squeezenet("1.0", Config(7, 96, (3, 4, 1)), PAPER)
SqueezeNet1_1 = _squeezenet("1.1", Config(3, 64, (2, 2, 4)))

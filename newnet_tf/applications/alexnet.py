"""AlexNet, as in "One weird trick".

Krizhevsky: "One weird trick for parallelizing convolutional neural networks", arXiv 1404.5997, in
torchvision's reading (BSD-3): one tower, narrower than the two of the 2012 network, no local response
normalization. Difference: as in VGG, the dense layers are convolutions, the first as large as
the 6x6 map; they read the same checkpoints. Maps of another size are pooled to 6x6 first.
"""

from dataclasses import dataclass, replace

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, PreprocessConfig
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

HIDDEN, MAP_SIDE = 4096, 6
UNPADDED = replace(TORCH, padding="valid")


@dataclass(frozen=True)
class Config:
    """The model: channels and kernels of its convolutions, and which of them a pooling follows."""

    channels: tuple[int, ...] = (64, 192, 384, 256, 256)
    kernels: tuple[int, ...] = (11, 5, 3, 3, 3)
    pooled: tuple[int, ...] = (0, 1, 4)


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = keras.layers.ZeroPadding2D(2, name="conv0_pad")(x)  # less than half of the kernel
    stride, style, reduction = 4, UNPADDED, 4
    for i, (channels, kernel) in enumerate(zip(config.channels, config.kernels, strict=True)):
        x = blocks.conv(x, channels, kernel, stride, style=style, bias=True, name=f"conv{i}")
        x = blocks.activation(x, "relu", name=f"conv{i}_act")
        if i in config.pooled:
            x = blocks.tag_feature(x, reduction)
            x, reduction = pooling.max_pool(x, name=f"pool{i}"), reduction * 2
        stride, style = 1, TORCH
    return blocks.tag_feature(x, reduction)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    x = pooling.adaptive_pool(x, MAP_SIDE, name="pool")
    for name in ("fc1", "fc2"):
        x = keras.layers.Dropout(0.5, name=f"{name}_dropout")(x)
        x = blocks.global_conv(x, HIDDEN, name=name)
        x = blocks.activation(x, "relu", name=f"{name}_act")
    return blocks.logits(x, classes)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    names = {"fc1": "classifier.1", "fc2": "classifier.4", "classifier": "classifier.6"}
    index = 0
    for i in range(len(config.channels)):
        names[f"conv{i}"] = f"features.{index}"
        index += 3 if i in config.pooled else 2
    return (CheckpointFormat(name="torchvision", layers=names),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1404.5997",
    head=("fc1", "fc2", "classifier"),
    min_size=95,  # Keras pools a map of 1 x 1 to 6 x 6 only in eager mode
)
preprocess_input = FAMILY.preprocess_input()

AlexNet = FAMILY.register(
    "AlexNet",
    Config(),
    Card(
        name="alexnet",
        title="AlexNet",
        preprocess=PreprocessConfig(interpolation="bilinear"),
        notes="No weights are on a public hub; pass torchvision's checkpoint file as `weights`.",
    ),
)

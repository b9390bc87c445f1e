"""AlexNet, as in "One weird trick".

Krizhevsky: "One weird trick for parallelizing convolutional neural networks", arXiv 1404.5997, in
torchvision's reading (BSD-3): one tower, narrower than the two of the 2012 network, no local response
normalization. What differs here: as in VGG, the dense layers are convolutions, the first as large as
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
class Row:
    """The network: output channels and kernels of its convolutions, and which a pooling follows."""

    filters: tuple[int, ...] = (64, 192, 384, 256, 256)
    kernels: tuple[int, ...] = (11, 5, 3, 3, 3)
    pooled: tuple[int, ...] = (0, 1, 4)


def build(x, row: Row):
    """Input to the last map before pooling."""
    x = keras.layers.ZeroPadding2D(2, name="conv0_pad")(x)  # less than half of its kernel
    stride, style, reduction = 4, UNPADDED, 4
    for i, (filters, kernel) in enumerate(zip(row.filters, row.kernels, strict=True)):
        x = blocks.conv(x, filters, kernel, stride, style=style, bias=True, name=f"conv{i}")
        x = blocks.activation(x, "relu", name=f"conv{i}_act")
        if i in row.pooled:
            x = blocks.feature(x, reduction)
            x, reduction = pooling.max_pool(x, name=f"pool{i}"), reduction * 2
        stride, style = 1, TORCH
    return blocks.feature(x, reduction)


def top(x, row: Row, classes: int):
    """The last map to logits."""
    x = pooling.adaptive_pool(x, MAP_SIDE, name="pool")
    for name in ("fc1", "fc2"):
        x = keras.layers.Dropout(0.5, name=f"{name}_dropout")(x)
        x = blocks.global_conv(x, HIDDEN, name=name)
        x = blocks.activation(x, "relu", name=f"{name}_act")
    return blocks.logits(x, classes)


def checkpoint_formats(row: Row) -> tuple[CheckpointFormat, ...]:
    """The checkpoint kinds that this family reads."""
    names = {"fc1": "classifier.1", "fc2": "classifier.4", "classifier": "classifier.6"}
    index = 0
    for i in range(len(row.filters)):
        names[f"conv{i}"] = f"features.{index}"
        index += 3 if i in row.pooled else 2
    return (CheckpointFormat(name="torchvision", layers=names),)


FAMILY = Family(
    __name__,
    build=build,
    top=top,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1404.5997",
    head=("fc1", "fc2", "classifier"),
    minimum=95,  # Keras pools a map of 1 x 1 to 6 x 6 only eagerly
)
preprocess_input = FAMILY.preprocess_input()

AlexNet = FAMILY.variant(
    "AlexNet",
    Row(),
    Card(
        name="alexnet",
        title="AlexNet",
        preprocess=PreprocessConfig(interpolation="bilinear"),
        notes="No weights are on a public hub; pass torchvision's checkpoint file as `weights`.",
    ),
)

"""CondenseNet.

Huang, Liu, van der Maaten, Weinberger: "CondenseNet: An Efficient DenseNet using Learned Group
Convolutions", arXiv 1711.09224 (ShichenLiu/CondenseNet, MIT). Follows pytorchcv (MIT), which has
the model for inference: the channels that each group of a 1x1 convolution reads are learned in training
and stored in the checkpoint. Here too the channel indices are weights, of frozen `Embedding` layers, so
that loading a checkpoint sets them and the graph stays the same; a newly initialized model reads its
channels in order. Difference: the head is `blocks.classifier`.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

STEM = 16
BOTTLENECK = 4


@dataclass(frozen=True)
class Config:
    """One model of the family.

    Args:
        depths: tuple of int, layers of the five dense blocks.

        growths: tuple of int, channels that a layer of each block adds.

        groups: int, of all convolutions but the stem.
    """

    depths: tuple[int, ...]
    growths: tuple[int, ...]
    groups: int


def pick(x, channels: int, *, name: str):
    """Selects `channels` channels of `x`, by the indices that are the weights of `<name>_index`.

    The layer is an `Embedding` with one row, which is looked up: no other layer of Keras outputs its
    weights. Float32 represents the indices exactly, under any dtype policy.
    """
    first_row = keras.ops.zeros_like(x[0, 0, 0, 0], dtype="int32")
    index = keras.layers.Embedding(
        1,
        channels,
        embeddings_initializer=keras.initializers.Constant([list(range(channels))]),
        trainable=False,
        dtype="float32",
        name=f"{name}_index",
    )(first_row)
    return keras.ops.take(x, keras.ops.cast(index, "int32"), axis=-1)


def dense_layer(x, growth: int, groups: int, *, name: str):
    """Learned group 1x1, shuffle, grouped 3x3, concatenated with its input (paper, figure 1, right)."""
    y = pick(x, x.shape[-1], name=f"{name}_1")
    y = blocks.bn_act(y, style=TORCH, name=f"{name}_1")
    y = blocks.conv(y, BOTTLENECK * growth, groups=groups, style=TORCH, name=f"{name}_1_conv")
    y = blocks.channel_shuffle(y, groups, name=f"{name}_shuffle")
    y = blocks.bn_act(y, style=TORCH, name=f"{name}_2")
    y = blocks.conv(y, growth, 3, groups=groups, style=TORCH, name=f"{name}_2_conv")
    return keras.layers.Concatenate(name=f"{name}_join")([x, y])


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = blocks.conv(x, STEM, 3, 2, style=TORCH, name="stem_conv")
    for b, (depth, growth) in enumerate(zip(config.depths, config.growths, strict=True)):
        if b:
            x = blocks.tag_feature(x, 2**b)
            x = pooling.average_pool(x, 2, 2, name=f"transition{b - 1}_pool")
        for n in range(depth):
            x = dense_layer(x, growth, config.groups, name=f"block{b}_{n}")
    return blocks.tag_feature(blocks.bn_act(x, style=TORCH, name="final"), 32)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits, from half of its channels."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = pick(x, x.shape[-1] // 2, name="classifier")
    return blocks.logits(x, classes)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    names = {"stem_conv": "features.init_block.conv", "final_bn": "features.post_activ.bn"}
    for b, depth in enumerate(config.depths):
        for n in range(depth):
            layer, module = f"block{b}_{n}", f"features.stage{b + 1}.unit{n + 1}"
            names[f"{layer}_1_index"] = f"{module}.conv1"
            for part in (1, 2):
                for kind in ("bn", "conv"):
                    names[f"{layer}_{part}_{kind}"] = f"{module}.conv{part}.{kind}"
    names |= {"classifier_index": "output", "classifier": "output.linear"}
    return (CheckpointFormat(name="pytorchcv", layers=names),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1711.09224",
    head=("classifier_index", "classifier"),
)
preprocess_input = FAMILY.preprocess_input()

CondenseNet74 = FAMILY.register(
    "CondenseNet74",
    Config(depths=(4, 6, 8, 10, 8), growths=(8, 16, 32, 64, 128), groups=4),
    Card(
        name="condensenet74",
        title="CondenseNet-74 (C=G=4)",
        reported=ReportedResults(
            source="DEVIEW 2019 talk, table of light models",
            top1_error=26.2,
            top5_error=8.3,
            params=4.8,
            macs=0.53,
            discrepancy="the authors count ReLU and pooling too",
        ),
        notes=(
            "No weights are on a public hub; pass pytorchcv's checkpoint file as `weights`. It sets "
            "the channels that each group reads, too: frozen weights of the `index` layers. No "
            "TFLite export: XNNPACK does not run the 37 selections of channels (GATHER)."
        ),
    ),
)

"""CondenseNet.

Huang, Liu, van der Maaten, Weinberger: "CondenseNet: An Efficient DenseNet using Learned Group
Convolutions", arXiv 1711.09224 (ShichenLiu/CondenseNet, MIT). Follows pytorchcv (MIT), whose form is
the one for inference: which channels each group of a 1x1 convolution reads was learned in training,
and a checkpoint names them. Their numbers are weights here too, in frozen `Embedding` layers, so
that loading a checkpoint sets them and the graph stays as it is; a new network reads its channels in
order. What differs here: the head is the zoo's.
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
class Row:
    """One network of the family.

    Args:
        depths: layers of the five dense blocks. growths: channels that each of them adds.
        groups: int, of all convolutions but the stem.
    """

    depths: tuple[int, ...]
    growths: tuple[int, ...]
    groups: int


def pick(x, channels: int, *, name: str):
    """Reads `channels` channels of `x`, those that the layer `<name>_index` names.

    Its only row is looked up for every input; nothing else in Keras holds numbers as weights
    and hands them to another operation. Float32 has them exactly, under any precision.
    """
    row = keras.ops.zeros_like(x[0, 0, 0, 0], dtype="int32")
    index = keras.layers.Embedding(
        1,
        channels,
        embeddings_initializer=keras.initializers.Constant([list(range(channels))]),
        trainable=False,
        dtype="float32",
        name=f"{name}_index",
    )(row)
    return keras.ops.take(x, keras.ops.cast(index, "int32"), axis=-1)


def dense_layer(x, growth: int, groups: int, *, name: str):
    """Learned group 1x1, shuffle, grouped 3x3, joined to its input (paper, figure 1, right)."""
    y = pick(x, x.shape[-1], name=f"{name}_1")
    y = blocks.bn_act(y, style=TORCH, name=f"{name}_1")
    y = blocks.conv(y, BOTTLENECK * growth, groups=groups, style=TORCH, name=f"{name}_1_conv")
    y = blocks.channel_shuffle(y, groups, name=f"{name}_shuffle")
    y = blocks.bn_act(y, style=TORCH, name=f"{name}_2")
    y = blocks.conv(y, growth, 3, groups=groups, style=TORCH, name=f"{name}_2_conv")
    return keras.layers.Concatenate(name=f"{name}_join")([x, y])


def build(x, row: Row):
    """Input to the last map before pooling."""
    x = blocks.conv(x, STEM, 3, 2, style=TORCH, name="stem_conv")
    for b, (depth, growth) in enumerate(zip(row.depths, row.growths, strict=True)):
        if b:
            x = blocks.feature(x, 2**b)
            x = pooling.average_pool(x, 2, 2, name=f"transition{b - 1}_pool")
        for n in range(depth):
            x = dense_layer(x, growth, row.groups, name=f"block{b}_{n}")
    return blocks.feature(blocks.bn_act(x, style=TORCH, name="final"), 32)


def top(x, row: Row, classes: int):
    """The last map to logits, from half of its channels."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = pick(x, x.shape[-1] // 2, name="classifier")
    return blocks.logits(x, classes)


def checkpoint_formats(row: Row) -> tuple[CheckpointFormat, ...]:
    """The checkpoint kinds that this family reads."""
    names = {"stem_conv": "features.init_block.conv", "final_bn": "features.post_activ.bn"}
    for b, depth in enumerate(row.depths):
        for n in range(depth):
            ours, theirs = f"block{b}_{n}", f"features.stage{b + 1}.unit{n + 1}"
            names[f"{ours}_1_index"] = f"{theirs}.conv1"
            for part in (1, 2):
                for kind in ("bn", "conv"):
                    names[f"{ours}_{part}_{kind}"] = f"{theirs}.conv{part}.{kind}"
    names |= {"classifier_index": "output", "classifier": "output.linear"}
    return (CheckpointFormat(name="pytorchcv", layers=names),)


FAMILY = Family(
    __name__,
    build=build,
    top=top,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1711.09224",
    head=("classifier_index", "classifier"),
)
preprocess_input = FAMILY.preprocess_input()

CondenseNet74 = FAMILY.variant(
    "CondenseNet74",
    Row(depths=(4, 6, 8, 10, 8), growths=(8, 16, 32, 64, 128), groups=4),
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
            "TFLite export: XNNPACK leaves the 37 selections of channels (GATHER) out."
        ),
    ),
)

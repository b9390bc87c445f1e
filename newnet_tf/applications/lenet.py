"""LeNet-5, for gray images of digits.

LeCun et al.: "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE 86(11),
1998. Built as it is used today. Differences from the paper, section II-B: C3 reads all six
maps, not a table of some; subsampling is plain average pooling, without a weight and bias of each map;
plain tanh for 1.7159 tanh(2x / 3); a linear layer with softmax for the radial basis functions. That
makes 61,706 parameters of the paper's 60,000.

C5 is a convolution, as the paper calls it: larger images give a larger map, whose mean F6 reads.
Checkpoints where it is a dense layer on the 5x5 map (PyTorch's tutorial names) read as well.
"""

from dataclasses import dataclass, replace

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, PreprocessConfig, ReportedResults
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

UNPADDED = replace(TORCH, padding="valid")


@dataclass(frozen=True)
class Config:
    """The model: output channels of its 5x5 convolutions C1, C3 and C5, and of the layer F6."""

    channels: tuple[int, ...] = (6, 16, 120)
    hidden: int = 84


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    for i, channels in enumerate(config.channels):
        if i:
            x = pooling.average_pool(x, 2, name=f"pool{i - 1}")
        x = blocks.conv(x, channels, 5, style=UNPADDED, bias=True, name=f"conv{i}")
        x = blocks.activation(x, "tanh", name=f"conv{i}_act")
        x = blocks.tag_feature(x, 2**i) if i else x
    return x


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = blocks.conv(x, config.hidden, style=TORCH, bias=True, name="fc1")
    x = blocks.activation(x, "tanh", name="fc1_act")
    return blocks.logits(x, classes)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    names = {"conv0": "conv1", "conv1": "conv2", "conv2": "fc1", "fc1": "fc2", "classifier": "fc3"}
    return (CheckpointFormat(name="pytorch tutorial", layers=names),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="Proceedings of the IEEE 86(11), 1998",
    head=("fc1", "classifier"),
)
preprocess_input = FAMILY.preprocess_input()

LeNet5 = FAMILY.register(
    "LeNet5",
    Config(),
    Card(
        name="lenet5",
        title="LeNet-5",
        # white ink on black to -0.1 and 1.175, as in the paper: mean 0, variance 1 of its digits
        preprocess=PreprocessConfig(
            image_size=32, crop_pct=1.0, mean=(20 / 255,), std=(200 / 255,)
        ),
        reported=ReportedResults(
            source="LeCun et al. 1998, section II",
            params=0.06,
            image_size=32,
            discrepancy="C3 reads all maps here, and subsampling has no parameters",
        ),
        classes=10,
        notes=(
            "Gray images, ten digits; the paper has 0.95 % error on MNIST. No weights are published; "
            "pass a checkpoint of PyTorch's tutorial naming as `weights`."
        ),
    ),
)

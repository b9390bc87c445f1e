"""CRAFT's network: VGG-16 with batch norm, two further convolutions and a decoder in the form of a U.

Baek, Lee, Han, Yun, Lee: "Character Region Awareness for Text Detection", arXiv 1904.01941, figure 2.
The stages end where the authors' code cuts them, after the batch norm of a convolution: what the
decoder takes of strides 2, 4 and 8 passed the ReLU behind it, what it takes of stride 16 did not.
"""

from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TORCH
from newnet_tf.text.score_layers import score_maps
from newnet_tf.utils.lazy import keras

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 2))  # channels, convolutions
FIRST_SKIP = 1  # stages from this one on go to the decoder, each after its second convolution
CUT = 2
FC = 1024  # channels of fc6 and fc7
DILATION = 6  # of fc6
DECODER = ((512, 256), (256, 128), (128, 64), (64, 32))  # channels inside a block and of its output
HEAD = ((32, 3), (32, 3), (16, 3), (16, 1))  # channels, kernels
STRIDE = 2  # of the score maps


def build(x) -> dict:
    """Returns the score maps of images.

    Args:
        x: Keras tensor (batch, height, width, 3); height and width are multiples of 16, or None.

    Returns:
        `{"region": (batch, height / 2, width / 2, 1), "affinity": the same}`.
    """
    skips, x = _backbone(x)
    x = _double_conv(keras.layers.Concatenate(name="decoder0_join")([x, skips.pop()]), 0)
    for i in range(1, len(DECODER)):
        x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"decoder{i}_up")(x)
        x = keras.layers.Concatenate(name=f"decoder{i}_join")([x, skips.pop()])
        x = _double_conv(x, i)
    for i, (channels, kernel) in enumerate(HEAD):
        x = blocks.conv(x, channels, kernel, style=TORCH, bias=True, name=f"head{i}_conv")
        x = blocks.activation(x, "relu", name=f"head{i}_act")
    return score_maps(x)


def _backbone(x) -> tuple[list, object]:
    """Returns the maps that the decoder takes, at strides 2, 4, 8, 16, and that of fc7, at 16."""
    skips = []
    for stage, (channels, depth) in enumerate(STAGES):
        if stage:
            x = pooling.max_pool(x, 2, 2, name=f"stage{stage}_pool")
        for n in range(depth):
            is_cut = stage >= FIRST_SKIP and n == CUT - 1
            name, is_last = f"stage{stage}_{n}", stage == len(STAGES) - 1
            x = blocks.conv(x, channels, 3, style=TORCH, bias=True, name=f"{name}_conv")
            x = blocks.norm(x, style=TORCH, name=f"{name}_bn")
            if not (is_cut and is_last):
                x = blocks.activation(x, "relu", name=f"{name}_act")
            if is_cut:
                skips.append(x)
    x = keras.layers.MaxPooling2D(3, 1, padding="same", name="fc6_pool")(x)
    x = keras.layers.Conv2D(FC, 3, padding="same", dilation_rate=DILATION, name="fc6")(x)
    return skips, blocks.conv(x, FC, style=TORCH, bias=True, name="fc7")


def _double_conv(x, i: int):
    """A 1x1 and a 3x3 convolution, each with bias, batch norm and ReLU."""
    for part, channels, kernel in zip(("reduce", "conv"), DECODER[i], (1, 3), strict=True):
        name = f"decoder{i}_{part}"
        x = blocks.conv(x, channels, kernel, style=TORCH, bias=True, name=f"{name}_conv")
        x = blocks.bn_act(x, act="relu", style=TORCH, name=name)
    return x

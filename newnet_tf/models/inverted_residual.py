"""The inverted residual block of MobileNetV2 and its successors."""

from newnet_tf.models import blocks
from newnet_tf.models.blocks import SEConfig


def expanded_channels(channels: int, expansion: float) -> int:
    """Returns the channels inside an inverted residual; a fractional product is rounded to 8s."""
    product = channels * expansion
    return product if isinstance(product, int) else blocks.make_divisible(product)


def inverted_residual(
    x,
    channels,
    *,
    expansion: float | None = 6,
    kernel: int | tuple[int, ...] = 3,
    stride=1,
    act="relu6",
    depthwise_act="relu6",
    se: SEConfig | None = None,
    partial=False,
    splits=(1, 1),
    style,
    name,
):
    """Inverted residual block (MobileNetV2, arXiv 1801.04381).

    1x1 expand, depthwise, optional squeeze-and-excitation, linear 1x1 project. At stride 1 the input
    is added to the output if both have the same channels.

    Args:
        x: Keras tensor of shape (batch, height, width, channels).

        channels: int, of the output.

        expansion: float or None, channels inside over those of the input; None leaves the expanding
            convolution out. Default: 6.

        kernel: int, of the depthwise convolution; or tuple of int, one for each split of the
            channels (MixNet). Default: 3.

        stride: int, of the depthwise convolution. Default: 1.

        act: str, activation after the expansion. Default: `"relu6"`.

        depthwise_act: str, activation after the depthwise convolution. Default: `"relu6"`.

        se: `SEConfig` or None. Default: None, no squeeze-and-excitation.

        partial: bool, whether an input with fewer channels than the output is added to the output's
            first channels (ReXNet). Default: False.

        splits: tuple of two int, splits of the expanding and the projecting convolution (MixNet).
            Default: (1, 1).

        style: `ConvBNConfig`.

        name: str, beginning of the layers' names.

    Returns:
        Keras tensor of shape (batch, height / stride, width / stride, channels).
    """
    shortcut, inputs = x, x.shape[-1]
    if expansion is not None:
        expanded = expanded_channels(inputs, expansion)
        x = blocks.conv_bn_act(
            x, expanded, act=act, style=style, splits=splits[0], name=f"{name}_expand"
        )
    x = blocks.depthwise(x, kernel, stride, style=style, name=f"{name}_depthwise_conv")
    x = blocks.norm(x, style=style, name=f"{name}_depthwise_bn")
    if se and se.before_activation:
        x = blocks.squeeze_excite(x, se, style=style, name=f"{name}_se")
    x = blocks.activation(x, depthwise_act, name=f"{name}_depthwise_act")
    if se and not se.before_activation:
        x = blocks.squeeze_excite(x, se, style=style, name=f"{name}_se")
    x = blocks.conv_bn_act(
        x, channels, act="linear", style=style, splits=splits[1], name=f"{name}_project"
    )
    if stride == 1 and (inputs == channels or (partial and inputs < channels)):
        x = blocks.add_first_channels(x, shortcut, name=f"{name}_add")
    return x

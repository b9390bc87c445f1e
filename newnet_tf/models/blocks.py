"""The zoo's shared vocabulary: functions from Keras tensor to Keras tensor.

Every layer is a built-in Keras layer or a `keras.ops` call, so that a saved model loads in a process
that never imports newnet_tf. `style` says what weights of PyTorch and of TensorFlow origin differ in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from newnet_tf.utils.lazy import keras

PADDINGS = ("symmetric", "same", "valid")


@dataclass(frozen=True, kw_only=True)
class Style:
    """Padding and batch-norm numbers, which belong to the origin of a network's weights.

    Args:
        padding: `"symmetric"` (PyTorch: k // 2 on both sides) or `"same"` (TensorFlow: the
            remainder goes right and below), or `"valid"` (none).
        eps, momentum: batch norm's epsilon and the share that moving statistics keep each step.
    """

    padding: str
    eps: float
    momentum: float

    def __post_init__(self):
        if self.padding not in PADDINGS:
            raise ValueError(f"`padding` must be among {PADDINGS}. Received: {self.padding!r}")


TORCH = Style(padding="symmetric", eps=1e-5, momentum=0.9)
TENSORFLOW = Style(padding="same", eps=1e-3, momentum=0.99)


def make_divisible(value: float, divisor: int = 8) -> int:
    """Rounds a channel count to a multiple of `divisor`, never losing more than 10 %.

    Ties go up (MobileNetV2, arXiv 1801.04381, reference implementation).
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _initializer():
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def _pad(x, kernel: int, stride: int, style: Style, name: str):
    """Pads `x` where the style wants other numbers than Keras' own `same`; returns x, padding."""
    if style.padding == "valid":
        return x, "valid"
    if stride == 1 or style.padding == "same":
        return x, "same"
    return keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"


def shares(channels: int, parts: int) -> tuple[int, ...]:
    """Returns the channels of `parts` nearly equal parts; the first takes the remainder."""
    share = channels // parts
    return (channels - share * (parts - 1),) + (share,) * (parts - 1)


def apart(x, parts: int, layer: Callable, *, name):
    """Splits the channels of `x`, applies `layer(part, index, name)` to each part and joins them.

    The layers are called `<name>_0`, `<name>_1`, ... (MixConv, arXiv 1907.09595).
    """
    outputs, start = [], 0
    for i, width in enumerate(shares(x.shape[-1], parts)):
        outputs.append(layer(x[..., start : start + width], i, f"{name}_{i}"))
        start += width
    return keras.layers.Concatenate(name=f"{name}_join")(outputs)


def conv(x, filters, kernel=1, stride=1, *, style, groups=1, bias=False, parts=1, name):
    """Convolution, in a layer called `name`; with `parts`, one for each part of the channels."""
    if parts > 1:
        widths, options = shares(filters, parts), {"style": style, "groups": groups, "bias": bias}

        def one(part, i, name):
            return conv(part, widths[i], kernel, stride, **options, name=name)

        return apart(x, parts, one, name=name)
    x, padding = _pad(x, kernel, stride, style, name) if kernel != 1 else (x, "valid")
    return conv_layer(filters, kernel, stride, padding, groups=groups, bias=bias, name=name)(x)


def conv_layer(filters, kernel=1, stride=1, padding="same", *, groups=1, bias=False, name):
    """The layer that `conv` applies, for who applies it several times."""
    return keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding=padding,
        groups=groups,
        use_bias=bias,
        kernel_initializer=_initializer(),
        name=name,
    )


def depthwise(x, kernel: int | tuple[int, ...] = 3, stride=1, *, dilation=1, style, name):
    """Depthwise convolution without bias, in a layer called `name`.

    With several kernels the channels fall into as many parts, one kernel for each: see `apart`.
    `dilation` other than 1 is for stride 1.
    """
    if isinstance(kernel, tuple):

        def one(part, i, name):
            return depthwise(part, kernel[i], stride, style=style, name=name)

        return apart(x, len(kernel), one, name=name)
    x, padding = _pad(x, kernel, stride, style, name)
    return keras.layers.DepthwiseConv2D(
        kernel,
        stride,
        padding=padding,
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=name,
    )(x)


def norm(x, *, style, name):
    """Batch norm, in a layer called `name`."""
    return keras.layers.BatchNormalization(epsilon=style.eps, momentum=style.momentum, name=name)(x)


def activation(x, kind, *, name):
    """Activation by its Keras name; `"linear"` adds no layer.

    `"hard_sigmoid"` and `"hard_swish"` (MobileNetV3, arXiv 1905.02244) are spelled out with ReLU6:
    XNNPACK takes the pieces in 8 bits too. A sixth of x, not of the gate, or the converter makes
    one operator of them, which it does not take; and by `keras.ops`, for `Rescaling` would round
    1 / 6 to single precision.
    """
    if kind == "linear":
        return x
    if kind not in ("hard_sigmoid", "hard_swish"):
        return keras.layers.Activation(kind, name=name)(x)
    gate = keras.layers.Rescaling(1.0, offset=3.0, name=f"{name}_shift")(x)
    gate = keras.layers.Activation("relu6", name=f"{name}_relu6")(gate)
    if kind == "hard_sigmoid":
        return keras.ops.multiply(gate, 1 / 6)
    return keras.layers.Multiply(name=name)([keras.ops.multiply(x, 1 / 6), gate])


def bn_act(x, *, act="relu", style, name):
    """Batch norm, activation: layers `<name>_bn`, `<name>_act`, as they precede convolutions."""
    return activation(norm(x, style=style, name=f"{name}_bn"), act, name=f"{name}_act")


def conv_bn_act(x, filters, kernel=1, stride=1, *, act="relu6", style, groups=1, parts=1, name):
    """Convolution, batch norm, activation: layers `<name>_conv`, `<name>_bn`, `<name>_act`."""
    options = {"style": style, "groups": groups, "parts": parts}
    x = conv(x, filters, kernel, stride, **options, name=f"{name}_conv")
    x = norm(x, style=style, name=f"{name}_bn")
    return activation(x, act, name=f"{name}_act")


def depthwise_bn_act(x, kernel=3, stride=1, *, act="relu6", style, name):
    """Depthwise convolution, batch norm, activation: `<name>_conv`, `<name>_bn`, `<name>_act`."""
    x = depthwise(x, kernel, stride, style=style, name=f"{name}_conv")
    x = norm(x, style=style, name=f"{name}_bn")
    return activation(x, act, name=f"{name}_act")


def global_conv(x, filters, *, name):
    """Convolution of the map's own size: what others write as a dense layer on the flattened map."""
    return keras.layers.Conv2D(filters, x.shape[1:3], kernel_initializer=_initializer(), name=name)(
        x
    )


@dataclass(frozen=True)
class SEConfig:
    """What a squeeze-and-excitation module looks like (SENet, arXiv 1709.01507).

    Args:
        width: int, channels between its two 1x1 convolutions.
        normed: bool, batch norm between them (ReXNet).
        early: bool, before the depthwise convolution's activation rather than after it.
        act, gate: Keras names of the inner activation and of the gate.
    """

    width: int
    normed: bool = False
    early: bool = False
    act: str = "relu"
    gate: str = "sigmoid"


def squeeze_excite(x, squeeze: SEConfig, *, style, name):
    """Scales each channel by a gate computed from all channels' means.

    Global pooling keeps its dimensions and the gates are 1x1 convolutions: that form stays inside
    one XNNPACK partition, Dense and Reshape do not.
    """
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    gate = conv(gate, squeeze.width, style=style, bias=True, name=f"{name}_reduce")
    if squeeze.normed:
        gate = norm(gate, style=style, name=f"{name}_bn")
    gate = activation(gate, squeeze.act, name=f"{name}_act")
    gate = conv(gate, x.shape[-1], style=style, bias=True, name=f"{name}_expand")
    gate = activation(gate, squeeze.gate, name=f"{name}_gate")
    return keras.layers.Multiply(name=f"{name}_scale")([x, gate])


def channel_shuffle(x, groups: int, *, name):
    """Deals the channels of equally wide groups out in turn (ShuffleNet, arXiv 1707.01083).

    The first channels of all groups come first, then the second ones, and so on. Unknown sides,
    which no reshape can restore, have the channels picked by number instead.
    """
    height, width, channels = x.shape[1:]
    run = channels // groups
    if height is None or width is None:
        order = [group * run + i for i in range(run) for group in range(groups)]
        return keras.ops.take(x, order, axis=-1)
    x = keras.layers.Reshape((height, width, groups, run), name=f"{name}_split")(x)
    x = keras.layers.Permute((1, 2, 4, 3), name=f"{name}_swap")(x)
    return keras.layers.Reshape((height, width, channels), name=f"{name}_merge")(x)


def add_first_channels(x, shortcut, *, name):
    """Adds `shortcut` to the first channels of `x`, which has at least as many (ReXNet, NewNet)."""
    missing = x.shape[-1] - shortcut.shape[-1]
    if missing:
        shortcut = keras.ops.pad(shortcut, [[0, 0], [0, 0], [0, 0], [0, missing]])
    return keras.layers.Add(name=name)([x, shortcut])


def expanded(width: int, expansion: float) -> int:
    """Returns the channels inside of an inverted residual: a broken product is rounded to 8s."""
    inner = width * expansion
    return inner if isinstance(inner, int) else make_divisible(inner)


def inverted_residual(
    x,
    filters,
    *,
    expansion: float | None = 6,
    kernel: int | tuple[int, ...] = 3,
    stride=1,
    act="relu6",
    depthwise_act="relu6",
    squeeze=None,
    partial=False,
    parts=(1, 1),
    style,
    name,
):
    """Inverted residual block (MobileNetV2, arXiv 1801.04381).

    1x1 expand, depthwise, optional squeeze-and-excitation, linear 1x1 project; at stride 1 the
    input is added to the output if both have the same channels or, with `partial`, if the output
    has no fewer (to its first channels). `expansion=None` leaves the expansion out. Several kernels
    go to as many parts of the channels; `parts` says into how many parts those of the expansion and
    the projection fall (MixNet).
    """
    shortcut, width = x, x.shape[-1]
    if expansion is not None:
        inner = expanded(width, expansion)
        x = conv_bn_act(x, inner, act=act, style=style, parts=parts[0], name=f"{name}_expand")
    x = depthwise(x, kernel, stride, style=style, name=f"{name}_depthwise_conv")
    x = norm(x, style=style, name=f"{name}_depthwise_bn")
    if squeeze and squeeze.early:
        x = squeeze_excite(x, squeeze, style=style, name=f"{name}_se")
    x = activation(x, depthwise_act, name=f"{name}_depthwise_act")
    if squeeze and not squeeze.early:
        x = squeeze_excite(x, squeeze, style=style, name=f"{name}_se")
    x = conv_bn_act(x, filters, act="linear", style=style, parts=parts[1], name=f"{name}_project")
    if stride == 1 and (width == filters or (partial and width < filters)):
        x = add_first_channels(x, shortcut, name=f"{name}_add")
    return x


def feature(x, stride: int):
    """Marks `x` as the network's last block output at `stride`, for `features()` to find."""
    return keras.layers.Identity(name=f"features_{stride}")(x)


def block_strides(depths: Sequence[int], firsts: Sequence[int]) -> tuple[int, ...]:
    """Stride of every block, for stages of `depths` blocks whose first has the stride in `firsts`."""
    stages = [(first,) + (1,) * (depth - 1) for depth, first in zip(depths, firsts, strict=True)]
    return sum(stages, ())


def stack(x, strides: Sequence[int], block: Callable, *, reduction: int = 2):
    """Applies `block(x, index, stride)` for every stride and marks the features between.

    `reduction` is the stride of `x` itself, i.e. 2 after a stem of stride 2.
    """
    for i, stride in enumerate(strides):
        if stride == 2:
            x, reduction = feature(x, reduction), reduction * 2
        x = block(x, i, stride)
    return feature(x, reduction)


def classifier(x, classes, *, dropout=0.0):
    """The zoo's head: global mean, dropout, 1x1 convolution, flattened to logits."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    return logits(x, classes, dropout=dropout)


def logits(x, classes, *, dropout=0.0):
    """Dropout and the layer `classifier`, a 1x1 convolution, flattened to (batch, classes).

    Its first weights are PyTorch's for linear layers: small, whatever the number of classes, so that
    training begins near the loss of guessing.
    """
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    small = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    x = keras.layers.Conv2D(classes, 1, kernel_initializer=small, name="classifier")(x)
    return keras.layers.Flatten(name="logits")(x)

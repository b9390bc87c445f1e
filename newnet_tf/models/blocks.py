"""Building blocks of the models: functions from Keras tensor to Keras tensor.

Every layer is a built-in Keras layer or a `keras.ops` call, so that a saved model loads in a process
that never imports newnet_tf. `style` holds the padding and the batch norm of a model's checkpoints.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from newnet_tf.utils.lazy import keras

PADDINGS = ("symmetric", "same", "valid")


@dataclass(frozen=True, kw_only=True)
class ConvBNConfig:
    """Padding and batch norm of a model, which depend on where its weights come from.

    Args:
        padding: str, one of `"symmetric"` (PyTorch: k // 2 on both sides), `"same"` (TensorFlow: the
            remainder goes right and below), `"valid"` (none).

        eps: float, epsilon of batch norm.

        momentum: float, share of the moving statistics that remains at each step.
    """

    padding: str
    eps: float
    momentum: float

    def __post_init__(self):
        if self.padding not in PADDINGS:
            raise ValueError(
                f"`padding` must be among {PADDINGS}. Received: padding={self.padding!r}"
            )


TORCH = ConvBNConfig(padding="symmetric", eps=1e-5, momentum=0.9)
TENSORFLOW = ConvBNConfig(padding="same", eps=1e-3, momentum=0.99)


def make_divisible(value: float, divisor: int = 8) -> int:
    """Rounds a number of channels to a multiple of `divisor`, never losing more than 10 %.

    Ties go up (MobileNetV2, arXiv 1801.04381, reference implementation).
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _initializer():
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def _pad(x, kernel: int, stride: int, style: ConvBNConfig, name: str):
    """Pads `x` where Keras' own `same` would pad otherwise; returns x and Keras' padding."""
    if style.padding == "valid":
        return x, "valid"
    if stride == 1 or style.padding == "same":
        return x, "same"
    return keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"


def split_channels(channels: int, splits: int) -> tuple[int, ...]:
    """Returns the channels of `splits` nearly equal splits; the first takes the remainder."""
    width = channels // splits
    return (channels - width * (splits - 1),) + (width,) * (splits - 1)


def split_apply_concat(x, splits: int, layer: Callable, *, name: str):
    """Splits the channels of `x`, applies `layer(x, index, name)` to each and concatenates.

    The layers are called `<name>_0`, `<name>_1`, ... (MixConv, arXiv 1907.09595).
    """
    outputs, start = [], 0
    for i, width in enumerate(split_channels(x.shape[-1], splits)):
        outputs.append(layer(x[..., start : start + width], i, f"{name}_{i}"))
        start += width
    return keras.layers.Concatenate(name=f"{name}_join")(outputs)


def conv(x, channels, kernel=1, stride=1, *, style, groups=1, bias=False, splits=1, name):
    """Convolution, in a layer called `name`; with `splits`, one for each split of the channels."""
    if splits > 1:
        widths = split_channels(channels, splits)
        options = {"style": style, "groups": groups, "bias": bias}

        def split_conv(x, i, name):
            return conv(x, widths[i], kernel, stride, **options, name=name)

        return split_apply_concat(x, splits, split_conv, name=name)
    x, padding = _pad(x, kernel, stride, style, name) if kernel != 1 else (x, "valid")
    return conv_layer(channels, kernel, stride, padding, groups=groups, bias=bias, name=name)(x)


def conv_layer(channels, kernel=1, stride=1, padding="same", *, groups=1, bias=False, name):
    """The layer that `conv` applies, for models that apply it several times."""
    return keras.layers.Conv2D(
        channels,
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

    With several kernels the channels are split, one kernel for each split: see `split_apply_concat`.
    `dilation` other than 1 is for stride 1.
    """
    if isinstance(kernel, tuple):

        def split_depthwise(x, i, name):
            return depthwise(x, kernel[i], stride, style=style, name=name)

        return split_apply_concat(x, len(kernel), split_depthwise, name=name)
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

    `"hard_sigmoid"` and `"hard_swish"` (MobileNetV3, arXiv 1905.02244) are written with ReLU6:
    XNNPACK runs these operators in 8 bits too. 1 / 6 multiplies x and not the gate, or the converter
    would fuse them to one operator, which XNNPACK does not run; and it is a `keras.ops.multiply`,
    because `Rescaling` would round 1 / 6 to single precision.
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
    """Batch norm, activation: layers `<name>_bn`, `<name>_act`, before a convolution."""
    return activation(norm(x, style=style, name=f"{name}_bn"), act, name=f"{name}_act")


def conv_bn_act(x, channels, kernel=1, stride=1, *, act="relu6", style, groups=1, splits=1, name):
    """Convolution, batch norm, activation: layers `<name>_conv`, `<name>_bn`, `<name>_act`."""
    options = {"style": style, "groups": groups, "splits": splits}
    x = conv(x, channels, kernel, stride, **options, name=f"{name}_conv")
    return bn_act(x, act=act, style=style, name=name)


def depthwise_bn_act(x, kernel=3, stride=1, *, act="relu6", style, name):
    """Depthwise convolution, batch norm, activation: `<name>_conv`, `<name>_bn`, `<name>_act`."""
    x = depthwise(x, kernel, stride, style=style, name=f"{name}_conv")
    return bn_act(x, act=act, style=style, name=name)


def global_conv(x, channels, *, name):
    """Convolution with a kernel as large as the feature map: a dense layer on the flattened map."""
    kernel = x.shape[1:3]
    return keras.layers.Conv2D(channels, kernel, kernel_initializer=_initializer(), name=name)(x)


@dataclass(frozen=True)
class SEConfig:
    """A squeeze-and-excitation module (SENet, arXiv 1709.01507).

    Args:
        channels: int, between its two 1x1 convolutions.

        batch_norm: bool, batch norm between them (ReXNet). Default: False.

        before_activation: bool, whether the module comes before the activation of the depthwise
            convolution. Default: False, after it.

        act: str, Keras name of the inner activation. Default: `"relu"`.

        gate: str, Keras name of the activation that gives the gates. Default: `"sigmoid"`.
    """

    channels: int
    batch_norm: bool = False
    before_activation: bool = False
    act: str = "relu"
    gate: str = "sigmoid"


def squeeze_excite(x, se: SEConfig, *, style, name):
    """Scales each channel by a gate computed from the means of all channels.

    Global pooling keeps its dimensions and the gates are 1x1 convolutions: that form stays inside
    one XNNPACK partition, Dense and Reshape do not.
    """
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    gate = conv(gate, se.channels, style=style, bias=True, name=f"{name}_reduce")
    if se.batch_norm:
        gate = norm(gate, style=style, name=f"{name}_bn")
    gate = activation(gate, se.act, name=f"{name}_act")
    gate = conv(gate, x.shape[-1], style=style, bias=True, name=f"{name}_expand")
    gate = activation(gate, se.gate, name=f"{name}_gate")
    return keras.layers.Multiply(name=f"{name}_scale")([x, gate])


def channel_shuffle(x, groups: int, *, name):
    """Interleaves the channels of equally wide groups (ShuffleNet, arXiv 1707.01083).

    The first channels of all groups come first, then the second ones, and so on. Where height or
    width is unknown a reshape is not possible, and the channels are taken by index.
    """
    height, width, channels = x.shape[1:]
    per_group = channels // groups
    if height is None or width is None:
        order = [group * per_group + i for i in range(per_group) for group in range(groups)]
        return keras.ops.take(x, order, axis=-1)
    x = keras.layers.Reshape((height, width, groups, per_group), name=f"{name}_split")(x)
    x = keras.layers.Permute((1, 2, 4, 3), name=f"{name}_swap")(x)
    return keras.layers.Reshape((height, width, channels), name=f"{name}_merge")(x)


def add_first_channels(x, shortcut, *, name):
    """Adds `shortcut` to the first channels of `x`, which has at least as many (ReXNet, NewNet)."""
    missing = x.shape[-1] - shortcut.shape[-1]
    if missing:
        shortcut = keras.ops.pad(shortcut, [[0, 0], [0, 0], [0, 0], [0, missing]])
    return keras.layers.Add(name=name)([x, shortcut])


def tag_feature(x, stride: int):
    """Names `x` as the last block output at `stride`, for `feature_extractor` to find."""
    return keras.layers.Identity(name=f"features_{stride}")(x)


def block_strides(depths: Sequence[int], firsts: Sequence[int]) -> tuple[int, ...]:
    """Stride of every block, for stages of `depths` blocks whose first has the stride in `firsts`."""
    stages = [(first,) + (1,) * (depth - 1) for depth, first in zip(depths, firsts, strict=True)]
    return sum(stages, ())


def stack(x, strides: Sequence[int], block: Callable, *, reduction: int = 2):
    """Applies `block(x, index, stride)` for every stride and tags the features between.

    `reduction` is the stride of `x` itself: 2 after a stem of stride 2.
    """
    for i, stride in enumerate(strides):
        if stride == 2:
            x, reduction = tag_feature(x, reduction), reduction * 2
        x = block(x, i, stride)
    return tag_feature(x, reduction)


def classifier(x, classes, *, dropout=0.0):
    """The usual head: global mean, dropout, 1x1 convolution, flattened to logits."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    return logits(x, classes, dropout=dropout)


def logits(x, classes, *, dropout=0.0):
    """Dropout and the layer `classifier`, a 1x1 convolution, flattened to (batch, classes).

    The classifier is initialized as PyTorch's linear layers: with small weights, whatever the number
    of classes, so that the first loss is near that of guessing.
    """
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    small = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    x = keras.layers.Conv2D(classes, 1, kernel_initializer=small, name="classifier")(x)
    return keras.layers.Flatten(name="logits")(x)

"""The zoo's shared vocabulary: functions from Keras tensor to Keras tensor.

Every layer is a built-in Keras layer or a `keras.ops` call, so that a saved model loads in a process
that never imports newnet_tf. `style` says what weights of PyTorch and of TensorFlow origin differ in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from newnet_tf.lazy import keras

STRIDES = (2, 4, 8, 16, 32)


@dataclass(frozen=True, kw_only=True)
class Style:
    """Padding and batch-norm numbers, which belong to the origin of a network's weights.

    Args:
        padding: `"symmetric"` (PyTorch: k // 2 on both sides) or `"same"` (TensorFlow: the
            remainder goes right and below).
        eps, momentum: batch norm's epsilon and the share that moving statistics keep each step.
    """

    padding: str
    eps: float
    momentum: float

    def __post_init__(self):
        if self.padding not in ("symmetric", "same"):
            raise ValueError(f"`padding` must be 'symmetric' or 'same'. Received: {self.padding!r}")


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
    if stride == 1 or style.padding == "same":
        return x, "same"
    return keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"


def conv(x, filters, kernel=1, stride=1, *, style, groups=1, bias=False, name):
    """Convolution, in a layer called `name`."""
    x, padding = _pad(x, kernel, stride, style, name) if kernel > 1 else (x, "valid")
    return keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding=padding,
        groups=groups,
        use_bias=bias,
        kernel_initializer=_initializer(),
        name=name,
    )(x)


def depthwise(x, kernel=3, stride=1, *, style, name):
    """Depthwise convolution without bias, in a layer called `name`."""
    x, padding = _pad(x, kernel, stride, style, name)
    return keras.layers.DepthwiseConv2D(
        kernel,
        stride,
        padding=padding,
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=name,
    )(x)


def norm(x, *, style, name):
    """Batch norm, in a layer called `name`."""
    return keras.layers.BatchNormalization(epsilon=style.eps, momentum=style.momentum, name=name)(x)


def activation(x, kind, *, name):
    """Activation by its Keras name; `"linear"` adds no layer."""
    return x if kind == "linear" else keras.layers.Activation(kind, name=name)(x)


def conv_bn_act(x, filters, kernel=1, stride=1, *, act="relu6", style, groups=1, name):
    """Convolution, batch norm, activation: layers `<name>_conv`, `<name>_bn`, `<name>_act`."""
    x = conv(x, filters, kernel, stride, style=style, groups=groups, name=f"{name}_conv")
    x = norm(x, style=style, name=f"{name}_bn")
    return activation(x, act, name=f"{name}_act")


def depthwise_bn_act(x, kernel=3, stride=1, *, act="relu6", style, name):
    """Depthwise convolution, batch norm, activation: `<name>_conv`, `<name>_bn`, `<name>_act`."""
    x = depthwise(x, kernel, stride, style=style, name=f"{name}_conv")
    x = norm(x, style=style, name=f"{name}_bn")
    return activation(x, act, name=f"{name}_act")


@dataclass(frozen=True)
class Squeeze:
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


def squeeze_excite(x, squeeze: Squeeze, *, style, name):
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


def add_first_channels(x, shortcut, *, name):
    """Adds `shortcut` to the first channels of `x`, which has at least as many (ReXNet, NewNet)."""
    missing = x.shape[-1] - shortcut.shape[-1]
    if missing:
        shortcut = keras.ops.pad(shortcut, [[0, 0], [0, 0], [0, 0], [0, missing]])
    return keras.layers.Add(name=name)([x, shortcut])


def inverted_residual(
    x,
    filters,
    *,
    expansion: int | None = 6,
    kernel=3,
    stride=1,
    act="relu6",
    depthwise_act="relu6",
    squeeze=None,
    partial=False,
    style,
    name,
):
    """Inverted residual block (MobileNetV2, arXiv 1801.04381).

    1x1 expand, depthwise, optional squeeze-and-excitation, linear 1x1 project; at stride 1 the
    input is added to the output if both have the same channels or, with `partial`, if the output
    has no fewer (to its first channels). `expansion=None` leaves the expansion out.
    """
    shortcut, width = x, x.shape[-1]
    if expansion is not None:
        x = conv_bn_act(x, width * expansion, act=act, style=style, name=f"{name}_expand")
    x = depthwise(x, kernel, stride, style=style, name=f"{name}_depthwise_conv")
    x = norm(x, style=style, name=f"{name}_depthwise_bn")
    if squeeze and squeeze.early:
        x = squeeze_excite(x, squeeze, style=style, name=f"{name}_se")
    x = activation(x, depthwise_act, name=f"{name}_depthwise_act")
    if squeeze and not squeeze.early:
        x = squeeze_excite(x, squeeze, style=style, name=f"{name}_se")
    x = conv_bn_act(x, filters, act="linear", style=style, name=f"{name}_project")
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


def classifier(x, classes, *, dropout=0.0, style):
    """The zoo's head: global mean, dropout, 1x1 convolution, flattened to logits."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    return logits(x, classes, dropout=dropout, style=style)


def logits(x, classes, *, dropout=0.0, style):
    """Dropout and the layer `classifier`, a 1x1 convolution, flattened to (batch, classes)."""
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = conv(x, classes, style=style, bias=True, name="classifier")
    return keras.layers.Flatten(name="logits")(x)


def features(model, strides: Sequence[int] = (8, 16, 32)):
    """Returns a model that gives the feature maps of `model` at `strides`.

    A feature is the last block output at a stride, before any head convolution (timm's
    `features_only`), found by its layer name, so models loaded from a file work too.

    Args:
        model: a Keras model of this zoo, built or loaded.
        strides: ints among 2, 4, 8, 16, 32.

    Returns:
        A Keras model with the input of `model`, sharing its weights, and a list of outputs in the
        order asked: shapes (batch, height / stride, width / stride, channels).

    Raises:
        ValueError: for a stride not among those, or one that `model` has no feature at.

    Example:
        >>> backbone = newnet_tf.features(ReXNet100(weights=None), strides=(8, 16, 32))
    """
    strides = tuple(strides)
    if not strides or not set(strides) <= set(STRIDES):
        raise ValueError(
            f"`strides` must be among {', '.join(map(str, STRIDES))}. Received: strides={strides}"
        )
    layers = {layer.name: layer for layer in model.layers}
    missing = [s for s in strides if f"features_{s}" not in layers]
    if missing:
        known = [s for s in STRIDES if f"features_{s}" in layers]
        raise ValueError(
            f"`strides` must be among {known}, the feature strides of model {model.name!r}. "
            f"Received: strides={strides}"
        )
    outputs = [layers[f"features_{s}"].output for s in strides]
    return keras.Model(model.input, outputs, name=f"{model.name}_features")

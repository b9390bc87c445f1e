"""Models that stack searched cells: NASNet, PNASNet, AmoebaNet, DARTS.

A cell is a small graph, the result of architecture search. Its inputs are the outputs of the two cells
before it, each brought to the cell's number of channels by a 1x1 convolution. Each of its nodes adds
two operations on feature maps of the cell. A family's file holds its two cells and its widths.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import TENSORFLOW
from newnet_tf.models.config import INCEPTION
from newnet_tf.utils.lazy import keras

PREVIOUS, CURRENT = 0, 1  # the inputs of a cell; its nodes are 2, 3, ...
LARGE = replace(INCEPTION, image_size=331, crop_pct=0.911)  # preprocessing of the large models


@dataclass(frozen=True)
class Cell:
    """The graph of a cell.

    Args:
        nodes: tuple of (operation, input, operation, input), one for each node. Operations are
            `"skip"`, `"max"` and `"average"` (3x3 pooling), `"separable_<k>"` (applied twice),
            `"dilated_3"`, `"1x7_7x1"`.

        output: tuple of int, the feature maps whose concatenation is the output.
    """

    nodes: tuple[tuple[str, int, str, int], ...]
    output: tuple[int, ...]


@dataclass(frozen=True)
class CellSpec:
    """One cell of a model: its channels, and whether it is a reduction cell (stride 2)."""

    channels: int
    reduces: bool = False


def cell_specs(channels: int, depths: Sequence[int], stem: bool = True) -> tuple[CellSpec, ...]:
    """Returns the cells of a model.

    Args:
        channels: int, of the first stage; they double from stage to stage.

        depths: sequence of int, normal cells of each stage. A reduction cell stands between stages.

        stem: bool, whether two reduction cells of a quarter and half the channels come first.
            Default: True.
    """
    specs = [CellSpec(channels // 4, True), CellSpec(channels // 2, True)] if stem else []
    for i, depth in enumerate(depths):
        width = channels * 2**i
        specs += [CellSpec(width, True)] * (i > 0) + [CellSpec(width)] * depth
    return tuple(specs)


@dataclass(frozen=True)
class Config:
    """One NASNet, PNASNet or AmoebaNet.

    Args:
        stem: int, channels of the convolution before the cells, which does not pad.

        channels: int, see `cell_specs`.

        depths: tuple of int, see `cell_specs`.

        skip: bool, see `stack`. Default: False.
    """

    stem: int
    channels: int
    depths: tuple[int, ...]
    skip: bool = False

    @property
    def specs(self) -> tuple[CellSpec, ...]:
        """The model's cells, the two of the stem first."""
        return cell_specs(self.channels, self.depths)


def stack(x, normal: Cell, reduction: Cell, specs, *, previous=None, skip=False, stride, style):
    """Applies all cells and tags the features between, as the next cell reads them: after ReLU.

    Args:
        x: Keras tensor, input of the first cell, before its ReLU.

        normal: `Cell`.

        reduction: `Cell`.

        specs: sequence of `CellSpec`.

        previous: Keras tensor or None, the feature map before `x`, after its ReLU, at half its
            stride. Default: None for a stem, whose first cell reads `x` itself in its place.

        skip: bool, whether the second input of the cell after a reduction is the output of the cell
            two before that reduction. The stem's cells are excepted. Default: False.

        stride: int, the stride of `x`.

        style: `blocks.ConvBNConfig`.

    Returns:
        Keras tensor, the last cell's output, before ReLU.
    """
    after_reduction = True
    linear = {"act": "linear", "style": style}
    for i, spec in enumerate(specs):
        name = f"cell{i}"
        active = blocks.activation(x, "relu", name=f"{name}_relu")
        if spec.reduces:
            active, stride = (active if i == 0 else blocks.tag_feature(active, stride)), stride * 2
        right = blocks.conv_bn_act(active, spec.channels, **linear, name=f"{name}_squeeze")
        if previous is None:
            left = x
        elif after_reduction:
            options = {"style": style, "name": f"{name}_previous"}
            left = factorized_reduction(previous, spec.channels, **options)
        else:
            left = blocks.conv_bn_act(previous, spec.channels, **linear, name=f"{name}_previous")
        cell = reduction if spec.reduces else normal
        x = apply_cell(cell, (left, right), spec, style=style, name=name)
        if not (skip and spec.reduces and i > 1):
            previous = active
        after_reduction = spec.reduces
    return x


def build(x, config: Config, normal: Cell, reduction: Cell):
    """A NASNet, PNASNet or AmoebaNet, from the input to the last feature map before pooling."""
    style = replace(TENSORFLOW, padding="valid")
    x = blocks.conv_bn_act(x, config.stem, 3, 2, act="linear", style=style, name="stem")
    x = blocks.tag_feature(x, 2)
    options = {"stride": 2, "skip": config.skip, "style": TENSORFLOW}
    x = stack(x, normal, reduction, config.specs, **options)
    return blocks.tag_feature(blocks.activation(x, "relu", name="final_relu"), 32)


def build_head(x, config: Config, classes: int):
    """The last feature map of such a model to logits."""
    return blocks.classifier(x, classes, dropout=0.5)


def apply_cell(cell: Cell, inputs, spec: CellSpec, *, style, name):
    """One cell, from its two inputs."""
    maps = list(inputs)
    for n, (left, left_input, right, right_input) in enumerate(cell.nodes):
        summands = []
        for side, kind, source in (("left", left, left_input), ("right", right, right_input)):
            stride = 2 if spec.reduces and source in (PREVIOUS, CURRENT) else 1
            options = {"style": style, "name": f"{name}_node{n}_{side}"}
            summands.append(apply_op(kind, maps[source], spec.channels, stride, **options))
        maps.append(keras.layers.Add(name=f"{name}_node{n}")(summands))
    return keras.layers.Concatenate(name=f"{name}_join")([maps[i] for i in cell.output])


def apply_op(kind: str, x, channels: int, stride: int, *, style, name):
    """One operation of a node, in layers whose names begin with `name`."""
    if kind == "skip":
        return x if stride == 1 else relu_conv_bn(x, channels, 1, stride, style=style, name=name)
    if kind in ("max", "average"):
        x = pool(x, kind, stride, style=style, name=f"{name}_pool")
        if x.shape[-1] == channels:
            return x
        return blocks.conv_bn_act(x, channels, act="linear", style=style, name=name)
    if kind == "1x7_7x1":
        inner = channels // 4
        x = relu_conv_bn(x, inner, style=style, name=f"{name}_reduce")
        x = relu_conv_bn(x, inner, (1, 7), (1, stride), style=style, name=f"{name}_row")
        x = relu_conv_bn(x, inner, (7, 1), (stride, 1), style=style, name=f"{name}_column")
        return relu_conv_bn(x, channels, style=style, name=f"{name}_expand")
    kernel = int(kind.rpartition("_")[2])
    if kind.startswith("dilated"):
        return separable(x, channels, kernel, stride, dilation=2, style=style, name=name)
    x = separable(x, channels, kernel, stride, style=style, name=f"{name}1")
    return separable(x, channels, kernel, style=style, name=f"{name}2")


def relu_conv_bn(x, channels, kernel=1, stride=1, *, style, name):
    """ReLU, convolution, batch norm: layers `<name>_relu`, `<name>_conv`, `<name>_bn`."""
    x = blocks.activation(x, "relu", name=f"{name}_relu")
    return blocks.conv_bn_act(x, channels, kernel, stride, act="linear", style=style, name=name)


def separable(x, channels, kernel, stride=1, *, dilation=1, style, name):
    """ReLU, depthwise convolution, 1x1 convolution, batch norm."""
    x = blocks.activation(x, "relu", name=f"{name}_relu")
    options = {"dilation": dilation, "style": style, "name": f"{name}_depthwise_conv"}
    x = blocks.depthwise(x, kernel, stride, **options)
    x = blocks.conv(x, channels, style=style, name=f"{name}_pointwise_conv")
    return blocks.norm(x, style=style, name=f"{name}_bn")


def pool(x, kind: str, stride: int, *, style, name):
    """3x3 `"max"` or `"average"` pooling in which padding does not count.

    Average pooling at stride 2 is TensorFlow's.
    """
    if kind == "average":
        return keras.layers.AveragePooling2D(3, stride, padding="same", name=name)(x)
    if stride == 1 or style.padding == "same":
        return keras.layers.MaxPooling2D(3, stride, padding="same", name=name)(x)
    return pooling.max_pool_repeated_edges(x, name=name)


def factorized_reduction(x, channels: int, *, style, name):
    """Halves height and width: layers `<name>_first_conv`, `<name>_second_conv`, `<name>_bn`.

    Half of the channels are computed from the pixels of even rows and columns, half from those of odd
    ones (NASNet, arXiv 1707.07012). Of an odd number of channels the second half has one more.
    """
    first = blocks.conv(x, channels // 2, 1, 2, style=style, name=f"{name}_first_conv")
    x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    x = keras.layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}_shift")(x)
    rest = channels - channels // 2
    second = blocks.conv(x, rest, 1, 2, style=style, name=f"{name}_second_conv")
    x = keras.layers.Concatenate(name=f"{name}_join")([first, second])
    return blocks.norm(x, style=style, name=f"{name}_bn")

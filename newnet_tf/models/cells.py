"""Networks that stack searched cells: NASNet, PNASNet, AmoebaNet, DARTS.

A cell is a small graph that a search has found. It reads the outputs of the two cells before it, each
squeezed to the cell's width, and each of its nodes adds two operations on maps it already has. A
family keeps its two cells and the widths of its steps, and leaves the rest to here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from newnet_tf.models import blocks
from newnet_tf.models.blocks import TENSORFLOW
from newnet_tf.models.config import INCEPTION
from newnet_tf.utils.lazy import keras

PREVIOUS, CURRENT = 0, 1  # the first two maps of a cell; its nodes are 2, 3, ...
SEPARABLE = ("_depthwise_conv", "_pointwise_conv", "_bn")
LARGE = replace(INCEPTION, image_size=331, crop_pct=0.911)  # what the large networks see


@dataclass(frozen=True)
class Cell:
    """What a search found.

    Args:
        nodes: for each node (operation, map, operation, map). Operations are `"skip"`, `"max"`,
            `"average"` (3x3 pooling), `"separable_<k>"` (twice), `"dilated_3"`, `"1x7_7x1"`.
        output: the maps whose concatenation leaves the cell.
    """

    nodes: tuple[tuple[str, int, str, int], ...]
    output: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One cell of a network: its width, and whether it halves the sides."""

    filters: int
    reduces: bool = False


def steps(filters: int, depths: Sequence[int], stem: bool = True) -> tuple[Step, ...]:
    """Returns the cells of a network.

    Args:
        filters: int, width of the first stage; it doubles from stage to stage.
        depths: number of normal cells in each stage; between stages is a reduction cell.
        stem: bool, whether two reduction cells of a quarter and half the width come first.
    """
    found = [Step(filters // 4, True), Step(filters // 2, True)] if stem else []
    for i, depth in enumerate(depths):
        width = filters * 2**i
        found += [Step(width, True)] * (i > 0) + [Step(width)] * depth
    return tuple(found)


@dataclass(frozen=True)
class Row:
    """One NASNet, PNASNet or AmoebaNet.

    Args:
        stem: int, filters of the convolution before the cells, which does not pad.
        filters, depths: see `steps`.
        skip: see `stack`.
    """

    stem: int
    filters: int
    depths: tuple[int, ...]
    skip: bool = False

    @property
    def plan(self) -> tuple[Step, ...]:
        """The network's cells, the two of the stem first."""
        return steps(self.filters, self.depths)


def stack(x, normal: Cell, reduction: Cell, plan, *, previous=None, skip=False, stride, style):
    """Applies all cells and marks the features between, as the next cell sees them: after ReLU.

    Args:
        x: the map before the first cell, not yet activated.
        normal, reduction: the cells. plan: `Step` of every cell.
        previous: the map before `x`, activated, at half its stride; None for a stem, whose first
            cell reads `x` itself in its place.
        skip: bool, whether the cell after a reduction reads, beside that, not the cell before it
            but the one before that. The stem's cells never do.
        stride: int, the stride of `x`.
        style: `blocks.Style`.

    Returns:
        The last cell's output, not activated.
    """
    halved = True
    for i, step in enumerate(plan):
        name = f"cell{i}"
        active = blocks.activation(x, "relu", name=f"{name}_relu")
        if step.reduces:
            active, stride = (active if i == 0 else blocks.feature(active, stride)), stride * 2
        squeeze = {"act": "linear", "style": style}
        right = blocks.conv_bn_act(active, step.filters, **squeeze, name=f"{name}_squeeze")
        if previous is None:
            left = x
        elif halved:
            left = halve(previous, step.filters, style=style, name=f"{name}_previous")
        else:
            left = blocks.conv_bn_act(previous, step.filters, **squeeze, name=f"{name}_previous")
        cell = reduction if step.reduces else normal
        x = assemble(cell, (left, right), step, style=style, name=name)
        if not (skip and step.reduces and i > 1):
            previous = active
        halved = step.reduces
    return x


def network(x, row: Row, normal: Cell, reduction: Cell):
    """A whole NASNet, PNASNet or AmoebaNet, from the input to the last map before pooling."""
    style = replace(TENSORFLOW, padding="valid")
    x = blocks.conv_bn_act(x, row.stem, 3, 2, act="linear", style=style, name="stem")
    x = blocks.feature(x, 2)
    x = stack(x, normal, reduction, row.plan, stride=2, skip=row.skip, style=TENSORFLOW)
    return blocks.feature(blocks.activation(x, "relu", name="final_relu"), 32)


def top(x, row: Row, classes: int):
    """The last map of such a network to logits."""
    return blocks.classifier(x, classes, dropout=0.5)


def assemble(cell: Cell, inputs, step: Step, *, style, name):
    """One cell, from its two squeezed inputs."""
    maps = list(inputs)
    for n, (left, first, right, second) in enumerate(cell.nodes):
        parts = []
        for side, kind, source in (("left", left, first), ("right", right, second)):
            stride = 2 if step.reduces and source in (PREVIOUS, CURRENT) else 1
            part = f"{name}_node{n}_{side}"
            parts.append(operate(kind, maps[source], step.filters, stride, style=style, name=part))
        maps.append(keras.layers.Add(name=f"{name}_node{n}")(parts))
    return keras.layers.Concatenate(name=f"{name}_join")([maps[i] for i in cell.output])


def operate(kind: str, x, filters: int, stride: int, *, style, name):
    """One operation of a node, in layers whose names begin with `name`."""
    if kind == "skip":
        return x if stride == 1 else relu_conv_bn(x, filters, 1, stride, style=style, name=name)
    if kind in ("max", "average"):
        x = pool(x, kind, stride, style=style, name=f"{name}_pool")
        if x.shape[-1] == filters:
            return x
        return blocks.conv_bn_act(x, filters, act="linear", style=style, name=name)
    if kind == "1x7_7x1":
        inner = filters // 4
        x = relu_conv_bn(x, inner, style=style, name=f"{name}_reduce")
        x = relu_conv_bn(x, inner, (1, 7), (1, stride), style=style, name=f"{name}_row")
        x = relu_conv_bn(x, inner, (7, 1), (stride, 1), style=style, name=f"{name}_column")
        return relu_conv_bn(x, filters, style=style, name=f"{name}_expand")
    kernel = int(kind.rpartition("_")[2])
    if kind.startswith("dilated"):
        return separable(x, filters, kernel, stride, dilation=2, style=style, name=name)
    x = separable(x, filters, kernel, stride, style=style, name=f"{name}1")
    return separable(x, filters, kernel, style=style, name=f"{name}2")


def relu_conv_bn(x, filters, kernel=1, stride=1, *, style, name):
    """ReLU, convolution, batch norm: layers `<name>_relu`, `<name>_conv`, `<name>_bn`."""
    x = blocks.activation(x, "relu", name=f"{name}_relu")
    return blocks.conv_bn_act(x, filters, kernel, stride, act="linear", style=style, name=name)


def separable(x, filters, kernel, stride=1, *, dilation=1, style, name):
    """ReLU, depthwise and 1x1 convolution without anything between them, batch norm."""
    x = blocks.activation(x, "relu", name=f"{name}_relu")
    options = {"dilation": dilation, "style": style, "name": f"{name}_depthwise_conv"}
    x = blocks.depthwise(x, kernel, stride, **options)
    x = blocks.conv(x, filters, style=style, name=f"{name}_pointwise_conv")
    return blocks.norm(x, style=style, name=f"{name}_bn")


def pool(x, kind: str, stride: int, *, style, name):
    """3x3 `"max"` or `"average"` pooling in which padding does not count.

    For PyTorch's symmetric padding of max pooling at stride 2 the map's own edges are doubled, which
    changes no maximum; minus infinity instead would spoil the range of 8-bit files. Average pooling
    at stride 2 is TensorFlow's.
    """
    if kind == "average":
        return keras.layers.AveragePooling2D(3, stride, padding="same", name=name)(x)
    if stride == 1 or style.padding == "same":
        return keras.layers.MaxPooling2D(3, stride, padding="same", name=name)(x)
    x = keras.layers.Concatenate(1, name=f"{name}_rows")([x[:, :1], x, x[:, -1:]])
    x = keras.layers.Concatenate(2, name=f"{name}_columns")([x[:, :, :1], x, x[:, :, -1:]])
    return keras.layers.MaxPooling2D(3, stride, name=name)(x)


def halve(x, filters: int, *, style, name):
    """Factorized reduction of an activated map: layers `<name>_first_conv`, `_second_conv`, `_bn`.

    Half of the filters see the pixels of even rows and columns, half those of odd ones; of an odd
    number the second half has one more.
    """
    first = blocks.conv(x, filters // 2, 1, 2, style=style, name=f"{name}_first_conv")
    x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    x = keras.layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}_shift")(x)
    rest = filters - filters // 2
    second = blocks.conv(x, rest, 1, 2, style=style, name=f"{name}_second_conv")
    x = keras.layers.Concatenate(name=f"{name}_join")([first, second])
    return blocks.norm(x, style=style, name=f"{name}_bn")


@dataclass(frozen=True)
class CheckpointNames:
    """How a library names the modules of a cell.

    Args:
        squeeze, previous: what squeezes the last cell's output, and the one's before it.
        halved: the same where it is halved too: first convolution, second, batch norm.
        operation: an operation, by `{node}`, `{side}` and `{index}` (two a node).
        separable, dilated: depthwise, 1x1, batch norm below an operation; `{}` counts from 1.
    """

    squeeze: str
    previous: str
    halved: tuple[str, str, str]
    operation: str
    separable: tuple[str, str, str]
    dilated: tuple[str, str, str] = ("conv.dw_conv", "conv.pw_conv", "bn")


TIMM = CheckpointNames(  # and pretrainedmodels'
    squeeze="conv_1x1",
    previous="conv_prev_1x1",
    halved=("path_1.conv", "path_2.conv", "final_path_bn"),
    operation="comb_iter_{node}_{side}",
    separable=("separable_{}.depthwise_conv2d", "separable_{}.pointwise_conv2d", "bn_sep_{}"),
)


def names(
    cell: Cell, words: CheckpointNames, ours: str, theirs: str, *, previous=True, halved=False
) -> dict[str, str]:
    """Our layer name to a library's module name, for one cell.

    Layers are named that only some operations have: a skip or a pooling may have a convolution.

    Args:
        cell: the cell. words: the library's. ours, theirs: what the names of its layers begin with.
        previous: bool, whether the output before the last is squeezed. halved: bool, and halved.
    """
    found = {f"squeeze_{part}": f"{words.squeeze}.{part}" for part in ("conv", "bn")}
    if halved:
        parts = ("first_conv", "second_conv", "bn")
        found |= {f"previous_{p}": w for p, w in zip(parts, words.halved, strict=True)}
    elif previous:
        found |= {f"previous_{part}": f"{words.previous}.{part}" for part in ("conv", "bn")}
    for n, node in enumerate(cell.nodes):
        for index, (side, kind) in enumerate((("left", node[0]), ("right", node[2])), 2 * n):
            prefix = words.operation.format(node=n, side=side, index=index)
            modules = {f"_{part}": part for part in ("conv", "bn")}
            if kind.startswith("dilated"):
                modules = dict(zip(SEPARABLE, words.dilated, strict=True))
            elif kind.startswith("separable"):
                modules = {
                    f"{i}{part}": word.format(i)
                    for i in (1, 2)
                    for part, word in zip(SEPARABLE, words.separable, strict=True)
                }
            found |= {f"node{n}_{side}{part}": f"{prefix}.{m}" for part, m in modules.items()}
    return {f"{ours}_{layer}": f"{theirs}.{module}" for layer, module in found.items()}


def stacked_names(
    normal: Cell, reduction: Cell, plan, words: CheckpointNames, prefixes, *, stem=True
) -> dict[str, str]:
    """Our layer name to a library's module name, for all cells of a network.

    Args:
        normal, reduction, plan: see `stack`. words: the library's.
        prefixes: what the library calls each cell.
        stem: bool, whether the first cell reads the stem's output itself.
    """
    found, halved = {}, not stem
    for i, (step, prefix) in enumerate(zip(plan, prefixes, strict=True)):
        cell = reduction if step.reduces else normal
        squeezed = {"previous": i > 0 or not stem, "halved": halved}
        found |= names(cell, words, f"cell{i}", prefix, **squeezed)
        halved = step.reduces
    return found


def network_names(
    row: Row, normal: Cell, reduction: Cell, words: CheckpointNames, prefixes, *, stem, classifier
) -> dict[str, str]:
    """Our layer name to a library's module name, for what `network` and `top` make.

    Args:
        row, normal, reduction: see `network`. words, prefixes: see `stacked_names`.
        stem, classifier: what the library calls the first convolution and the last.
    """
    found = {f"stem_{part}": f"{stem}.{part}" for part in ("conv", "bn")}
    found |= stacked_names(normal, reduction, row.plan, words, prefixes)
    return found | {"classifier": classifier}

"""Names of the modules of searched cells in the checkpoints of other libraries."""

from collections.abc import Sequence
from dataclasses import dataclass

from newnet_tf.models.cells import Cell, CellSpec, Config

SEPARABLE = ("_depthwise_conv", "_pointwise_conv", "_bn")
CONV_BN = ("conv", "bn")


@dataclass(frozen=True)
class CheckpointNames:
    """How a library names the modules of a cell.

    Args:
        squeeze: str, the 1x1 convolution on the last cell's output.

        previous: str, the 1x1 convolution on the output before that.

        halved: three str, the factorized reduction in its place: first convolution, second, batch norm.

        operation: str, an operation, with `{node}`, `{side}` and `{index}` (two a node).

        separable: three str, below an operation: depthwise, 1x1, batch norm; `{}` counts from 1.

        dilated: three str, the same of a dilated convolution.
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


def cell_names(
    cell: Cell, library: CheckpointNames, name: str, prefix: str, *, previous=True, halved=False
) -> dict[str, str]:
    """{layer: module} of one cell.

    It lists layers that only some operations have: a skip or a pooling may have a convolution.

    Args:
        cell: `Cell`.

        library: `CheckpointNames`.

        name: str, beginning of the layers' names.

        prefix: str, beginning of the modules' names.

        previous: bool, whether the second input has a 1x1 convolution. Default: True.

        halved: bool, whether the second input has a factorized reduction. Default: False.
    """
    names = {f"squeeze_{kind}": f"{library.squeeze}.{kind}" for kind in CONV_BN}
    if halved:
        layers = ("first_conv", "second_conv", "bn")
        names |= {f"previous_{n}": module for n, module in zip(layers, library.halved, strict=True)}
    elif previous:
        names |= {f"previous_{kind}": f"{library.previous}.{kind}" for kind in CONV_BN}
    for n, node in enumerate(cell.nodes):
        for index, (side, operation) in enumerate((("left", node[0]), ("right", node[2])), 2 * n):
            path = library.operation.format(node=n, side=side, index=index)
            modules = _operation_names(operation, library)
            names |= {f"node{n}_{side}{layer}": f"{path}.{m}" for layer, m in modules.items()}
    return {f"{name}_{layer}": f"{prefix}.{module}" for layer, module in names.items()}


def _operation_names(operation: str, library: CheckpointNames) -> dict[str, str]:
    """{end of a layer's name: module} of one operation."""
    if operation.startswith("dilated"):
        return dict(zip(SEPARABLE, library.dilated, strict=True))
    if operation.startswith("separable"):
        return {
            f"{i}{layer}": module.format(i)
            for i in (1, 2)
            for layer, module in zip(SEPARABLE, library.separable, strict=True)
        }
    return {f"_{kind}": kind for kind in CONV_BN}


def stack_names(
    normal: Cell,
    reduction: Cell,
    specs: Sequence[CellSpec],
    library: CheckpointNames,
    prefixes: Sequence[str],
    *,
    stem: bool = True,
) -> dict[str, str]:
    """{layer: module} of all cells of a model.

    Args:
        normal: `Cell`, see `cells.stack`.

        reduction: `Cell`, see `cells.stack`.

        specs: sequence of `CellSpec`.

        library: `CheckpointNames`.

        prefixes: sequence of str, the library's names of the cells.

        stem: bool, whether both inputs of the first cell are the stem's output. Default: True.
    """
    names, halved = {}, not stem
    for i, (spec, prefix) in enumerate(zip(specs, prefixes, strict=True)):
        cell = reduction if spec.reduces else normal
        options = {"previous": i > 0 or not stem, "halved": halved}
        names |= cell_names(cell, library, f"cell{i}", prefix, **options)
        halved = spec.reduces
    return names


def model_names(
    config: Config,
    normal: Cell,
    reduction: Cell,
    library: CheckpointNames,
    prefixes: Sequence[str],
    *,
    stem: str,
    classifier: str,
) -> dict[str, str]:
    """{layer: module} of a model of `cells.build` and `cells.build_head`.

    Args:
        config: `cells.Config`.

        normal: `Cell`.

        reduction: `Cell`.

        library: `CheckpointNames`.

        prefixes: sequence of str, see `stack_names`.

        stem: str, the library's name of the first convolution.

        classifier: str, the library's name of the classifier.
    """
    names = {f"stem_{kind}": f"{stem}.{kind}" for kind in CONV_BN}
    names |= stack_names(normal, reduction, config.specs, library, prefixes)
    return names | {"classifier": classifier}

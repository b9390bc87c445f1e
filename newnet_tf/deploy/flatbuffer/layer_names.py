"""Names of Keras layers from the names that the converter gives to tensors. Standard library only."""

from collections.abc import Sequence

UNNAMED = {"tfl.quantize": "input", "StatefulPartitionedCall_1": "output"}
KERNEL_OPERATIONS = ("convolution", "depthwise", "MatMul")


def layer_names(tensors: Sequence[str]) -> list[str]:
    """Returns the Keras layers that tensors came from.

    The converter's name is `model/layer/operation`, or several, separated by `;`, where it fused
    operators: of those the convolution or dense layer counts, else the last. An export appends `_1` to
    layers; where most names have it, it is removed. Where no layer is named, the operation is
    returned.

    Args:
        tensors: names of tensors, usually the outputs of all operators of a file.

    Returns:
        List of str, a name for each tensor.

    Example:
        >>> layer_names(["net/stem_conv/convolution;net/stem_bn/add"])
        ['stem_conv']
    """
    paths = [_path(name) for name in tensors]
    layers = [path[1] for path in paths if len(path) > 2]
    suffix = "_1" if 2 * sum(layer.endswith("_1") for layer in layers) > len(layers) else ""
    return [
        path[1].removesuffix(suffix) if len(path) > 2 else UNNAMED.get(path[-1], path[-1])
        for path in paths
    ]


def _path(name: str) -> list[str]:
    """Returns the parts of a tensor's name that name its layer."""
    paths = [path.split("/") for path in name.split(";") if "/" in path]
    with_kernels = [path for path in paths if path[-1].startswith(KERNEL_OPERATIONS)]
    candidates = with_kernels or paths
    return candidates[-1] if candidates else [name.split(";")[0].split(":")[0]]

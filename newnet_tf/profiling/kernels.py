"""Which kernels ran for which operator of a TFLite file, and what an operator multiplies.

XNNPACK names its kernels after its own operators and joins some of the file's to their neighbors, so
the two sequences differ. They are laid side by side here in order, each kernel at an operator that it
can come from. Convolutions and dense layers, which must have such a kernel each, hold them together;
what is left between two of them is a few operators.
"""

import math
from collections.abc import Sequence

from newnet_tf.profiling.litert_profiler import Kernel, Node

# XNNPACK's kernels -> operators of the file that they come from.
SOURCES = {
    "Convolution": ("CONV_2D", "DEPTHWISE_CONV_2D"),
    "Fully Connected": ("FULLY_CONNECTED", "CONV_2D"),
    "Deconvolution": ("TRANSPOSE_CONV",),
    "Batch Matrix Multiply": ("BATCH_MATMUL",),
    "Add": ("ADD",),
    "Subtract": ("SUB",),
    "Multiply": ("MUL",),
    "Divide": ("DIV",),
    "Average Pooling": ("AVERAGE_POOL_2D",),
    "Max Pooling": ("MAX_POOL_2D",),
    "Mean": ("MEAN",),
    "Sum": ("SUM",),
    "Constant Pad": ("PAD", "PADV2"),
    "Copy": ("CONCATENATION",),
    "Static Reshape": ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
    "Slice": ("STRIDED_SLICE", "SLICE", "SPLIT"),
    "Transpose": ("TRANSPOSE", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"),
    "Resize Bilinear": ("RESIZE_BILINEAR",),
    # before a product with int8 weights, its float input is quantized
    "Convert": ("QUANTIZE", "DEQUANTIZE", "CAST", "CONV_2D", "FULLY_CONNECTED"),
    "Clamp": ("RELU", "RELU6", "RELU_N1_TO_1"),
    "Sigmoid": ("LOGISTIC",),
    "HardSwish": ("HARD_SWISH",),
    "Tanh": ("TANH",),
    "Leaky ReLU": ("LEAKY_RELU",),
    "Softmax": ("SOFTMAX",),
}
PRODUCTS = ("Convolution", "Fully Connected", "Deconvolution")
FITS, FITS_AGAIN, UNNAMED, STRAY, NEVER = 3, 2, 1, -1, -1000  # scores of a kernel at an operator


def assign(
    nodes: Sequence[Node], partitions: Sequence[Node], kernels: Sequence[Kernel]
) -> list[list[Kernel]]:
    """Returns the kernels of each operator of a file.

    Args:
        nodes: the file's operators, in order. partitions: what XNNPACK took of them, in order.
        kernels: what ran, in order.

    Raises:
        RuntimeError: where the kernels cannot come from these operators.
    """
    ran, taken = [[] for _ in nodes], []
    for kernel in kernels:
        if kernel.node is not None:
            ran[kernel.node].append(kernel)
        elif kernel.index == 0:  # a partition begins
            taken.append([kernel])
        else:
            taken[-1].append(kernel)
    if len(taken) != len(partitions):
        raise RuntimeError(
            f"each of XNNPACK's {len(partitions)} partitions must run. Received: {len(taken)} that ran"
        )
    for partition, own in zip(partitions, taken, strict=True):
        members = _members(nodes, partition)
        places = _places([nodes[index] for index in members], own)
        for kernel, place in zip(own, places, strict=True):
            ran[members[place]].append(kernel)
        for index in members:
            products = sum(_kind(kernel) in PRODUCTS for kernel in ran[index])
            if products != (macs(nodes[index]) > 0):
                raise _unlike(own)
    return ran


def macs(node: Node) -> int:
    """Returns an operator's multiply-adds for one image, 0 for what `cost` does not count."""
    shapes = [node.shapes[index] for index in node.inputs]
    made = math.prod(node.shapes[node.outputs[0]]) if node.outputs else 0
    if node.operator == "CONV_2D":
        return made * math.prod(shapes[1][1:])
    if node.operator == "DEPTHWISE_CONV_2D":
        return made * math.prod(shapes[1][1:3])
    if node.operator == "FULLY_CONNECTED":
        return made * shapes[1][-1]
    if node.operator == "TRANSPOSE_CONV":  # each input value meets the whole kernel
        return math.prod(shapes[2]) * math.prod(shapes[1][:3])
    return 0


def _members(nodes: Sequence[Node], partition: Node) -> list[int]:
    """Returns the operators of a partition: walks back from its outputs as far as its inputs."""
    maker = {tensor: index for index, node in enumerate(nodes) for tensor in node.outputs}
    wanted, found = list(partition.outputs), set()
    while wanted:
        index = maker.get(wanted.pop())
        if index is not None and index not in found:
            found.add(index)
            wanted += [i for i in nodes[index].inputs if i not in partition.inputs]
    return sorted(found)


def _places(nodes: Sequence[Node], kernels: Sequence[Kernel]) -> list[int]:
    """Returns the place in `nodes` of each kernel: in order, with the best sum of scores.

    An operator may have no kernel, or several, but one with multiply-adds must have its product.
    """
    skipped = [0]  # score of leaving out all operators before a place
    for node in nodes:
        skipped.append(skipped[-1] + NEVER * (macs(node) > 0))
    best, origins = [], []  # best[place]: score of the kernels so far, the last of them there
    for kernel in kernels:
        reached, origin = (-math.inf if best else 0), None  # the best that ends before a place
        row, came = [], []
        for place, node in enumerate(nodes):
            if best and place and best[place - 1] - skipped[place] > reached:
                reached, origin = best[place - 1] - skipped[place], place - 1
            fresh = reached + skipped[place] + _score(kernel, node, False)
            again = best[place] + _score(kernel, node, True) if best else -math.inf
            row.append(max(fresh, again))
            came.append(origin if fresh >= again else place)
        best = row
        origins.append(came)
    ends = [score + skipped[-1] - skipped[place + 1] for place, score in enumerate(best)]
    place = ends.index(max(ends))
    if ends[place] < NEVER / 2:
        raise _unlike(kernels)
    places = []
    for came in reversed(origins):
        places.append(place)
        place = came[place]
    return places[::-1]


def _score(kernel: Kernel, node: Node, again: bool) -> int:
    """How well a kernel fits an operator; `again` if that has one already.

    A kernel that fits nowhere most likely does what its predecessor left: a Clamp after a Multiply is
    the MUL's own activation. One without a name of its own (XNNPACK says "Invalid Unary Op" of table
    look-ups) stands for operators that it replaced.
    """
    kind = _kind(kernel)
    if node.operator in SOURCES.get(kind, ()) and not (
        again and macs(node) and kind not in PRODUCTS
    ):
        return FITS_AGAIN if again else FITS
    if kind in PRODUCTS:
        return NEVER
    if again:
        return 0
    return UNNAMED if kind not in SOURCES and not macs(node) else STRAY


def _kind(kernel: Kernel) -> str:
    return kernel.name.split(" (")[0]


def _unlike(kernels: Sequence[Kernel]) -> RuntimeError:
    return RuntimeError(
        "XNNPACK's kernels must come from the file's operators. Received: "
        f"{', '.join(kernel.name for kernel in kernels)}"
    )

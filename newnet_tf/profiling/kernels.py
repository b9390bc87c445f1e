"""The kernels of each operator of a TFLite file, and an operator's multiply-adds.

XNNPACK names kernels after its own operators, and fuses some of the file's operators with their
neighbors, so the two sequences differ. Here they are aligned in order: each kernel is assigned to an
operator that it can implement. Convolutions and dense layers have exactly one such kernel each, so
they fix the alignment; between two of them there are only a few operators.
"""

import math
from collections.abc import Sequence

from newnet_tf.profiling.litert_profiler import Kernel, Node

# XNNPACK's kernel -> operators of the file that it implements.
SOURCES = {
    "Convolution": ("CONV_2D", "DEPTHWISE_CONV_2D"),
    "Fully Connected": ("FULLY_CONNECTED", "CONV_2D"),
    "Dynamic Fully Connected": ("FULLY_CONNECTED",),
    "Deconvolution": ("TRANSPOSE_CONV", "Convolution2DTransposeBias"),
    "Batch Matrix Multiply": ("BATCH_MATMUL",),
    "Add": ("ADD",),
    "Subtract": ("SUB",),
    "Multiply": ("MUL",),
    "Divide": ("DIV",),
    "Average Pooling": ("AVERAGE_POOL_2D",),
    "Max Pooling": ("MAX_POOL_2D",),
    "Mean": ("MEAN", "AVERAGE_POOL_2D"),
    "Sum": ("SUM",),
    "Constant Pad": ("PAD", "PADV2"),
    "Copy": ("CONCATENATION",),
    "Static Reshape": ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
    "Slice": ("STRIDED_SLICE", "SLICE", "SPLIT"),
    "Transpose": ("TRANSPOSE", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"),
    "Resize Bilinear": ("RESIZE_BILINEAR",),
    # the float input of a product with int8 weights is quantized first
    "Convert": ("QUANTIZE", "DEQUANTIZE", "CAST", "CONV_2D", "FULLY_CONNECTED"),
    "Clamp": ("RELU", "RELU6", "RELU_N1_TO_1"),
    "Sigmoid": ("LOGISTIC",),
    "HardSwish": ("HARD_SWISH",),
    "Tanh": ("TANH",),
    "PReLU": ("PRELU",),
    "Leaky ReLU": ("LEAKY_RELU",),
    "Softmax": ("SOFTMAX",),
}
PRODUCTS = ("Convolution", "Fully Connected", "Dynamic Fully Connected", "Deconvolution")
# Scores of a kernel at an operator.
IMPLEMENTS, IMPLEMENTS_PART, UNNAMED, FUSED, IMPOSSIBLE = 3, 2, 1, -1, -1000


def assign(
    nodes: Sequence[Node], partitions: Sequence[Node], kernels: Sequence[Kernel]
) -> list[list[Kernel]]:
    """Returns the kernels of each operator of a file.

    Args:
        nodes: `Node`s, the file's operators, in order.

        partitions: `Node`s, the partitions that XNNPACK runs, in order.

        kernels: `Kernel`s that ran, in order.

    Returns:
        A list of kernels for each node.

    Raises:
        RuntimeError: if these operators cannot have these kernels.
    """
    assigned, sequences = [[] for _ in nodes], []
    for kernel in kernels:
        if kernel.node is not None:
            assigned[kernel.node].append(kernel)
        elif kernel.index == 0:  # the first kernel of a partition
            sequences.append([kernel])
        else:
            sequences[-1].append(kernel)
    if len(sequences) != len(partitions):
        raise RuntimeError(
            f"each of XNNPACK's {len(partitions)} partitions must run. "
            f"Received: {len(sequences)} that ran"
        )
    for partition, sequence in zip(partitions, sequences, strict=True):
        members = _members(nodes, partition)
        places = _places([nodes[index] for index in members], sequence)
        for kernel, place in zip(sequence, places, strict=True):
            assigned[members[place]].append(kernel)
        for index in members:
            products = sum(_kind(kernel) in PRODUCTS for kernel in assigned[index])
            if products != (macs(nodes[index]) > 0) and not _is_custom(nodes[index]):
                raise _mismatch(sequence)
    return assigned


def macs(node: Node) -> int:
    """Returns an operator's multiply-adds for one image; 0 for what `cost` does not count."""
    shapes = [node.shapes.get(index, ()) for index in node.inputs]
    outputs = math.prod(node.shapes.get(node.outputs[0], ())) if node.outputs else 0
    if node.operator == "CONV_2D":
        return outputs * math.prod(shapes[1][1:])
    if node.operator == "DEPTHWISE_CONV_2D":
        return outputs * math.prod(shapes[1][1:3])
    if node.operator == "FULLY_CONNECTED":
        return outputs * shapes[1][-1]
    if node.operator == "TRANSPOSE_CONV":  # each input value is multiplied with the whole kernel
        return math.prod(shapes[2]) * math.prod(shapes[1][:3])
    if node.operator == "Convolution2DTransposeBias":  # MediaPipe's
        return math.prod(shapes[0]) * math.prod(shapes[1][:3])
    return 0


def _members(nodes: Sequence[Node], partition: Node) -> list[int]:
    """Returns the operators of a partition, by a walk from its outputs back to its inputs."""
    producer = {tensor: index for index, node in enumerate(nodes) for tensor in node.outputs}
    tensors, members = list(partition.outputs), set()
    while tensors:
        index = producer.get(tensors.pop())
        if index is not None and index not in members:
            members.add(index)
            tensors += [i for i in nodes[index].inputs if i not in partition.inputs]
    return sorted(members)


def _places(nodes: Sequence[Node], kernels: Sequence[Kernel]) -> list[int]:
    """Returns the place in `nodes` of each kernel, in order, with the largest sum of scores.

    This is dynamic programming over pairs of kernel and operator. An operator may have no kernel, or
    several, but one with multiply-adds must have its product.
    """
    skipped = [0]  # score of skipping all operators before a place
    for node in nodes:
        skipped.append(skipped[-1] + IMPOSSIBLE * (macs(node) > 0))
    best, origins = [], []  # best[place]: score of the kernels so far with the last of them there
    for kernel in kernels:
        before, origin = (-math.inf if best else 0), None  # the best score that ends before a place
        scores, previous = [], []
        for place, node in enumerate(nodes):
            if best and place and best[place - 1] - skipped[place] > before:
                before, origin = best[place - 1] - skipped[place], place - 1
            first = before + skipped[place] + _score(kernel, node, False)
            further = best[place] + _score(kernel, node, True) if best else -math.inf
            scores.append(max(first, further))
            previous.append(origin if first >= further else place)
        best = scores
        origins.append(previous)
    totals = [score + skipped[-1] - skipped[place + 1] for place, score in enumerate(best)]
    place = totals.index(max(totals))
    if totals[place] < IMPOSSIBLE / 2:
        raise _mismatch(kernels)
    places = []
    for previous in reversed(origins):
        places.append(place)
        place = previous[place]
    return places[::-1]


def _score(kernel: Kernel, node: Node, is_further: bool) -> int:
    """Returns how well a kernel fits an operator; `is_further` if the operator already has one.

    A kernel that implements no operator nearby most likely completes its predecessor: a Clamp after a
    Multiply is the activation that the MUL contains. A kernel without a name of its own (XNNPACK says
    "Invalid Unary Op" for table lookups) implements the operators that it replaced.
    """
    kind = _kind(kernel)
    if node.operator in SOURCES.get(kind, ()) and not (
        is_further and macs(node) and kind not in PRODUCTS
    ):
        return IMPLEMENTS_PART if is_further else IMPLEMENTS
    if kind in PRODUCTS:
        return UNNAMED if _is_custom(node) else IMPOSSIBLE
    if is_further:
        return 0
    return UNNAMED if kind not in SOURCES and not macs(node) else FUSED


def _is_custom(node: Node) -> bool:
    """Whether an operator is not one of TFLite's own, whose names are in capitals."""
    return not node.operator.isupper()


def _kind(kernel: Kernel) -> str:
    return kernel.name.split(" (")[0]


def _mismatch(kernels: Sequence[Kernel]) -> RuntimeError:
    return RuntimeError(
        "XNNPACK's kernels must implement the file's operators. Received: "
        f"{', '.join(kernel.name for kernel in kernels)}"
    )

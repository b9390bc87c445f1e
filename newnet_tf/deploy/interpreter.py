"""The choice of a TFLite interpreter, and what XNNPACK takes of a graph.

Any of three packages runs TFLite files: `ai-edge-litert`, TensorFlow's `tf.lite`, `tflite-runtime`.
"""

import contextlib
import importlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INTERPRETERS = {
    "ai_edge_litert": "ai_edge_litert.interpreter",
    "tf.lite": "tensorflow.lite.python.interpreter",
    "tflite_runtime": "tflite_runtime.interpreter",
}
INTERPRETER_VARIABLE = "NEWNET_INTERPRETER"


def interpreter_class(name: str | None = None) -> tuple[str, Any]:
    """Returns the name and class of the interpreter to use.

    Args:
        name: `"ai_edge_litert"`, `"tf.lite"` or `"tflite_runtime"`. Default: the environment
            variable `NEWNET_INTERPRETER`, else the first of those that is installed.

    Raises:
        ValueError: for another name.
        ImportError: where it, or any, is not installed.
    """
    name = name or os.environ.get(INTERPRETER_VARIABLE) or None
    if name is not None and name not in INTERPRETERS:
        raise ValueError(
            f"`interpreter` (or {INTERPRETER_VARIABLE}) must be among {tuple(INTERPRETERS)}. "
            f"Received: {name!r}"
        )
    candidates = [name] if name else list(INTERPRETERS)
    for candidate in candidates:
        with contextlib.suppress(ImportError):
            return candidate, importlib.import_module(INTERPRETERS[candidate]).Interpreter
    raise ImportError(
        "running a TFLite file needs an interpreter: `pip install ai-edge-litert`. "
        f"Received: none of {', '.join(candidates)} installed"
    )


# Operators that keep values, and what those before them make of class scores.
KEEPING = ("DEQUANTIZE", "QUANTIZE", "RESHAPE", "SQUEEZE")
SCORES = {
    "SOFTMAX": "probabilities",
    "LOGISTIC": "sigmoid",
    "FULLY_CONNECTED": "logits",
    "CONV_2D": "logits",
}


@dataclass(frozen=True)
class Delegation:
    """What XNNPACK takes of a file's graph.

    Args:
        partitions: int, how many parts of the graph it takes; 1 where no operator splits it.

        fallback_ops: tuple of str, operators that run on the interpreter's own kernels.

        nodes: int, operators in the file.
    """

    partitions: int
    fallback_ops: tuple[str, ...]
    nodes: int

    @property
    def share(self) -> float:
        """Share of the operators that XNNPACK runs."""
        return 1 - len(self.fallback_ops) / self.nodes if self.nodes else 0.0

    @property
    def fully_delegated(self) -> bool:
        """Whether XNNPACK takes the whole graph, in one partition."""
        return self.partitions == 1 and not self.fallback_ops

    def __str__(self) -> str:
        partitions = f"{self.partitions} partition{'s' * (self.partitions != 1)}"
        counts = [f"{count} {name}" for name, count in Counter(self.fallback_ops).items()]
        fallback = f", outside: {', '.join(counts)}" if counts else ""
        return f"{self.share:.0%} of {self.nodes} nodes in {partitions}{fallback}"


def delegation_of(interpreter: Any, outputs: Sequence[int]) -> Delegation:
    """Returns what XNNPACK takes of a graph, by a walk back from its outputs.

    Args:
        interpreter: with its tensors allocated.

        outputs: indices of the output tensors.
    """
    nodes = interpreter._get_ops_details()  # there is no public method
    delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
    operators = [node for node in nodes if node["op_name"] != "DELEGATE"]
    producer = {tensor: node for node in operators + delegates for tensor in node["outputs"]}
    tensors, visited, fallback = list(outputs), set(), {}
    while tensors:
        node = producer.get(tensors.pop())
        if node is None or node["index"] in visited:
            continue
        visited.add(node["index"])
        tensors.extend(node["inputs"])
        if node["op_name"] != "DELEGATE":
            fallback[node["index"]] = node["op_name"]
    fallback_ops = tuple(name for _, name in sorted(fallback.items()))
    return Delegation(len(delegates), fallback_ops, len(operators))


def output_type_of(interpreter: Any, output: int) -> str | None:
    """Returns what class scores are, by the operator that computes them.

    Args:
        interpreter: with its tensors allocated.

        output: int, index of the output tensor.

    Returns:
        `"probabilities"` after a SOFTMAX, `"sigmoid"` after a LOGISTIC, `"logits"` after a fully
        connected layer or a convolution; None after any other operator.
    """
    nodes = [n for n in interpreter._get_ops_details() if n["op_name"] != "DELEGATE"]
    producer = {tensor: node for node in nodes for tensor in node["outputs"]}
    node = producer.get(output)
    while node is not None and node["op_name"] in KEEPING:
        node = producer.get(node["inputs"][0])
    return None if node is None else SCORES.get(node["op_name"])

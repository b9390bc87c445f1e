"""Post-processing inside an ONNX file of a detector: boxes, scores, non-maximum suppression.

The outputs are those of `TFLite_Detection_PostProcess`, padded with zeros to the same size, so that
files of both formats are read alike. ONNX has an operator for non-maximum suppression of each class.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from newnet_tf.deploy.onnx_runner import import_extra
from newnet_tf.task import PostprocessOperator

PREFIX = "postprocess_"  # of the names of tensors


class _Nodes:
    """Adds nodes and constants to a graph, under names of their own."""

    def __init__(self, graph: Any):
        self.graph, self.helper, self.count = graph, import_extra("onnx").helper, 0

    def __call__(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node; arrays among the inputs become constants. Returns its output(s)."""
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        results = [self.name() for _ in range(outputs)]
        self.graph.node.append(self.helper.make_node(kind, names, results, **attributes))
        return results[0] if outputs == 1 else results

    def constant(self, values: Any) -> str:
        """Adds a constant; returns its name."""
        name = self.name()
        tensor = import_extra("onnx").numpy_helper.from_array(np.asarray(values), name)
        self.graph.initializer.append(tensor)
        return name

    def name(self) -> str:
        """Returns a new name."""
        self.count += 1
        return f"{PREFIX}{self.count}"


def append(graph: Any, spec: Mapping[str, Any], operator: PostprocessOperator) -> None:
    """Replaces the raw outputs of a detector by its detections.

    Args:
        graph: ONNX graph with the outputs that `spec` names, for one image; changed in place.

        spec: mapping, `Task.decoder_spec()` of the detector.

        operator: `PostprocessOperator` of the detector in TFLite, whose anchors are taken, and whose
            outputs the file gets: boxes (y1, x1, y2, x2 in fractions of the image), classes, scores,
            and the number of detections, in this order.
    """
    add = _Nodes(graph)
    floats, ints = (lambda *x: np.array(x, np.float32)), (lambda *x: np.array(x, np.int64))
    boxes, scores = _boxes(add, spec, operator.inputs[-1]), _scores(add, spec)
    chosen = add(
        "NonMaxSuppression",
        boxes,
        scores,
        ints(operator.options["detections_per_class"]),
        floats(spec["iou_threshold"]),
        floats(spec["score_threshold"]),
    )
    best = add("GatherND", scores, chosen)
    most = ints(spec["max_detections"])
    count = add("Min", add("Shape", best), most)
    values, order = add("TopK", best, count, outputs=2)
    rows = add("Gather", chosen, order, axis=0)
    classes, anchors = (add("Gather", rows, np.int64(column), axis=1) for column in (1, 2))
    kept = add("Gather", add("Squeeze", boxes, ints(0)), anchors, axis=0)
    missing = add("Sub", most, count)
    before = ints(0)
    pads = add("Concat", before, missing, axis=0)
    pads_2d = add("Concat", ints(0, 0), missing, before, axis=0)
    results = (
        add("Pad", kept, pads_2d),
        add("Pad", add("Cast", classes, to=1), pads),
        add("Pad", values, pads),
    )
    results = [add("Unsqueeze", result, ints(0)) for result in results]
    results.append(add("Cast", count, to=1))
    del graph.output[:]
    for (name, shape), result in zip(operator.outputs.items(), results, strict=True):
        add.graph.node.append(add.helper.make_node("Identity", [result], [name]))
        graph.output.append(add.helper.make_tensor_value_info(name, 1, shape))


def _scores(add: _Nodes, spec: Mapping[str, Any]) -> str:
    """Returns the scores of all classes, (1, classes, anchors)."""
    logits, first = spec["scores"], np.array([spec["background"]], np.int64)
    if spec["score_function"] == "softmax":
        scores = add("Softmax", logits, axis=2)
    else:
        scores = add("Sigmoid", logits)
    end = np.array([spec["background"] + spec["classes"]], np.int64)
    return add("Transpose", add("Slice", scores, first, end, np.array([2])), perm=[0, 2, 1])


def _boxes(add: _Nodes, spec: Mapping[str, Any], anchors: np.ndarray) -> str:
    """Returns decoded boxes, (1, anchors, 4), y1, x1, y2, x2, which may reach out of the image.

    Args:
        add: `_Nodes`.

        spec: mapping, as of `append`.

        anchors: float32 array (anchors, 4), center y, center x, height, width in fractions.
    """
    columns = dict(zip(("x", "y", "w", "h"), spec["code_order"], strict=True))
    code = {
        name: add("Gather", spec["boxes"], np.int64(column), axis=2)
        for name, column in columns.items()
    }
    corners = []
    for center, side, i in (("y", "h", 0), ("x", "w", 1)):
        size = anchors[None, :, 2 + i]
        moved = add("Mul", code[center], size / np.float32(spec["center_scale"]))
        middle = add("Add", moved, anchors[None, :, i])
        growth = add("Div", code[side], np.float32(spec["side_scale"]))
        growth = add("Min", growth, np.float32(spec["max_side_code"]))
        half = add("Mul", add("Exp", growth), size / np.float32(2))
        corners.append((add("Sub", middle, half), add("Add", middle, half)))
    (y1, y2), (x1, x2) = corners
    parts = [add("Unsqueeze", part, np.array([2])) for part in (y1, x1, y2, x2)]
    return add("Concat", *parts, axis=2)

"""From a detector's raw outputs to the boxes of an image. NumPy only: it runs next to exported files.

Each pair of an anchor and a class whose score exceeds the threshold is a candidate. `nms` of
`DetectionConfig` says which candidates non-maximum suppression gets:

- `"class_offset"`: the `top_k` best of all classes together; boxes are clipped to the image before.
- `"torchvision"`: the `top_k` best of each class; boxes are clipped before. With a score threshold of
  0.001, an IoU of 0.55, `top_k` and `max_detections` of 300 these are the detections of torchvision's
  `ssdlite320_mobilenet_v3_large`.
- `"tf"`: all; boxes are clipped after. With 1e-8, 0.6 and 100 these are the detections of TensorFlow's
  Object Detection API (`batch_multiclass_non_max_suppression`) and of TFLite's
  `TFLite_Detection_PostProcess` with regular NMS and 100 detections a class, which does not clip.

Of equal scores the lower class comes first, then the lower anchor. Boxes without an area in the image
are dropped, but not by `"torchvision"`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from newnet_tf.detection.box_coder import decode
from newnet_tf.detection.config import (
    BACKGROUND,
    CLASS_OFFSET,
    SIGMOID,
    TF_NMS,
    TORCHVISION_NMS,
    DetectionConfig,
)
from newnet_tf.detection.nms import greedy_nms
from newnet_tf.detection.postprocess_operator import in_pixels, is_processed, read_results
from newnet_tf.task import Prediction
from newnet_tf.utils.math import sigmoid, softmax


class Detections(NamedTuple):
    """The detections of an image, the highest score first.

    Args:
        boxes: float32 array (n, 4), corners x1, y1, x2, y2 in pixels of the original image.

        scores: float32 array (n,), in 0 to 1.

        classes: int32 array (n,), from 0.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


def postprocess(
    outputs: Mapping[str, np.ndarray],
    config: DetectionConfig,
    image_size: tuple[int, int] = (1, 1),
    score_threshold: float | None = None,
    max_detections: int | None = None,
) -> Detections:
    """Returns the detections of an image: scores, boxes, non-maximum suppression.

    Args:
        outputs: mapping, `"boxes"` (anchors, 4) and `"scores"` (anchors, classes + 1), the logits, the
            background first: the model's outputs for one image; or the results of a file that ends in
            `postprocess_operator`.

        config: `DetectionConfig` of the model.

        image_size: (height, width) of the original image. Default: (1, 1), boxes in fractions of it.

        score_threshold: float in [0, 1), another one than the config's. Default: None, the config's.

        max_detections: int, another one than the config's. Default: None, the config's.

    Returns:
        `Detections`.

    Raises:
        ValueError: if an output is missing, has another shape, or holds a value that is not finite.

    Example:
        >>> found = postprocess({"boxes": codes, "scores": logits}, config, image_size=(480, 640))
        >>> found.boxes[0], found.scores[0], found.classes[0]
    """
    threshold = config.score_threshold if score_threshold is None else score_threshold
    most = config.max_detections if max_detections is None else max_detections
    if is_processed(outputs):
        found = Detections(*read_results(outputs, image_size))
        kept = np.flatnonzero(found.scores > threshold)[:most]
        return Detections(*(values[kept] for values in found))
    codes, logits = check_outputs(outputs, config)
    anchor, classes, scores = _candidates(logits, config, threshold)
    if len(anchor) < len(codes):
        boxes = decode(codes[anchor], config.anchors[anchor], config.style)
    else:
        boxes = decode(codes, config.anchors, config.style)[anchor]
    if config.nms != TF_NMS:
        boxes = np.clip(boxes, 0, 1)
    if config.nms == CLASS_OFFSET:
        inside = _has_area(boxes)
        boxes, classes, scores = boxes[inside], classes[inside], scores[inside]
    kept = greedy_nms(boxes, classes, config.iou_threshold, most)
    boxes, classes, scores = np.clip(boxes[kept], 0, 1), classes[kept], scores[kept]
    if config.nms == TF_NMS:
        inside = _has_area(boxes)
        boxes, classes, scores = boxes[inside], classes[inside], scores[inside]
    boxes = in_pixels(boxes, image_size)
    return Detections(boxes, scores, classes.astype(np.int32))


def as_predictions(found: Detections, class_names: Sequence[str] | None = None) -> list[Prediction]:
    """Returns detections as `Prediction`s with `box`.

    Args:
        found: `Detections` of an image.

        class_names: str for each class. Default: None, unknown.
    """
    return [
        Prediction(
            label=None if class_names is None else class_names[index],
            class_index=index,
            score=score,
            box=tuple(box),
        )
        for box, score, index in zip(*(values.tolist() for values in found), strict=True)
    ]


def check_outputs(
    outputs: Mapping[str, np.ndarray], config: DetectionConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a detector's outputs for one image as float32 arrays.

    Args:
        outputs: mapping, as in `postprocess`.

        config: `DetectionConfig`.

    Returns:
        (boxes, scores), as in `postprocess`.

    Raises:
        ValueError: if an output is missing, has another shape, or holds a value that is not finite.
    """
    if not isinstance(outputs, Mapping) or not {"boxes", "scores"} <= set(outputs):
        received = sorted(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        raise ValueError(
            "`outputs` of a detector must be a mapping with 'boxes' and 'scores'. "
            f"Received: {received}"
        )
    arrays = []
    for name, columns in (("boxes", 4), ("scores", config.columns)):
        values = np.asarray(outputs[name], np.float32)
        if values.shape != (config.anchor_count, columns):
            raise ValueError(
                f"{name!r} of a detector of {config.classes} classes at {config.image_size} pixels "
                f"must be of shape {(config.anchor_count, columns)}. Received: {values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{name!r} must be finite. Received: NaN or infinity among them")
        arrays.append(values)
    return arrays[0], arrays[1]


def _candidates(
    logits: np.ndarray, config: DetectionConfig, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (anchor, class, score) of the candidates in the order in which they suppress others."""
    if config.score_function == SIGMOID:
        bound = math.log(threshold / (1 - threshold)) if threshold else -math.inf
        flat = np.flatnonzero(_classes_above(logits, np.float32(bound)))
        values = logits.reshape(-1)[flat]
    else:  # a class is below the threshold where it is that much rarer than the background
        bound = logits[:, :1] + np.float32(math.log(threshold) if threshold else -math.inf)
        rows = np.flatnonzero(_classes_above(logits, bound).any(axis=1))
        values = softmax(logits[rows]) if len(rows) else logits[:0]
        found = np.flatnonzero(_classes_above(values, np.float32(threshold)))
        flat = rows[found // config.columns] * config.columns + found % config.columns
        values = values.reshape(-1)[found]
    anchor, classes = flat // config.columns, flat % config.columns - BACKGROUND
    if config.nms == CLASS_OFFSET and len(values) > config.top_k:
        least = np.partition(values, len(values) - config.top_k)[len(values) - config.top_k]
        best = values >= least  # more than `top_k` where scores are equal
        anchor, classes, values = anchor[best], classes[best], values[best]
    if config.nms == TORCHVISION_NMS:
        order = np.lexsort((anchor, -values, classes))
        sorted_classes = classes[order]
        rank = np.arange(len(order)) - np.searchsorted(sorted_classes, sorted_classes)
        best = order[rank < config.top_k]
        anchor, classes, values = anchor[best], classes[best], values[best]
    order = np.lexsort((anchor, classes, -values))
    if config.nms == CLASS_OFFSET:
        order = order[: config.top_k]
    anchor, classes, values = anchor[order], classes[order], values[order]
    return anchor, classes, sigmoid(values) if config.score_function == SIGMOID else values


def _classes_above(scores: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Returns whether each score exceeds a bound, False for the background's."""
    above = scores > bound
    above[:, :BACKGROUND] = False
    return above


def _has_area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])

"""The metrics of a detector on a split, which batches and workers add up."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from newnet_tf.data.box_geometry import to_input
from newnet_tf.data.boxes import split_labels, unpad_label
from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.evaluation.average_precision import (
    VOC,
    match_detections,
    voc_average_precision,
)
from newnet_tf.detection.evaluation.coco_eval import CocoFigures, coco_figures
from newnet_tf.detection.postprocess import Detections, postprocess
from newnet_tf.detection.postprocess_operator import STRETCHED
from newnet_tf.detection.training.losses import detection_loss
from newnet_tf.detection.training.matching import match

SCORE_THRESHOLD = 0.001  # precision is measured down to a low score, whatever a user wants to see
MAX_DETECTIONS = 100  # of an image
FIELDS = (("boxes", "<f4", 4), ("scores", "<f4", 1), ("classes", "<i4", 1))
TRUTH_FIELDS = (
    ("boxes", "<f4", 4),
    ("classes", "<i4", 1),
    ("difficult", "|u1", 1),
    ("crowd", "|u1", 1),
)


def detect_for_metrics(
    outputs: Mapping[str, np.ndarray], config: DetectionConfig, image_size: tuple[int, int]
) -> Detections:
    """Returns the detections of an image from which average precision is computed.

    These are the best 100 with a score above 0.001; the config's own threshold, 0.05 as a rule, is that
    of a detector in use and costs average precision.

    Args:
        outputs, config, image_size: as in `postprocess`.
    """
    threshold = min(SCORE_THRESHOLD, config.score_threshold)
    return postprocess(outputs, config, image_size, threshold, MAX_DETECTIONS)


def figures(
    truths: Sequence[Mapping[str, np.ndarray]], detections: Sequence[Detections], classes: int
) -> tuple[dict[str, float], CocoFigures]:
    """Returns the figures of the detections in some images.

    Args:
        truths, detections, classes: as in `coco_eval.coco_figures`.

    Returns:
        (metrics in percent, figures of each class). Metrics are `mAP` (COCO, IoU 0.5 to 0.95), `mAP50`,
        `mAP75`, `AR100`, and `VOC_mAP50` (area under the curve), all with difficult boxes ignored; and,
        if there are difficult boxes, `mAP_with_difficult` and `mAP50_with_difficult`, where they count.

    Raises:
        ValueError, ImportError: as in `coco_eval.coco_figures`.
    """
    coco = coco_figures(truths, detections, classes)
    matches = match_detections(truths, detections, classes, VOC)
    values = coco.metrics | {
        "VOC_mAP50": 100 * float(np.nanmean([voc_average_precision(own) for own in matches]))
    }
    if any(np.asarray(truth["difficult"]).any() for truth in truths):
        counted = coco_figures(truths, detections, classes, ignore_difficult=False).metrics
        values |= {f"{name}_with_difficult": counted[name] for name in ("mAP", "mAP50")}
    return values, coco


class DetectionMetrics:
    """Detections and true boxes of a split's images, and the sum of the losses.

    Average precision is no sum over images, so the best 100 detections of each image are kept.

    Args:
        config: `DetectionConfig` of the model.

    Example:
        >>> metrics = DetectionMetrics(config)
        >>> for images, labels in loader.test():
        ...     metrics.update(labels, model.predict_on_batch(images))
        >>> metrics.result()["mAP50"]
        53.1
    """

    def __init__(self, config: DetectionConfig):
        self.config = config
        self._truths: list[dict[str, np.ndarray]] = []
        self._detections: list[Detections] = []
        self._loss = 0.0

    def update(self, label: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
        """Adds a batch.

        Args:
            label: mapping: `"boxes"` (images, n, 4), corners x1, y1, x2, y2 in pixels of the original
                image, `"classes"` (images, n), -1 where there is no box, `"difficult"` and `"crowd"`
                (images, n), and `"image_sizes"` (images, 2), height and width of the original image.

            outputs: mapping, the model's `"boxes"` and `"scores"`, with a batch axis.
        """
        sizes = np.asarray(label["image_sizes"])
        truths = split_labels(label)
        for i, (truth, (height, width)) in enumerate(zip(truths, sizes.tolist(), strict=True)):
            own = {name: values[i] for name, values in outputs.items()}
            self._detections.append(detect_for_metrics(own, self.config, (height, width)))
            self._truths.append(truth)
        self._loss += len(sizes) * self._mean_loss(truths, sizes, outputs)

    def _mean_loss(self, truths: Sequence[Mapping], sizes: np.ndarray, outputs: Mapping) -> float:
        targets = []
        for truth, size in zip(truths, sizes, strict=True):
            boxes = to_input(truth["boxes"], size, STRETCHED)
            ignore = truth["difficult"] | truth["crowd"]
            targets.append(match(boxes, truth["classes"], ignore, self.config, truth["crowd"]))
        target = {name: np.stack([own[name] for own in targets]) for name in targets[0]}
        return float(sum(map(float, detection_loss(target, dict(outputs), self.config).values())))

    def __add__(self, other: "DetectionMetrics") -> "DetectionMetrics":
        both = DetectionMetrics(self.config)
        both._truths = self._truths + other._truths
        both._detections = self._detections + other._detections
        both._loss = self._loss + other._loss
        return both

    def result(self) -> dict[str, float]:
        """Returns the metrics of `figures` in percent, and `"loss"`, the mean.

        Raises:
            ValueError: if there is no image, or no box to detect.
        """
        if not self._truths:
            raise ValueError("there must be a readable image to test on. Received: none")
        values, _ = figures(self._truths, self._detections, self.config.classes)
        return {**values, "loss": self._loss / len(self._truths)}

    def state(self) -> dict[str, Any]:
        """Returns detections, true boxes and loss as JSON values: arrays of all images as base64."""
        found = [detection._asdict() for detection in self._detections]
        return {
            "loss": self._loss,
            "detections": _pack(found, FIELDS),
            "truths": _pack(self._truths, TRUTH_FIELDS),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Replaces detections, true boxes and loss by those of `state()`."""
        self._loss = state["loss"]
        self._detections = [Detections(**own) for own in _unpack(state["detections"], FIELDS)]
        self._truths = [unpad_label(own) for own in _unpack(state["truths"], TRUTH_FIELDS)]


def _pack(images: Sequence[Mapping[str, np.ndarray]], fields: tuple) -> dict[str, Any]:
    packed: dict[str, Any] = {"counts": [len(image["boxes"]) for image in images]}
    for name, kind, width in fields:
        parts = [np.asarray(image[name], kind).reshape(-1, width) for image in images]
        rows = np.concatenate([np.zeros((0, width), kind), *parts])
        packed[name] = base64.b64encode(rows.tobytes()).decode("ascii")
    return packed


def _unpack(packed: Mapping[str, Any], fields: tuple) -> list[dict[str, np.ndarray]]:
    ends = np.cumsum(packed["counts"], dtype=int)
    images: list[dict[str, np.ndarray]] = [{} for _ in ends]
    for name, kind, width in fields:
        rows = np.frombuffer(base64.b64decode(packed[name]), kind)
        rows = rows.reshape((-1, width) if width > 1 else -1)
        for image, part in zip(images, np.split(rows, ends[:-1]), strict=False):
            image[name] = part
    return images

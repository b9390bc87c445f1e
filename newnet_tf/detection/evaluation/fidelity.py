"""How close an exported detector's outputs are to the Keras model's. NumPy only."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from newnet_tf.detection.config import TF_NMS, DetectionConfig
from newnet_tf.detection.overlaps import box_ious
from newnet_tf.detection.postprocess import Detections, postprocess
from newnet_tf.detection.postprocess_operator import is_processed
from newnet_tf.evaluation.named_outputs import check_outputs, closeness

SCORE = 0.3  # of the detections that an exported file must find
CLOSE = 0.9, 0.05  # least IoU, most difference of the score
LOOSE = 0.7, 0.15
NAMES = ("boxes", "scores")
# least (cosine, box_agreement, loose_box_agreement), most max_normalized_error; None: no bound
TOLERANCES: dict[str, tuple[float, float | None, float | None, float | None]] = {
    "fp32": (0.99999, 0.99, 0.99, 0.01),
    "fp16": (0.999, 0.95, 0.98, 0.5),
}
QUANTIZED = (0.9, None, 0.8, None)


def fidelity(
    reference: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    config: DetectionConfig,
) -> dict[str, float]:
    """Compares an exported detector's raw outputs with the Keras model's.

    Args:
        reference: mapping, the Keras model's `"boxes"` (images, anchors, 4) and `"scores"` (images,
            anchors, classes + 1), logits.

        outputs: the same from the exported model; or the results of a file that ends in
            `postprocess_operator`, of which only boxes are compared.

        config: `DetectionConfig` of the model.

    Returns:
        Mapping with these figures:

        - `"images"`, `"cosine"`, `"max_normalized_error"` of `evaluation.named_outputs.closeness`.
        - `"detections"`: int, the reference's detections with a score above 0.3.
        - `"box_agreement"`: the share of these for which the exported model has a detection of the
          same class, with an IoU of at least 0.9 and a score that differs by at most 0.05; 1 if there
          is no detection.
        - `"loose_box_agreement"`: the same with an IoU of 0.7 and 0.15.

    Raises:
        ValueError: if names or shapes differ.
    """
    first = check_outputs(reference, NAMES, "reference")
    if is_processed(outputs):
        found = {name: np.asarray(values) for name, values in outputs.items()}
        rule = dataclasses.replace(config, nms=TF_NMS)  # the operator's
        return {"images": len(first["boxes"]), **_agreement(first, found, rule)}
    second = check_outputs(outputs, NAMES, "outputs")
    return {**closeness(first, second), **_agreement(first, second, config)}


def _agreement(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], config: DetectionConfig
) -> dict[str, float]:
    """Returns `detections`, `box_agreement` and `loose_box_agreement` of all images together."""
    total, close, loose = 0, 0, 0
    for i in range(len(first["boxes"])):
        wanted, found = (
            postprocess({name: values[i] for name, values in arrays.items()}, config)
            for arrays in (first, second)
        )
        sure = wanted.scores > SCORE
        wanted = Detections(*(values[sure] for values in wanted))
        total += len(wanted.scores)
        close += _count_found(wanted, found, *CLOSE)
        loose += _count_found(wanted, found, *LOOSE)
    return {
        "detections": total,
        "box_agreement": close / total if total else 1.0,
        "loose_box_agreement": loose / total if total else 1.0,
    }


def tolerance(precision: str) -> Mapping[str, tuple[float | None, float | None]]:
    """Returns the bounds of `fidelity`'s figures that a file of a precision must keep.

    Args:
        precision: str, one of `newnet_tf.deploy.PRECISIONS`.

    Returns:
        Mapping from a figure's name to (least, most), either None for no bound.
    """
    cosine, agreement, loose, error = TOLERANCES.get(precision, QUANTIZED)
    return {
        "cosine": (cosine, None),
        "max_normalized_error": (None, error),
        "box_agreement": (agreement, None),
        "loose_box_agreement": (loose, None),
    }


def _count_found(wanted: Detections, found: Detections, iou: float, difference: float) -> int:
    """Returns how many detections have a counterpart."""
    same = wanted.classes[:, None] == found.classes
    same &= np.abs(wanted.scores[:, None] - found.scores) <= difference
    same &= box_ious(wanted.boxes, found.boxes) >= iou
    return int(same.any(axis=1).sum())

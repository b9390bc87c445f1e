"""How close an exported detector's outputs are to the Keras model's. NumPy only."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from newnet_tf.detection.config import TF_NMS, DetectionConfig
from newnet_tf.detection.overlaps import box_ious
from newnet_tf.detection.postprocess import Detections, postprocess
from newnet_tf.detection.postprocess_operator import is_processed
from newnet_tf.utils.math import rms

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

        - `"images"`: int, the number of images.
        - `"cosine"`: cosine similarity of the outputs, from both the mean of the reference over images
          subtracted; the lower one of boxes and scores.
        - `"max_normalized_error"`: the largest absolute difference, divided by the standard deviation
          of the reference over images (root mean square over all values of an output); the larger one
          of boxes and scores.
        - `"detections"`: int, the reference's detections with a score above 0.3.
        - `"box_agreement"`: the share of these for which the exported model has a detection of the
          same class, with an IoU of at least 0.9 and a score that differs by at most 0.05; 1 if there
          is no detection.
        - `"loose_box_agreement"`: the same with an IoU of 0.7 and 0.15.

    Raises:
        ValueError: if names or shapes differ.
    """
    first = _arrays(reference, "reference")
    if is_processed(outputs):
        found = {name: np.asarray(values) for name, values in outputs.items()}
        rule = dataclasses.replace(config, nms=TF_NMS)  # the operator's
        return {"images": len(first["boxes"]), **_agreement(first, found, rule)}
    second = _arrays(outputs, "outputs")
    shapes = [tuple(values.shape for values in arrays.values()) for arrays in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "`reference` and the file's outputs must have the same shapes. Received: "
            f"{shapes[0]} and {shapes[1]}"
        )
    closeness = [_closeness(first[name], second[name]) for name in NAMES]
    return {
        "images": len(first["boxes"]),
        "cosine": min(cosine for cosine, _ in closeness),
        "max_normalized_error": max(error for _, error in closeness),
        **_agreement(first, second, config),
    }


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


def _arrays(outputs: Mapping[str, np.ndarray], argument: str) -> dict[str, np.ndarray]:
    if not isinstance(outputs, Mapping) or set(outputs) != set(NAMES):
        received = sorted(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        raise ValueError(
            f"`{argument}` of a detector must be a mapping with 'boxes' and 'scores'. "
            f"Received: {received}"
        )
    return {name: np.asarray(outputs[name], np.float64) for name in NAMES}


def _closeness(reference: np.ndarray, outputs: np.ndarray) -> tuple[float, float]:
    """Returns (cosine, largest normalized error) of an output."""
    signal, error = reference - reference.mean(axis=0), outputs - reference
    noisy, std = signal + error, rms(signal)
    norms = np.linalg.norm(signal) * np.linalg.norm(noisy)
    return (
        float((signal * noisy).sum() / norms) if norms else 0.0,
        float(np.abs(error).max() / std) if std else float("inf"),
    )


def _count_found(wanted: Detections, found: Detections, iou: float, difference: float) -> int:
    """Returns how many detections have a counterpart."""
    same = wanted.classes[:, None] == found.classes
    same &= np.abs(wanted.scores[:, None] - found.scores) <= difference
    same &= box_ious(wanted.boxes, found.boxes) >= iou
    return int(same.any(axis=1).sum())

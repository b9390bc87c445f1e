"""How close an exported text detector's score maps are to the Keras model's. NumPy and OpenCV."""

from collections.abc import Mapping

import numpy as np

from newnet_tf.data.polygons import polygon_iou
from newnet_tf.text.config import TextConfig
from newnet_tf.text.postprocess import MAPS, Words, find_words
from newnet_tf.utils.math import rms

CLOSE, LOOSE = 0.9, 0.7  # least IoU of a word and its counterpart
# least (cosine, word_agreement, loose_word_agreement), most max_normalized_error; None: no bound
TOLERANCES: dict[str, tuple[float, float | None, float | None, float | None]] = {
    "fp32": (0.99999, 0.99, 0.99, 0.01),
    "fp16": (0.999, 0.95, 0.98, 0.5),
}
QUANTIZED = (0.9, None, 0.8, None)


def fidelity(
    reference: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    config: TextConfig,
) -> dict[str, float]:
    """Compares an exported text detector's score maps with the Keras model's.

    Args:
        reference: mapping, the Keras model's `"region"` and `"affinity"`, each (images, height, width,
            1).

        outputs: the same from the exported model.

        config: `TextConfig` of the model.

    Returns:
        Mapping with these figures:

        - `"images"`: int, the number of images.
        - `"cosine"`: cosine similarity of the maps, from both the mean of the reference over images
          subtracted; the lower one of both maps.
        - `"max_normalized_error"`: the largest absolute difference, divided by the standard deviation
          of the reference over images (root mean square over all cells); the larger one of both maps.
        - `"words"`: int, words that are found in the reference's maps.
        - `"word_agreement"`: the share of these for which the exported model's maps have a word with
          an IoU of at least 0.9; 1 if there is no word.
        - `"loose_word_agreement"`: the same with an IoU of 0.7.

    Raises:
        ValueError: if names or shapes differ.

        ImportError: if OpenCV is not installed.
    """
    first, second = _arrays(reference, "reference"), _arrays(outputs, "outputs")
    shapes = [tuple(values.shape for values in arrays.values()) for arrays in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "`reference` and the file's outputs must have the same shapes. Received: "
            f"{shapes[0]} and {shapes[1]}"
        )
    closeness = [_closeness(first[name], second[name]) for name in MAPS]
    total = close = loose = 0
    images = len(first[MAPS[0]])
    for i in range(images):
        wanted, found = (
            find_words(*(arrays[name][i] for name in MAPS), config) for arrays in (first, second)
        )
        best = _best_overlaps(wanted, found)
        total += len(best)
        close += int((best >= CLOSE).sum())
        loose += int((best >= LOOSE).sum())
    return {
        "images": images,
        "cosine": min(cosine for cosine, _ in closeness),
        "max_normalized_error": max(error for _, error in closeness),
        "words": total,
        "word_agreement": close / total if total else 1.0,
        "loose_word_agreement": loose / total if total else 1.0,
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
        "word_agreement": (agreement, None),
        "loose_word_agreement": (loose, None),
    }


def _arrays(outputs: Mapping[str, np.ndarray], argument: str) -> dict[str, np.ndarray]:
    if not isinstance(outputs, Mapping) or set(outputs) != set(MAPS):
        received = sorted(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        raise ValueError(
            f"`{argument}` of a text detector must be a mapping with 'region' and 'affinity'. "
            f"Received: {received}"
        )
    return {name: np.asarray(outputs[name], np.float64) for name in MAPS}


def _closeness(reference: np.ndarray, outputs: np.ndarray) -> tuple[float, float]:
    """Returns (cosine, largest normalized error) of a map."""
    signal, error = reference - reference.mean(axis=0), outputs - reference
    noisy, std = signal + error, rms(signal)
    norms = np.linalg.norm(signal) * np.linalg.norm(noisy)
    return (
        float((signal * noisy).sum() / norms) if norms else 0.0,
        float(np.abs(error).max() / std) if std else float("inf"),
    )


def _best_overlaps(wanted: Words, found: Words) -> np.ndarray:
    """Returns for each word the highest IoU that a found one has with it."""
    return np.array(
        [
            max((polygon_iou(first, second) for second in found.quadrilaterals), default=0.0)
            for first in wanted.quadrilaterals
        ]
    )

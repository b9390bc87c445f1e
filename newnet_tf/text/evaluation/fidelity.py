"""How close an exported text detector's score maps are to the Keras model's. NumPy and OpenCV."""

from collections.abc import Mapping

import numpy as np

from newnet_tf.data.polygons import polygon_iou
from newnet_tf.evaluation.named_outputs import check_outputs, closeness
from newnet_tf.text.config import TextConfig
from newnet_tf.text.postprocess import MAPS, Words, find_words

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

        - `"images"`, `"cosine"`, `"max_normalized_error"` of `evaluation.named_outputs.closeness`.
        - `"words"`: int, words that are found in the reference's maps.
        - `"word_agreement"`: the share of these for which the exported model's maps have a word with
          an IoU of at least 0.9; 1 if there is no word.
        - `"loose_word_agreement"`: the same with an IoU of 0.7.

    Raises:
        ValueError: if names or shapes differ.

        ImportError: if OpenCV is not installed.
    """
    first = check_outputs(reference, MAPS, "reference")
    second = check_outputs(outputs, MAPS, "outputs")
    raw = closeness(first, second)
    total = close = loose = 0
    for i in range(raw["images"]):
        wanted, found = (
            find_words(*(arrays[name][i] for name in MAPS), config) for arrays in (first, second)
        )
        best = _best_overlaps(wanted, found)
        total += len(best)
        close += int((best >= CLOSE).sum())
        loose += int((best >= LOOSE).sum())
    return {
        **raw,
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


def _best_overlaps(wanted: Words, found: Words) -> np.ndarray:
    """Returns for each word the highest IoU that a found one has with it."""
    return np.array(
        [
            max((polygon_iou(first, second) for second in found.quadrilaterals), default=0.0)
            for first in wanted.quadrilaterals
        ]
    )

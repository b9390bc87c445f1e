"""ICDAR's protocol for words as quadrilaterals: precision, recall, H-mean. NumPy only.

As the official script of "Incidental Scene Text" 2015 (task 4.1) counts: a word is found by a
polygon whose intersection over union with it exceeds 0.5, one to one, in the order of the true words
and then of the found ones. A found polygon of whose area more than half lies in a word that is ignored
(`###`) does not count. Figures are of all images together.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from newnet_tf.data.polygons import intersection_area, polygon_iou, signed_area
from newnet_tf.data.words import IGNORE, POLYGONS

MATCH_IOU = 0.5
IGNORED_SHARE = 0.5  # of a found polygon's area in a word that is ignored


class WordCounts(NamedTuple):
    """What was found, in an image or in several.

    Args:
        matched: int, words that were found.

        truths: int, words that count.

        found: int, found polygons that count.
    """

    matched: int
    truths: int
    found: int


def count_matches(
    truth: Mapping[str, np.ndarray], polygons: Sequence[np.ndarray]
) -> tuple[WordCounts, list[tuple[int, int]]]:
    """Matches the words of an image with found polygons.

    Args:
        truth: mapping, `"polygons"` (n, 4, 2) and `"ignore"` (n,), see `data.words`.

        polygons: found polygons, arrays (corners, 2) in the same pixels.

    Returns:
        (`WordCounts`, pairs of (row of the true word, number of the found polygon)).

    Example:
        >>> counts, pairs = count_matches(label, words.polygons)
        >>> counts.matched / counts.truths
        0.75
    """
    words = np.asarray(truth[POLYGONS], np.float64)
    ignore = np.asarray(truth[IGNORE], bool)
    found = [
        i
        for i, polygon in enumerate(polygons)
        if not any(_lies_in(polygon, word) for word in words[ignore])
    ]
    pairs, taken = [], set()
    for row in np.flatnonzero(~ignore):
        for i in found:
            if i not in taken and polygon_iou(words[row], polygons[i]) > MATCH_IOU:
                pairs.append((int(row), i))
                taken.add(i)
                break
    return WordCounts(len(pairs), int((~ignore).sum()), len(found)), pairs


def add_counts(counts: Sequence[WordCounts]) -> WordCounts:
    """Returns the counts of several images together."""
    return WordCounts(*(sum(column) for column in zip(*counts, strict=True))) if counts else NONE


def figures(counts: WordCounts) -> dict[str, float]:
    """Returns `{"hmean": ..., "precision": ..., "recall": ...}` in percent.

    Precision is 0 if nothing was found, recall is 0 if there is no word that counts.

    Args:
        counts: `WordCounts`.
    """
    precision = counts.matched / counts.found if counts.found else 0.0
    recall = counts.matched / counts.truths if counts.truths else 0.0
    both = precision + recall
    hmean = 2 * precision * recall / both if both else 0.0
    return {"hmean": 100 * hmean, "precision": 100 * precision, "recall": 100 * recall}


NONE = WordCounts(0, 0, 0)


def _lies_in(polygon: np.ndarray, word: np.ndarray) -> bool:
    area = abs(signed_area(polygon))
    return area > 0 and intersection_area(word, polygon) / area > IGNORED_SHARE

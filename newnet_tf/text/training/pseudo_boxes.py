"""Characters of a word of which only its quadrilateral is known: split evenly, or by a region map.

Source: CRAFT, arXiv 1904.01941, section 3.2.2 (weakly-supervised learning). NumPy only.
"""

from collections.abc import Sequence

import numpy as np

from newnet_tf.data.words import DO_NOT_CARE
from newnet_tf.text.homography import has_area, map_points, square_to_quads

CHARACTER_RATIO = 0.55  # width over height of a character, where a word's text is not known
MIN_CONFIDENCE = 0.5  # below it, characters are split evenly
PEAK = 0.3  # a column of a word with a lower region score holds no character's center
VALLEY = 0.85  # of the lower of two peaks: between two characters the score falls below it
ROWS = 16  # of a word's rectified region map
COLUMNS_A_CHARACTER = 16


def word_length(polygon: np.ndarray, text: str) -> int:
    """Returns the number of characters of a word, by its shape if its text is `""` or `"###"`."""
    count = len("".join(text.split()))
    if count and text != DO_NOT_CARE:
        return count
    sides = np.linalg.norm(np.roll(polygon, -1, axis=0) - polygon, axis=1)
    return max(1, round((sides[0] + sides[2]) / max(sides[1] + sides[3], 1e-6) / CHARACTER_RATIO))


def split_word(polygon: np.ndarray, edges: np.ndarray | int) -> np.ndarray:
    """Divides a word's quadrilateral into characters, in perspective.

    Args:
        polygon: float array (4, 2), clockwise from the top left of the text.

        edges: int, number of characters, equally wide; or float array (n + 1,), where they begin and
            end, in 0 to 1 of the word.

    Returns:
        float64 array (n, 4, 2).
    """
    edges = np.linspace(0, 1, edges + 1) if isinstance(edges, int) else np.asarray(edges)
    low, high = edges[:-1], edges[1:]
    top, bottom = np.zeros_like(low), np.ones_like(low)
    points = np.stack([low, top, high, top, high, bottom, low, bottom], axis=-1).reshape(-1, 4, 2)
    return map_points(square_to_quads(polygon)[0], points)


def split_words_evenly(polygons: np.ndarray, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Divides words into equally wide characters, as many as their text has.

    Args:
        polygons: float array (n, 4, 2).

        texts: sequence of n str.

    Returns:
        (characters float64 (m, 4, 2), word index (m,)). Words without area have none.
    """
    quads, owners = [np.zeros((0, 4, 2))], []
    for i in np.flatnonzero(has_area(polygons)):
        quads.append(split_word(polygons[i], word_length(polygons[i], texts[i])))
        owners += [i] * len(quads[-1])
    return np.concatenate(quads), np.array(owners, int)


def pseudo_characters(
    polygon: np.ndarray, length: int, region: np.ndarray, scale: Sequence[float]
) -> tuple[np.ndarray, float]:
    """Divides a word into characters where an interim model's region map has its valleys.

    Args:
        polygon: float array (4, 2), the word in pixels of the image.

        length: int, the number of its characters.

        region: float array (height, width), region scores of the image.

        scale: (x, y), cells of `region` a pixel of the image.

    Returns:
        (characters float64 (m, 4, 2), confidence). The confidence is
        `(length - min(length, |length - m'|)) / length` of the m' characters that the map shows; below
        0.5 the word is split evenly into `length` characters, with the confidence 0.5.
    """
    profile = _profile(polygon, length, region, scale)
    edges = split_profile(profile)
    found = len(edges) - 1
    confidence = (length - min(length, abs(length - found))) / length
    if confidence < MIN_CONFIDENCE or not found:
        return split_word(polygon, length), MIN_CONFIDENCE
    return split_word(polygon, edges), confidence


def split_profile(profile: np.ndarray) -> np.ndarray:
    """Returns where the characters of a word begin and end: at valleys between peaks.

    Args:
        profile: float array (n,), region scores along the word.

    Returns:
        float array (m + 1,), from 0 to 1, of m characters; (1,) if there is no peak.
    """
    peaks: list[int] = []
    valleys: list[int] = []
    for i in range(len(profile)):
        left = profile[i - 1] if i else -1.0
        right = profile[i + 1] if i + 1 < len(profile) else -1.0
        if profile[i] < PEAK or profile[i] < left or profile[i] <= right:
            continue
        if not peaks:
            peaks.append(i)
            continue
        valley = peaks[-1] + int(profile[peaks[-1] : i + 1].argmin())
        if profile[valley] < VALLEY * min(profile[peaks[-1]], profile[i]):
            peaks.append(i)
            valleys.append(valley)
        elif profile[i] > profile[peaks[-1]]:
            peaks[-1] = i
    if not peaks:
        return np.zeros(1)
    inner = (np.array(valleys, float) + 0.5) / len(profile)
    return np.concatenate([[0.0], inner, [1.0]])


def _profile(polygon, length: int, region: np.ndarray, scale) -> np.ndarray:
    """Returns the largest region score of each column of a word, sampled bilinearly."""
    columns = length * COLUMNS_A_CHARACTER
    u, v = np.meshgrid(
        (np.arange(columns) + 0.5) / columns, (np.arange(ROWS) + 0.5) / ROWS, indexing="xy"
    )
    points = map_points(square_to_quads(polygon)[0], np.stack([u, v], axis=-1)) * scale
    height, width = region.shape
    x, y = np.clip(points[..., 0], 0, width - 1), np.clip(points[..., 1], 0, height - 1)
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    left, top = np.maximum(left, 0), np.maximum(top, 0)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = x - left, y - top
    upper = region[top, left] * (1 - fx) + region[top, right] * fx
    lower = region[bottom, left] * (1 - fx) + region[bottom, right] * fx
    return (upper * (1 - fy) + lower * fy).max(axis=0)

"""Labels of text detection: the words of an image as polygons, checked, padded and unpadded.

A label is a mapping, one row for each word:

- `"polygons"`: float32 (n, 4, 2), corners x, y, clockwise from the top left of the text, in pixels of
  the image as it is seen, EXIF orientation applied.
- `"ignore"`: bool (n,), words that are neither to be found nor an error (`###` of ICDAR).
- `"text"`: tuple of n str, `"###"` or `""` where it is not known.

Labels of several images are padded to the same number of words: polygons of zeros, `ignore` True, text
`""`. `"counts"` (images,) is the number of words of each.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from newnet_tf.data.boxes import BoxRemark
from newnet_tf.data.polygons import clockwise, signed_area, smallest_rectangle

POLYGONS, IGNORE, TEXT, COUNTS = "polygons", "ignore", "text", "counts"
DO_NOT_CARE = "###"
WORD = "word"  # what a remark counts
ROUNDING = 1.0  # pixels by which a word may reach out of the image without being counted
MIN_AREA = 1.0  # square pixels
NOT_A_NUMBER = "with a coordinate that is no finite number, left out"
EMPTY = "without area, left out"
OUTSIDE = "outside of the image, left out"
PARTLY = "partly outside of the image, kept"
RECTANGLE = "with another number of corners than four, replaced by the smallest rectangle around"

Label = dict[str, object]


def make_words(polygons: Sequence, ignore: Sequence = (), text: Sequence[str] = ()) -> Label:
    """Returns a label; see the top of this module.

    Args:
        polygons: n polygons of four corners.

        ignore: n bools. Default: all False.

        text: n str. Default: all `""`.
    """
    count = len(polygons)
    return {
        POLYGONS: np.asarray(polygons, np.float32).reshape(count, 4, 2),
        IGNORE: np.asarray(ignore, bool) if len(ignore) else np.zeros(count, bool),
        TEXT: tuple(text) if len(text) else ("",) * count,
    }


def choose_words(label: Mapping, chosen: np.ndarray) -> Label:
    """Returns some of the words of a label.

    Args:
        label: mapping, of one image.

        chosen: bool or int array, the rows.
    """
    rows = np.arange(len(label[IGNORE]))[chosen]
    text = tuple(label[TEXT][i] for i in rows)
    return {POLYGONS: label[POLYGONS][rows], IGNORE: label[IGNORE][rows], TEXT: text}


def pad_words(labels: Sequence[Mapping], width: int = 1) -> dict[str, np.ndarray]:
    """Returns the labels of several images as one mapping of padded arrays.

    Args:
        labels: mapping for each image.

        width: int, the least number of rows. Default: 1.

    Returns:
        `{"polygons": float32 (images, n, 4, 2), "ignore": bool (images, n), "text": array of str
        (images, n), "counts": int32 (images,)}`, n the most words of an image.
    """
    counts = np.array([len(label[IGNORE]) for label in labels], np.int32)
    width = max([width, *counts.tolist()])
    padded = {
        POLYGONS: np.zeros((len(labels), width, 4, 2), np.float32),
        IGNORE: np.ones((len(labels), width), bool),
        TEXT: np.full((len(labels), width), "", object),
        COUNTS: counts,
    }
    for i, (label, count) in enumerate(zip(labels, counts, strict=True)):
        for name in (POLYGONS, IGNORE, TEXT):
            padded[name][i, :count] = label[name]
    return padded


def split_words(labels: Mapping) -> list[Label]:
    """Returns the label of each image of a batch, the reverse of `pad_words`.

    Args:
        labels: mapping of padded arrays; without `"text"` all texts are `""`.
    """
    counts = np.asarray(labels[COUNTS]).tolist()
    polygons, ignore = (np.asarray(labels[name]) for name in (POLYGONS, IGNORE))
    text = np.asarray(labels[TEXT]) if TEXT in labels else None
    return [
        {
            POLYGONS: polygons[i, :count].astype(np.float32),
            IGNORE: ignore[i, :count].astype(bool),
            TEXT: ("",) * count if text is None else tuple(map(_decoded, text[i, :count])),
        }
        for i, count in enumerate(counts)
    ]


def join_words(parts: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """Returns batches of padded labels as one."""
    return pad_words([label for part in parts for label in split_words(part)])


class WordChecker:
    """Checks the words of images one by one, and collects what it changes.

    Words outside of their image, without area or with a coordinate that is no finite number are left
    out; what has another number of corners than four becomes the smallest rectangle around them.
    Corners run clockwise from the first one. Words that reach out of the image are kept as they are:
    evaluation needs them whole. All is counted.

    Attributes:
        remarks: list of `BoxRemark`.

    Example:
        >>> checker = WordChecker()
        >>> square = [(0, 0), (0, 9), (9, 9), (9, 0)]
        >>> label = checker.check("a.jpg", [(square, False, "exit")], 100, 100)
        >>> label["polygons"][0].tolist(), label["text"]
        ([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]], ('exit',))
    """

    def __init__(self):
        self.remarks: list[BoxRemark] = []

    def check(
        self, name: str, words: Sequence[tuple[Sequence, bool, str]], height: int, width: int
    ) -> Label:
        """Returns the label with valid words alone.

        Args:
            name: str, of the image.

            words: (corners in pixels of the image, whether it is ignored, text) of each.

            height, width: int, of the image.
        """
        kept, counts = [], dict.fromkeys((NOT_A_NUMBER, EMPTY, OUTSIDE, PARTLY, RECTANGLE), 0)
        size = np.array([width, height])
        for corners, ignore, text in words:
            polygon = np.asarray(corners, np.float64).reshape(-1, 2)
            if not np.isfinite(polygon).all():
                counts[NOT_A_NUMBER] += 1
                continue
            if len(polygon) < 3 or abs(signed_area(polygon)) < MIN_AREA:
                counts[EMPTY] += 1
                continue
            if (polygon.max(axis=0) <= 0).any() or (polygon.min(axis=0) >= size).any():
                counts[OUTSIDE] += 1
                continue
            if len(polygon) != 4:
                counts[RECTANGLE] += 1
                polygon = smallest_rectangle(polygon)
            polygon = clockwise(polygon)
            out = max(-polygon.min(), (polygon - size).max())
            counts[PARTLY] += bool(out > ROUNDING)
            kept.append((polygon, ignore, text))
        for reason, count in counts.items():
            self.add(name, reason, count)
        columns = zip(*kept, strict=True) if kept else ((), (), ())
        return make_words(*map(list, columns))

    def add(self, name: str, reason: str, count: int = 1) -> None:
        """Adds a remark, unless the count is 0."""
        if count:
            self.remarks.append(BoxRemark(name, reason, count, WORD))


def _decoded(text: object) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)

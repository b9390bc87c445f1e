"""Labels of object detection: boxes of an image with their classes, checked, padded and turned.

A label is a mapping of arrays, one row for each box:

- `"boxes"`: float32 (n, 4), corners x1, y1, x2, y2 in pixels of the image as it is seen, EXIF
  orientation applied. Corners are edges of pixels: the whole image is `(0, 0, width, height)`.
- `"classes"`: int32 (n,), from 0.
- `"difficult"`: bool (n,), boxes that are not counted in an evaluation (PASCAL VOC).
- `"crowd"`: bool (n,), boxes of many objects (COCO's `iscrowd`).

Labels of several images are padded to the same number of boxes: class -1, everything else 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

BOXES, CLASSES, DIFFICULT, CROWD = "boxes", "classes", "difficult", "crowd"
FIELDS = {BOXES: np.float32, CLASSES: np.int32, DIFFICULT: bool, CROWD: bool}
PADDING = -1  # class of a row that is no box
ROUNDING = 1.0  # pixels by which a box may exceed the image without being counted as clipped
SHOWN = 3  # images of a kind that a summary names
CLIPPED = "partly outside of the image, clipped"
OUTSIDE = "outside of the image, left out"
REVERSED = "with reversed corners, left out"
EMPTY = "without area, left out"
PLURALS = {"box": "es", "word": "s"}  # of what a remark counts
NOT_A_NUMBER = "with a coordinate that is no finite number, left out"

Label = dict[str, np.ndarray]


@dataclass(frozen=True)
class BoxRemark:
    """Boxes of an image that were changed or left out when its label was read.

    Args:
        path: str, the image, or the file of its label.

        reason: str, what was done, such as `"partly outside of the image, clipped"`.

        count: int, number of boxes.

        kind: str, what is counted: `"box"` (default) or `"word"`.
    """

    path: str
    reason: str
    count: int = 1
    kind: str = "box"


def make_label(
    boxes: Sequence, classes: Sequence, difficult: Sequence = (), crowd: Sequence = ()
) -> Label:
    """Returns a label; see the top of this module.

    Args:
        boxes: n rows of x1, y1, x2, y2.

        classes: n ints.

        difficult, crowd: n bools. Default: all False.
    """
    count = len(classes)
    return {
        BOXES: np.asarray(boxes, np.float32).reshape(count, 4),
        CLASSES: np.asarray(classes, np.int32).reshape(count),
        DIFFICULT: np.asarray(difficult, bool) if len(difficult) else np.zeros(count, bool),
        CROWD: np.asarray(crowd, bool) if len(crowd) else np.zeros(count, bool),
    }


def choose_boxes(label: Mapping, chosen: np.ndarray) -> Label:
    """Returns some of the boxes of a label.

    Args:
        label: mapping of arrays, of one image.

        chosen: bool or int array, the rows.
    """
    return {name: label[name][chosen] for name in FIELDS}


def pad_labels(labels: Sequence[Mapping], width: int = 1) -> Label:
    """Returns the labels of several images as one mapping of padded arrays.

    Args:
        labels: mapping of arrays for each image.

        width: int, the least number of rows. Default: 1.

    Returns:
        `{"boxes": float32 (images, n, 4), "classes": int32 (images, n), ...}`, n the most boxes of an
        image; rows without a box have class -1.
    """
    width = max([width, *(len(label[CLASSES]) for label in labels)])
    padded = {
        BOXES: np.zeros((len(labels), width, 4), np.float32),
        CLASSES: np.full((len(labels), width), PADDING, np.int32),
        DIFFICULT: np.zeros((len(labels), width), bool),
        CROWD: np.zeros((len(labels), width), bool),
    }
    for i, label in enumerate(labels):
        for name, rows in padded.items():
            rows[i, : len(label[name])] = label[name]
    return padded


def unpad_label(label: Mapping) -> Label:
    """Returns the label of an image without the rows that are no boxes."""
    arrays = {name: np.asarray(label[name], dtype) for name, dtype in FIELDS.items()}
    return choose_boxes(arrays, arrays[CLASSES] != PADDING)


def split_labels(labels: Mapping) -> list[Label]:
    """Returns the label of each image of a batch, the reverse of `pad_labels`."""
    arrays = {name: np.asarray(labels[name]) for name in FIELDS}
    return [
        unpad_label({name: rows[i] for name, rows in arrays.items()})
        for i in range(len(arrays[CLASSES]))
    ]


def join_labels(parts: Sequence[Mapping]) -> Label:
    """Returns batches of padded labels as one."""
    width = max(part[CLASSES].shape[1] for part in parts)
    joined = {}
    for name in FIELDS:
        rows = [np.asarray(part[name]) for part in parts]
        fill = PADDING if name == CLASSES else 0
        joined[name] = np.concatenate([_widen(array, width, fill) for array in rows])
    return joined


def first_rows(parts: Sequence, count: int) -> np.ndarray | Label:
    """Returns the first rows of what several batches hold: arrays, or mappings of padded ones."""
    if isinstance(parts[0], Mapping):
        return {name: rows[:count] for name, rows in join_labels(parts).items()}
    return np.concatenate(parts)[:count]


def turn_boxes(boxes: np.ndarray, orientation: int, height: int, width: int) -> np.ndarray:
    """Returns where boxes of a stored image are in the image as it is seen.

    Args:
        boxes: float array (n, 4), x1, y1, x2, y2 in pixels of the stored image.

        orientation: int in 1 to 8, of EXIF.

        height, width: int, of the stored image.
    """
    x1, y1, x2, y2 = np.asarray(boxes, np.float32).reshape(-1, 4).T
    left, right = (x1, x2) if orientation in (1, 4, 5, 6) else (width - x2, width - x1)
    top, bottom = (y1, y2) if orientation in (1, 2, 5, 8) else (height - y2, height - y1)
    if orientation >= 5:  # rows become columns
        left, top, right, bottom = top, left, bottom, right
    return np.stack([left, top, right, bottom], axis=-1)


class BoxChecker:
    """Checks the boxes of images one by one, and collects what it changes.

    Boxes that reach out of their image are clipped. Boxes outside of it, without area, with reversed
    corners or with a coordinate that is no finite number are left out. Both are counted and named, but
    for what exceeds the image by up to a pixel, which rounding explains.

    Attributes:
        remarks: list of `BoxRemark`.

    Example:
        >>> checker = BoxChecker()
        >>> label = checker.check("a.jpg", make_label([(-5, 0, 10, 10)], [0]), 100, 100)
        >>> label["boxes"].tolist(), checker.remarks[0].reason
        ([[0.0, 0.0, 10.0, 10.0]], 'partly outside of the image, clipped')
    """

    def __init__(self):
        self.remarks: list[BoxRemark] = []

    def check(self, name: str, label: Mapping, height: int, width: int) -> Label:
        """Returns the label with valid boxes alone.

        Args:
            name: str, of the image.

            label: mapping of arrays, boxes in pixels of the image.

            height, width: int, of the image.
        """
        boxes = label[BOXES]
        clipped = np.clip(boxes, 0, np.array([width, height] * 2, np.float32))
        is_number = np.isfinite(boxes).all(axis=1)
        with np.errstate(invalid="ignore"):
            sides = boxes[:, 2:] - boxes[:, :2]
            is_reversed = is_number & (sides < 0).any(axis=1)
            is_empty = is_number & ~is_reversed & (sides == 0).any(axis=1)
            is_inside = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
            is_outside = is_number & ~is_reversed & ~is_empty & ~is_inside
            is_clipped = is_inside & (np.abs(clipped - boxes) > ROUNDING).any(axis=1)
        kept = is_number & is_inside & ~is_reversed
        for reason, rows in (
            (NOT_A_NUMBER, ~is_number),
            (REVERSED, is_reversed),
            (EMPTY, is_empty),
            (OUTSIDE, is_outside),
            (CLIPPED, is_clipped & kept),
        ):
            self.add(name, reason, int(rows.sum()))
        return choose_boxes({**label, BOXES: clipped}, kept)

    def add(self, name: str, reason: str, count: int = 1) -> None:
        """Adds a remark, unless the count is 0."""
        if count:
            self.remarks.append(BoxRemark(name, reason, count))


def summarize_remarks(remarks: Sequence[BoxRemark]) -> str:
    """Returns a line for each reason, with the number of boxes and the names of some images.

    Args:
        remarks: sequence of `BoxRemark`.

    Example:
        >>> print(summarize_remarks(dataset.remarks))
        3 boxes partly outside of the image, clipped (2 images: a.jpg, b.jpg)
    """
    by_reason: dict[tuple[str, str], dict[str, int]] = {}
    for remark in remarks:
        paths = by_reason.setdefault((remark.kind, remark.reason), {})
        paths[remark.path] = paths.get(remark.path, 0) + remark.count
    lines = []
    for (kind, reason), paths in by_reason.items():
        boxes, images = sum(paths.values()), len(paths)
        names = ", ".join(list(paths)[:SHOWN]) + (", ..." if images > SHOWN else "")
        lines.append(
            f"{boxes:,} {kind}{PLURALS[kind] * (boxes > 1)} {reason} "
            f"({images:,} image{'s' * (images > 1)}: {names})"
        )
    return "\n".join(lines)


def _widen(array: np.ndarray, width: int, fill: int) -> np.ndarray:
    missing = [(0, 0), (0, width - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(array, missing, constant_values=fill)

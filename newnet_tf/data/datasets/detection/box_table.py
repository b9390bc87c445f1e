"""CSV files of boxes: a line for each box, or a line without numbers for an image without boxes.

    path,x1,y1,x2,y2,label        filename,width,height,class,xmin,ymin,xmax,ymax
    a.jpg,10,20,110,220,cat       a.jpg,640,480,cat,10,20,110,220
    b.jpg,,,,,                    b.jpg,640,480,,,,,

The header may be missing where there are these six columns. Corners are in pixels; if all of them lie
in 0 to 1 and some are no whole numbers, they are fractions of the image. Further columns: a split,
`difficult`, `iscrowd`. A table without columns of corners is one of classification.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.data.boxes import BoxChecker, make_label
from newnet_tf.data.datasets.base import ALL, Dataset, DatasetError
from newnet_tf.data.datasets.csv_lines import LABEL, PATH, SPLIT, column_key, read_lines
from newnet_tf.data.datasets.detection.listing import AnnotatedImage, detection_dataset
from newnet_tf.data.datasets.split_names import name_splits
from newnet_tf.data.image_files import display_name

CORNERS = (("x1", "xmin", "left"), ("y1", "ymin", "top"), ("x2", "xmax", "right"),
           ("y2", "ymax", "bottom"))  # fmt: skip
SIZE = (("height", "imageheight"), ("width", "imagewidth"))
FLAGS = {"difficult": ("difficult", "isdifficult"), "crowd": ("crowd", "iscrowd")}
SIDES = ({"x", "y", "w", "h"}, {"left", "top", "width", "height"}, {"bbox"})
TRUTH = {"1", "true", "yes", "1.0"}


@dataclass(frozen=True)
class Columns:
    """Numbers of a table's columns; None for one that it does not have."""

    path: int
    label: int
    corners: tuple[int, ...]
    split: int | None = None
    size: tuple[int, ...] | None = None
    difficult: int | None = None
    crowd: int | None = None


def is_box_table(file: Path) -> bool:
    """Returns whether a table has columns of boxes.

    Raises:
        DatasetError: for a table that cannot be read, several boxes an image that are not given by
            their corners, or boxes without labels.
    """
    return find_columns(file, read_lines(file)) is not None


def find_columns(file: Path, lines: Sequence[tuple[int, list[str]]]) -> Columns | None:
    """Returns the columns of a table of boxes, None for another table."""
    keys = [column_key(cell) for cell in lines[0][1]]

    def find(names):
        return next((keys.index(name) for name in names if name in keys), None)

    corners = [find(names) for names in CORNERS]
    path, label = find(PATH), find(LABEL)
    if label is None and path is None and _is_headless(lines):
        return Columns(0, 5, (1, 2, 3, 4))
    if None in corners:
        is_other_box = any(sides <= set(keys) for sides in SIDES) and path is not None
        if is_other_box and len({cells[path] for _, cells in lines}) < len(lines):
            raise DatasetError(
                f"{file}: a table of boxes must have the columns x1, y1, x2, y2 (or xmin, ymin, xmax, "
                f"ymax), corners in pixels. Received: {lines[0][1]}"
            )
        return None
    if path is None or label is None:
        if all(cells[i].strip() in ("", "0", "1") for _, cells in lines[1:] for i in corners):
            return None  # classes that are named left, top, right, bottom
        raise DatasetError(
            f"{file}: a table of boxes must have a column of paths and one of labels (path, label). "
            f"Received: {lines[0][1]}"
        )
    size = [find(names) for names in SIZE]
    flags = {name: find(names) for name, names in FLAGS.items()}
    size = None if None in size else tuple(size)
    return Columns(path, label, tuple(corners), find(SPLIT), size, **flags)


def box_table_dataset(
    file: Path,
    validation_split: float = 0.2,
    seed: int = 0,
    images_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Opens a table of boxes; see the top of this module.

    Args:
        file: `Path`.

        validation_split, seed: as in `load_dataset`, for a table without splits.

        images_dir: path, the folder that paths start from. Default: None, that of the file.

    Returns:
        `Dataset` of the task `"detection"`.

    Raises:
        DatasetError: for a line that is no box, or an image in two splits; the message has the line's
            number.
    """
    lines = read_lines(file)
    columns = find_columns(file, lines)
    if columns is None:
        raise DatasetError(f"{file} must be a table of boxes. Received: {lines[0][1]}")
    is_headless = _is_headless(lines)
    rows = lines if is_headless else lines[1:]
    corners = _corners(file, rows, columns)
    is_box = ~np.isnan(corners).all(axis=1)
    known = corners[is_box & np.isfinite(corners).all(axis=1)]
    is_relative = bool(len(known) and known.min() >= 0 and known.max() <= 1 and (known % 1).any())
    names = _class_names(file, rows, columns, is_box)
    rank = {name: i for i, name in enumerate(names)}
    images: dict[str, list[int]] = {}
    for i, (_, cells) in enumerate(rows):
        images.setdefault(cells[columns.path].strip().replace("\\", "/"), []).append(i)
    splits = _splits(file, rows, columns, images)
    folder = file.parent if images_dir is None else Path(images_dir)
    annotated: dict[str, list[AnnotatedImage]] = {}
    for path, members in images.items():
        own = [i for i in members if is_box[i]]
        cells = [rows[i][1] for i in own]
        label = make_label(
            corners[own],
            [rank[row[columns.label].strip()] for row in cells],
            [_flag(row, columns.difficult) for row in cells],
            [_flag(row, columns.crowd) for row in cells],
        )
        size = None if is_relative else _size(rows[members[0]][1], columns)
        image = AnnotatedImage(folder / path, label, size, is_relative)
        annotated.setdefault(splits[path], []).append(image)
    return detection_dataset(
        display_name(file.stem),
        names,
        annotated,
        checker=BoxChecker(),
        validation_split=validation_split,
        seed=seed,
    )


def _is_headless(lines: Sequence[tuple[int, list[str]]]) -> bool:
    """Returns whether all lines, the first one too, are path, four numbers or nothing, label."""
    first = lines[0][1]
    return (
        len(first) == 6
        and all(_is_number(cell) or not cell.strip() for _, c in lines for cell in c[1:5])
        and any(_is_number(cell) for cell in lines[0][1][1:5])
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _corners(file: Path, rows, columns: Columns) -> np.ndarray:
    """Returns the corners of each line, NaN where a cell is empty."""
    corners = np.full((len(rows), 4), np.nan)
    for i, (line, cells) in enumerate(rows):
        for j, column in enumerate(columns.corners):
            text = cells[column].strip()
            if text and not _is_number(text):
                raise DatasetError(
                    f"{file}, line {line}: corners must be numbers, or empty for an image without "
                    f"boxes. Received: {cells}"
                )
            corners[i, j] = float(text) if text else np.nan
    return corners


def _class_names(file: Path, rows, columns: Columns, is_box: np.ndarray) -> list[str]:
    """Returns the classes, sorted, numbers by value."""
    names = set()
    for (line, cells), own in zip(rows, is_box, strict=True):
        name = cells[columns.label].strip()
        if own and not name:
            raise DatasetError(f"{file}, line {line}: a box must have a label. Received: {cells}")
        names |= {name} if own else set()
    return sorted(names, key=int if all(map(str.isdecimal, names)) else str)


def _splits(file: Path, rows, columns: Columns, images: dict[str, list[int]]) -> dict[str, str]:
    """Returns the split of each image."""
    if columns.split is None:
        return dict.fromkeys(images, ALL)
    written = {}
    for path, members in images.items():
        values = {rows[i][1][columns.split].strip() for i in members}
        if len(values) > 1:
            raise DatasetError(
                f"{file}, line {rows[members[-1]][0]}: all boxes of an image must be in one split. "
                f"Received: {path!r} in {sorted(values)}"
            )
        written[path] = values.pop()
    known = name_splits(sorted(set(written.values())))
    if unknown := next((path for path, value in written.items() if value not in known), None):
        raise DatasetError(
            f"{file}, line {rows[images[unknown][0]][0]}: a split must be train, validation or test, "
            f"under any usual name. Received: {written[unknown]!r}"
        )
    splits = {path: known[value] for path, value in written.items()}
    return splits if len(set(splits.values())) > 1 else dict.fromkeys(images, ALL)


def _size(cells: list[str], columns: Columns) -> tuple[int, int] | None:
    if columns.size is None or not all(_is_number(cells[i]) for i in columns.size):
        return None
    height, width = (round(float(cells[i])) for i in columns.size)
    return (height, width) if min(height, width) > 0 else None


def _flag(cells: list[str], column: int | None) -> bool:
    return column is not None and cells[column].strip().lower() in TRUTH

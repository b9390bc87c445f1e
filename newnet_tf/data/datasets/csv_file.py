"""CSV files of labeled images: a path and a label a line, or several labels.

    path,label            image,labels,split          file,cat,dog
    a.jpg,tabby           a.jpg,beach;sea,train       a.jpg,1,0
    b.jpg,tiger           b.jpg,sea,val               b.jpg,1,1

The header may be missing where there are two columns. Columns are separated by comma, tab, semicolon or
vertical bar. Several labels of an image are separated by `;` or `|`, or have a column of 0 and 1 each.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.data.datasets.base import (
    CLASSIFICATION,
    MULTILABEL,
    TEST,
    TRAIN,
    VALIDATION,
    Dataset,
    DatasetError,
    file_split,
)
from newnet_tf.data.datasets.csv_lines import LABEL, PATH, SPLIT, column_key, read_lines
from newnet_tf.data.datasets.split_names import name_splits
from newnet_tf.data.datasets.splitting import divide_files
from newnet_tf.data.image_files import SkippedImage, display_name

TABLES = (".csv", ".tsv")
LABEL_SEPARATORS = (";", "|")
TRUTH = {"1": 1, "0": 0, "": 0, "true": 1, "false": 0, "yes": 1, "no": 0}
SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG")  # that a path may lack, as in a column `image_id`
MISSING = "a line of the table without its file"


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Args:
        line: int, its number in the file, from 1.

        path: str, as it is written.

        labels: tuple of str.

        split: str, as it is written; "" without one.
    """

    line: int
    path: str
    labels: tuple[str, ...]
    split: str = ""


def is_table(path: str | os.PathLike) -> bool:
    """Returns whether a path has the name of a table."""
    return os.fspath(path).lower().endswith(TABLES)


def csv_dataset(
    path: str | os.PathLike,
    validation_split: float = 0.2,
    seed: int = 0,
    images_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Opens a table of images and labels; see the top of this module for what it may hold.

    The task is multi-label classification if a line has several labels (or columns of 0 and 1 of which
    not exactly one is 1 in each line), else classification. A column of splits is used if there is one;
    its values may be any name of a split (see `split_names`).

    Args:
        path: path of the file.

        validation_split, seed: as in `load_dataset`, for a table without splits.

        images_dir: path, the folder that paths start from. Default: None, that of the file.

    Returns:
        `Dataset`; `skipped` names the lines whose file is missing.

    Raises:
        DatasetError: for a table without images or labels, a line that is not as the others (the
            message has its number), or a table of which no file is there.

    Example:
        >>> csv_dataset("photos/labels.csv")
        Dataset('labels', multilabel_classification, 3 classes, train: 80 images, ...)
    """
    file = Path(path)
    folder = file.parent if images_dir is None else Path(images_dir)
    rows, is_multilabel, columns = _read(file)
    found, skipped = [], []
    for row in rows:
        image = _find(folder, row.path)
        if image is None:
            skipped.append(SkippedImage(f"{row.path} (line {row.line})", MISSING))
        else:
            found.append((image, row))
    if not found:
        raise DatasetError(
            f"{file}: paths must lead from {folder} to images; `images_dir` (--images-dir) names "
            f"another folder. Received: {len(rows)} paths where no file is, as {rows[0].path!r}"
        )
    class_names = _class_names([row for _, row in found], columns)
    rank = {name: i for i, name in enumerate(class_names)}
    if is_multilabel:
        labels = np.zeros((len(found), len(class_names)), np.int32)
        for i, (_, row) in enumerate(found):
            labels[i, [rank[label] for label in row.labels]] = 1
    else:
        labels = np.array([rank[row.labels[0]] for _, row in found], np.int32)
    paths = [image for image, _ in found]
    names = _splits(file, [row for _, row in found])
    if set(names) - {TRAIN}:
        positions = {
            split: [i for i, name in enumerate(names) if name == split]
            for split in (TRAIN, VALIDATION, TEST)
        }
        splits = {
            split: file_split([paths[i] for i in chosen], labels[chosen])
            for split, chosen in positions.items()
            if chosen
        }
    else:
        splits = divide_files(paths, labels, validation_split, seed)
    task = MULTILABEL if is_multilabel else CLASSIFICATION
    return Dataset(display_name(file.stem), class_names, splits, task, tuple(skipped))


def _read(file: Path) -> tuple[list[Row], bool, tuple[str, ...]]:
    """Returns (rows, whether an image may have several labels, names of columns of 0 and 1)."""
    lines = read_lines(file)
    header, rows = lines[0], lines[1:]
    keys = [column_key(cell) for cell in header[1]]
    path, label, split = (
        next((keys.index(name) for name in names if name in keys), None)
        for names in (PATH, LABEL, SPLIT)
    )
    if path is None and label is None:
        if len(keys) != 2:
            raise DatasetError(
                f"{file}: the first line must name the columns (such as path,label), unless there are "
                f"two. Received: {header[1]}"
            )
        path, label, rows = 0, 1, lines
    path = next(i for i in range(len(keys)) if i not in (label, split)) if path is None else path
    if not rows:
        raise DatasetError(f"{file} must hold lines below the header. Received: none")
    if label is not None:
        return _labeled(file, rows, path, label, split)
    return _one_hot(file, header[1], rows, path, split)


def _labeled(file, rows, path, label, split) -> tuple[list[Row], bool, tuple[str, ...]]:
    """Returns the rows of a table with a column of labels."""
    texts = [cells[label].strip() for _, cells in rows]
    separator = next((s for s in LABEL_SEPARATORS if any(s in text for text in texts)), None)
    parsed = []
    for (line, cells), text in zip(rows, texts, strict=True):
        labels = [part.strip() for part in text.split(separator)] if separator else [text]
        labels = tuple(dict.fromkeys(part for part in labels if part))
        if not labels and not separator:
            raise DatasetError(f"{file}, line {line}: a line must have a label. Received: {cells}")
        parsed.append(Row(line, cells[path].strip(), labels, _cell(cells, split)))
    return _unique(file, parsed), separator is not None, ()


def _one_hot(file, header, rows, path, split) -> tuple[list[Row], bool, tuple[str, ...]]:
    """Returns the rows of a table with a column of 0 and 1 for each class."""
    columns = {i: name.strip() for i, name in enumerate(header) if i not in (path, split)}
    parsed = []
    for line, cells in rows:
        labels = []
        for i, name in columns.items():
            value = _truth(cells[i])
            if value is None:
                raise DatasetError(
                    f"{file}, line {line}: a table must have a column of labels (label, class, ...) or "
                    f"columns of 0 and 1. Received: {cells[i]!r} in column {name!r}"
                )
            labels += [name] * value
        parsed.append(Row(line, cells[path].strip(), tuple(labels), _cell(cells, split)))
    is_multilabel = len(columns) == 1 or any(len(row.labels) != 1 for row in parsed)
    return _unique(file, parsed), is_multilabel, tuple(columns.values())


def _unique(file: Path, rows: list[Row]) -> list[Row]:
    """Returns the rows without repetitions; two rows of one image with other labels are an error."""
    first: dict[str, Row] = {}
    for row in rows:
        before = first.setdefault(row.path, row)
        if (before.labels, before.split) != (row.labels, row.split):
            raise DatasetError(
                f"{file}, line {row.line}: an image must have one line (several labels in it: a;b). "
                f"Received: {row.path!r} with {row.labels}, in line {before.line} with {before.labels}"
            )
    return list(first.values())


def _splits(file: Path, rows: Sequence[Row]) -> list[str]:
    """Returns the split of each row."""
    values = sorted({row.split for row in rows})
    if values == [""]:
        return [TRAIN] * len(rows)
    names = name_splits(values)
    for row in rows:
        if row.split not in names:
            raise DatasetError(
                f"{file}, line {row.line}: a split must be train, validation or test, under any usual "
                f"name. Received: {row.split!r}"
            )
    return [names[row.split] for row in rows]


def _class_names(rows: Sequence[Row], columns: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the classes: the columns' order, else sorted, numbers by value."""
    if columns:
        return columns
    names = {label for row in rows for label in row.labels}
    return tuple(sorted(names, key=int if all(map(str.isdecimal, names)) else str))


def _find(folder: Path, path: str) -> Path | None:
    """Returns the file of a path, or None."""
    for written in dict.fromkeys((path, path.replace("\\", "/"))):
        image = folder / written
        for candidate in (image, *(Path(f"{image}{suffix}") for suffix in SUFFIXES)):
            if candidate.is_file():
                return candidate
    return None


def _truth(cell: str) -> int | None:
    text = cell.strip().lower()
    try:
        return TRUTH[text] if text in TRUTH else {1.0: 1, 0.0: 0}.get(float(text))
    except ValueError:
        return None


def _cell(cells: list[str], column: int | None) -> str:
    return "" if column is None else cells[column].strip()

"""The lines of a table of images: its delimiter, its width, the names of its columns."""

import csv
import io
from pathlib import Path

from newnet_tf.data.datasets.base import DatasetError
from newnet_tf.data.image_files import display_name

DELIMITERS = (",", "\t", ";", "|")
# Names of columns, without separators and in lower case; the first that a table has is taken.
PATH = ("path", "filepath", "imagepath", "imgpath", "file", "filename", "imagefile", "imagefilename",
        "filenames", "image", "images", "img", "imagename", "photo", "imageid", "id",
        "name")  # fmt: skip
LABEL = ("label", "labels", "class", "classes", "classname", "category", "categories", "target",
         "targets", "tag", "tags", "species", "breed", "y")  # fmt: skip
SPLIT = ("split", "set", "subset", "partition", "usage")


def column_key(cell: str) -> str:
    """Returns a column's name as `PATH`, `LABEL` and `SPLIT` have it: `image_path` is `imagepath`."""
    return "".join(c for c in cell.lower() if c.isalnum())


def read_lines(file: Path) -> list[tuple[int, list[str]]]:
    """Reads a table.

    The delimiter is the one that gives known names of columns in the first line, then lines of one
    width. The text is UTF-8, else Latin-1.

    Args:
        file: path.

    Returns:
        (number, cells) of each line that is not empty; all have as many cells as the first.

    Raises:
        DatasetError: for a file that does not exist, has one column, or a line of another width.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"`data` must be an existing table. Received: {display_name(file)!r} ({error.strerror})"
        ) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    parsed = {delimiter: _parse(text, delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda d: (_fit(parsed[d]), -DELIMITERS.index(d)))
    lines = parsed[delimiter]
    if not lines or len(lines[0][1]) < 2:
        received = repr(lines[0][1][0]) if lines else "an empty file"
        raise DatasetError(
            f"{file} must have a path and a label in each line, separated by comma, tab or semicolon. "
            f"Received: {received}"
        )
    width = len(lines[0][1])
    for number, cells in lines:
        if len(cells) != width:
            raise DatasetError(
                f"{file}, line {number}: a line must have {width} columns, as the first has. "
                f"Received: {len(cells)}: {cells}"
            )
    return lines


def _parse(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    reader, lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((reader.line_num, cells))
    except csv.Error:  # a null byte, or a field without end
        return []
    return lines


def _fit(lines: list[tuple[int, list[str]]]) -> float:
    """Returns how well a delimiter fits: known names in the header, then lines of one width."""
    if not lines or len(lines[0][1]) < 2:
        return -1.0
    known = sum(column_key(cell) in (*PATH, *LABEL, *SPLIT) for cell in lines[0][1])
    same = sum(len(cells) == len(lines[0][1]) for _, cells in lines) / len(lines)
    return known + same

"""YOLO folders, as ultralytics reads them: a text file of boxes for each image.

    data.yaml                names: [cat, dog]   train: images/train   val: images/val
    images/train/a.jpg       labels/train/a.txt: a line for each box, class x y width height

Centers and sides are fractions of the image as it is seen (EXIF applied). A line of more than five
numbers is a polygon, whose bounding box is taken. An image without a text file has no boxes.
Of YAML only what such files use is read: lines `key: value`, lists and mappings one level deep.
"""

import ast
import os
from collections.abc import Sequence
from pathlib import Path

from newnet_tf.data.boxes import BoxChecker, make_label
from newnet_tf.data.datasets.base import ALL, TEST, TRAIN, VALIDATION, Dataset, DatasetError
from newnet_tf.data.datasets.detection.listing import AnnotatedImage, detection_dataset
from newnet_tf.data.image_files import SkippedImage, display_name, find_images

SPLITS = {"train": TRAIN, "val": VALIDATION, "valid": VALIDATION, "test": TEST}
SUFFIXES = (".yaml", ".yml")
IMAGES, LABELS = "images", "labels"
MOST = 2.0  # a larger number is no fraction of the image
NO_FILE = "an image of a list that is not there"


def find_yolo(root: Path) -> list[Path]:
    """Returns the YAML files of a folder that describe a dataset."""
    files = [path for path in sorted(root.iterdir()) if path.suffix.lower() in SUFFIXES]
    return [path for path in files if is_yolo(path)]


def is_yolo(path: Path) -> bool:
    """Returns whether a file describes a dataset of YOLO: it has the key `names` and a split."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    try:
        values = read_yaml(path)
    except DatasetError:
        return False
    return "names" in values and any(values.get(key) for key in SPLITS)


def yolo_dataset(file: Path, validation_split: float = 0.2, seed: int = 0) -> Dataset:
    """Opens the dataset that a YAML file describes.

    Args:
        file: `Path`.

        validation_split, seed: as in `load_dataset`, for a file without `val` and `test`.

    Returns:
        `Dataset` of the task `"detection"`.

    Raises:
        DatasetError: for names or places that are missing, or a line that is no box; the message has
            the file and the line's number.
    """
    values = read_yaml(file)
    names = _names(file, values)
    if "kpt_shape" in values:
        raise DatasetError(f"{file} must be a dataset of boxes. Received: one of key points")
    checker, skipped, images = BoxChecker(), [], {}
    for key, split in SPLITS.items():
        places = values.get(key)
        if not places or split in images:
            continue
        places = places if isinstance(places, list) else [places]
        paths = [p for place in places for p in _images(file, values, str(place), skipped)]
        images[split] = [_annotated(path, len(names), checker) for path in dict.fromkeys(paths)]
    if list(images) == [TRAIN]:
        images = {ALL: images[TRAIN]}
    return detection_dataset(
        display_name(file.parent.resolve().name),
        names,
        images,
        skipped=skipped,
        checker=checker,
        validation_split=validation_split,
        seed=seed,
    )


def read_yaml(file: Path) -> dict[str, object]:
    """Reads the subset of YAML that such files use.

    Returns:
        {key: str, list of str, or {key: str}}.

    Raises:
        DatasetError: for a line that is not of this subset.
    """
    values: dict[str, object] = {}
    key: str | None = None
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file} must be a YAML file. Received: {error}") from None
    open_lines, is_block = "", False
    for number, line in enumerate(lines, 1):
        text = _without_comment(line)
        is_inner = not open_lines and text[:1] in (" ", "\t")
        if not text.strip() or text.strip() in ("---", "...") or (is_block and is_inner):
            continue
        is_block = False
        if open_lines:  # a list in brackets over several lines
            text, open_lines = f"{open_lines} {text.strip()}", ""
        if text.count("[") > text.count("]") or text.count("{") > text.count("}"):
            open_lines = text
            continue
        stripped = text.strip()
        is_item = stripped.startswith("- ")
        if key is not None and values[key] == "" and (is_item or is_inner):
            values[key] = [] if is_item else {}
        name, colon, value = stripped.partition(":")
        is_pair = bool(colon) and (not value or value[0] in " \t")
        if is_item and isinstance(values.get(key), list):
            values[key].append(_scalar(stripped[2:]))
        elif is_inner and is_pair and isinstance(values.get(key), dict):
            values[key][str(_scalar(name))] = _scalar(value)
        elif is_pair and not is_inner:
            key, is_block = str(_scalar(name)), value.strip()[:1] in ("|", ">")
            values[key] = "" if is_block else _value(value.strip())
        elif not is_inner:
            raise DatasetError(
                f"{file}, line {number}: a line must be `key: value`. Received: {line!r}"
            )
    return values


def _value(text: str) -> object:
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(part) for part in _parts(text[1:-1])]
    if text.startswith("{") and text.endswith("}"):
        pairs = (part.partition(":") for part in _parts(text[1:-1]))
        return {str(_scalar(name)): _scalar(value) for name, _, value in pairs}
    return _scalar(text)


def _parts(text: str) -> list[str]:
    """Splits at commas that are not in quotes."""
    parts, quote, start = [], "", 0
    for i, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == ",":
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return [part for part in parts if part.strip()]


def _scalar(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        try:
            return str(ast.literal_eval(text)) if text[0] == '"' else text[1:-1].replace("''", "'")
        except (ValueError, SyntaxError):
            return text[1:-1]
    return "" if text in ("null", "~") else text


def _without_comment(line: str) -> str:
    quote = ""
    for i, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and (i == 0 or not line[i - 1].isalnum()):
            quote = character
        elif character == "#" and (i == 0 or line[i - 1] in " \t"):
            return line[:i]
    return line


def _names(file: Path, values: dict) -> list[str]:
    names = values.get("names")
    if isinstance(names, dict):
        numbers = sorted(names, key=lambda key: int(key) if key.isdecimal() else -1)
        is_whole = numbers == [str(i) for i in range(len(names))]
        names = [names[key] for key in numbers] if is_whole else None
    if not isinstance(names, list) or not names or len(set(names)) < len(names):
        raise DatasetError(
            f"{file}: `names` must have a name of its own for each class, numbered from 0. "
            f"Received: {values.get('names')!r}"
        )
    count = values.get("nc")
    if count not in (None, "", str(len(names))):
        raise DatasetError(
            f"{file}: `nc` must be the number of names, {len(names)}. Received: {count}"
        )
    return names


def _images(file: Path, values: dict, place: str, skipped: list) -> list[Path]:
    """Returns the images of a folder or of a list in a text file."""
    base = file.parent
    bases = [base / str(values["path"]), base] if values.get("path") else [base]
    # Exports of Roboflow name ../train/images what lies in train/images.
    written = [place, place.removeprefix("../")]
    found = next((b / w for w in written for b in bases if (b / w).exists()), None)
    if found is None:
        raise DatasetError(
            f"{file}: a split must be a folder of images or a text file that lists them. "
            f"Received: {place!r}, where nothing is"
        )
    if found.is_dir():
        return list(find_images(found).paths)
    paths = []
    for line in found.read_text("utf-8-sig", "replace").splitlines():
        if line.strip():
            path = found.parent / line.strip()
            if not path.is_file():
                path = next((b / line.strip() for b in bases if (b / line.strip()).is_file()), path)
            if path.is_file():
                paths.append(path)
            else:
                skipped.append(SkippedImage(display_name(path), NO_FILE))
    return paths


def label_file(image: Path) -> Path:
    """Returns the text file of an image: the last folder `images` of its path becomes `labels`."""
    head, part, tail = os.fspath(image).rpartition(f"{os.sep}{IMAGES}{os.sep}")
    moved = Path(f"{head}{os.sep}{LABELS}{os.sep}{tail}") if part else image
    return moved.with_suffix(".txt")


def _annotated(image: Path, classes: int, checker: BoxChecker) -> AnnotatedImage:
    file = label_file(image)
    boxes, labels = [], []
    lines = file.read_text("utf-8-sig", "replace").splitlines() if file.is_file() else []
    for number, line in enumerate(lines, 1):
        if not line.split():
            continue
        label, box = _box(f"{display_name(file)}, line {number}", line.split(), classes)
        labels.append(label)
        boxes.append(box)
    return AnnotatedImage(image, make_label(boxes, labels), is_relative=True)


def _box(where: str, cells: Sequence[str], classes: int) -> tuple[int, tuple]:
    """Returns (class, corners in fractions of the image) of a line."""
    try:
        label, *numbers = (float(cell) for cell in cells)
    except ValueError:
        label, numbers = -1.0, []
    is_polygon = len(numbers) >= 6 and len(numbers) % 2 == 0
    if len(numbers) != 4 and not is_polygon:
        raise DatasetError(
            f"{where}: a line must be class, x, y, width, height, or a class and a polygon. "
            f"Received: {' '.join(cells)}"
        )
    if label != int(label) or not 0 <= label < classes:
        raise DatasetError(
            f"{where}: a class must be among 0 to {classes - 1}, the names of the YAML file. "
            f"Received: {cells[0]}"
        )
    if max(map(abs, numbers)) > MOST:
        raise DatasetError(
            f"{where}: boxes must be fractions of the image, 0 to 1. Received: {' '.join(cells)}"
        )
    if is_polygon:
        xs, ys = numbers[::2], numbers[1::2]
        return int(label), (min(xs), min(ys), max(xs), max(ys))
    x, y, width, height = numbers
    return int(label), (x - width / 2, y - height / 2, x + width / 2, y + height / 2)

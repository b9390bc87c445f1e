"""COCO-Text's JSON file of words (arXiv 1601.07140), versions 1 and 2.

    cocotext.v2.json   train2014/COCO_train2014_000000000009.jpg

`imgs` and `anns` are objects by id. A word is a `mask` (version 2) or a `polygon` (version 1) of
corners x1, y1, x2, y2, ..., or else its `bbox` x, y, width, height; words that are not legible are
ignored. Images belong to the splits of their `set`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from newnet_tf.data.datasets.base import ALL, TRAIN, Dataset, DatasetError
from newnet_tf.data.datasets.split_names import split_of
from newnet_tf.data.datasets.text.listing import ImageWords, text_dataset
from newnet_tf.data.image_files import display_name, subfolders
from newnet_tf.data.words import WordChecker

KEYS = ("anns", "imgs")
HEAD = 2**16  # bytes in which a file of COCO-Text names one of its keys
LEGIBLE = "legible"
NO_POLYGON = "without corners, left out"
NO_IMAGE = "of an image that the file does not list, left out"
PLACES = ("", "images", "train2014", "val2014")


def is_coco_text(path: Path) -> bool:
    """Returns whether a file looks like COCO-Text's, by its name and its beginning."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with open(path, "rb") as file:
        head = file.read(HEAD)
    named = [f'"{key}"'.encode() in head for key in KEYS]
    others = b'"annotations"' in head or b'"images"' in head  # COCO's own
    return not others and (any(named) if len(head) == HEAD else all(named))


def coco_text_dataset(
    file: Path,
    validation_split: float = 0.2,
    seed: int = 0,
    images_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Opens a file of COCO-Text's. Images that it lists without a word are left out.

    Args:
        file: `Path`.

        validation_split, seed: as in `load_dataset`; they divide the images of a file of one split.

        images_dir: path, the folder of the images. Default: None, the file's own folder, `images`,
            `train2014` or `val2014` in it or next to it, where an image is.

    Returns:
        `Dataset` of the task `"text_detection"`.

    Raises:
        DatasetError: for what is no file of COCO-Text's, or if no image is there.
    """
    data = _read(file)
    checker, shown = WordChecker(), display_name(file)
    words: dict[str, list] = {key: [] for key in data["imgs"]}
    for annotation in data["anns"].values():
        key = str(annotation.get("image_id"))
        corners = _corners(annotation)
        if key not in words:
            checker.add(shown, NO_IMAGE)
        elif corners is None:
            checker.add(shown, NO_POLYGON)
        else:
            text = str(annotation.get("utf8_string") or "")
            words[key].append((corners, annotation.get("legibility") != LEGIBLE, text))
    images: dict[str, list[ImageWords]] = {}
    folders = _folders(file, images_dir)
    for key, image in data["imgs"].items():
        if not words[key]:
            continue
        path = _image_path(folders, str(image.get("file_name", "")))
        split = split_of(str(image.get("set", ""))) or ALL
        images.setdefault(split, []).append(ImageWords(path, tuple(words[key]), _size(image)))
    if len(images) == 1 and set(images) <= {TRAIN, ALL}:
        images = {ALL: next(iter(images.values()))}
    return text_dataset(
        display_name(file.stem),
        images,
        checker=checker,
        validation_split=validation_split,
        seed=seed,
    )


def _read(file: Path) -> dict:
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{file} must be a COCO-Text file (JSON). Received: {error}") from None
    is_whole = isinstance(data, dict) and all(
        isinstance(data.get(key), dict)
        and all(isinstance(entry, dict) for entry in data[key].values())
        for key in KEYS
    )
    if not is_whole:
        received = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise DatasetError(
            f"{file} must be a COCO-Text file, with objects {' and '.join(KEYS)}. "
            f"Received: {received}"
        )
    return data


def _corners(annotation: Mapping) -> list[tuple[float, float]] | None:
    """Returns the corners of a word in pixels, or None if there are none."""
    for key in ("mask", "polygon"):
        numbers = annotation.get(key)
        if _are_numbers(numbers) and len(numbers) >= 6 and len(numbers) % 2 == 0:
            return list(zip(numbers[::2], numbers[1::2], strict=True))
    box = annotation.get("bbox")
    if not _are_numbers(box) or len(box) != 4:
        return None
    x, y, width, height = box
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


def _folders(file: Path, images_dir: str | os.PathLike | None) -> list[Path]:
    if images_dir is not None:
        return [Path(images_dir), *subfolders(images_dir)]
    bases = [file.parent, file.parent.parent]
    return [base / place for base in bases for place in PLACES if (base / place).is_dir()]


def _image_path(folders: list[Path], name: str) -> Path:
    """Returns where an image is: in the first folder that has it, or would be in the first."""
    names = (name, PurePosixPath(name.replace("\\", "/")).name)
    places = [folder / own for folder in folders for own in names]
    return next((path for path in places if path.is_file()), places[0])


def _size(image: Mapping) -> tuple[int, int] | None:
    size = (image.get("height"), image.get("width"))
    return size if all(isinstance(side, int) and side > 0 for side in size) else None


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and all(
        isinstance(x, int | float) and not isinstance(x, bool) for x in values
    )

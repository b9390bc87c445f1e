"""COCO's JSON files of boxes.

    annotations/instances_train2017.json   train2017/000000000009.jpg
    train/_annotations.coco.json           train/a.jpg

`bbox` is x, y, width, height in pixels of the image. Classes are numbered in the order of their ids,
which may have gaps. `iscrowd` marks a box of many objects. Masks are not read.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from newnet_tf.data.boxes import BoxChecker, make_label
from newnet_tf.data.datasets.base import ALL, TRAIN, Dataset, DatasetError
from newnet_tf.data.datasets.detection.listing import AnnotatedImage, detection_dataset
from newnet_tf.data.datasets.split_names import name_splits, split_of
from newnet_tf.data.image_files import display_name, subfolders

PREFIX = "instances_"
KEYS = ("images", "annotations", "categories")
HEAD = 2**16  # bytes in which a COCO file names one of its keys
SAMPLE = 50  # images by which the folder of images is found
NO_BOX = "without a `bbox` of four numbers, left out"
NO_IMAGE = "of an image that the file does not list, left out"


def is_coco(path: Path) -> bool:
    """Returns whether a file looks like one of COCO's, by its name and its beginning."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with open(path, "rb") as file:
        head = file.read(HEAD)
    named = [f'"{key}"'.encode() in head for key in KEYS]
    is_object = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    return is_object and (any(named) if len(head) == HEAD else all(named))


def coco_dataset(
    files: Mapping[str, Path],
    *,
    name: str,
    validation_split: float = 0.2,
    seed: int = 0,
    images_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Opens the COCO files of a dataset's splits.

    Args:
        files: {split: `Path`}; `"all"` alone is divided into training and validation images.

        name: str, of the dataset.

        validation_split, seed: as in `load_dataset`.

        images_dir: path, the folder that file names start from. Default: None, the one among the usual
            places that has the images.

    Returns:
        `Dataset` of the task `"detection"`.

    Raises:
        DatasetError: for what is no COCO file, splits with different categories, or an unknown
            category.
    """
    checker, images, categories = BoxChecker(), {}, None
    for split, file in files.items():
        data = _read(file)
        own = _categories(file, data["categories"])
        if categories is not None and own != categories:
            raise DatasetError(
                f"all splits must have the same categories. Received: {file} with {_brief(own)}, "
                f"others with {_brief(categories)}"
            )
        categories = own
        images[split] = _annotated(file, split, data, categories, checker, images_dir)
    names = [categories[key] for key in sorted(categories)]
    return detection_dataset(
        name, names, images, checker=checker, validation_split=validation_split, seed=seed
    )


def find_coco(root: Path) -> list[dict[str, Path]]:
    """Returns the ways to read a folder: for each place with COCO files, {split: file}.

    Places are the subfolder `annotations`, of which the files `instances_*` count if there are any, the
    folder itself, and its subfolders of splits, with one file each.

    Raises:
        DatasetError: if the files of a place do not say which split they are.
    """
    ways = []
    for place in (root / "annotations", root):
        files = sorted(path for path in place.glob("*.json") if is_coco(path))
        instances = [path for path in files if path.name.startswith(PREFIX)]
        if files:
            ways.append(_by_split(instances or files, [_stem(p) for p in instances or files]))
    folders = [path for path in subfolders(root) if split_of(path.name)]
    inside = {path: [p for p in sorted(path.glob("*.json")) if is_coco(p)] for path in folders}
    files = [path for paths in inside.values() for path in paths]
    if files:
        ways.append(_by_split(files, [path.parent.name for path in files]))
    return ways


def split_of_file(path: Path) -> str:
    """Returns the split that a file alone is: by its name, `"all"` for training images or unknown."""
    split = split_of(_stem(path)) or split_of(path.parent.name)
    return ALL if split in (None, TRAIN) else split


def _by_split(files: Sequence[Path], names: Sequence[str]) -> dict[str, Path]:
    if len(files) == 1:
        return {split_of_file(files[0]): files[0]}
    splits = name_splits(names)
    found = {splits.get(name): file for name, file in zip(names, files, strict=True)}
    if None in found or len(found) < len(files):
        raise DatasetError(
            "COCO files of one folder must be different splits, which their names say (train, val, "
            f"test); name one of them as the data. Received: {', '.join(map(display_name, files))}"
        )
    return found


def _stem(path: Path) -> str:
    return path.stem.removeprefix(PREFIX)


def _read(file: Path) -> dict:
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{file} must be a COCO file (JSON). Received: {error}") from None
    is_whole = isinstance(data, dict) and all(
        isinstance(data.get(key), list) and all(isinstance(entry, dict) for entry in data[key])
        for key in KEYS
    )
    if not is_whole:
        received = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise DatasetError(
            f"{file} must be a COCO file of boxes, with lists of {', '.join(KEYS)}. "
            f"Received: {received}"
        )
    return data


def _categories(file: Path, entries: Sequence[Mapping]) -> dict[int, str]:
    is_valid = all(isinstance(entry.get("id"), int) and "name" in entry for entry in entries)
    names = {entry["id"]: str(entry["name"]) for entry in entries} if is_valid else {}
    if not names or len(set(names.values())) < len(entries):
        raise DatasetError(
            f"{file}: categories must have an `id` (int) and a `name` of their own each. "
            f"Received: {_brief(names)}"
        )
    return names


def _annotated(file, split, data, categories, checker, images_dir) -> list[AnnotatedImage]:
    """Returns the images of a file with their boxes."""
    rank = {key: i for i, key in enumerate(sorted(categories))}
    boxes: dict[object, list] = {}
    for entry in data["images"]:
        key = entry.get("id")
        if "file_name" not in entry or not isinstance(key, int | str) or key in boxes:
            raise DatasetError(
                f"{file}: images must have a `file_name` and an `id` of their own. Received: {entry}"
            )
        boxes[key] = []
    shown = display_name(file)
    for entry in data["annotations"]:
        box, category, image = (entry.get(key) for key in ("bbox", "category_id", "image_id"))
        if not isinstance(category, int) or category not in rank:
            raise DatasetError(
                f"{file}: `category_id` must be among {_brief(categories)}. Received: {category!r} in "
                f"annotation {entry.get('id')!r}"
            )
        if not isinstance(image, int | str) or image not in boxes:
            checker.add(shown, NO_IMAGE)
        elif not _is_box(box):
            checker.add(shown, NO_BOX)
        else:
            x, y, width, height = box
            row = (x, y, x + width, y + height, rank[category], bool(entry.get("iscrowd")))
            boxes[image].append(row)
    folder = _images_folder(file, split, data["images"], images_dir)
    return [
        AnnotatedImage(
            _image_path(folder, entry["file_name"]),
            make_label(
                [row[:4] for row in boxes[entry["id"]]],
                [row[4] for row in boxes[entry["id"]]],
                crowd=[row[5] for row in boxes[entry["id"]]],
            ),
            _size(entry),
        )
        for entry in data["images"]
    ]


def _images_folder(file: Path, split: str, entries, images_dir) -> Path:
    """Returns the folder of the images: of the usual places the one with most of them."""
    if images_dir is not None:
        return Path(images_dir)
    root = file.parent.parent if file.parent.name.lower() == "annotations" else file.parent
    bases = [root / "images", root]
    places = [file.parent, *(base / _stem(file) for base in bases)]
    for base in bases:
        if base.is_dir():
            places += [path for path in subfolders(base) if split_of(path.name) == split]
    places += bases
    names = [entry["file_name"] for entry in entries[:: max(1, len(entries) // SAMPLE)]]
    hits = [sum(_image_path(place, name).is_file() for name in names) for place in places]
    return places[max(range(len(places)), key=lambda i: (hits[i], -i))]


def _image_path(folder: Path, name: object) -> Path:
    """Returns where an image is: its path below the folder, or its name alone."""
    written = str(name).replace("\\", "/")
    path = folder / written
    return path if path.is_file() else folder / PurePosixPath(written).name


def _size(entry: Mapping) -> tuple[int, int] | None:
    size = (entry.get("height"), entry.get("width"))
    is_known = all(isinstance(x, int | float) and math.isfinite(x) and x >= 1 for x in size)
    return tuple(round(x) for x in size) if is_known else None


def _is_box(box: object) -> bool:
    if not isinstance(box, list) or len(box) != 4:
        return False
    return all(isinstance(x, int | float) and math.isfinite(x) for x in box)


def _brief(categories: Mapping) -> str:
    shown = ", ".join(f"{key}: {name}" for key, name in list(categories.items())[:5])
    return f"{shown}, ... ({len(categories)})" if len(categories) > 5 else shown or "none"

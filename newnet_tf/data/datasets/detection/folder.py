"""Finds out whether a folder or a file holds boxes, and in which format."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.data.datasets.base import ALL, TRAIN, VALIDATION, Dataset, DatasetError
from newnet_tf.data.datasets.detection import coco, voc, yolo
from newnet_tf.data.datasets.split_names import name_splits
from newnet_tf.data.image_files import SUFFIXES, display_name, subfolders

DEPTH = 3  # folders that may lie around the data, each the only one in it


@dataclass(frozen=True)
class BoxFormat:
    """A way to read the boxes of a folder.

    Args:
        name: str, of the format and what was found of it.

        splits: tuple of str.

        open: callable, (validation_split, seed, images_dir) -> `Dataset`.
    """

    name: str
    splits: tuple[str, ...]
    open: Callable[..., Dataset]

    @property
    def known_splits(self) -> tuple[str, ...]:
        """Names of the dataset's splits: images without splits of their own are divided."""
        return (TRAIN, VALIDATION, ALL) if self.splits == (ALL,) else self.splits


def find_box_format(path: Path) -> BoxFormat | None:
    """Returns how to read the boxes of a folder, of a COCO file or of a YAML file.

    Args:
        path: `Path`; of a folder VOC's `Annotations` may be named too.

    Returns:
        `BoxFormat`, or None for what holds no boxes.

    Raises:
        DatasetError: for a folder that can be read in several ways; it names them.
    """
    if path.is_file():
        return _of_file(path)
    root = path
    if root.name.lower() == voc.ANNOTATIONS.lower() and any(root.glob("*.xml")):
        return _voc(root.parent, voc.find_voc(root.parent))
    for _ in range(DEPTH):
        found = _formats(root)
        children = subfolders(root)
        if found or len(children) != 1:
            break
        root = children[0]
    if not found:
        years = [child for child in subfolders(root) if voc.find_voc(child)]
        found = [_voc(child, voc.find_voc(child)) for child in years]
    if len(found) > 1:
        lines = "".join(f"\n  {way.name}" for way in found)
        raise DatasetError(
            "a folder must hold boxes in one format; name one of these files or folders as the data. "
            f"Received: {display_name(path)!r} with{lines}"
        )
    return found[0] if found else None


def _of_file(path: Path) -> BoxFormat | None:
    if yolo.is_yolo(path):
        return _yolo(path)
    if path.suffix.lower() == ".json":
        name = display_name(path.stem)
        return _coco({coco.split_of_file(path): path}, name)
    return None


def _formats(root: Path) -> list[BoxFormat]:
    """Returns all ways to read a folder."""
    name = display_name(root.resolve().name)
    found = [_coco(files, name) for files in coco.find_coco(root)]
    found += [_yolo(file) for file in yolo.find_yolo(root)]
    parts = voc.find_voc(root) or _xml_with_images(root)
    if parts:
        found.append(_voc(root, parts))
    if not found and _has_yolo_labels(root):
        raise DatasetError(
            "a YOLO folder must have a file data.yaml with the names of its classes (names: [cat, "
            f"dog]) and its splits (train: images/train). Received: {display_name(root)!r} without"
        )
    return found


def _coco(files: dict[str, Path], name: str) -> BoxFormat:
    shown = ", ".join(display_name(file) for file in files.values())

    def load(validation_split: float, seed: int, images_dir: str | os.PathLike | None) -> Dataset:
        return coco.coco_dataset(
            files, name=name, validation_split=validation_split, seed=seed, images_dir=images_dir
        )

    return BoxFormat(f"COCO: {shown}", tuple(files), load)


def _yolo(file: Path) -> BoxFormat:
    values = yolo.read_yaml(file)
    splits = tuple(dict.fromkeys(s for key, s in yolo.SPLITS.items() if values.get(key)))

    def load(validation_split: float, seed: int, images_dir: object) -> Dataset:
        return yolo.yolo_dataset(file, validation_split, seed)

    return BoxFormat(f"YOLO: {display_name(file)}", (ALL,) if splits == (TRAIN,) else splits, load)


def _voc(root: Path, parts: dict[str, voc.VocPart]) -> BoxFormat:
    def load(validation_split: float, seed: int, images_dir: object) -> Dataset:
        return voc.voc_dataset(root, parts, validation_split, seed)

    first = next(iter(parts.values())).files[0].parent
    return BoxFormat(f"PASCAL VOC: {display_name(first)}", tuple(parts), load)


def _xml_with_images(root: Path) -> dict[str, voc.VocPart]:
    """Returns the parts of a folder of images and XML files, or of such folders of splits."""
    own = voc.xml_with_images(root)
    if own and _has_image(root):
        return {ALL: own}
    folders = {path.name: path for path in subfolders(root)}
    found = {}
    for name, split in name_splits(list(folders)).items():
        part = voc.xml_with_images(folders[name])
        if part and _has_image(folders[name]) and split not in found:
            found[split] = part
    return {ALL: found[TRAIN]} if list(found) == [TRAIN] else found


def _has_yolo_labels(root: Path) -> bool:
    """Returns whether a folder has YOLO's folders `images` and `labels`, in it or in its splits."""
    for place in (root, *subfolders(root)):
        labels = place / yolo.LABELS
        if (place / yolo.IMAGES).is_dir() and labels.is_dir():
            return any(path.suffix == ".txt" for path in labels.rglob("*.txt"))
    return False


def _has_image(folder: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())

"""Finds out whether a folder or a file holds words as polygons, and in which format."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.data.datasets.base import ALL, TRAIN, VALIDATION, Dataset, DatasetError
from newnet_tf.data.datasets.text import coco_text, icdar
from newnet_tf.data.image_files import display_name, subfolders

DEPTH = 3  # folders that may lie around the data, each the only one in it


@dataclass(frozen=True)
class TextFormat:
    """A way to read the words of a folder.

    Args:
        splits: tuple of str; None where only reading tells.

        open: callable, (validation_split, seed, images_dir) -> `Dataset`.
    """

    splits: tuple[str, ...] | None
    open: Callable[..., Dataset]

    @property
    def known_splits(self) -> tuple[str, ...] | None:
        """Names of the dataset's splits: images without splits of their own are divided."""
        return (TRAIN, VALIDATION, ALL) if self.splits == (ALL,) else self.splits


def find_text_format(path: Path) -> TextFormat | None:
    """Returns how to read the words of a folder or of a COCO-Text file.

    Args:
        path: `Path`.

    Returns:
        `TextFormat`, or None for what holds no words.

    Raises:
        DatasetError: for a folder that can be read in several ways; it names them.
    """
    if path.is_file():
        return _coco_text(path) if coco_text.is_coco_text(path) else None
    root = path
    for _ in range(DEPTH):
        files = [file for file in sorted(root.glob("*.json")) if coco_text.is_coco_text(file)]
        parts = icdar.find_icdar(root)
        children = subfolders(root)
        if files or parts or len(children) != 1:
            break
        root = children[0]
    if len(files) + bool(parts) > 1:
        names = [*map(display_name, files), *(["text files of words"] if parts else [])]
        raise DatasetError(
            "a folder must hold words in one format; name one file as the data. "
            f"Received: {display_name(path)!r} with {', '.join(names)}"
        )
    if files:
        return _coco_text(files[0])
    return _icdar(root, parts) if parts else None


def _coco_text(file: Path) -> TextFormat:
    def load(validation_split: float, seed: int, images_dir: object) -> Dataset:
        return coco_text.coco_text_dataset(file, validation_split, seed, images_dir)

    return TextFormat(None, load)


def _icdar(root: Path, parts: dict[str, icdar.IcdarPart]) -> TextFormat:
    def load(validation_split: float, seed: int, images_dir: object) -> Dataset:
        return icdar.icdar_dataset(root, parts, validation_split, seed)

    listed = icdar.listed_sets(root) if list(parts) == [ALL] else {}
    return TextFormat(tuple(listed or parts), load)

"""Checks of what `load_dataset` takes and of a run's folder, before TensorFlow is imported."""

import os
from pathlib import Path
from typing import Any

from newnet_tf.data.datasets import folder, tfds
from newnet_tf.data.datasets.base import (
    ALL,
    TEXT_DETECTION,
    TRAIN,
    VALIDATION,
    Dataset,
    DatasetError,
)
from newnet_tf.data.datasets.detection.folder import find_box_format
from newnet_tf.data.datasets.factory import DATA, load_dataset
from newnet_tf.data.datasets.text.folder import find_text_format
from newnet_tf.data.image_files import SUFFIXES, find_images, summarize_skipped
from newnet_tf.training import checkpoint
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.suggest import suggestion

PREPARED = f"{', '.join(tfds.NAMES)} or {tfds.PREFIX}NAME"


def refuse_text(dataset: Dataset) -> None:
    """Raises ValueError for a dataset of text detection, which no command trains on."""
    if dataset.task == TEXT_DETECTION:
        raise ValueError(
            "`dataset` (--data) must be of classes or boxes: text detectors are trained in Python, "
            "with newnet_tf.text.TextLoader (docs/text.md). "
            f"Received: {dataset.name}, of the task {dataset.task!r}"
        )


def check_data(
    data: Any,
    *,
    split: str | None = None,
    validation_split: float = 0.2,
    images_dir: str | os.PathLike | None = None,
) -> None:
    """Checks that a dataset exists; its images are not listed.

    Args:
        data, validation_split, images_dir: as in `load_dataset`; objects are not checked.

        split: str, the split that is asked for. Default: none.

    Raises:
        ValueError: for an unknown name, a path where nothing is, a folder without images, a split that
            it does not have, or a fraction out of range.
    """
    if not isinstance(data, (str, os.PathLike)):
        return
    if not 0 < validation_split < 1:
        raise ValueError(
            "`validation_split` (--validation-split) must lie between 0 and 1. "
            f"Received: {validation_split!r}"
        )
    name = os.fspath(data)
    if _is_prepared(name):
        return
    if Path(name).is_dir():
        _check_folder(name, split)
    elif not Path(name).exists():
        raise DatasetError(
            f"`data` (--data) must be among: {DATA}. "
            f"Received: {name!r}, where nothing is{suggestion(name, tfds.NAMES)}"
        )
    if images_dir is not None and Path(name).is_dir():
        load_dataset(name, images_dir=images_dir)  # refuses it
    if images_dir is not None and not Path(images_dir).is_dir():
        raise DatasetError(
            "`images_dir` (--images-dir) must be an existing folder. "
            f"Received: {os.fspath(images_dir)}"
        )


def check_prepared(name: str) -> None:
    """Raises ValueError unless `name` is that of a dataset of tensorflow-datasets."""
    if not _is_prepared(name):
        raise ValueError(
            f"the dataset must be {PREPARED}. Received: {name!r}{suggestion(name, tfds.NAMES)}"
        )


def check_run_folder(path: Path, recipe: Recipe, resume: bool) -> None:
    """Checks that a run may begin in a folder, or resume there with a recipe.

    Args:
        path: `Path` of the run's folder.

        recipe: `Recipe` of the run.

        resume: bool, whether it may resume.

    Raises:
        ValueError: for a folder with a run, or with `resume` one of another recipe; it says what
            differs.
    """
    file = path / checkpoint.NAME
    if not file.exists():
        return
    before = (checkpoint.read_fingerprint(file) or {}).get("recipe", {})
    old, new = dict(before), recipe.flat()
    if old.get("batch_size", 0) < new["batch_size"]:  # lowered by the run itself, for few images
        del new["batch_size"]
        old.pop("batch_size", None)
    differing = "; ".join(checkpoint.differences({"recipe": old}, {"recipe": new})) if old else ""
    if not resume:
        others = f" of a run with other settings: {differing}" if differing else ""
        raise ValueError(
            "a run must have a folder of its own (`output_dir`, -o), or resume with `resume=True` "
            f"(--resume). Received: {path}, which has a checkpoint{others}"
        )
    if differing:
        raise ValueError(
            "a run must resume with the settings it began with, or have another folder "
            f"(`output_dir`, -o); {file} has others. Received: {differing}"
        )


def _is_prepared(name: str) -> bool:
    return name in tfds.NAMES or name.startswith(tfds.PREFIX)


def _check_folder(name: str, split: str | None) -> None:
    if found := find_text_format(Path(name)) or find_box_format(Path(name)):
        if found.known_splits is not None:
            _check_split(name, split, found.known_splits)
        return
    layout = folder.folder_layout(name)
    for place in layout.splits.values() or [layout.root]:
        if not _has_image(place):
            why = summarize_skipped(find_images(place).skipped) or "it is empty"
            raise DatasetError(
                f"`data` (--data) must hold images. Received: {name!r}: none in {str(place)!r}, {why}"
            )
    _check_split(name, split, tuple(layout.splits) or (TRAIN, VALIDATION, ALL))


def _check_split(name: str, split: str | None, splits: tuple[str, ...]) -> None:
    if split is not None and split not in splits:
        raise DatasetError(
            f"`split` (--split) of {name} must be among {splits}. "
            f"Received: {split!r}{suggestion(split, splits)}"
        )


def _has_image(place: Path) -> bool:
    """Returns whether an image lies in a folder or below; stops at the first."""
    for _, _, files in os.walk(place):
        if any(Path(file).suffix.lower() in SUFFIXES for file in files):
            return True
    return bool(find_images(place).paths)

"""`load_dataset`: from a name or a path to labeled images."""

import os
from pathlib import Path

from newnet_tf.data.datasets import folder, tar, tfds
from newnet_tf.data.datasets.base import (
    ALL,
    TEST,
    TRAIN,
    VALIDATION,
    Dataset,
    DatasetError,
    file_split,
    stratified_split,
)

DATA = "imagenet, imagenet_v2, cifar10, cifar100, tfds:NAME, a folder or a tarball of class folders"
SUBFOLDERS = {TRAIN: ("train",), VALIDATION: ("validation", "val", "valid"), TEST: ("test",)}


def load_dataset(
    data: str | os.PathLike,
    *,
    validation_split: float = 0.2,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Opens labeled images.

    Args:
        data: str or path. A name: `"imagenet"`, `"imagenet_v2"`, `"cifar10"`, `"cifar100"` or
            `"tfds:NAME"` (a set of tensorflow-datasets). A folder: one subfolder of images for each
            class, or `train` and `validation` (or `val`, `test`) with such subfolders. A tarball of
            class folders, or CIFAR's binary version (see `datasets.tar`).

        validation_split: float in (0, 1), the share of a folder without splits of its own that
            becomes the validation split, class by class. Default: 0.2.

        seed: int, decides which images those are: the same ones for the same seed on any machine.
            Default: 0.

        data_dir: path, where prepared sets of tensorflow-datasets are stored. Default: None, the
            environment variable `TFDS_DATA_DIR`, else `~/tensorflow_datasets`.

    Returns:
        `Dataset` with `class_names` and named splits. A folder without splits of its own has
        `"train"`, `"validation"`, and `"all"`, which is both together.

    Raises:
        DatasetError, ImageError: for data that cannot be opened. The message says what to do.

    Example:
        >>> dataset = load_dataset("photos/flowers", validation_split=0.2)
        >>> dataset.class_names, dataset.split("train").size
        (('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips'), 1600)
    """
    name = os.fspath(data)
    if name in tfds.NAMES or name.startswith(tfds.PREFIX):
        return tfds.tfds_dataset(name, data_dir, validation_split)
    if tar.is_archive(name):
        return tar.archive_dataset(name)
    if Path(name).is_dir():
        return folder_dataset(name, validation_split, seed)
    raise DatasetError(f"`data` must be among: {DATA}. Received: {name!r}")


def folder_dataset(
    root: str | os.PathLike, validation_split: float = 0.2, seed: int = 0
) -> Dataset:
    """Opens a folder of images; arguments as in `load_dataset`."""
    root = Path(root)
    subfolders = {
        split: next((root / n for n in names if (root / n).is_dir()), None)
        for split, names in SUBFOLDERS.items()
    }
    subfolders = {split: path for split, path in subfolders.items() if path}
    if TRAIN in subfolders and len(subfolders) > 1:
        return _split_folders(root, subfolders)
    paths, labels, class_names = folder.labeled_files(root)
    train, validation = stratified_split(labels, validation_split, seed)
    positions = {TRAIN: train, VALIDATION: validation, ALL: range(len(paths))}
    splits = {
        split: file_split([paths[i] for i in chosen], [labels[i] for i in chosen])
        for split, chosen in positions.items()
        if len(chosen)
    }
    return Dataset(root.resolve().name, tuple(class_names), splits)


def _split_folders(root: Path, subfolders: dict[str, Path]) -> Dataset:
    files = {split: folder.labeled_files(path) for split, path in subfolders.items()}
    class_names = files[TRAIN][2]
    for split, (_, _, others) in files.items():
        if others != class_names:
            differing = sorted(set(others) ^ set(class_names))
            raise DatasetError(
                f"{subfolders[split]} must hold the classes of {subfolders[TRAIN]}. "
                f"Received: {differing} in one only"
            )
    splits = {split: file_split(paths, labels) for split, (paths, labels, _) in files.items()}
    return Dataset(root.resolve().name, tuple(class_names), splits)

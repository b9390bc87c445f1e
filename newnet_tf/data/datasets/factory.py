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
    validation_split: float = 0.2,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Opens labeled images.

    Args:
        data: a name (`"imagenet"`, `"imagenet_v2"`, `"cifar10"`, `"cifar100"`, `"tfds:NAME"`), or
            the path of a folder or of a tarball. A folder holds one subfolder of images a class,
            or `train` and `validation` (or `val`, `test`) with such subfolders; see `archives` for
            tarballs.
        validation_split: float in (0, 1), the part of a folder without own splits that is kept for
            validation, class by class. Default: 0.2.
        seed: int, which images those are; the same seed gives the same images anywhere.
        data_dir: where tensorflow-datasets' prepared sets lie; default: `TFDS_DATA_DIR`, else its own.

    Returns:
        A `Dataset`. A folder without own splits has `train`, `validation`, and `all`, both together.

    Raises:
        DatasetError, ImageError: for what cannot be opened.

    Example:
        >>> source = load_dataset("photos/flowers", holdout=0.2)
        >>> source.class_names, source.split("train").size
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
    """Opens a folder of images, see `load_dataset`."""
    root = Path(root)
    own = {
        split: next((root / n for n in names if (root / n).is_dir()), None)
        for split, names in SUBFOLDERS.items()
    }
    own = {split: path for split, path in own.items() if path}
    if TRAIN in own and len(own) > 1:
        return _own_splits(root, own)
    paths, labels, classes = folder.labeled_files(root)
    first, second = stratified_split(labels, validation_split, seed)
    parts = {TRAIN: first, VALIDATION: second, ALL: range(len(paths))}
    splits = {
        split: file_split([paths[i] for i in part], [labels[i] for i in part])
        for split, part in parts.items()
        if len(part)
    }
    return Dataset(root.resolve().name, tuple(classes), splits)


def _own_splits(root: Path, own: dict[str, Path]) -> Dataset:
    found = {split: folder.labeled_files(path) for split, path in own.items()}
    classes = found[TRAIN][2]
    for split, (_, _, others) in found.items():
        if others != classes:
            odd = sorted(set(others) ^ set(classes))
            raise DatasetError(
                f"{own[split]} must hold the classes of {own[TRAIN]}. Received: {odd} in one only"
            )
    splits = {split: file_split(paths, labels) for split, (paths, labels, _) in found.items()}
    return Dataset(root.resolve().name, tuple(classes), splits)

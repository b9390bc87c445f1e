"""`open_source`: from a name or a path to labelled pictures."""

import os
from pathlib import Path

from newnet_tf.data.datasets import folder, tar, tfds
from newnet_tf.data.datasets.base import (
    ALL,
    TEST,
    TRAIN,
    VALIDATION,
    Source,
    SourceError,
    file_split,
    held_out,
)

DATA = "imagenet, imagenet_v2, cifar10, cifar100, tfds:NAME, a folder or a tarball of class folders"
SUBFOLDERS = {TRAIN: ("train",), VALIDATION: ("validation", "val", "valid"), TEST: ("test",)}


def open_source(
    data: str | os.PathLike,
    holdout: float = 0.2,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
) -> Source:
    """Opens labelled pictures.

    Args:
        data: a name (`"imagenet"`, `"imagenet_v2"`, `"cifar10"`, `"cifar100"`, `"tfds:NAME"`), or
            the path of a folder or of a tarball. A folder holds one subfolder of pictures a class,
            or `train` and `validation` (or `val`, `test`) with such subfolders; see `archives` for
            tarballs.
        holdout: float in (0, 1), the part of a folder without own splits that is kept for
            validation, class by class. Default: 0.2.
        seed: int, which pictures those are; the same seed gives the same pictures anywhere.
        data_dir: where tensorflow-datasets' prepared sets lie; default: `TFDS_DATA_DIR`, else its own.

    Returns:
        A `Source`. A folder without own splits has `train`, `validation`, and `all`, both together.

    Raises:
        SourceError, ImageError: for what cannot be opened.

    Example:
        >>> source = open_source("photos/flowers", holdout=0.2)
        >>> source.class_names, source.split("train").size
        (('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips'), 1600)
    """
    name = os.fspath(data)
    if name in tfds.NAMES or name.startswith(tfds.PREFIX):
        return tfds.tfds_source(name, data_dir, holdout)
    if tar.is_archive(name):
        return tar.archive_source(name)
    if Path(name).is_dir():
        return folder_source(name, holdout, seed)
    raise SourceError(f"`data` must be among: {DATA}. Received: {name!r}")


def folder_source(root: str | os.PathLike, holdout: float = 0.2, seed: int = 0) -> Source:
    """Opens a folder of pictures, see `open_source`."""
    root = Path(root)
    own = {
        split: next((root / n for n in names if (root / n).is_dir()), None)
        for split, names in SUBFOLDERS.items()
    }
    own = {split: path for split, path in own.items() if path}
    if TRAIN in own and len(own) > 1:
        return _own_splits(root, own)
    paths, labels, classes = folder.labelled_files(root)
    first, second = held_out(labels, holdout, seed)
    parts = {TRAIN: first, VALIDATION: second, ALL: range(len(paths))}
    splits = {
        split: file_split([paths[i] for i in part], [labels[i] for i in part])
        for split, part in parts.items()
        if len(part)
    }
    return Source(root.resolve().name, tuple(classes), splits)


def _own_splits(root: Path, own: dict[str, Path]) -> Source:
    found = {split: folder.labelled_files(path) for split, path in own.items()}
    classes = found[TRAIN][2]
    for split, (_, _, others) in found.items():
        if others != classes:
            odd = sorted(set(others) ^ set(classes))
            raise SourceError(
                f"{own[split]} must hold the classes of {own[TRAIN]}. Received: {odd} in one only"
            )
    splits = {split: file_split(paths, labels) for split, (paths, labels, _) in found.items()}
    return Source(root.resolve().name, tuple(classes), splits)

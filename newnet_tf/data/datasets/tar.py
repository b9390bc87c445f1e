"""Tarballs of labeled images, read into memory: class folders, and CIFAR's binary version.

An archive holds `<split>/<class>/<image>` (below any folder), or is `cifar-10-binary.tar.gz` or
`cifar-100-binary.tar.gz`. CIFAR's "python version" consists of pickles, which are programs; nothing
runs them here.
"""

import os
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np

from newnet_tf.data.datasets.base import (
    TEST,
    TRAIN,
    Dataset,
    DatasetError,
    memory_split,
)
from newnet_tf.data.datasets.split_names import name_splits
from newnet_tf.data.image_files import HEAD, SUFFIXES, image_format, is_hidden
from newnet_tf.data.images import read_image
from newnet_tf.utils.progress import progress_bar

TAR = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
MAX_BYTES = 8 * 2**30
LAYOUTS = (
    "an archive must hold images as <train|validation|test>/<class>/<image>, "
    "or be CIFAR's binary version (cifar-10-binary.tar.gz, cifar-100-binary.tar.gz)"
)
SIZE, BYTES = 32, 3 * 32 * 32  # of an image of CIFAR


def is_archive(path: str | os.PathLike) -> bool:
    """Whether a path has the name of a tarball."""
    return os.fspath(path).lower().endswith(TAR)


def archive_dataset(path: str | os.PathLike) -> Dataset:
    """Opens a tarball.

    Args:
        path: path of the file; see the top of this module for its layout.

    Raises:
        DatasetError: for another layout, a damaged file, or more than 8 GiB inside.
    """
    name, classes, splits = _read(path)
    splits = {split: memory_split(*columns) for split, columns in splits.items()}
    return Dataset(name, classes, splits)


def archive_arrays(
    path: str | os.PathLike,
) -> tuple[tuple[str, ...], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Reads a tarball of images of one size as NumPy arrays, without TensorFlow.

    Args:
        path: path of the file, as in `archive_dataset`.

    Returns:
        (class_names, splits). Each split is a pair of images, uint8 (n, height, width, 3), and
        labels, int32 (n,).

    Raises:
        DatasetError: as `archive_dataset`, and for an image that cannot be read or has another size
            than the first.
    """
    _, classes, splits = _read(path)
    return classes, {
        split: (_pixels(*columns[::2]), np.asarray(columns[1], np.int32))
        for split, columns in splits.items()
    }


def _pixels(images, names: list[str]) -> np.ndarray:
    """Returns images, pixels or encoded, as one array."""
    if isinstance(images, np.ndarray):
        return images
    pixels = None
    for i, data in enumerate(progress_bar(images, "Decoding")):
        name = names[i]
        try:
            image = np.asarray(read_image(data))
        except ValueError as error:
            raise DatasetError(f"{name}: an image must be readable. Received: {error}") from error
        if pixels is None:
            pixels = np.empty((len(images), *image.shape), np.uint8)
        if image.shape != pixels.shape[1:]:
            raise DatasetError(
                f"{name}: images must all be of one size ({pixels.shape[1:]}) to be an array. "
                f"Received: {image.shape}"
            )
        pixels[i] = image
    return pixels


def _read(path: str | os.PathLike):
    """Returns (name, class names, {split: (images, labels, names)})."""
    path, name, members = _open(path)
    if any(member.endswith(".bin") for member in members):
        classes, splits = _binary(path, members)
    else:
        classes, splits = _class_folders(path, members)
    return name, classes, splits


def _open(path: str | os.PathLike) -> tuple[Path, str, dict[str, bytes]]:
    """Returns an archive's path, its name without suffix, and its members."""
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"`data` must be an existing archive. Received: {str(path)!r}")
    try:
        members = _members(path)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DatasetError(
            f"{path}: an archive must be whole. Received: {type(error).__name__}: {error}"
        ) from error
    name = path.name.lower()
    for suffix in sorted(TAR, key=len, reverse=True):
        name = name.removesuffix(suffix)
    return path, name, members


def _members(path: Path) -> dict[str, bytes]:
    """Reads images, labels and class names of a tarball in one pass; sorted by name."""
    contents, total = {}, 0
    with tarfile.open(path, "r|*") as archive:
        for member in progress_bar(archive, f"Reading {path.name}"):
            pure = PurePosixPath(member.name)
            suffix = pure.suffix.lower()
            if pure.name.startswith(("data_batch", "batches.meta")) and not suffix.strip("."):
                raise _pickled(path)
            if pure.parent.name == "cifar-100-python" and pure.name in ("train", "test"):
                raise _pickled(path)
            if not member.isfile() or any(map(is_hidden, pure.parts)):
                continue
            file = archive.extractfile(member)
            head = file.read(HEAD)
            if suffix not in (*SUFFIXES, ".bin", ".txt") and image_format(head) is None:
                continue
            total += member.size
            if total > MAX_BYTES:
                raise DatasetError(
                    f"{path}: an archive is read into memory and must hold at most 8 GiB; unpack "
                    "it and name the folder. Received: more"
                )
            contents[member.name] = head + file.read()
    return dict(sorted(contents.items()))


def _pickled(path: Path) -> DatasetError:
    return DatasetError(
        f"{path}: CIFAR must be its binary version (cifar-10-binary.tar.gz or "
        "cifar-100-binary.tar.gz on the same page, https://www.cs.toronto.edu/~kriz/cifar.html): "
        "pickles are programs, and none is run. Received: the python version"
    )


def _class_folders(path: Path, members: dict[str, bytes]):
    """Returns (class names, splits) of class folders."""
    parts: dict[str, list[tuple[str, str]]] = {}
    tables = (".bin", ".txt")
    images = [member for member in members if PurePosixPath(member).suffix.lower() not in tables]
    folders = {member: PurePosixPath(member).parts for member in images}
    names = name_splits(sorted({f[-3] for f in folders.values() if len(f) >= 3}))
    for member, own in folders.items():
        if len(own) >= 3 and own[-3] in names:
            parts.setdefault(names[own[-3]], []).append((own[-2], member))
    classes = sorted({label for images in parts.values() for label, _ in images})
    if not classes:
        raise DatasetError(f"{path}: {LAYOUTS}. Received: {_some(members)}")
    rank = {label: i for i, label in enumerate(classes)}
    splits = {
        split: (
            [members[m] for _, m in images],
            [rank[label] for label, _ in images],
            [f"{path.name}:{m}" for _, m in images],
        )
        for split, images in parts.items()
    }
    return tuple(classes), splits


def _binary(path: Path, members: dict[str, bytes]):
    """Returns (class names, splits) of CIFAR's binary version."""
    binary = {PurePosixPath(m).name: data for m, data in members.items() if m.endswith(".bin")}
    texts = {PurePosixPath(m).name: d for m, d in members.items() if m.endswith(".txt")}
    is_hundred = "fine_label_names.txt" in texts
    names = texts.get("fine_label_names.txt" if is_hundred else "batches.meta.txt")
    if names is None:
        raise DatasetError(f"{path}: {LAYOUTS}. Received: {_some(members)}")
    classes = tuple(names.decode().split())
    splits = {}
    for split, test in ((TRAIN, False), (TEST, True)):
        files = [file for file in sorted(binary) if file.startswith("test") == test]
        if files:
            labels, images = _records(path, files, binary, 2 if is_hundred else 1)
            if labels.max() >= len(classes):
                raise DatasetError(
                    f"{path}: labels must lie below {len(classes)}. Received: {labels.max()}"
                )
            image_names = [f"{path.name}:{split} {i}" for i in range(len(labels))]
            splits[split] = images, labels, image_names
    return classes, splits


def _records(path, files, binary, head):
    """Parses CIFAR's records: label bytes (the last one counts), then red, green, blue planes."""
    parts = []
    for file in files:
        data = np.frombuffer(binary[file], np.uint8)
        if not data.size or data.size % (head + BYTES):
            raise DatasetError(
                f"{path}: {file} must hold records of {head + BYTES} bytes. "
                f"Received: {data.size} bytes"
            )
        parts.append(data.reshape(-1, head + BYTES))
    rows = np.concatenate(parts)
    images = rows[:, head:].reshape(-1, 3, SIZE, SIZE).transpose(0, 2, 3, 1)
    return rows[:, head - 1].astype(np.int32), np.ascontiguousarray(images)


def _some(members) -> str:
    return ", ".join(list(members)[:3]) + (" ..." if len(members) > 3 else "") or "no image"

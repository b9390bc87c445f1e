"""Preparing sets of tensorflow-datasets once, so that training reads them from record files."""

import os
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.data.datasets.base import TRAIN, VALIDATION, DatasetError
from newnet_tf.data.datasets.tfds import builder
from newnet_tf.data.labels import imagenet_labels

WHERE = "https://image-net.org/download-images (after registering; ILSVRC2012, Task 1 & 2)"


@dataclass(frozen=True)
class Tarball:
    """One of ILSVRC 2012's archives: its split, name, size in bytes, and what its members are."""

    split: str
    name: str
    size: int
    member: str


TARBALLS = (
    Tarball(TRAIN, "ILSVRC2012_img_train.tar", 147_897_477_120, "a tarball a class, n01440764.tar"),
    Tarball(
        VALIDATION,
        "ILSVRC2012_img_val.tar",
        6_744_924_160,
        "images, ILSVRC2012_val_00000001.JPEG",
    ),
)


def prepare(
    name: str,
    manual_dir: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
    partial: bool = False,
):
    """Prepares a set, or finds it prepared.

    Args:
        name: `"imagenet"`, `"imagenet_v2"`, `"cifar10"`, `"cifar100"` or `"tfds:NAME"`.
        manual_dir: where files lie that must be fetched by hand (ImageNet's tarballs).
        data_dir: where to write; default: `TFDS_DATA_DIR`, else ~/tensorflow_datasets.
        partial: bool, whether ImageNet may lack one of its two tarballs (and then that split).

    Returns:
        (`{split: number of images}`, path of the prepared set).

    Raises:
        DatasetError: for files that are missing or not what they should be, a full disk, or a set
            that cannot be had; the message says what to do.
    """
    made = builder(name, data_dir)
    if not made.info.splits:
        wanted = 0
        if made.name == "imagenet2012":
            wanted = _check_tarballs(manual_dir, partial)
        _check_room(Path(made.data_dir), wanted)
        _download(made, name, manual_dir)
    splits = {split: info.num_examples for split, info in made.info.splits.items()}
    return splits, Path(made.data_dir)


def _check_tarballs(manual_dir, partial: bool) -> int:
    """Says exactly what is missing; returns the bytes of what is there."""
    folder = Path(manual_dir) if manual_dir is not None else None
    lines, found = [], []
    for tarball in TARBALLS:
        path = folder / tarball.name if folder else None
        if path is not None and path.is_file():
            _check_members(path, tarball)
            found.append(path.stat().st_size)
            state = f"found, {found[-1]:,} bytes"
            if found[-1] != tarball.size:
                state += f" (ILSVRC's own has {tarball.size:,}: a part of it?)"
        else:
            state = f"MISSING, {tarball.size:,} bytes, from {WHERE}"
        lines.append(f"\n  {tarball.name}: {state}")
    if len(found) == len(TARBALLS) or (found and partial):
        print("newnet: preparing imagenet" + "".join(lines), file=sys.stderr, flush=True)
        return sum(found)
    where = f"{folder}" if folder else "no `manual_dir` (--manual-dir DIR)"
    hint = " (or allow it to be missing: --partial)" if found else ""
    raise DatasetError(f"ImageNet needs two files by hand{hint}. Received: {where}{''.join(lines)}")


def _check_members(path: Path, tarball: Tarball) -> None:
    """Looks at the first member, so that a wrong archive is known before hours of work."""
    try:
        with tarfile.open(path, "r:") as archive:
            first = archive.next()
    except tarfile.TarError as error:
        raise DatasetError(
            f"{path} must be ILSVRC's archive of {tarball.member}. Received: {error}"
        ) from None
    name = first.name if first else "nothing"
    if tarball.split == TRAIN:
        is_right = name.removesuffix(".tar") in {label.wnid for label in imagenet_labels()}
    else:
        is_right = name.startswith("ILSVRC2012_val_")
    if not is_right:
        raise DatasetError(
            f"{path} must be ILSVRC's archive of {tarball.member}. Received: {name!r} in it"
        )


def _check_room(folder: Path, wanted: int) -> None:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < wanted * 1.02:
        raise DatasetError(
            f"{folder} must have room for {wanted:,} bytes. Received: {free:,} bytes free"
        )


def _download(made, name: str, manual_dir) -> None:
    import tensorflow_datasets as package

    folder = None if manual_dir is None else os.fspath(manual_dir)
    config = package.download.DownloadConfig(manual_dir=folder)
    try:
        made.download_and_prepare(download_config=config)
    except Exception as error:  # downloads, archives and generators fail in ways of their own
        text = f"{type(error).__name__}: {error}".strip()
        raise DatasetError(
            f"{name} could not be prepared in {made.data_dir}; nothing is left behind. "
            f"Received: {text}"
        ) from error

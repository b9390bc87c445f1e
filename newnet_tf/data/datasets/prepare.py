"""Downloads and prepares sets of tensorflow-datasets, so that training reads them from record files."""

import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.data.datasets.base import TRAIN, VALIDATION, DatasetError
from newnet_tf.data.datasets.tfds import builder
from newnet_tf.data.labels import imagenet_labels
from newnet_tf.utils.progress import note

DOWNLOAD_PAGE = "https://image-net.org/download-images (after registering; ILSVRC2012, Task 1 & 2)"


@dataclass(frozen=True)
class Tarball:
    """One of the archives of ILSVRC 2012.

    Args:
        split: str.

        name: str, the file's name.

        size: int, in bytes.

        member: str, what its members are, for messages.
    """

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
    allow_missing: bool = False,
) -> tuple[dict[str, int], Path]:
    """Prepares a set, unless it is prepared already.

    Args:
        name: str, `"imagenet"`, `"imagenet_v2"`, `"cifar10"`, `"cifar100"` or `"tfds:NAME"`.

        manual_dir: path, the folder of files that must be downloaded by hand (ImageNet's tarballs).
            Default: None.

        data_dir: path, where to write. Default: None, the environment variable `TFDS_DATA_DIR`,
            else `~/tensorflow_datasets`.

        allow_missing: bool, whether one of ImageNet's two tarballs may be missing, and with it that
            split. Default: False.

    Returns:
        (`{split: number of images}`, path of the prepared set).

    Raises:
        DatasetError: for files that are missing or not what they should be, a full disk, or a set
            that cannot be downloaded. The message says what to do.
    """
    source = builder(name, data_dir)
    if not source.info.splits:
        size = 0
        if source.name == "imagenet2012":
            size = _check_tarballs(manual_dir, allow_missing)
        _check_disk_space(Path(source.data_dir), size)
        _download(source, name, manual_dir)
    splits = {split: info.num_examples for split, info in source.info.splits.items()}
    return splits, Path(source.data_dir)


def _check_tarballs(manual_dir, allow_missing: bool) -> int:
    """Raises an error that lists what is missing; returns the bytes of what is there."""
    folder = Path(manual_dir) if manual_dir is not None else None
    lines, sizes = [], []
    for tarball in TARBALLS:
        path = folder / tarball.name if folder else None
        if path is not None and path.is_file():
            _check_members(path, tarball)
            sizes.append(path.stat().st_size)
            state = f"found, {sizes[-1]:,} bytes"
            if sizes[-1] != tarball.size:
                state += f" (ILSVRC's own has {tarball.size:,}: is this a part of it?)"
        else:
            state = f"MISSING, {tarball.size:,} bytes, from {DOWNLOAD_PAGE}"
        lines.append(f"\n  {tarball.name}: {state}")
    if len(sizes) == len(TARBALLS) or (sizes and allow_missing):
        note("preparing imagenet" + "".join(lines))
        return sum(sizes)
    where = f"{folder}" if folder else "no `manual_dir` (--manual-dir DIR)"
    hint = " (or allow one to be missing: --allow-missing)" if sizes else ""
    raise DatasetError(
        f"two files of ImageNet must be downloaded by hand{hint}. Received: {where}{''.join(lines)}"
    )


def _check_members(path: Path, tarball: Tarball) -> None:
    """Reads the first member, so that a wrong archive is an error before hours of work."""
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


def _check_disk_space(folder: Path, size: int) -> None:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < size * 1.02:
        raise DatasetError(
            f"{folder} must have {size:,} bytes of free disk space. Received: {free:,} bytes"
        )


def _download(source, name: str, manual_dir) -> None:
    import tensorflow_datasets as package

    folder = None if manual_dir is None else os.fspath(manual_dir)
    config = package.download.DownloadConfig(manual_dir=folder)
    try:
        source.download_and_prepare(download_config=config)
    except Exception as error:  # downloads, archives and generators fail in ways of their own
        text = f"{type(error).__name__}: {error}".strip()
        raise DatasetError(
            f"{name} could not be prepared in {source.data_dir}; nothing is left behind. "
            f"Received: {text}"
        ) from error

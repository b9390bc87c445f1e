"""What datasets with boxes and with words share: files are looked at, labels checked, splits made.

An annotation format says of each image where it is, what is in it and, maybe, how large it is. Files
that are missing or no image, and images of another size than their annotation says, are left out and
named. Where the annotation's height and width are those of the stored image, which EXIF turns by 90
degrees, its label is turned too.
"""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from newnet_tf.data.datasets.base import (
    ALL,
    TEST,
    TRAIN,
    VALIDATION,
    Dataset,
    DatasetError,
    Split,
    file_split,
)
from newnet_tf.data.datasets.splitting import stratified_split
from newnet_tf.data.image_files import SkippedImage, display_name
from newnet_tf.data.images import ImageError, read_image
from newnet_tf.data.label_arrays import pad_labels
from newnet_tf.utils.progress import progress_bar

ORIENTATION = 0x0112  # tag of EXIF
PLAIN_HEADERS = ("JPEG", "MPO", "PNG", "BMP", "WEBP")  # whose size and orientation a header tells
THREADS, CHUNK = 8, 256
PROGRESS_FROM = 2000  # images whose headers are read with a progress bar
MISSING = "an annotated image that is not there"
TURNED = "turned with the image: their annotation counts in pixels before EXIF orientation"


@dataclass(frozen=True)
class ImageHeader:
    """Size and EXIF orientation of an image file: `height` and `width` as it is stored."""

    height: int
    width: int
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image as it is seen."""
        stored = (self.height, self.width)
        return stored[::-1] if self.orientation >= 5 else stored


def read_header(source: Path | bytes) -> ImageHeader:
    """Returns size and orientation of an image, without decoding it where that is possible.

    Args:
        source: `Path`, or the bytes of an encoded image.

    Raises:
        ImageError: for what is no readable image.
    """
    try:
        opened = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(opened) as image:
            if image.format in PLAIN_HEADERS:
                has_exif = "exif" in image.info or image.format in ("JPEG", "MPO")
                orientation = image.getexif().get(ORIENTATION, 1) if has_exif else 1
                known = isinstance(orientation, int) and 1 <= orientation <= 8
                return ImageHeader(image.height, image.width, orientation if known else 1)
    except Exception:  # a damaged or rare file: `read_image` reads it or says what is wrong
        pass
    height, width = read_image(source).shape[:2]
    return ImageHeader(height, width)


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """The annotated images of a dataset, and how their labels are made.

    Args:
        images: {split: images}, each with `path` and `size`, the (height, width) in the annotation,
            None where it says none; `"all"` alone is divided into training and validation images.

        label: callable, (image, its name, `ImageHeader`, whether it is turned) -> its checked label, in
            pixels of the image as it is seen.

        strata: callable, labels -> array (n, ...) of what both parts of `"all"` should have, see
            `stratified_split`.

        wanted: str, what a dataset must hold, for an error.
    """

    images: Mapping[str, Sequence[Any]]
    label: Callable[[Any, str, ImageHeader, bool], dict]
    strata: Callable[[Sequence[dict]], np.ndarray]
    wanted: str


def annotated_dataset(
    name: str,
    class_names: Sequence[str],
    task: str,
    annotations: Annotations,
    *,
    checker: Any,
    skipped: Sequence[SkippedImage] = (),
    validation_split: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Returns the dataset of annotated images.

    Args:
        name: str, of the dataset.

        class_names: str for each class.

        task: str, of the dataset.

        annotations: `Annotations`.

        checker: `BoxChecker` or `WordChecker`, whose remarks the dataset gets.

        skipped: `SkippedImage`s so far.

        validation_split, seed: as in `load_dataset`.

    Raises:
        DatasetError: if no image remains.
    """
    skipped, splits = list(skipped), {}
    for split, annotated in annotations.images.items():
        paths, labels = _present(annotated, annotations.label, skipped)
        if not paths:
            continue
        if split == ALL and len(annotations.images) == 1:
            strata = annotations.strata(labels)
            splits = _divided(paths, labels, strata, validation_split, seed)
        else:
            splits[split] = file_split(paths, pad_labels(labels))
    if not splits:
        why = (
            f", {len(skipped)} left out, as {skipped[0].path}: {skipped[0].reason}"
            if skipped
            else ""
        )
        raise DatasetError(f"{name} must hold {annotations.wanted}. Received: none{why}")
    order = [split for split in (TRAIN, VALIDATION, TEST, ALL) if split in splits]
    return Dataset(
        name,
        tuple(class_names),
        {split: splits[split] for split in order},
        task,
        tuple(skipped),
        tuple(checker.remarks),
    )


def _present(
    annotated: Sequence[Any], make_label: Callable, skipped: list[SkippedImage]
) -> tuple[list[Path], list[dict]]:
    """Returns the images that are there, and their labels in pixels of the image as it is seen."""
    paths, labels = [], []
    headers = read_headers([image.path for image in annotated])
    for image, header in zip(annotated, headers, strict=True):
        shown = display_name(image.path)
        if isinstance(header, str):
            skipped.append(SkippedImage(shown, header))
            continue
        stored = (header.height, header.width)
        if image.size not in (None, header.size, stored):
            (height, width), (own_height, own_width) = image.size, header.size
            said = f"{width} x {height}, the file {own_width} x {own_height}"
            reason = f"an image of another size than its annotation says ({said})"
            skipped.append(SkippedImage(shown, reason))
            continue
        is_turned = image.size is not None and image.size != header.size
        paths.append(image.path)
        labels.append(make_label(image, shown, header, is_turned))
    return paths, labels


def read_headers(paths: Sequence[Path]) -> list[ImageHeader | str]:
    """Returns the header of each file, or why it is left out.

    Args:
        paths: `Path`s of images.
    """

    def read(path):
        if not path.is_file():
            return MISSING
        try:
            return read_header(path)
        except ImageError as error:
            return str(error).removeprefix(f"{display_name(path)}: ")

    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    if len(paths) >= PROGRESS_FROM:
        chunks = progress_bar(chunks, "Looking at images")
    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
        # Threads restore the filters from before them, which are then no less strict than theirs.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return [header for chunk in chunks for header in pool.map(read, chunk)]


def _divided(
    paths: Sequence[Path],
    labels: Sequence[dict],
    strata: np.ndarray,
    validation_split: float,
    seed: int,
) -> dict[str, Split]:
    train, validation = stratified_split(strata, validation_split, seed)
    return {
        split: file_split([paths[i] for i in chosen], pad_labels([labels[i] for i in chosen]))
        for split, chosen in ((TRAIN, train), (VALIDATION, validation), (ALL, range(len(paths))))
        if len(chosen)
    }

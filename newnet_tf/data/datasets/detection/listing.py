"""From what an annotation format says of images to a `Dataset`: files are looked at, boxes checked."""

import io
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from newnet_tf.data.boxes import (
    BOXES,
    CLASSES,
    BoxChecker,
    Label,
    make_label,
    pad_labels,
    turn_boxes,
)
from newnet_tf.data.datasets.base import (
    ALL,
    DETECTION,
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
from newnet_tf.utils.progress import progress_bar

ORIENTATION = 0x0112  # tag of EXIF
PLAIN_HEADERS = ("JPEG", "MPO", "PNG", "BMP", "WEBP")  # whose size and orientation a header tells
THREADS, CHUNK = 8, 256
PROGRESS_FROM = 2000  # images whose headers are read with a progress bar
MISSING = "an annotated image that is not there"
TURNED = "turned with the image: their annotation counts in pixels before EXIF orientation"


@dataclass(frozen=True)
class AnnotatedImage:
    """What an annotation says of an image.

    Args:
        path: `Path` of the image file.

        label: mapping of arrays, see `data.boxes`.

        size: (height, width) in the annotation; None where it says none.

        is_relative: bool, whether boxes are in fractions of the image, not in pixels. Default: False.
    """

    path: Path
    label: Label = field(default_factory=lambda: make_label([], []))
    size: tuple[int, int] | None = None
    is_relative: bool = False


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


def detection_dataset(
    name: str,
    class_names: Sequence[str],
    images: Mapping[str, Sequence[AnnotatedImage]],
    *,
    skipped: Sequence[SkippedImage] = (),
    checker: BoxChecker | None = None,
    validation_split: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Returns the dataset of annotated images.

    Files that are missing or no image, and images whose size is not that of their annotation, are left
    out and named. Where the annotation's height and width are those of the stored image, which EXIF
    turns by 90 degrees, its boxes are turned too.

    Args:
        name: str, of the dataset.

        class_names: str for each class.

        images: {split: images}; `"all"` alone is divided into training and validation images.

        skipped: `SkippedImage`s so far.

        checker: `BoxChecker` with remarks so far. Default: a new one.

        validation_split, seed: as in `load_dataset`.

    Raises:
        DatasetError: if no image remains, or there is no class.
    """
    checker = checker or BoxChecker()
    skipped = list(skipped)
    if not class_names:
        raise DatasetError(f"{name} must have a box with a class. Received: none")
    splits = {}
    for split, annotated in images.items():
        paths, labels = _checked(annotated, checker, skipped)
        if not paths:
            continue
        if split == ALL and len(images) == 1:
            splits = _divided(paths, labels, len(class_names), validation_split, seed)
        else:
            splits[split] = file_split(paths, pad_labels(labels))
    if not splits:
        why = f"{len(skipped)} left out, as {skipped[0].path}: {skipped[0].reason}"
        raise DatasetError(
            f"{name} must hold annotated images; `images_dir` (--images-dir) names another folder of "
            f"images. Received: none{', ' + why if skipped else ''}"
        )
    order = [s for s in (TRAIN, VALIDATION, TEST, ALL) if s in splits]
    return Dataset(
        name,
        tuple(class_names),
        {split: splits[split] for split in order},
        DETECTION,
        tuple(skipped),
        tuple(checker.remarks),
    )


def _checked(
    annotated: Sequence[AnnotatedImage], checker: BoxChecker, skipped: list[SkippedImage]
) -> tuple[list[Path], list[Label]]:
    """Returns the images that are there, and their labels in pixels of the image as it is seen."""
    paths, labels = [], []
    for image, header in zip(annotated, read_headers([a.path for a in annotated]), strict=True):
        shown = display_name(image.path)
        if isinstance(header, str):
            skipped.append(SkippedImage(shown, header))
            continue
        height, width = header.size
        label, size = image.label, image.size
        if image.is_relative:
            label = {**label, BOXES: label[BOXES] * np.array([width, height] * 2, np.float32)}
        elif size is not None and size != header.size:
            if size != (header.height, header.width):
                said = f"an image of another size than its annotation says ({size[1]} x {size[0]}"
                skipped.append(SkippedImage(shown, f"{said}, the file {width} x {height})"))
                continue
            boxes = turn_boxes(label[BOXES], header.orientation, header.height, header.width)
            label = {**label, BOXES: boxes}
            checker.add(shown, TURNED, len(boxes))
        paths.append(image.path)
        labels.append(checker.check(shown, label, height, width))
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
    labels: Sequence[Label],
    classes: int,
    validation_split: float,
    seed: int,
) -> dict[str, Split]:
    """Divides images so that both parts have boxes of each class, as nearly as can be."""
    rows = np.zeros((len(labels), classes), np.int32)
    for i, label in enumerate(labels):
        rows[i, label[CLASSES]] = 1
    train, validation = stratified_split(rows, validation_split, seed)
    return {
        split: file_split([paths[i] for i in chosen], pad_labels([labels[i] for i in chosen]))
        for split, chosen in ((TRAIN, train), (VALIDATION, validation), (ALL, range(len(paths))))
        if len(chosen)
    }

"""From what an annotation format says of words in images to a `Dataset`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.data.datasets.base import (
    ALL,
    TEST,
    TEXT_DETECTION,
    TRAIN,
    VALIDATION,
    Dataset,
    DatasetError,
    Split,
    file_split,
)
from newnet_tf.data.datasets.detection.listing import read_headers
from newnet_tf.data.datasets.splitting import stratified_split
from newnet_tf.data.image_files import SkippedImage, display_name
from newnet_tf.data.polygons import turn_points
from newnet_tf.data.words import Label, WordChecker, pad_words

CLASS_NAMES = ("text",)
TURNED = "turned with the image: their annotation counts in pixels before EXIF orientation"


@dataclass(frozen=True)
class ImageWords:
    """What an annotation says of an image.

    Args:
        path: `Path` of the image file.

        words: tuple of (corners, whether it is ignored, text), corners x, y in pixels.

        size: (height, width) in the annotation; None where it says none.
    """

    path: Path
    words: tuple[tuple[Sequence, bool, str], ...] = ()
    size: tuple[int, int] | None = None


def text_dataset(
    name: str,
    images: Mapping[str, Sequence[ImageWords]],
    *,
    skipped: Sequence[SkippedImage] = (),
    checker: WordChecker | None = None,
    validation_split: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Returns the dataset of images with words.

    Files that are missing or no image, and images whose size is not that of their annotation, are left
    out and named. Where the annotation's height and width are those of the stored image, which EXIF
    turns by 90 degrees, its words are turned too.

    Args:
        name: str, of the dataset.

        images: {split: images}; `"all"` alone is divided into training and validation images.

        skipped: `SkippedImage`s so far.

        checker: `WordChecker` with remarks so far. Default: a new one.

        validation_split, seed: as in `load_dataset`.

    Raises:
        DatasetError: if no image remains.
    """
    checker, skipped = checker or WordChecker(), list(skipped)
    splits = {}
    for split, annotated in images.items():
        paths, labels = _checked(annotated, checker, skipped)
        if not paths:
            continue
        if split == ALL and len(images) == 1:
            splits = _divided(paths, labels, validation_split, seed)
        else:
            splits[split] = file_split(paths, pad_words(labels))
    if not splits:
        why = f", {len(skipped)} left out, as {skipped[0].path}: {skipped[0].reason}"
        raise DatasetError(
            f"{name} must hold images with words. Received: none{why if skipped else ''}"
        )
    order = [split for split in (TRAIN, VALIDATION, TEST, ALL) if split in splits]
    return Dataset(
        name,
        CLASS_NAMES,
        {split: splits[split] for split in order},
        TEXT_DETECTION,
        tuple(skipped),
        tuple(checker.remarks),
    )


def _checked(
    annotated: Sequence[ImageWords], checker: WordChecker, skipped: list[SkippedImage]
) -> tuple[list[Path], list[Label]]:
    """Returns the images that are there, and their labels in pixels of the image as it is seen."""
    paths, labels = [], []
    headers = read_headers([image.path for image in annotated])
    for image, header in zip(annotated, headers, strict=True):
        shown = display_name(image.path)
        if isinstance(header, str):
            skipped.append(SkippedImage(shown, header))
            continue
        words, (height, width) = image.words, header.size
        if image.size is not None and image.size != header.size:
            if image.size != (header.height, header.width):
                said = f"{image.size[1]} x {image.size[0]}, the file {width} x {height}"
                reason = f"an image of another size than its annotation says ({said})"
                skipped.append(SkippedImage(shown, reason))
                continue
            stored = (header.orientation, header.height, header.width)
            words = [
                (turn_points(np.reshape(corners, (-1, 2)), *stored), ignore, text)
                for corners, ignore, text in words
            ]
            checker.add(shown, TURNED, len(words))
        paths.append(image.path)
        labels.append(checker.check(shown, words, height, width))
    return paths, labels


def _divided(
    paths: Sequence[Path], labels: Sequence[Label], validation_split: float, seed: int
) -> dict[str, Split]:
    train, validation = stratified_split(np.zeros(len(paths), int), validation_split, seed)
    return {
        split: file_split([paths[i] for i in chosen], pad_words([labels[i] for i in chosen]))
        for split, chosen in ((TRAIN, train), (VALIDATION, validation), (ALL, range(len(paths))))
        if len(chosen)
    }

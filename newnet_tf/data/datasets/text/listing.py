"""From what an annotation format says of words in images to a `Dataset`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.data.datasets.annotated import TURNED, Annotations, ImageHeader, annotated_dataset
from newnet_tf.data.datasets.base import TEXT_DETECTION, Dataset
from newnet_tf.data.image_files import SkippedImage
from newnet_tf.data.polygons import turn_points
from newnet_tf.data.words import Label, WordChecker

CLASS_NAMES = ("text",)


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
    """Returns the dataset of images with words, see `annotated.annotated_dataset`.

    Args:
        name: str, of the dataset.

        images: {split: images}; `"all"` alone is divided into training and validation images.

        skipped: `SkippedImage`s so far.

        checker: `WordChecker` with remarks so far. Default: a new one.

        validation_split, seed: as in `load_dataset`.

    Raises:
        DatasetError: if no image remains.
    """
    checker = checker or WordChecker()

    def checked(image: ImageWords, shown: str, header: ImageHeader, is_turned: bool) -> Label:
        words = image.words
        if is_turned:
            stored = (header.orientation, header.height, header.width)
            words = [
                (turn_points(np.reshape(corners, (-1, 2)), *stored), ignore, text)
                for corners, ignore, text in words
            ]
            checker.add(shown, TURNED, len(words))
        return checker.check(shown, words, *header.size)

    return annotated_dataset(
        name,
        CLASS_NAMES,
        TEXT_DETECTION,
        Annotations(
            images=images,
            label=checked,
            strata=lambda labels: np.zeros(len(labels), int),
            wanted="images with words",
        ),
        checker=checker,
        skipped=skipped,
        validation_split=validation_split,
        seed=seed,
    )

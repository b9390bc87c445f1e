"""The images that an exported file is calibrated with and verified on."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from newnet_tf.data.datasets.base import Dataset, Split
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.data.images import ImageError, read_image
from newnet_tf.data.sample_images import CROPS, readable_images, sample_crops, sample_images
from newnet_tf.deploy.quantization.precisions import needs_calibration
from newnet_tf.utils.progress import note

MIN_CALIBRATION, MIN_VALIDATION = 10, 2  # images
DRAWN = 100  # images that are drawn from a split
Images = str | os.PathLike | Sequence[Any] | Split | None


def calibration_set(
    images: Images, precisions: Sequence[str], image_size: int
) -> Sequence[Any] | None:
    """Returns the images to calibrate with.

    Args:
        images: path of a folder, whose readable images are used; a list of images, which is returned as
            it is; a `Split` of a dataset, of which 100 images are drawn with a fixed seed; or None:
            crops of scikit-image's photographs, if a precision needs any.

        precisions: names of precisions.

        image_size: int, of the model's input.

    Raises:
        ValueError: if a folder has too few readable images.
    """
    if isinstance(images, (str, os.PathLike)):
        return readable_images(images, MIN_CALIBRATION, "--calibration-images", image_size)
    if isinstance(images, Split | Dataset):
        return split_images(images, "calibration_images")
    if images is None and needs_calibration(precisions):
        note(
            f"calibrating with {CROPS} crops of scikit-image's photographs; for a file to ship, give "
            "about 100 images of your own (--calibration-images)"
        )
        return sample_crops()
    return images


def validation_set(images: Images, image_size: int) -> Sequence[Any]:
    """Returns the images to verify on.

    Args:
        images: as in `calibration_set`; None: scikit-image's photographs.

        image_size: int, of the model's input.

    Raises:
        ValueError: if a folder has too few readable images.
    """
    if isinstance(images, (str, os.PathLike)):
        return readable_images(images, MIN_VALIDATION, "--images", image_size)
    if isinstance(images, Split | Dataset):
        return split_images(images, "validation_images")
    return sample_images() if images is None else images


@contextlib.contextmanager
def verified_on(validation_images: Images) -> Iterator[None]:
    """Adds to the errors of a verification on sample images that others may be needed.

    Args:
        validation_images: as the user gave them, None for sample images.
    """
    from newnet_tf.deploy import DegenerateOutputsError, ExportError

    try:
        yield
    except (ExportError, DegenerateOutputsError) as error:
        if validation_images is not None:
            raise
        raise type(error)(
            f"{error}. It was verified on sample photographs: images of the kind that the model will "
            "see (`validation_images`, --images DIR) may tell more"
        ) from error


def split_images(split: Split | Dataset, argument: str, count: int = DRAWN) -> list[Any]:
    """Returns readable images of a split, drawn with a fixed seed.

    Args:
        split: `Split`.

        argument: str, what the caller calls it, for errors.

        count: int, how many. Default: 100.

    Returns:
        List of paths, and of uint8 arrays for images that are no files.

    Raises:
        ValueError: for a whole dataset.
    """
    if isinstance(split, Dataset):
        raise ValueError(
            f"`{argument}` must be one split of a dataset, such as `dataset.split('train')`. "
            f"Received: {split}"
        )
    images: list[Any] = []
    for sample in iter_samples(split, count):
        try:
            image = read_image(sample.source)
        except ImageError as error:
            note(f"skipped: {error}")
            continue
        images.append(sample.source if isinstance(sample.source, str | os.PathLike) else image)
    return images


def drawn(paths: Sequence[Any], count: int = DRAWN) -> list[Any]:
    """Returns a random sample, drawn with a fixed seed, in the order of `paths`.

    Args:
        paths: what is drawn from.

        count: int, how many at most. Default: 100.
    """
    chosen = np.random.RandomState(0).permutation(len(paths))[:count]
    return [paths[i] for i in sorted(chosen)]

"""The images that `quantize` calibrates with, and the labeled ones that it compares on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newnet_tf.api.image_sets import (
    MIN_CALIBRATION,
    Images,
    calibration_set,
    drawn,
    validation_set,
)
from newnet_tf.classification.class_matching import match_classes
from newnet_tf.data.datasets.base import Dataset, Split
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.data.sample_images import image_files, readable_images
from newnet_tf.inference.loaded import LoadedModel
from newnet_tf.utils.progress import note

PRECISION = "int8-full"


@dataclass(frozen=True)
class LabeledImages:
    """Images, and a class for each, None where they are unknown."""

    images: Sequence[Any]
    labels: list[int] | None


def calibration_sample(images: Images, loaded: LoadedModel) -> Sequence[Any]:
    """Returns the images to calibrate with: of a folder or split 100 that are drawn.

    Args:
        images: as of `quantize`.

        loaded: `LoadedModel`.

    Raises:
        ValueError: if a folder has too few readable images.
    """
    size = loaded.preprocess.image_size
    if isinstance(images, str | os.PathLike):
        paths = drawn(image_files([images]))
        return readable_images(images, MIN_CALIBRATION, "--calibration-images", size, paths)
    chosen = calibration_set(images, [PRECISION], size)
    return [] if chosen is None else list(chosen)


def labeled_validation_set(
    images: Images, loaded: LoadedModel, calibration: Sequence[Any]
) -> LabeledImages:
    """Returns the images to compare on, without those that calibrate, and their labels.

    Args:
        images: as of `quantize`; None: the calibration images, without labels.

        loaded: `LoadedModel`.

        calibration: images that calibrate.

    Raises:
        ValueError: if no images remain, or their classes are not the model's.
    """
    if images is None:
        note(
            "validating on the calibration images; `validation_images` (--images) gives others, with "
            "top-1"
        )
        return LabeledImages(calibration, None)
    if isinstance(images, Split | Dataset):
        split = images.split() if isinstance(images, Dataset) else images
        names = images.class_names if isinstance(images, Dataset) else None
        samples = [(sample.source, sample.label) for sample in iter_samples(split)]
        return _without_calibration(samples, names, loaded, calibration, f"{split}")
    if isinstance(images, str | os.PathLike):
        from newnet_tf.data.datasets.folder import labeled_files

        paths, labels, names = labeled_files(images)
        samples = list(zip(paths, labels, strict=True))
        return _without_calibration(samples, names, loaded, calibration, os.fspath(images))
    return LabeledImages(validation_set(images, loaded.preprocess.image_size), None)


def _without_calibration(
    samples: Sequence[tuple[Any, int]],
    class_names: Sequence[str] | None,
    loaded: LoadedModel,
    calibration: Sequence[Any],
    source: str,
) -> LabeledImages:
    classes = list(range(loaded.classes))
    if class_names is not None:
        classes = match_classes(class_names, loaded.class_names, loaded.classes)
    used = {_key(image) for image in calibration}
    remaining = [(image, classes[label]) for image, label in samples if _key(image) not in used]
    if not remaining:
        raise ValueError(f"{source} must hold images that do not calibrate. Received: none")
    return LabeledImages([image for image, _ in remaining], [label for _, label in remaining])


def _key(image: Any) -> Any:
    """Returns what identifies an image: the path of a file, else the object."""
    return Path(image).resolve() if isinstance(image, str | os.PathLike) else id(image)

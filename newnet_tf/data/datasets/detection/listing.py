"""From what an annotation format says of boxes in images to a `Dataset`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from newnet_tf.data.boxes import BOXES, CLASSES, BoxChecker, Label, make_label, turn_boxes
from newnet_tf.data.datasets.annotated import TURNED, Annotations, ImageHeader, annotated_dataset
from newnet_tf.data.datasets.base import DETECTION, Dataset, DatasetError
from newnet_tf.data.image_files import SkippedImage

WANTED = "annotated images; `images_dir` (--images-dir) names another folder of images"


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
    """Returns the dataset of images with boxes, see `annotated.annotated_dataset`.

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
    if not class_names:
        raise DatasetError(f"{name} must have a box with a class. Received: none")

    def checked(image: AnnotatedImage, shown: str, header: ImageHeader, is_turned: bool) -> Label:
        height, width = header.size
        label = image.label
        if image.is_relative:
            label = {**label, BOXES: label[BOXES] * np.array([width, height] * 2, np.float32)}
        elif is_turned:
            boxes = turn_boxes(label[BOXES], header.orientation, header.height, header.width)
            label = {**label, BOXES: boxes}
            checker.add(shown, TURNED, len(boxes))
        return checker.check(shown, label, height, width)

    def classes_of(labels: Sequence[Label]) -> np.ndarray:
        """Returns which classes each image has, so that both parts have boxes of each."""
        rows = np.zeros((len(labels), len(class_names)), np.int32)
        for i, label in enumerate(labels):
            rows[i, label[CLASSES]] = 1
        return rows

    return annotated_dataset(
        name,
        class_names,
        DETECTION,
        Annotations(images=images, label=checked, strata=classes_of, wanted=WANTED),
        checker=checker,
        skipped=skipped,
        validation_split=validation_split,
        seed=seed,
    )

"""Collects a detector's boxes image by image."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from newnet_tf.data.boxes import choose_boxes
from newnet_tf.data.host_loader import Sample
from newnet_tf.data.images import SkippedImage
from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.evaluation.coco_eval import import_faster_coco_eval
from newnet_tf.detection.evaluation.metrics import detect_for_metrics
from newnet_tf.detection.evaluation.result import DetectionResult
from newnet_tf.detection.postprocess import Detections
from newnet_tf.evaluation.loop import each_image
from newnet_tf.utils.progress import note

VOC_NAMES = {  # of COCO's classes that PASCAL VOC calls otherwise
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "tv": "tvmonitor",
}
LEFT_OUT = -1  # in place of a class that the model does not have
SHOWN = 5  # names in a message


class DetectionEvaluator:
    """Collects the detections of images, see `evaluation.loop.Evaluator`.

    Args:
        config: `DetectionConfig` of the model.

        class_names: one str for each class of the model. Default: None, unknown.

        dataset_class_names: one str for each class of the dataset. Default: None, labels are the
            model's classes.

    Raises:
        ValueError: if the model has none of the dataset's classes.

        ImportError: if faster-coco-eval is not installed.
    """

    def __init__(
        self,
        config: DetectionConfig,
        class_names: Sequence[str] | None = None,
        dataset_class_names: Sequence[str] | None = None,
    ):
        import_faster_coco_eval()
        self.config = config
        self.class_index = match_box_classes(dataset_class_names, class_names, config.classes)
        self._left_out: tuple[str, ...] = ()
        if self.class_index is not None and dataset_class_names is not None:
            pairs = zip(dataset_class_names, self.class_index, strict=True)
            self._left_out = tuple(name for name, i in pairs if i == LEFT_OUT)
        if self._left_out:
            note(
                f"{len(self._left_out)} of the data's {len(self.class_index)} classes are none of the "
                f"model's: their boxes are left out ({_some(self._left_out)})"
            )
        self._names: list[str] = []
        self._truths: list[Mapping[str, np.ndarray]] = []
        self._detections: list[Detections] = []
        self._began = time.monotonic()

    def update(self, samples: Sequence[Sample], outputs: Mapping[str, np.ndarray]) -> None:
        """Adds a batch.

        Args:
            samples: the images, each with a mapping of arrays as its label, see `data.boxes`.

            outputs: mapping: the model's `"boxes"` and `"scores"` with a batch axis, and
                `"image_sizes"` (images, 2), height and width of the original images.
        """
        for sample, own, size in each_image(samples, outputs):
            if not isinstance(sample.label, Mapping):
                raise ValueError(
                    "labels must be boxes: mappings of 'boxes', 'classes', 'difficult' and 'crowd'. "
                    f"Received: {sample.label!r:.60} of {sample.name}"
                )
            self._detections.append(detect_for_metrics(own, self.config, size))
            self._truths.append(self._in_model_classes(sample))
            self._names.append(sample.name)

    def _in_model_classes(self, sample: Sample) -> Mapping[str, np.ndarray]:
        label = sample.label
        if self.class_index is not None:
            label = {**label, "classes": np.asarray(self.class_index, np.int32)[label["classes"]]}
            label = choose_boxes(label, label["classes"] != LEFT_OUT)
        if len(label["classes"]) and label["classes"].max() >= self.config.classes:
            raise ValueError(
                f"classes must lie in 0 to {self.config.classes - 1}, as the model has. "
                f"Received: {label['classes'].max()} of {sample.name}"
            )
        return label

    def result(self, skipped: tuple[SkippedImage, ...] = ()) -> DetectionResult:
        """Returns the result of all batches."""
        return DetectionResult(
            paths=tuple(self._names),
            truths=tuple(self._truths),
            detections=tuple(self._detections),
            classes=self.config.classes,
            skipped=skipped,
            left_out=self._left_out,
            seconds=time.monotonic() - self._began,
        )


def match_box_classes(
    dataset_class_names: Sequence[str] | None, class_names: Sequence[str] | None, classes: int
) -> list[int] | None:
    """Returns the model's class for each class of a dataset, matched by name.

    Names are compared without case, spaces, hyphens and underscores, and VOC's four names for COCO's
    classes are known, such as `tvmonitor` for `tv`.

    Args:
        dataset_class_names: one str for each class of the dataset; None, labels are the model's.

        class_names: one str for each class of the model; None if they are unknown: then the dataset
            must have as many classes, which are taken in their order.

        classes: int, number of the model's classes.

    Returns:
        One int for each class of the dataset, -1 for one that the model does not have; None, the same
        classes.

    Raises:
        ValueError: if no class is the model's, or names are unknown and numbers differ.
    """
    if dataset_class_names is None:
        return None
    if class_names is None:
        if len(dataset_class_names) != classes:
            raise ValueError(
                "the data must have as many classes as the model, whose names are unknown: name them "
                f"with `class_names` (--labels). Received: {len(dataset_class_names)} classes of data, "
                f"{classes} of the model"
            )
        note(
            "the model's classes have no names: they are taken to be "
            f"{_some(dataset_class_names)} in this order (`class_names`, --labels, would name them)"
        )
        return None
    index = {_key(name): i for i, name in enumerate(class_names)}
    found = [index.get(_key(name), LEFT_OUT) for name in dataset_class_names]
    if all(i == LEFT_OUT for i in found):
        raise ValueError(
            f"the data must have a class of the model's, which are {_some(class_names)}. "
            f"Received: {_some(dataset_class_names)}"
        )
    return found


def _key(name: str) -> str:
    key = "".join(c for c in name.casefold() if c not in " -_")
    return VOC_NAMES.get(key, key)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")

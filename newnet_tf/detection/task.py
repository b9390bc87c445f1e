"""Object detection as a `Task`: boxes and classes of a single-shot detector.

Importing it needs NumPy only, as do `decode` and `fidelity`: they run next to exported files.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from newnet_tf.data.box_geometry import to_input
from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.decoder_spec import decoder_spec
from newnet_tf.detection.evaluation.fidelity import fidelity, tolerance
from newnet_tf.detection.postprocess import as_predictions, postprocess
from newnet_tf.detection.postprocess_operator import operator
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import ConfiguredTask, PostprocessOperator, Prediction
from newnet_tf.utils.lazy import LazyModule

if TYPE_CHECKING:
    from newnet_tf.detection.evaluation.evaluator import DetectionEvaluator
    from newnet_tf.detection.evaluation.metrics import DetectionMetrics

data_preprocess = LazyModule("newnet_tf.data.preprocess")
drawing = LazyModule("newnet_tf.detection.drawing")
evaluator = LazyModule("newnet_tf.detection.evaluation.evaluator")
losses = LazyModule("newnet_tf.detection.training.losses")
metrics = LazyModule("newnet_tf.detection.evaluation.metrics")


class Detection(ConfiguredTask):
    """Object detection: COCO's mean average precision chooses the best checkpoint.

    Labels are mappings of arrays: `"boxes"` (n, 4), corners x1, y1, x2, y2 in pixels of the image,
    `"classes"` (n,), `"difficult"` and `"crowd"` (n,). Targets are `matching.match`'s. Outputs are
    `"boxes"` (batch, anchors, 4), offsets from anchors, and `"scores"` (batch, anchors, classes + 1),
    logits with the background first.

    Args:
        config: `DetectionConfig` of the model, which its outputs cannot be read without. Default: None;
            `configured` returns a task that has one.

    Example:
        >>> task = get_task("detection", model_metadata.task_config)
        >>> task.decode(outputs, image_size=(480, 640))[0]
    """

    name, metric, mode = "detection", "mAP", "max"
    units: Mapping[str, str] = dict.fromkeys(
        (
            "mAP",
            "mAP50",
            "mAP75",
            "AR100",
            "VOC_mAP50",
            "mAP_with_difficult",
            "mAP50_with_difficult",
        ),
        "%",
    )
    labels: Mapping[str, str] = {
        "mAP": "mean average precision, IoU 0.5 to 0.95 (%)",
        "mAP50": "mean average precision, IoU 0.5 (%)",
        "mAP75": "mean average precision, IoU 0.75 (%)",
        "AR100": "average recall, 100 detections (%)",
        "VOC_mAP50": "VOC's mean average precision, IoU 0.5 (%)",
        "mAP_with_difficult": "mean average precision, difficult boxes counted (%)",
        "mAP50_with_difficult": "mean average precision, IoU 0.5, difficult boxes counted (%)",
    }

    config_class, model_kind = DetectionConfig, "detector"

    def check(self, model, dataset) -> None:
        """Checks that the model's outputs are those of the dataset's classes and the config's anchors.

        Args:
            model: Keras model.

            dataset: `Dataset` or loader, its `classes` is the number of classes.

        Raises:
            ValueError: if outputs have other names or shapes, or classes or anchors do not fit.
        """
        config = self.config
        if dataset.classes != config.classes:
            raise ValueError(
                f"the data must have the detector's {config.classes} classes. "
                f"Received: {dataset.classes} classes"
            )
        outputs = model.output  # `output_shape` of named outputs has no names
        shapes = model.output_shape
        if isinstance(outputs, Mapping):
            shapes = {name: tuple(tensor.shape) for name, tensor in outputs.items()}
        expected = {
            "boxes": (config.anchor_count, 4),
            "scores": (config.anchor_count, config.columns),
        }
        is_right = isinstance(shapes, Mapping) and expected == {
            name: tuple(shape[1:]) for name, shape in shapes.items()
        }
        if not is_right:
            raise ValueError(
                f"`model` must have the outputs {expected} of an image, for {config.classes} classes "
                f"and the background at {config.image_size} pixels. Received: output_shape={shapes}"
            )

    def preprocess(
        self,
        image: np.ndarray,
        label: Mapping[str, np.ndarray],
        preprocess: PreprocessConfig,
        *,
        augmentation=None,
        seed: int = 0,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Augments, resizes and normalizes an image; boxes move with the pixels.

        Args:
            image: uint8 array (height, width, 3).

            label: mapping of arrays, boxes in pixels of the image.

            preprocess: `PreprocessConfig` of the model.

            augmentation: `BoxAugmentation` for training; None for evaluation.

            seed: int, decides the augmentation.

        Returns:
            (image, label), the image float32 (size, size, 3), boxes in its pixels.
        """
        size = preprocess.image_size
        if augmentation is not None:
            pixels, label = augmentation.apply(
                image,
                label,
                size,
                np.random.default_rng(seed),
                fill=tuple(round(255 * mean) for mean in preprocess.rgb_mean),
                interpolation=preprocess.interpolation,
                antialias=preprocess.antialias,
            )
            return data_preprocess.normalize(pixels, preprocess), label
        boxes = size * to_input(label["boxes"], image.shape[:2], preprocess)
        label = {**label, "boxes": boxes.astype(np.float32)}
        return data_preprocess.preprocess_image(image, preprocess), label

    def loss(self, target, outputs) -> dict[str, Any]:
        """Returns `{"localization": ..., "classification": ...}`, see `losses.detection_loss`.

        Args:
            target: mapping of tensors, of `matching.match`, with a batch axis.

            outputs: mapping of tensors, the model's outputs.
        """
        return losses.detection_loss(target, outputs, self.config)

    def metrics(self) -> "DetectionMetrics":
        """Returns empty metrics: average precision, average recall and the loss."""
        return metrics.DetectionMetrics(self.config)

    def evaluator(
        self,
        classes: int | None = None,
        class_names: Sequence[str] | None = None,
        dataset_class_names: Sequence[str] | None = None,
        output_type: str = "logits",
    ) -> "DetectionEvaluator":
        """Returns what collects the detections of an evaluation image by image.

        Args:
            classes: int, not used: the config has it.

            class_names: one str for each class of the model; None if they are unknown.

            dataset_class_names: one str for each class of the dataset; None if labels are the model's
                classes. Classes that the model does not have are left out, with a note.

            output_type: str, not used.

        Raises:
            ValueError: if the model has none of the dataset's classes.
        """
        return evaluator.DetectionEvaluator(self.config, class_names, dataset_class_names)

    def decode(
        self,
        outputs: Mapping[str, np.ndarray],
        image_size: tuple[int, int],
        class_names: Sequence[str] | None = None,
        max_predictions: int | None = None,
        output_type: str = "logits",
    ) -> list[Prediction]:
        """Returns the boxes of an image, see `postprocess`.

        Args:
            outputs: mapping, `"boxes"` and `"scores"` of one image.

            image_size: (height, width) of the original image.

            class_names: sequence of str or None, a name for each class.

            max_predictions: int or None, the most boxes. Default: the config's `max_detections`.

            output_type: str, not used.

        Returns:
            List of `Prediction` with `box`, the highest score first.

        Raises:
            ValueError: if a shape is another, a value is not finite, or there are more or fewer names
                than classes.
        """
        if class_names is not None and len(class_names) != self.config.classes:
            raise ValueError(
                f"`class_names` must name {self.config.classes} classes. "
                f"Received: {len(class_names)} names"
            )
        found = postprocess(outputs, self.config, image_size, max_detections=max_predictions)
        return as_predictions(found, class_names)

    def fidelity(
        self,
        reference: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
        output_type: str = "logits",
        reference_type: str = "logits",
    ) -> dict[str, float]:
        """Returns the figures of `newnet_tf.detection.evaluation.fidelity.fidelity`."""
        return fidelity(reference, outputs, self.config)

    def tolerance(self, precision: str) -> Mapping[str, tuple[float | None, float | None]]:
        """Returns the bounds of `newnet_tf.detection.evaluation.fidelity.tolerance`."""
        return tolerance(precision)

    def postprocess_operator(self) -> PostprocessOperator:
        """Returns TFLite's operator for the detector, see `detection.postprocess_operator`."""
        return operator(self.config)

    def decoder_spec(self) -> dict[str, Any]:
        """Returns how code outside of Python decodes the outputs, see `detection.decoder_spec`."""
        return decoder_spec(self.config)

    def draw(self, image: np.ndarray, predictions: Sequence[Prediction]) -> np.ndarray:
        """Returns the image with boxes, class names and scores drawn on it.

        Args:
            image: uint8 array (height, width, 3).

            predictions: of `decode`.

        Returns:
            uint8 array (height, width, 3).
        """
        return drawing.draw_predictions(image, predictions)


TASK = Detection()

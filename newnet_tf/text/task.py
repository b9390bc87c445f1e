"""Text detection as a `Task`: the words of an image as quadrilaterals, from score maps of characters.

Importing it needs NumPy only; `decode` and `fidelity` need OpenCV too: they run next to exported files.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from newnet_tf.data.box_geometry import points_to_input
from newnet_tf.data.words import POLYGONS
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import ConfiguredTask, Prediction
from newnet_tf.text.config import TextConfig
from newnet_tf.text.evaluation.fidelity import fidelity, tolerance
from newnet_tf.text.postprocess import MAPS, as_predictions, placement, words_in_image
from newnet_tf.utils.lazy import LazyModule

if TYPE_CHECKING:
    from newnet_tf.text.evaluation.evaluator import TextEvaluator
    from newnet_tf.text.evaluation.metrics import TextMetrics

data_preprocess = LazyModule("newnet_tf.data.preprocess")
drawing = LazyModule("newnet_tf.text.drawing")
evaluator = LazyModule("newnet_tf.text.evaluation.evaluator")
losses = LazyModule("newnet_tf.text.training.losses")
metrics = LazyModule("newnet_tf.text.evaluation.metrics")


class TextDetection(ConfiguredTask):
    """Text detection: ICDAR's H-mean chooses the best checkpoint.

    Labels are mappings of arrays: `"polygons"` (n, 4, 2), corners x, y of words, clockwise from the top
    left, in pixels of the image, `"ignore"` (n,), see `data.words`. Targets are score maps `"region"`,
    `"affinity"` and `"weight"` (batch, height, width, 1). Outputs are `"region"` and `"affinity"`.

    Args:
        config: `TextConfig` of the model, which its outputs cannot be read without. Default: None;
            `configured` returns a task that has one.

    Example:
        >>> task = get_task("text_detection", model_metadata.task_config)
        >>> task.decode(outputs, image_size=(720, 1280))[0].polygon
    """

    name, metric, mode = "text_detection", "hmean", "max"
    units: Mapping[str, str] = dict.fromkeys(("hmean", "precision", "recall"), "%")
    labels: Mapping[str, str] = {
        "hmean": "H-mean of precision and recall, IoU 0.5 (%)",
        "precision": "precision, IoU 0.5 (%)",
        "recall": "recall, IoU 0.5 (%)",
    }

    config_class, model_kind = TextConfig, "text detector"

    def check(self, model, dataset) -> None:
        """Checks that the model's outputs are score maps of the config's stride.

        Args:
            model: Keras model.

            dataset: `Dataset` or loader, which has one class: text.

        Raises:
            ValueError: if outputs have other names or shapes, or the data is none of text.
        """
        config = self.config
        if dataset.classes != 1:
            raise ValueError(
                "the data must be of text detection, with one class. "
                f"Received: {dataset.classes} classes"
            )
        outputs = model.output  # `output_shape` of named outputs has no names
        shapes = model.output_shape
        if isinstance(outputs, Mapping):
            shapes = {name: tuple(tensor.shape) for name, tensor in outputs.items()}
        size = (None, None)
        if config.image_size is not None:
            size = config.map_size(config.image_size, config.image_size)
        expected, free = (dict.fromkeys(MAPS, (*sides, 1)) for sides in (size, (None, None)))
        is_mapping = isinstance(shapes, Mapping)
        found = {name: tuple(shape[1:]) for name, shape in shapes.items()} if is_mapping else {}
        if found not in (expected, free):  # a model of any size takes the config's too
            raise ValueError(
                f"`model` must have the outputs {expected} of an image, score maps at stride "
                f"{config.stride} of an input of {config.image_size or 'any'} pixels. "
                f"Received: output_shape={shapes}"
            )

    def preprocess(
        self,
        image: np.ndarray,
        label: Mapping[str, Any],
        preprocess: PreprocessConfig,
        *,
        augmentation=None,
        seed: int = 0,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Augments, resizes and normalizes an image; polygons move with the pixels.

        Args:
            image: uint8 array (height, width, 3).

            label: mapping, polygons in pixels of the image.

            preprocess: `PreprocessConfig` of the model; its `resize_mode` must be `"letterbox"` for a
                square input and `"fit"` for a free one, as `decode` takes it.

            augmentation: None: training images are drawn by `text.training.loader`.

            seed: int, not used.

        Returns:
            (image, label), the image float32 (height, width, 3), polygons in its pixels.

        Raises:
            ValueError: for an augmentation, or another `resize_mode`.
        """
        if augmentation is not None:
            raise ValueError(
                "`augmentation` of text must be None here: `text.training.loader.TextLoader` augments "
                f"training images. Received: {augmentation!r:.60}"
            )
        wanted = placement(self.config).resize_mode
        if preprocess.resize_mode != wanted:
            raise ValueError(
                f"`preprocess` of a text detector with image_size={self.config.image_size} must have "
                f"resize_mode={wanted!r}. Received: {preprocess.resize_mode!r}"
            )
        polygons = points_to_input(label[POLYGONS], image.shape[:2], preprocess)
        label = {**label, POLYGONS: polygons.astype(np.float32)}
        return data_preprocess.preprocess_image(image, preprocess), label

    def loss(self, target, outputs) -> dict[str, Any]:
        """Returns `{"region": ..., "affinity": ...}`, see `text.training.losses.text_loss`.

        Args:
            target: mapping of tensors, of `TextLoader.train`.

            outputs: mapping of tensors, the model's outputs.
        """
        return losses.text_loss(target, outputs)

    def metrics(self) -> "TextMetrics":
        """Returns empty metrics: H-mean, precision and recall."""
        return metrics.TextMetrics(self.config)

    def evaluator(
        self,
        classes: int | None = None,
        class_names: Sequence[str] | None = None,
        dataset_class_names: Sequence[str] | None = None,
        output_type: str = "logits",
    ) -> "TextEvaluator":
        """Returns what collects the words of an evaluation image by image; no argument is used.

        Raises:
            ImportError: if OpenCV is not installed.
        """
        return evaluator.TextEvaluator(self.config)

    def decode(
        self,
        outputs: Mapping[str, np.ndarray],
        image_size: tuple[int, int],
        class_names: Sequence[str] | None = None,
        max_predictions: int | None = None,
        output_type: str = "logits",
    ) -> list[Prediction]:
        """Returns the words of an image.

        Args:
            outputs: mapping of arrays, `"region"` and `"affinity"` (height, width, 1) for one image,
                which lies in the input as `postprocess.placement` says.

            image_size: (height, width) of the original image.

            class_names: sequence of one str or None, the label of words. Default: `"text"`.

            max_predictions: int or None, the most words. Default: None, all.

            output_type: str, not used.

        Returns:
            List of `Prediction` with `polygon`, corners clockwise, and `box` around it, the highest
            score first.

        Raises:
            ValueError: if a shape is another, or a value is not finite.

            ImportError: if OpenCV is not installed.
        """
        words = words_in_image(outputs, self.config, image_size, max_predictions)
        return as_predictions(words, image_size, class_names)

    def fidelity(
        self,
        reference: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
        output_type: str = "logits",
        reference_type: str = "logits",
    ) -> dict[str, float]:
        """Returns the figures of `newnet_tf.text.evaluation.fidelity.fidelity`."""
        return fidelity(reference, outputs, self.config)

    def tolerance(self, precision: str) -> Mapping[str, tuple[float | None, float | None]]:
        """Returns the bounds of `newnet_tf.text.evaluation.fidelity.tolerance`."""
        return tolerance(precision)

    def draw(self, image: np.ndarray, predictions: Sequence[Prediction]) -> np.ndarray:
        """Returns the image with the polygons of words drawn on it.

        Args:
            image: uint8 array (height, width, 3).

            predictions: of `decode`.

        Returns:
            uint8 array (height, width, 3).
        """
        return drawing.draw_predictions(image, predictions)

    def draw_maps(self, image: np.ndarray, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the image with its score maps over it: region at the left, affinity at the right.

        Args:
            image: uint8 array (height, width, 3), the original image.

            outputs: mapping, `"region"` and `"affinity"` of the image.

        Returns:
            uint8 array (height, 2 * width, 3).
        """
        maps = [np.asarray(outputs[name]) for name in MAPS]
        if self.config.image_size is not None:  # letterboxed: the rest is padding
            height, width = image.shape[:2]
            corner = np.array([[width, height]], np.float32)
            corner = points_to_input(corner, (height, width), placement(self.config))
            columns, rows = np.ceil(corner[0] / self.config.stride).astype(int)
            maps = [values[:rows, :columns] for values in maps]
        return drawing.draw_maps(image, *maps)


TASK = TextDetection()

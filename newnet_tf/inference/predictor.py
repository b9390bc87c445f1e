"""`Predictor`: a model of any format as one callable from images to predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from newnet_tf.classification.decoding import two_classes
from newnet_tf.classification.multilabel import as_probabilities
from newnet_tf.data.images import read_image
from newnet_tf.data.labels import imagenet_names
from newnet_tf.models.config.metadata import (
    CLASSIFICATION,
    LOGITS,
    MULTILABEL,
    HasMetadata,
    ModelMetadata,
)
from newnet_tf.task import Prediction, task_of
from newnet_tf.utils.math import softmax


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictor(HasMetadata):
    """Predicts images with a Keras model, a TFLite or ONNX file, or a SavedModel.

    Call it with an image: path, bytes of an encoded image, PIL image, or uint8 array of shape
    (height, width, 3 or 1). With a list (or an array of shape (n, height, width, channels)) it returns
    a list of lists. An image that cannot be read raises `ImageError`; `newnet_tf.predict` skips and
    counts such images instead.

    Args:
        metadata: `ModelMetadata`: name, preprocessing, class names, what the outputs are.

        precision: str, e.g. `"int8-full"`; "" if unknown.

        classes: int, number of classes; two for a binary classifier. None if unknown.

        prepare: callable, uint8 array of shape (height, width, 3) -> what `run` takes.

        run: callable, list of n prepared images -> outputs of the model, for a classifier of shape
            (n, outputs).

    Example:
        >>> predictor = newnet_tf.load_predictor("runs/flowers")
        >>> for prediction in predictor("rose.jpg", top=2):
        ...     print(prediction.label, prediction.score)
    """

    metadata: ModelMetadata
    precision: str
    classes: int | None
    prepare: Callable[[np.ndarray], Any]
    run: Callable[[Sequence[Any]], Any]

    @property
    def network(self) -> str:
        """The model's name."""
        return self.metadata.name

    @property
    def weights(self) -> str:
        """Tag or file name of the weights."""
        return self.metadata.weights

    def __call__(self, images: Any, top: int | None = None) -> list:
        """Returns predictions, the best first.

        Args:
            images: an image or a list of images, as above.

            top: int >= 1, the most predictions for each image. Default: None, 5 of a classifier, all of
                a detector.

        Returns:
            A list of `Prediction` for an image; a list of such lists for a list of images.

        Raises:
            ImageError: if an image cannot be read.

            ValueError: if `top` is not a positive int.
        """
        if top is not None and (not isinstance(top, int) or isinstance(top, bool) or top < 1):
            raise ValueError(f"`top` must be a positive int or None. Received: top={top!r}")
        is_batch = isinstance(images, np.ndarray) and images.ndim == 4
        if is_batch or isinstance(images, (list, tuple)):
            return [self._predict(image, top) for image in images]
        return self._predict(images, top)

    @property
    def is_imagenet(self) -> bool:
        """Whether its classes are the 1,000 of ImageNet."""
        return self.class_names == imagenet_names()

    def scores(self, images: Sequence[Any]) -> Any:
        """Returns outputs for evaluation: as the model gives them, a binary classifier's as two.

        Args:
            images: list of n prepared images.

        Returns:
            Array (n, classes) of a classifier, higher is better; else the model's outputs.
        """
        outputs = self.run(images)
        if self.task != CLASSIFICATION or isinstance(outputs, dict):
            return outputs
        return two_classes(outputs, self.metadata.output_type)[0]

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Returns the probabilities of a classifier for one uint8 image, shape (1, classes).

        Those of `multilabel_classification` do not add up to 1.
        """
        outputs = self.run([self.prepare(image)])
        if self.task == MULTILABEL:
            return as_probabilities(outputs, self.metadata.output_type)
        scores, output_type = two_classes(outputs, self.metadata.output_type)
        return softmax(scores) if output_type == LOGITS else scores

    def outputs(self, image: np.ndarray) -> Any:
        """Returns the model's outputs for one image, without batch axis.

        Args:
            image: uint8 array (height, width, 3).

        Returns:
            An array, or a mapping of arrays by name.
        """
        outputs = self.run([self.prepare(image)])
        if isinstance(outputs, dict):
            return {name: array[0] for name, array in outputs.items()}
        return outputs[0]

    def _predict(self, image: Any, top: int | None) -> list[Prediction]:
        pixels = read_image(image)
        outputs = self.outputs(pixels)
        return task_of(self.metadata).decode(
            outputs, pixels.shape[:2], self.class_names, top, self.metadata.output_type
        )

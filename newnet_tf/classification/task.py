"""Image classification as a `Task`: one class an image, from logits.

Importing it needs NumPy only, as do `decode` and `fidelity`: they run next to exported files.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from newnet_tf.classification.class_matching import match_classes
from newnet_tf.classification.decoding import check_scores, one_row, ranked, two_classes
from newnet_tf.classification.fidelity import fidelity
from newnet_tf.classification.metrics import MetricSums
from newnet_tf.data.augment.config import Augmentation
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import Prediction, Task
from newnet_tf.utils.lazy import LazyModule, keras
from newnet_tf.utils.math import softmax

if TYPE_CHECKING:
    from newnet_tf.classification.evaluator import ClassificationEvaluator

drawing = LazyModule("newnet_tf.classification.drawing")
evaluator = LazyModule("newnet_tf.classification.evaluator")
data_preprocess = LazyModule("newnet_tf.data.preprocess")


class Classification(Task):
    """Image classification: top-1 error chooses the best checkpoint, cross entropy is the loss.

    Labels are ints, the class of each image; targets are rows of class probabilities (one-hot, smoothed
    or mixed); outputs are logits of shape (images, classes).

    Args:
        class_weight: sequence of float, the weight of each class in the loss. Default: None, 1.
    """

    name, metric, mode = "classification", "error", "min"
    units: Mapping[str, str] = {"error": "%"}
    labels: Mapping[str, str] = {"loss": "loss (cross entropy)", "error": "top-1 error (%)"}
    endings: tuple[str, ...] = ("softmax",)  # activations that logits must not have passed

    def __init__(self, class_weight: Sequence[float] | None = None):
        self.class_weight = class_weight

    def check(self, model, dataset) -> None:
        """Checks that the model gives logits of the dataset's classes.

        Args:
            model: Keras model.

            dataset: `Dataset` or loader, its `classes` is the number of classes.

        Raises:
            ValueError: if the model has several outputs, another number of classes, or one of the
                `endings` as its activation.
        """
        shape = model.output_shape
        is_one = isinstance(shape, tuple) and all(not isinstance(n, (tuple, list)) for n in shape)
        if not is_one or len(shape) != 2 or shape[-1] != dataset.classes:
            raise ValueError(
                f"`model` must give logits of the data's {dataset.classes} classes. "
                f"Received: output_shape={shape}"
            )
        activation = getattr(model.layers[-1], "activation", None)
        if getattr(activation, "__name__", None) in self.endings:
            raise ValueError(
                "`model` must give logits: build it with classifier_activation=None. "
                f"Received: a {activation.__name__} at its end"
            )

    def preprocess(
        self,
        image: np.ndarray,
        label,
        preprocess: PreprocessConfig,
        *,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> tuple[np.ndarray, Any]:
        """Resizes, crops and normalizes an image; its class stays.

        Args:
            image: uint8 array (height, width, 3).

            label: int, the class.

            preprocess: `PreprocessConfig` of the model.

            augmentation: `Augmentation` for training (needs TensorFlow); None for evaluation.

            seed: int, decides the augmentation.

        Returns:
            (image, label), the image float32 (size, size, channels).
        """
        if augmentation is None:
            return data_preprocess.preprocess_image(image, preprocess), label
        import tensorflow as tf

        from newnet_tf.data.pipeline import augment_image

        pixels = augment_image(
            tf.constant(image), tf.constant((seed, 0), tf.int64), augmentation, preprocess
        )
        return data_preprocess.normalize(np.asarray(pixels), preprocess), label

    def loss(self, target, outputs) -> dict[str, Any]:
        """Returns `{"cross_entropy": ...}`, the mean over the batch.

        Args:
            target: float32 tensor (batch, classes), class probabilities.

            outputs: tensor (batch, classes), logits.
        """
        logits = keras.ops.cast(outputs, "float32")
        if self.class_weight is None:
            losses = keras.ops.categorical_crossentropy(target, logits, from_logits=True)
        else:  # whose gradient would be that of targets that add up to 1
            weighted = target * np.asarray(self.class_weight, np.float32)
            losses = -keras.ops.sum(weighted * keras.ops.log_softmax(logits, axis=-1), axis=-1)
        return {"cross_entropy": keras.ops.mean(losses)}

    def with_class_weight(self, weights: Sequence[float]) -> "Classification":
        """Returns the task with a weight for each class in its loss.

        Args:
            weights: sequence of float, one for each class. The loss is the mean over the batch of the
                weighted cross entropies, as in Keras.
        """
        return Classification(weights)

    def balanced_weight(self, counts: np.ndarray, images: int) -> np.ndarray:
        """Returns the weights that give each class the same sum: images / (classes * count).

        Args:
            counts: int array (classes,), images of each class.

            images: int, their number.
        """
        return images / ((counts > 0).sum() * counts.clip(1))

    def batch_metrics(self, target, outputs) -> dict[str, Any]:
        """Returns `{"accuracy": ...}`, the share of images whose highest logit is the target's class.

        Args:
            target, outputs: as in `loss`.
        """
        argmax = keras.ops.argmax
        matches = keras.ops.equal(argmax(target, axis=-1), argmax(outputs, axis=-1))
        return {"accuracy": keras.ops.mean(keras.ops.cast(matches, "float32"))}

    def train_metrics(self, sums: Mapping[str, float], steps: int) -> dict[str, float]:
        """Returns `{"error": ...}` in percent, the mean over steps.

        Args:
            sums: mapping, `"accuracy"` added up over the steps. Exact, as float32 values are added up
                in float64.

            steps: int, their number.
        """
        return {"error": 100 * (steps - sums["accuracy"]) / steps}

    def metrics(self) -> MetricSums:
        """Returns empty sums of top-1 error and cross entropy."""
        return MetricSums()

    def evaluator(
        self,
        classes: int,
        class_names: Sequence[str] | None = None,
        dataset_class_names: Sequence[str] | None = None,
        output_type: str = "logits",
    ) -> "ClassificationEvaluator":
        """Returns what collects predicted classes: top-1 accuracy, and top-5 for 6 classes or more.

        Args:
            classes: int, number of the model's classes.

            class_names: one str for each class of the model; None if they are unknown.

            dataset_class_names: one str for each class of the dataset; None if labels are the model's
                classes.

            output_type: str, not used: any scores have the same order.
        """
        index = None
        if dataset_class_names is not None:
            index = match_classes(dataset_class_names, class_names, classes)
        top = evaluator.TOP if classes > max(evaluator.TOP) else evaluator.TOP[:1]
        return evaluator.ClassificationEvaluator(top, index)

    def decode(
        self,
        outputs: np.ndarray,
        image_size: tuple[int, int] | None = None,
        class_names: Sequence[str] | None = None,
        max_predictions: int | None = None,
        output_type: str = "logits",
    ) -> list[Prediction]:
        """Returns the classes of the highest probability.

        Args:
            outputs: array (classes,), one image's scores. One score is that of the second of two
                classes.

            image_size: (height, width), not used.

            class_names: sequence of str or None, a name for each class.

            max_predictions: int or None, number of classes. Default: 5, at most all classes.

            output_type: `"logits"` (default), `"probabilities"` or `"sigmoid"`, what the scores are.

        Returns:
            List of `Prediction`, the highest probability first, equal ones in the order of classes.

        Raises:
            ValueError: if the shape is another, a value is NaN, or there are more or fewer names than
                classes.
        """
        scores, output_type = two_classes(one_row(outputs), output_type)
        check_scores(scores, class_names)
        if output_type == "probabilities" and not (
            scores.min() > -0.01 and 0.5 < scores.sum() < 1.5
        ):
            raise ValueError(
                "outputs of a model must be probabilities if its metadata say so; `outputs` "
                f"(--outputs) says otherwise. Received: values that add up to {scores.sum():.3g}, the "
                f"least {scores.min():.3g}"
            )
        probabilities = softmax(scores) if output_type == "logits" else scores
        return ranked(scores, probabilities, class_names, max_predictions)

    def fidelity(
        self,
        reference: np.ndarray,
        outputs: np.ndarray,
        output_type: str = "logits",
        reference_type: str = "logits",
    ) -> dict[str, float]:
        """Returns the figures of `newnet_tf.classification.fidelity.fidelity`."""
        return fidelity(reference, outputs, output_type, reference_type)

    def draw(self, image: np.ndarray, predictions: Sequence[Prediction]) -> np.ndarray:
        """Returns the image with a bar for each prediction below it.

        Args:
            image: uint8 array (height, width, 3).

            predictions: of `decode`.

        Returns:
            uint8 array (height + bars, width or more, 3).
        """
        return drawing.bars_below(image, predictions)


TASK = Classification()

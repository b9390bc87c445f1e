"""Multi-label classification as a `Task`: any number of classes an image, from logits.

Importing it needs NumPy only, as do `decode` and `fidelity`: they run next to exported files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from newnet_tf.classification.class_matching import match_classes
from newnet_tf.classification.decoding import check_scores, one_row, ranked
from newnet_tf.classification.multilabel_metrics import MultilabelSums
from newnet_tf.classification.task import Classification
from newnet_tf.task import Prediction
from newnet_tf.utils.lazy import LazyModule, keras
from newnet_tf.utils.math import sigmoid

if TYPE_CHECKING:
    from newnet_tf.classification.multilabel_result import MultilabelEvaluator

multilabel_result = LazyModule("newnet_tf.classification.multilabel_result")


class MultilabelClassification(Classification):
    """Multi-label classification: mean average precision chooses the best checkpoint.

    Labels are rows of 0 and 1, one for each class; targets the same, smoothed or mixed; outputs are
    logits of shape (images, classes), of which each is the log odds of its class alone. The loss is
    binary cross entropy.

    Args:
        class_weight: sequence of float, the weight of each class' positive labels in the loss. Default:
            None, 1.
    """

    name, metric, mode = "multilabel_classification", "mAP", "max"
    units: Mapping[str, str] = {"mAP": "%", "micro_f1": "%"}
    labels: Mapping[str, str] = {
        "loss": "loss (binary cross entropy)",
        "mAP": "mean average precision (%)",
        "micro_f1": "micro-F1 (%)",
    }
    endings = ("softmax", "sigmoid")

    def with_class_weight(self, weights: Sequence[float]) -> MultilabelClassification:
        """Returns the task with a weight for each class' positive labels in its loss."""
        return MultilabelClassification(weights)

    def balanced_weight(self, counts: np.ndarray, images: int) -> np.ndarray:
        """Returns the weights that give positive and negative labels of a class the same sum.

        Args:
            counts: int array (classes,), images of each class.

            images: int, their number.
        """
        return (images - counts).clip(1) / counts.clip(1)

    def loss(self, target, outputs) -> dict[str, Any]:
        """Returns `{"binary_cross_entropy": ...}`, the mean over the batch and the classes.

        Args:
            target: float32 tensor (batch, classes), the probability of each class.

            outputs: tensor (batch, classes), logits.
        """
        ops = keras.ops
        logits = ops.cast(outputs, "float32")
        positive, negative = ops.softplus(-logits), ops.softplus(logits)
        if self.class_weight is not None:
            positive = positive * np.asarray(self.class_weight, np.float32)
        return {"binary_cross_entropy": ops.mean(target * positive + (1.0 - target) * negative)}

    def batch_metrics(self, target, outputs) -> dict[str, Any]:
        """Returns `{"accuracy": ...}`, the share of labels on the right side of 0.5.

        Args:
            target, outputs: as in `loss`.
        """
        ops = keras.ops
        matches = ops.equal(ops.greater(target, 0.5), ops.greater(outputs, 0.0))
        return {"accuracy": ops.mean(ops.cast(matches, "float32"))}

    def train_metrics(self, sums: Mapping[str, float], steps: int) -> dict[str, float]:
        """Returns `{"label_accuracy": ...}`, the share of labels on the right side of 0.5.

        Args:
            sums: mapping, `"accuracy"` added up over the steps.

            steps: int, their number.
        """
        return {"label_accuracy": sums["accuracy"] / steps}

    def metrics(self) -> MultilabelSums:
        """Returns empty metrics: mean average precision, micro-F1 at 0.5, binary cross entropy."""
        return MultilabelSums()

    def evaluator(
        self,
        classes: int,
        class_names: Sequence[str] | None = None,
        dataset_class_names: Sequence[str] | None = None,
        output_type: str = "logits",
    ) -> MultilabelEvaluator:
        """Returns what collects the outputs of an evaluation.

        Args:
            classes: int, number of the model's classes.

            class_names: one str for each class of the model; None if they are unknown.

            dataset_class_names: one str for each class of the dataset; None if labels are the model's
                classes.

            output_type: `"logits"` or `"sigmoid"`, what the outputs are. Default: `"logits"`.
        """
        index = None
        if dataset_class_names is not None:
            index = match_classes(dataset_class_names, class_names, classes)
        return multilabel_result.MultilabelEvaluator(classes, index, output_type)

    def decode(
        self,
        outputs: np.ndarray,
        image_size: tuple[int, int] | None = None,
        class_names: Sequence[str] | None = None,
        max_predictions: int | None = None,
        output_type: str = "logits",
    ) -> list[Prediction]:
        """Returns the classes of the highest probability, each with its own.

        Args:
            outputs: array (classes,), one image's scores.

            image_size: (height, width), not used.

            class_names: sequence of str or None, a name for each class.

            max_predictions: int or None, number of classes. Default: 5, at most all classes.

            output_type: `"logits"` (default) or `"sigmoid"`, what the scores are.

        Returns:
            List of `Prediction`, the highest probability first, equal ones in the order of classes.

        Raises:
            ValueError: if the shape is another, a value is NaN, or there are more or fewer names than
                classes.
        """
        scores = one_row(outputs)
        check_scores(scores, class_names)
        return ranked(scores, as_probabilities(scores, output_type), class_names, max_predictions)

    def fidelity(
        self,
        reference: np.ndarray,
        outputs: np.ndarray,
        output_type: str = "logits",
        reference_type: str = "logits",
    ) -> dict[str, float]:
        """Returns the figures of `newnet_tf.classification.fidelity.fidelity`, on logits.

        `"label_matches"`, the share of labels on the same side of 0.5, takes the place of
        `"top1_matches"`.
        """
        figures = super().fidelity(reference, outputs, output_type, reference_type)
        figures.pop("top1_matches")
        sides = (
            np.asarray(scores) > threshold(kind)
            for scores, kind in ((reference, reference_type), (outputs, output_type))
        )
        return {**figures, "label_matches": float(np.equal(*sides).mean())}


def as_probabilities(scores: np.ndarray, output_type: str) -> np.ndarray:
    """Returns the probability of each class.

    Args:
        scores: array of any shape.

        output_type: `"logits"`, or `"sigmoid"` for scores that are probabilities.
    """
    if output_type not in ("logits", "sigmoid"):
        raise ValueError(
            "`output_type` of multi-label classification must be 'logits' or 'sigmoid'. "
            f"Received: {output_type!r}"
        )
    return sigmoid(np.asarray(scores, np.float64)) if output_type == "logits" else scores


def threshold(output_type: str) -> float:
    """Returns the score whose probability is 0.5."""
    return 0.0 if output_type == "logits" else 0.5


TASK = MultilabelClassification()

"""Predictions from one image's class scores. NumPy only: it runs next to exported files."""

from collections.abc import Sequence

import numpy as np

from newnet_tf.task import Prediction

TOP = 5  # predictions of an image


def one_row(outputs: object) -> np.ndarray:
    """Returns one image's scores as an array (classes,); raises ValueError for another shape."""
    scores = np.asarray(outputs)
    if scores.ndim != 1 or not scores.size:
        raise ValueError(f"`outputs` must be of shape (classes,). Received: {scores.shape}")
    return scores


def check_scores(scores: np.ndarray, class_names: Sequence[str] | None) -> None:
    """Raises ValueError for another number of names than of scores, or scores that are no numbers."""
    if class_names is not None and len(class_names) != len(scores):
        raise ValueError(
            f"`class_names` must name {len(scores)} classes. Received: {len(class_names)} names"
        )
    if np.isnan(scores).any():
        raise ValueError("`outputs` must be numbers. Received: NaN among them")


def ranked(
    scores: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str] | None,
    max_predictions: int | None,
) -> list[Prediction]:
    """Returns the classes of the highest scores with their probabilities, equal ones in their order."""
    order = np.argsort(-scores, kind="stable")[: max_predictions or TOP]
    return [
        Prediction(
            label=None if class_names is None else class_names[index],
            class_index=int(index),
            score=float(probabilities[index]),
        )
        for index in order
    ]


def two_classes(scores: np.ndarray, output_type: str) -> tuple[np.ndarray, str]:
    """Returns the scores of both classes of a binary classifier, and what they are.

    Args:
        scores: array (..., classes). One score, a logit or (`"sigmoid"`) a probability, is that of the
            second class; more are returned as they are.

        output_type: str, what `scores` are.
    """
    if scores.shape[-1] != 1:
        return scores, output_type
    if output_type == "logits":
        return np.concatenate([np.zeros_like(scores), scores], axis=-1), output_type
    return np.concatenate([1 - scores, scores], axis=-1), "probabilities"

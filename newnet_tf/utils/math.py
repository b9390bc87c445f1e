"""Softmax and sigmoid in NumPy, their inverses, and what class scores are compared with."""

import numpy as np

MIN_PROBABILITY = 1e-30  # smaller ones are raised to this: float32 has no logarithm of them
MAX_LOGIT = 8.0  # of a sigmoid: beyond it, float32 has few digits of 1 - p


def softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    """Returns probabilities.

    Args:
        logits: float array of any shape.

        axis: int, the axis of the classes.

    Returns:
        Array of the shape and type of `logits` whose values along `axis` sum to 1.
    """
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def log_softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    """Returns the logarithms of the probabilities.

    Args:
        logits: float array of any shape.

        axis: int, the axis of the classes.

    Returns:
        Array of the shape and type of `logits`.
    """
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Returns the probability of each logit on its own.

    Args:
        logits: float array of any shape.

    Returns:
        Array of the shape and type of `logits`.
    """
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small)).astype(logits.dtype)


def as_logits(scores: np.ndarray, output_type: str) -> np.ndarray:
    """Returns class scores as logits, in float64, to compare them.

    Args:
        scores: float array (images, classes).

        output_type: `"logits"`, which are returned as they are; `"probabilities"`, whose logarithms are
            logits but for a constant; `"sigmoid"`, whose logits are cut at 8 and -8.
    """
    scores = np.asarray(scores, np.float64)
    if output_type == "probabilities":
        return np.log(np.maximum(scores, MIN_PROBABILITY))
    if output_type == "sigmoid":
        with np.errstate(divide="ignore"):
            return np.clip(np.log(scores) - np.log1p(-scores), -MAX_LOGIT, MAX_LOGIT)
    return scores


def score_matrix(values: np.ndarray) -> np.ndarray:
    """Returns scores as a float64 array (images, classes).

    Raises:
        ValueError: if they have another shape, or there are none.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(
            f"scores must be of shape (images, classes). Received: shape={values.shape}"
        )
    return values


def rms(values: np.ndarray) -> float:
    """Returns the root mean square."""
    return float(np.sqrt(np.square(values).mean()))

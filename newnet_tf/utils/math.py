"""Softmax in NumPy, computed so that large logits do not overflow."""

import numpy as np


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

"""A network judged on a split: error and loss, exact sums over every picture."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Judged:
    """How a network did.

    Args:
        pictures: int. error: float, top-1 error in per cent. loss: float, mean cross entropy.
    """

    pictures: int
    error: float
    loss: float


def judge(model, batches: Iterable) -> Judged:
    """Judges a network.

    Args:
        model: Keras model from images to logits. batches: (images, int labels).

    Raises:
        ValueError: where there is no picture.
    """
    pictures, wrong, loss = 0, 0, 0.0
    for images, labels in batches:
        logits = np.asarray(model.predict_on_batch(images), np.float64)
        labels = np.asarray(labels)
        own = logits[np.arange(len(labels)), labels]
        top = logits.max(axis=1, keepdims=True)
        loss += float((np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0] - own).sum())
        wrong += int((logits.argmax(axis=1) != labels).sum())
        pictures += len(labels)
    if not pictures:
        raise ValueError("there must be a readable picture to test on. Received: none")
    return Judged(pictures, 100 * wrong / pictures, loss / pictures)

"""A network judged on a split: error and loss, exact sums over every image."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EvalResult:
    """How a network did.

    Args:
        images: int. error: float, top-1 error in percent. loss: float, mean cross entropy.
    """

    images: int
    error: float
    loss: float


@dataclass(frozen=True)
class MetricSums:
    """Sums over images, to be added up from parts of a split.

    Args:
        images: int. wrong: int, of them. loss: float, the sum of their cross entropies.
    """

    images: int = 0
    wrong: int = 0
    loss: float = 0.0

    def __add__(self, other: "MetricSums") -> "MetricSums":
        return MetricSums(
            self.images + other.images, self.wrong + other.wrong, self.loss + other.loss
        )

    @property
    def judged(self) -> EvalResult:
        """The sums as means.

        Raises:
            ValueError: where there is no image.
        """
        if not self.images:
            raise ValueError("there must be a readable image to test on. Received: none")
        return EvalResult(self.images, 100 * self.wrong / self.images, self.loss / self.images)


def tally(predict: Callable, batches: Iterable) -> MetricSums:
    """Returns the sums over some images.

    Args:
        predict: callable, images -> logits. batches: (images, int labels).
    """
    sums = MetricSums()
    for images, labels in batches:
        logits = np.asarray(predict(images), np.float64)
        labels = np.asarray(labels)
        own = logits[np.arange(len(labels)), labels]
        top = logits.max(axis=1, keepdims=True)
        loss = float((np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0] - own).sum())
        sums += MetricSums(len(labels), int((logits.argmax(axis=1) != labels).sum()), loss)
    return sums


def judge(model, batches: Iterable) -> EvalResult:
    """Judges a network.

    Args:
        model: Keras model from images to logits. batches: (images, int labels).

    Raises:
        ValueError: where there is no image.
    """
    return tally(model.predict_on_batch, batches).judged

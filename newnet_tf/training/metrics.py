"""A network judged on a split: error and loss, exact sums over every picture."""

from collections.abc import Callable, Iterable
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


@dataclass(frozen=True)
class Tally:
    """Sums over pictures, to be added up from parts of a split.

    Args:
        pictures: int. wrong: int, of them. loss: float, the sum of their cross entropies.
    """

    pictures: int = 0
    wrong: int = 0
    loss: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.pictures + other.pictures, self.wrong + other.wrong, self.loss + other.loss
        )

    @property
    def judged(self) -> Judged:
        """The sums as means.

        Raises:
            ValueError: where there is no picture.
        """
        if not self.pictures:
            raise ValueError("there must be a readable picture to test on. Received: none")
        return Judged(self.pictures, 100 * self.wrong / self.pictures, self.loss / self.pictures)


def tally(predict: Callable, batches: Iterable) -> Tally:
    """Returns the sums over some pictures.

    Args:
        predict: callable, images -> logits. batches: (images, int labels).
    """
    sums = Tally()
    for images, labels in batches:
        logits = np.asarray(predict(images), np.float64)
        labels = np.asarray(labels)
        own = logits[np.arange(len(labels)), labels]
        top = logits.max(axis=1, keepdims=True)
        loss = float((np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0] - own).sum())
        sums += Tally(len(labels), int((logits.argmax(axis=1) != labels).sum()), loss)
    return sums


def judge(model, batches: Iterable) -> Judged:
    """Judges a network.

    Args:
        model: Keras model from images to logits. batches: (images, int labels).

    Raises:
        ValueError: where there is no picture.
    """
    return tally(model.predict_on_batch, batches).judged

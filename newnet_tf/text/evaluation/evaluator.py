"""Collects a text detector's words image by image."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from newnet_tf.data.host_loader import Sample
from newnet_tf.data.images import SkippedImage
from newnet_tf.data.words import POLYGONS
from newnet_tf.evaluation.loop import each_image
from newnet_tf.text.config import TextConfig
from newnet_tf.text.evaluation.result import TextResult
from newnet_tf.text.opencv import import_cv2
from newnet_tf.text.postprocess import Words, words_in_image


class TextEvaluator:
    """Collects the words that a model finds, see `evaluation.loop.Evaluator`.

    Args:
        config: `TextConfig` of the model.

    Raises:
        ImportError: if OpenCV is not installed.
    """

    def __init__(self, config: TextConfig):
        import_cv2()
        self.config = config
        self._names: list[str] = []
        self._truths: list[Mapping[str, np.ndarray]] = []
        self._words: list[Words] = []
        self._began = time.monotonic()

    def update(self, samples: Sequence[Sample], outputs: Mapping[str, np.ndarray]) -> None:
        """Adds a batch.

        Args:
            samples: the images, each with a label of words, see `data.words`.

            outputs: mapping: the model's `"region"` and `"affinity"` with a batch axis, and
                `"image_sizes"` (images, 2), height and width of the original images.

        Raises:
            ValueError: for a label that is none of words, or outputs without the sizes.
        """
        for sample, own, size in each_image(samples, outputs):
            if not isinstance(sample.label, Mapping) or POLYGONS not in sample.label:
                raise ValueError(
                    "labels must be words: mappings of 'polygons' and 'ignore'. "
                    f"Received: {sample.label!r:.60} of {sample.name}"
                )
            self._words.append(words_in_image(own, self.config, size))
            self._truths.append(sample.label)
            self._names.append(sample.name)

    def result(self, skipped: tuple[SkippedImage, ...] = ()) -> TextResult:
        """Returns the result of all batches."""
        return TextResult(
            paths=tuple(self._names),
            truths=tuple(self._truths),
            words=tuple(self._words),
            skipped=skipped,
            seconds=time.monotonic() - self._began,
        )

"""The metrics of a text detector on a split, which batches and workers add up."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from newnet_tf.data.label_arrays import split_labels
from newnet_tf.text.config import TextConfig
from newnet_tf.text.evaluation.icdar import NONE, WordCounts, add_counts, count_matches, figures
from newnet_tf.text.postprocess import words_in_image


class TextMetrics:
    """Numbers of words that count, that were found and that match, over a split's images.

    Args:
        config: `TextConfig` of the model.

    Example:
        >>> metrics = TextMetrics(config)
        >>> for images, labels in loader.test():
        ...     metrics.update(labels, model.predict_on_batch(images))
        >>> metrics.result()["hmean"]
        61.9
    """

    def __init__(self, config: TextConfig):
        self.config = config
        self.counts: WordCounts = NONE
        self.images = 0

    def update(self, label: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
        """Adds a batch.

        Args:
            label: mapping: `"polygons"` (images, n, 4, 2) in pixels of the original images,
                `"ignore"` (images, n), `"counts"` (images,), and `"image_sizes"` (images, 2), height
                and width of the original image.

            outputs: mapping, the model's `"region"` and `"affinity"`, with a batch axis.
        """
        sizes = np.asarray(label["image_sizes"]).tolist()
        for i, (truth, (height, width)) in enumerate(zip(split_labels(label), sizes, strict=True)):
            own = {name: values[i] for name, values in outputs.items()}
            words = words_in_image(own, self.config, (height, width))
            counts, _ = count_matches(truth, words.polygons)
            self.counts = add_counts([self.counts, counts])
        self.images += len(sizes)

    def __add__(self, other: "TextMetrics") -> "TextMetrics":
        both = TextMetrics(self.config)
        both.counts = add_counts([self.counts, other.counts])
        both.images = self.images + other.images
        return both

    def result(self) -> dict[str, float]:
        """Returns `"hmean"`, `"precision"` and `"recall"` in percent, see `icdar.figures`.

        Raises:
            ValueError: if there is no image.
        """
        if not self.images:
            raise ValueError("there must be a readable image to test on. Received: none")
        return figures(self.counts)

    def state(self) -> dict[str, Any]:
        """Returns the sums as JSON values."""
        return {"counts": list(self.counts), "images": self.images}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Replaces the sums by those of `state()`."""
        self.counts, self.images = WordCounts(*state["counts"]), int(state["images"])

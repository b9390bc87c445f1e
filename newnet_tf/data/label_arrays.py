"""Labels of several images as one mapping of padded arrays: of boxes (`data.boxes`) or of words
(`data.words`), told apart by their names."""

from collections.abc import Mapping, Sequence

import numpy as np

from newnet_tf.data import boxes, words


def is_words(labels: Mapping) -> bool:
    """Returns whether labels are words, not boxes."""
    return words.POLYGONS in labels


def image_count(labels: Mapping) -> int:
    """Returns the number of images of padded labels."""
    return len(labels[words.COUNTS if is_words(labels) else boxes.CLASSES])


def split_labels(labels: Mapping) -> list[dict]:
    """Returns the label of each image of a batch."""
    return words.split_words(labels) if is_words(labels) else boxes.split_labels(labels)


def pad_labels(labels: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """Returns the labels of several images as one mapping of padded arrays."""
    return words.pad_words(labels) if is_words(labels[0]) else boxes.pad_labels(labels)


def first_rows(parts: Sequence, count: int) -> np.ndarray | dict:
    """Returns the first rows of what several batches hold: arrays, or mappings of padded ones."""
    if isinstance(parts[0], Mapping) and is_words(parts[0]):
        return {name: rows[:count] for name, rows in words.join_words(parts).items()}
    return boxes.first_rows(parts, count)

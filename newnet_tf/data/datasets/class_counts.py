"""How many images and boxes of each class labels hold."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from newnet_tf.data.boxes import CLASSES, PADDING, split_labels


def count_labels(parts: Iterable, classes: int) -> np.ndarray:
    """Returns how often each class is a label: images of it, or for detection boxes.

    Args:
        parts: labels as `Split.batches` yields them, one or more batches.

        classes: int, number of classes.

    Returns:
        int array (classes,).
    """
    counts = np.zeros(classes, int)
    for labels in parts:
        if isinstance(labels, Mapping):
            labels = labels[CLASSES][labels[CLASSES] != PADDING]
        is_index = labels.ndim == 1
        counts += np.bincount(labels, minlength=classes) if is_index else labels.sum(axis=0)
    return counts


def count_images(parts: Iterable, classes: int) -> np.ndarray:
    """Returns how many images have a box of each class; arguments as of `count_labels`."""
    counts = np.zeros(classes, int)
    for labels in parts:
        for label in split_labels(labels):
            counts[np.unique(label[CLASSES])] += 1
    return counts


def count_table(
    class_names: Sequence[str], splits: Mapping, is_detection: bool
) -> list[dict[str, object]]:
    """Returns a table's lines, one for each class.

    Args:
        class_names: str for each class.

        splits: {name: `Split`}.

        is_detection: bool, whether a split has two columns: boxes, and images with such a box.
    """
    classes, counts = len(class_names), {}
    for name, split in splits.items():
        if is_detection:
            parts = split.all_labels()
            counts[f"{name} boxes"] = count_labels(parts, classes)
            counts[f"{name} images"] = count_images(parts, classes)
        else:
            counts[name] = split.class_counts(classes)
    return [
        {"class": class_name} | {name: int(count[i]) for name, count in counts.items()}
        for i, class_name in enumerate(class_names)
    ]

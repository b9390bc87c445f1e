"""How many images and boxes of each class labels hold."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from newnet_tf.data.boxes import CLASSES, PADDING
from newnet_tf.data.label_arrays import is_words, split_labels
from newnet_tf.data.words import IGNORE


def count_labels(parts: Iterable, classes: int) -> np.ndarray:
    """Returns how often each class is a label: images of it, boxes, or words that count.

    Args:
        parts: labels as `Split.batches` yields them, one or more batches.

        classes: int, number of classes.

    Returns:
        int array (classes,).
    """
    counts = np.zeros(classes, int)
    for labels in parts:
        if isinstance(labels, Mapping) and is_words(labels):
            labels = np.zeros(int((~labels[IGNORE]).sum()), int)
        elif isinstance(labels, Mapping):
            labels = labels[CLASSES][labels[CLASSES] != PADDING]
        is_index = labels.ndim == 1
        counts += np.bincount(labels, minlength=classes) if is_index else labels.sum(axis=0)
    return counts


def count_images(parts: Iterable, classes: int) -> np.ndarray:
    """Returns how many images have a box of each class; arguments as of `count_labels`."""
    counts = np.zeros(classes, int)
    for labels in parts:
        for label in split_labels(labels):
            classes_of = (
                np.zeros(int((~label[IGNORE]).sum()), int) if IGNORE in label else label[CLASSES]
            )
            counts[np.unique(classes_of)] += 1
    return counts


def count_table(
    class_names: Sequence[str], splits: Mapping, objects: str | None = None
) -> list[dict[str, object]]:
    """Returns a table's lines, one for each class.

    Args:
        class_names: str for each class.

        splits: {name: `Split`}.

        objects: str, what an image has several of, such as `"boxes"`: then a split has two columns,
            their number, and that of images with such a one. Default: None.
    """
    classes, counts = len(class_names), {}
    for name, split in splits.items():
        if objects:
            parts = split.all_labels()
            counts[f"{name} {objects}"] = count_labels(parts, classes)
            counts[f"{name} images"] = count_images(parts, classes)
        else:
            counts[name] = split.class_counts(classes)
    return [
        {"class": class_name} | {name: int(count[i]) for name, count in counts.items()}
        for i, class_name in enumerate(class_names)
    ]

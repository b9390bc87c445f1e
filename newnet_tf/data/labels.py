"""ImageNet's 1,000 class names, and scores to names.

The table `imagenet_labels.csv` beside this module is written by `tools/make_labels.py`; NOTICE
names its sources. Imports nothing but the standard library until called.
"""

import csv
import functools
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("imagenet_labels.csv")


class Label(NamedTuple):
    """One class: its WordNet number (unique) and its name (two pairs of classes share theirs)."""

    wnid: str
    name: str


@functools.cache
def imagenet_labels() -> tuple[Label, ...]:
    """Returns the 1,000 classes of ImageNet-1k, in the order of networks' outputs."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(Label(row["wnid"], row["name"]) for row in csv.DictReader(file))


def imagenet_names() -> tuple[str, ...]:
    """Returns the names of the 1,000 classes, in the same order."""
    return tuple(label.name for label in imagenet_labels())


def decode_predictions(preds, top=5, class_names=None):
    """Turns a batch of scores into the best classes' names.

    Args:
        preds: array or tensor of shape (n, classes), probabilities or any scores, higher is better.
        top: int >= 1, how many classes to name for each image, at most all of them. Default: 5.
        class_names: list of str, a name for each class of your own network. Default: ImageNet's.

    Returns:
        A list for each image, best class first, of tuples (wnid, name, score), as
        keras.applications has it. With `class_names` the name stands in the wnid's place too.
        Equal scores come in the order of the classes.

    Raises:
        ValueError: for another shape or number of classes, a score that is not a number, or a `top`
            that is not a positive int.

    Example:
        >>> decode_predictions(model.predict(images), top=1)
        [[('n02124075', 'Egyptian_cat', 0.63)]]
    """
    import numpy as np

    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise ValueError(f"`top` must be a positive int. Received: top={top!r}")
    labels = imagenet_labels() if class_names is None else [Label(n, n) for n in class_names]
    scores = np.asarray(preds)
    if scores.ndim != 2 or scores.shape[1] != len(labels):
        raise ValueError(
            f"`preds` must be of shape (n, {len(labels)}): one score for each of "
            f"{'ImageNet' if class_names is None else 'your'} {len(labels)} classes; name other "
            f"classes with `class_names`. Received: shape={scores.shape}"
        )
    if np.isnan(scores).any():
        raise ValueError("`preds` must hold numbers. Received: NaN among them")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [(*labels[i], float(row[i])) for i in chosen]
        for row, chosen in zip(scores, best, strict=True)
    ]

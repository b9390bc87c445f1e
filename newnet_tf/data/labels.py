"""ImageNet's 1,000 class names, and names of the best scores.

The table `imagenet_labels.csv` next to this module is written by `tools/make_labels.py`; NOTICE names
its sources. Only the standard library is imported before the first call.
"""

import csv
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("imagenet_labels.csv")


class Label(NamedTuple):
    """A class of ImageNet.

    Args:
        wnid: str, its WordNet number, which is unique.

        name: str; two pairs of classes have the same name.
    """

    wnid: str
    name: str


@functools.cache
def imagenet_labels() -> tuple[Label, ...]:
    """Returns the 1,000 classes of ImageNet-1k, in the order of models' outputs."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(Label(row["wnid"], row["name"]) for row in csv.DictReader(file))


def imagenet_names() -> tuple[str, ...]:
    """Returns the names of the 1,000 classes, in the same order."""
    return tuple(label.name for label in imagenet_labels())


def decode_predictions(
    preds: object, top: int = 5, class_names: Sequence[str] | None = None
) -> list[list[tuple[str, str, float]]]:
    """Names the classes with the best scores, as keras.applications does.

    Args:
        preds: array or tensor of shape (n, classes), probabilities or other scores, higher is
            better.

        top: int, at least 1, how many classes to name for each image. Default: 5.

        class_names: list of str, a name for each class of your own model. Default: None,
            ImageNet's.

    Returns:
        A list for each image, top-1 first, of tuples (wnid, name, score). With `class_names`
        the name takes the place of the wnid too. Equal scores are in the order of the classes.

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

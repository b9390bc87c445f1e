"""Names of a model's classes, and which of them a dataset's classes are."""

import os
from collections.abc import Sequence
from pathlib import Path

from newnet_tf.data.labels import imagenet_labels, imagenet_names
from newnet_tf.utils.progress import note

IMAGENET = "imagenet"
BACKGROUND = "background"  # the first of the 1,001 classes that TensorFlow's ImageNet models have


def read_class_names(class_names: object) -> tuple[str, ...] | None:
    """Returns class names as the user gives them.

    Args:
        class_names: sequence of str; path of a text file with a class a line, empty lines ignored;
            `"imagenet"`, ImageNet's 1,000; or None.

    Raises:
        ValueError: for a file that is missing, empty or not UTF-8; it names the file.
    """
    if class_names is None:
        return None
    if class_names == IMAGENET:
        return imagenet_names()
    if not isinstance(class_names, (str, os.PathLike)):
        return tuple(class_names)
    try:
        text = Path(class_names).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"`class_names` (--labels) must be names, {IMAGENET!r}, or a text file in UTF-8 with a "
            f"class a line. Received: {os.fspath(class_names)!r}: {error}"
        ) from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise ValueError(f"{os.fspath(class_names)} must name a class a line. Received: no line")
    return names


def check_class_names(class_names: Sequence[str], classes: int) -> tuple[str, ...]:
    """Returns class names as a tuple; ImageNet's for 1,001 classes with `background` before them.

    Raises:
        ValueError: if there are more or fewer names than classes.
    """
    if tuple(class_names) == imagenet_names() and classes == len(class_names) + 1:
        return (BACKGROUND, *class_names)
    if len(class_names) != classes:
        raise ValueError(
            f"`class_names` (--labels) must name {classes} classes, as the model has scores. "
            f"Received: {len(class_names)} names"
        )
    return tuple(class_names)


def binary_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of both classes of a binary classifier; of one name X, `not X` and `X`."""
    return (
        (f"not {class_names[0]}", class_names[0]) if len(class_names) == 1 else tuple(class_names)
    )


def match_classes(
    dataset_class_names: Sequence[str], class_names: Sequence[str] | None, classes: int
) -> list[int]:
    """Returns the model's class for each class of a dataset, matched by name.

    ImageNet's classes are matched by WordNet number (`n02123045`), as folders of ImageNet are called.

    Args:
        dataset_class_names: one str for each class of the dataset.

        class_names: one str for each class of the model, or None if they are unknown: then the
            dataset must have as many classes, which are taken in their order; a note says so.

        classes: int, number of the model's classes.

    Returns:
        One int for each class of the dataset.

    Raises:
        ValueError: if the dataset has a class that the model does not have.

    Example:
        >>> match_classes(["a", "b"], ["b", "a", "c"], 3)
        [1, 0]
    """
    if class_names is None:
        if len(dataset_class_names) != classes:
            raise ValueError(
                f"the data must have the model's {classes} classes, whose names are unknown: name them "
                "with `class_names` (--labels: a text file, or 'imagenet'). "
                f"Received: {len(dataset_class_names)} classes"
            )
        shown = ", ".join(map(str, dataset_class_names[:3])) + (" ..." if classes > 3 else "")
        note(
            f"the model's classes have no names: they are taken to be {shown} in this order "
            "(`class_names`, --labels, would name them)"
        )
        return list(range(classes))
    if tuple(dataset_class_names) == tuple(class_names):
        return list(range(classes))
    is_imagenet = tuple(class_names) in (imagenet_names(), (BACKGROUND, *imagenet_names()))
    keys = list(class_names)
    if is_imagenet:
        keys[-len(imagenet_names()) :] = [label.wnid for label in imagenet_labels()]
    index = {key: number for number, key in enumerate(keys)}
    unknown = [name for name in dataset_class_names if name not in index]
    if unknown:
        kind = "ImageNet's, as wnids (n02123045)" if is_imagenet else "the model's"
        raise ValueError(
            f"the data's classes must be {kind}; the model knows {keys[:3]} ... "
            f"Received: {unknown[:3]}"
        )
    return [index[name] for name in dataset_class_names]

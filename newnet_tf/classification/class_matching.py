"""Names of a model's classes, and which of them a dataset's classes are."""

from collections.abc import Sequence

from newnet_tf.data.labels import imagenet_labels, imagenet_names


def resolve_class_names(classes: int, class_names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Returns the names of a model's classes: the given ones, else ImageNet's for 1,000 classes.

    Args:
        classes: int, number of the model's classes.

        class_names: one str for each class, or None.

    Returns:
        A tuple of str; None if the names are unknown.

    Raises:
        ValueError: if there are more or fewer names than classes.
    """
    if class_names is None:
        return imagenet_names() if classes == len(imagenet_names()) else None
    if len(class_names) != classes:
        raise ValueError(
            f"a file of labels must name {classes} classes, as there are scores. "
            f"Received: {len(class_names)}"
        )
    return tuple(class_names)


def match_classes(
    dataset_class_names: Sequence[str], class_names: Sequence[str] | None, classes: int
) -> list[int]:
    """Returns the model's class for each class of a dataset, matched by name.

    ImageNet's classes are matched by WordNet number (`n02123045`), as folders of ImageNet are called.

    Args:
        dataset_class_names: one str for each class of the dataset.

        class_names: one str for each class of the model, or None if they are unknown: then the
            dataset must have as many classes, in the same order.

        classes: int, number of the model's classes.

    Returns:
        One int for each class of the dataset.

    Raises:
        ValueError: if the dataset has a class that the model does not have.

    Example:
        >>> match_classes(["a", "b"], ["b", "a", "c"], 3)
        [1, 0]
    """
    if class_names is None or tuple(dataset_class_names) == tuple(class_names):
        if len(dataset_class_names) == classes:
            return list(range(classes))
        raise ValueError(
            f"the data must have the model's {classes} classes, whose names are unknown (a file "
            f"NAME.labels.txt next to the model would name them). "
            f"Received: {len(dataset_class_names)} classes"
        )
    is_imagenet = tuple(class_names) == imagenet_names()
    keys = [label.wnid for label in imagenet_labels()] if is_imagenet else list(class_names)
    index = {key: number for number, key in enumerate(keys)}
    unknown = [name for name in dataset_class_names if name not in index]
    if unknown:
        kind = "ImageNet's, as wnids (n02123045)" if is_imagenet else "the model's"
        raise ValueError(
            f"the data's classes must be {kind}; the model knows {keys[:3]} ... "
            f"Received: {unknown[:3]}"
        )
    return [index[name] for name in dataset_class_names]

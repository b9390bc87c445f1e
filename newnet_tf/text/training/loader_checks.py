"""Checks of `TextLoader`'s arguments."""

from collections.abc import Mapping

from newnet_tf.data.datasets.base import EVALUATION, TEXT_DETECTION, TRAIN, Dataset
from newnet_tf.models.config import PreprocessConfig

MULTIPLE = 32


def check_numbers(counts: Mapping[str, int], fractions: Mapping[str, float]) -> None:
    """Checks positive ints, `image_size` among them, and fractions, of 1 or less together.

    Raises:
        ValueError: naming the argument.
    """
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"`{name}` must be a positive int. Received: {name}={value!r}")
    if counts["image_size"] % MULTIPLE:
        raise ValueError(
            f"`image_size` must be a multiple of {MULTIPLE}. "
            f"Received: image_size={counts['image_size']}"
        )
    for name, value in fractions.items():
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError(f"`{name}` must be a number in 0 to 1. Received: {name}={value!r}")
    if sum(fractions.values()) > 1:
        raise ValueError(
            f"{' and '.join(f'`{name}`' for name in fractions)} must be 1 or less together. "
            f"Received: {dict(fractions)}"
        )


def check_dataset(dataset: Dataset | None, preprocess: PreprocessConfig) -> None:
    """Checks that a dataset, if there is one, has words to train on and others to evaluate on, and that
    images have three channels.

    Raises:
        ValueError: if it does not.
    """
    if preprocess.channels != 3:
        raise ValueError(f"`preprocess` must be of 3 channels. Received: {preprocess.channels}")
    if dataset is None:
        return
    is_text = dataset.task == TEXT_DETECTION and TRAIN in dataset.splits
    if not is_text or not any(name in dataset.splits for name in EVALUATION):
        raise ValueError(
            "data must have images with words to train on and others to test on. "
            f"Received: {dataset!r}"
        )


def check_teacher(teacher: object, needed: bool) -> None:
    """Checks that there are a teacher's maps where they are needed.

    Raises:
        ValueError: if there are none.
    """
    if needed and teacher is None:
        raise ValueError(
            "`teacher` must be the folder that `cache_maps` wrote, with `unlabeled` images and with "
            '`targets="pseudo"` or `"teacher"`. Received: teacher=None'
        )

"""Seeded division of images into two groups that both have all classes."""

from collections.abc import Sequence

import numpy as np

from newnet_tf.data.datasets.base import ALL, TRAIN, VALIDATION, Split, file_split


def divide_files(
    paths: Sequence, labels: Sequence, validation_split: float, seed: int
) -> dict[str, Split]:
    """Divides image files that have no splits of their own.

    Args:
        paths: paths of the files.

        labels, validation_split, seed: as in `stratified_split`.

    Returns:
        The splits `"train"`, `"validation"` (if it has an image) and `"all"`, which is both together.
    """
    train, validation = stratified_split(labels, validation_split, seed)
    positions = {TRAIN: train, VALIDATION: validation, ALL: range(len(paths))}
    return {
        split: file_split([paths[i] for i in chosen], [labels[i] for i in chosen])
        for split, chosen in positions.items()
        if len(chosen)
    }


def stratified_split(
    labels: Sequence, validation_split: float, seed: int, least: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Divides images into two groups, each class by itself.

    Args:
        labels: int for each image; or a row of 0 and 1, one for each class: then the second group
            has that share of each class as nearly as can be.

        validation_split: float in (0, 1), the share of each class in the second group, rounded. At
            least `least` images stay in the first; a class with no more has none in the second.

        seed: int, decides which images are in the second group.

        least: int, images of each class that stay in the first group. Default: 1.

    Returns:
        (train, validation): sorted positions in `labels`.

    Raises:
        ValueError: for a share outside of (0, 1).
    """
    if not 0 < validation_split < 1:
        raise ValueError(
            f"`validation_split` must lie between 0 and 1. Received: {validation_split!r}"
        )
    labels, random = np.asarray(labels), np.random.default_rng(seed)
    if labels.ndim == 2:
        return _split_rows(labels, validation_split, random, least)
    validation = [np.empty(0, int)]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        count = min(len(members) - least, max(1, round(validation_split * len(members))))
        validation.append(members[: max(0, count)])
    validation = np.sort(np.concatenate(validation))
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def _split_rows(
    labels: np.ndarray, validation_split: float, random: np.random.Generator, least: int
) -> tuple[np.ndarray, np.ndarray]:
    """Divides images with several classes each, the rarest class first.

    Iterative stratification: Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label
    data" (ECML PKDD 2011). Images without any class count as a class of their own.
    """
    rows = np.column_stack([labels, ~labels.any(axis=1)]).astype(bool)
    totals = rows.sum(axis=0)
    wanted = np.round(validation_split * totals).astype(int)
    wanted = np.minimum(np.where(totals > 0, np.maximum(wanted, 1), 0), totals - least).clip(0)
    is_free, is_chosen = np.ones(len(rows), bool), np.zeros(len(rows), bool)
    remaining, taken = totals.copy(), np.zeros_like(totals)
    while is_free.any():
        label = int(np.where(remaining > 0, remaining, len(rows) + 1).argmin())
        members = random.permutation(np.flatnonzero(rows[:, label] & is_free))
        for member in members:
            own = rows[member]
            if taken[label] < wanted[label] and (totals - taken > least)[own].all():
                is_chosen[member] = True
                taken += own
        is_free[members] = False
        remaining = rows[is_free].sum(axis=0)
    return np.flatnonzero(~is_chosen), np.flatnonzero(is_chosen)

"""Training images held aside: do all layers end worse than the frozen features did?"""

import dataclasses

import numpy as np

from newnet_tf.classification.linear_probe import Linear
from newnet_tf.data.datasets.base import Split, gathered, held_split, stratified_split
from newnet_tf.evaluation.loop import PairedComparison, compare
from newnet_tf.finetuning.feature_cache import Outputs

LEAST = 2  # images that each class must have to learn from


def parted(split: Split, features: Outputs, share: float, seed: int) -> tuple[Split, Split | None]:
    """Divides training images into those to learn from and those held aside, class by class.

    What is needed to read them is held in memory: paths, positions, or encoded images.

    Args:
        split: `Split`. features: `Outputs` of it; images that could not be read are in neither part.
        share: float in 0 to below 1, the part held aside. seed: int, which these are.

    Returns:
        (to learn from, held aside); the whole split and None for a share of 0, or where a class would
        be left with fewer than two images to learn from.

    Raises:
        ValueError: for a share outside of the above.
    """
    if not 0 <= share < 1:
        raise ValueError(f"`share` must lie in 0 to below 1. Received: {share=}")
    if not share:
        return split, None
    readable = set(features.names)
    handles, labels, names = gathered(split)
    kept = np.array([name.decode(errors="replace") in readable for name in names])
    listed = handles[kept], labels[kept], names[kept]
    parts = stratified_split(listed[1], share, seed)
    if np.unique(listed[1][parts[0]], return_counts=True)[1].min() < LEAST:
        return split, None
    return tuple(held_split(split, *(column[part] for column in listed)) for part in parts)


def paired(features: Outputs, linear: Linear, final: Outputs) -> PairedComparison:
    """Compares a classifier of frozen features with what a network came to, image by image.

    Args:
        features: `Outputs` of the frozen features, of these images and perhaps of others.
        linear: `Linear`, a classifier that has not seen these images.
        final: `Outputs` of the network on the images held aside.
    """
    values = features.named(final.names).values.astype(np.float64)
    first = dataclasses.replace(final, values=linear.scores(values))
    return compare(first.result(), final.result())


def is_worse(found: PairedComparison) -> bool:
    """Says whether the second is worse there.

    The difference alone decides, however wide its interval; with none, the second is kept.
    """
    return found.difference < 0

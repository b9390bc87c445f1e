"""A holdout of the training images: it tells whether training all layers made the model worse."""

import dataclasses

import numpy as np

from newnet_tf.classification.linear_probe import LinearClassifier
from newnet_tf.classification.multilabel_result import MultilabelComparison, compare_multilabel
from newnet_tf.data.datasets.base import Split, list_samples, take
from newnet_tf.data.datasets.splitting import stratified_split
from newnet_tf.data.image_files import display_name
from newnet_tf.evaluation.paired import PairedComparison, compare
from newnet_tf.finetuning.feature_cache import ModelOutputs
from newnet_tf.utils.math import sigmoid

LEAST = 2  # training images of each class that remain


def split_holdout(
    split: Split, features: ModelOutputs, holdout_fraction: float, seed: int
) -> tuple[Split, Split | None]:
    """Divides training images into those to train on and a holdout, class by class.

    What is needed to read the images stays in memory: paths, positions, or encoded images.

    Args:
        split: `Split`, the training images.

        features: `ModelOutputs` of it; images that could not be read are in neither part.

        holdout_fraction: float in [0, 1), fraction of the images in the holdout.

        seed: int, decides which images these are.

    Returns:
        (`Split` to train on, `Split` of the holdout). Of each class two images remain to train on, of
        smaller ones all. The whole split and None for a fraction of 0, or if no image is left for a
        holdout.

    Raises:
        ValueError: for another fraction.
    """
    if not 0 <= holdout_fraction < 1:
        raise ValueError(
            "`holdout_fraction` (--holdout-fraction) must lie in [0, 1). "
            f"Received: {holdout_fraction=}"
        )
    if not holdout_fraction:
        return split, None
    readable = set(features.names)
    keys, labels, names = list_samples(split)
    chosen = np.array([display_name(name) in readable for name in names])
    columns = keys[chosen], labels[chosen], names[chosen]
    parts = stratified_split(columns[1], holdout_fraction, seed, LEAST)
    if not len(parts[1]):
        return split, None
    train, holdout = (take(split, *(column[part] for column in columns)) for part in parts)
    return train, holdout


def compare_stages(
    features: ModelOutputs, linear: LinearClassifier, outputs: ModelOutputs
) -> PairedComparison | MultilabelComparison:
    """Compares the linear probe with the model after training of all layers, on the holdout.

    By top-1 accuracy, or with several classes an image by mean average precision.

    Args:
        features: `ModelOutputs` of the frozen features, of these images and possibly others.

        linear: `LinearClassifier` that was not fitted to the holdout.

        outputs: `ModelOutputs` of the trained model on the holdout.

    Returns:
        `PairedComparison` or `MultilabelComparison`; the second is the trained model.
    """
    scores = linear.scores(features.select(outputs.names).values.astype(np.float64))
    if outputs.labels.ndim == 2:
        probe = dataclasses.replace(outputs, values=sigmoid(scores))
        return compare_multilabel(probe.result(), outputs.result())
    return compare(dataclasses.replace(outputs, values=scores).result(), outputs.result())


def is_worse(comparison: PairedComparison | MultilabelComparison) -> bool:
    """Returns whether the trained model is worse on the holdout.

    The difference alone decides, however wide its interval; without a difference the trained model is
    kept.
    """
    return comparison.difference < 0

"""MixUp, CutMix and label smoothing, which need a whole batch.

Each image of a batch is mixed with the one at the mirrored place (the first with the last), by a
weight or a box of its own. The weight of its label is the share of the pixels that show the image,
after the box has been clipped to the image.

The arithmetic is written once, in `pixel_weights` and `blend`, over a namespace `xp` that is either
`tensorflow` or `numpy`. `mix` draws with TensorFlow's stateless generators, inside of `tf.data`;
`mix_arrays` draws with a NumPy generator.

Sources: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018); Yun et al., "CutMix:
Regularization Strategy to Train Strong Classifiers with Localizable Features" (ICCV 2019).
"""

from types import ModuleType
from typing import NamedTuple

import numpy as np

from newnet_tf.utils.lazy import LazyModule

tf = LazyModule("tensorflow")


class MixDraws(NamedTuple):
    """What is drawn at random for each image of a batch; arrays or tensors of shape (n,).

    Args:
        is_mixed: bool, whether the image is mixed at all.

        is_cut: bool, whether by CutMix; else by MixUp.

        cutmix_lambda: float in 0-1, the share of the area that CutMix keeps, before clipping.

        mixup_lambda: float in 0-1, the weight of the image in MixUp.

        center_y: float in 0-1, where the center of CutMix's box lies.

        center_x: float in 0-1.
    """

    is_mixed: object
    is_cut: object
    cutmix_lambda: object
    mixup_lambda: object
    center_y: object
    center_x: object


def smooth_targets(labels, classes: int, smoothing: float = 0.0):
    """Returns one-hot targets with label smoothing: a float32 tensor (n, classes).

    Args:
        labels: int tensor (n,); or (n, classes) of 0 and 1, for several classes an image.

        classes: int, number of classes.

        smoothing: float in 0 to below 1: the class gets 1 - smoothing, and each of all classes gets
            smoothing / classes in addition; with several classes an image each 0 and 1 gets nearer to
            0.5 by smoothing / 2. Default: 0.
    """
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank == 2:
        return tf.cast(labels, tf.float32) * (1.0 - smoothing) + smoothing / 2
    return tf.one_hot(labels, classes) * (1.0 - smoothing) + smoothing / classes


def mix(
    images,
    targets,
    seed,
    mixup_alpha: float = 0.0,
    cutmix_alpha: float = 0.0,
    mix_prob: float = 1.0,
):
    """Mixes tensors of images and their targets, in `tf.data` or eagerly.

    Args:
        images: float32 tensor (n, height, width, 3).

        targets: float32 tensor (n, classes).

        seed: int tensor (2,).

        mixup_alpha: float, alpha of the Beta distribution of MixUp's weight; 0 for no MixUp.

        cutmix_alpha: float, the same of CutMix. With both, each image gets one of them, with equal
            probability.

        mix_prob: float, probability that an image is mixed. Default: 1.

    Returns:
        (images, targets), of the same shapes.
    """
    if not mixup_alpha and not cutmix_alpha:
        return images, targets
    count, height, width = tf.unstack(tf.shape(images)[:3])
    uniform = tf.random.stateless_uniform((4, count), seed)
    nothing = tf.ones((count,))
    draws = MixDraws(
        is_mixed=uniform[0] < mix_prob,
        is_cut=uniform[1] < _cut_probability(mixup_alpha, cutmix_alpha),
        cutmix_lambda=_beta(cutmix_alpha, count, _next(seed, 1)) if cutmix_alpha else nothing,
        mixup_lambda=_beta(mixup_alpha, count, _next(seed, 2)) if mixup_alpha else nothing,
        center_x=uniform[2],
        center_y=uniform[3],
    )
    rows, columns = (tf.range(tf.cast(side, tf.float32)) for side in (height, width))
    weights = pixel_weights(tf, draws, rows, columns)
    mirrored = tf.reverse(images, (0,)), tf.reverse(targets, (0,))  # slicing is slower
    return blend(tf, images, targets, mirrored, weights, tf.reduce_mean(weights, (1, 2)))


def mix_arrays(
    images: np.ndarray,
    targets: np.ndarray,
    random: np.random.Generator,
    mixup_alpha: float = 0.0,
    cutmix_alpha: float = 0.0,
    mix_prob: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Mixes arrays of images and their targets, without TensorFlow.

    Args:
        images: float32 array (n, height, width, 3).

        targets: float32 array (n, classes).

        random: NumPy `Generator`.

        mixup_alpha, cutmix_alpha, mix_prob: as in `mix`.

    Returns:
        (images, targets), of the same shapes.
    """
    if not mixup_alpha and not cutmix_alpha:
        return images, targets
    count, height, width = images.shape[:3]
    is_mixed, is_cut, center_y, center_x = random.random((4, count))
    nothing = np.ones(count, np.float32)

    def beta(alpha):
        return random.beta(alpha, alpha, count) if alpha else nothing

    draws = MixDraws(
        is_mixed=is_mixed < mix_prob,
        is_cut=is_cut < _cut_probability(mixup_alpha, cutmix_alpha),
        cutmix_lambda=beta(cutmix_alpha),
        mixup_lambda=beta(mixup_alpha).astype(np.float32),
        center_y=center_y,
        center_x=center_x,
    )
    weights = pixel_weights(np, draws, np.arange(height), np.arange(width))
    shares = weights.mean((1, 2), dtype=np.float64).astype(np.float32)
    return blend(np, images, targets, (images[::-1], targets[::-1]), weights, shares)


def pixel_weights(xp: ModuleType, draws: MixDraws, rows, columns):
    """Returns the weight of each image in each of its pixels, float32 (n, height, width).

    Args:
        xp: module, `tensorflow` or `numpy`.

        draws: `MixDraws`.

        rows: numbers 0 to height - 1 of the rows; with TensorFlow of the type of the draws.

        columns: numbers 0 to width - 1 of the columns.
    """
    zero, one = np.float32(0), np.float32(1)
    edge = xp.sqrt(1.0 - draws.cutmix_lambda)
    in_rows = box_mask(xp, draws.center_y, edge, rows)
    in_columns = box_mask(xp, draws.center_x, edge, columns)
    is_pasted = (draws.is_cut & draws.is_mixed)[:, None, None]
    is_pasted = in_rows[:, :, None] & in_columns[:, None] & is_pasted
    mixup_weight = xp.where(draws.is_mixed & ~draws.is_cut, draws.mixup_lambda, one)
    return xp.where(is_pasted, zero, one) * mixup_weight[:, None, None]


def box_mask(xp: ModuleType, center, edge, pixels):
    """Returns which pixels of an axis lie in CutMix's box, clipped to the image, bool (n, length).

    Args:
        xp: module, `tensorflow` or `numpy`.

        center: float (n,) in 0-1, the center of the box.

        edge: float (n,) in 0-1, the length of the box's edge.

        pixels: numbers 0 to length - 1.
    """
    length = pixels[-1] + 1
    middle, half = xp.floor(center * length), xp.floor(edge * length) / 2.0
    first, last = (
        xp.minimum(xp.maximum(xp.floor(end), 0.0), length) for end in (middle - half, middle + half)
    )
    return (pixels >= first[:, None]) & (pixels < last[:, None])


def blend(xp: ModuleType, images, targets, mirrored: tuple, weights, shares):
    """Mixes images and targets with those at the mirrored place.

    Args:
        xp: module, `tensorflow` or `numpy`.

        images: float32 (n, height, width, 3).

        targets: float32 (n, classes).

        mirrored: (images, targets) in reverse order.

        weights: float32 (n, height, width), see `pixel_weights`.

        shares: float32 (n,), the weight of each target.

    Returns:
        (images, targets).
    """
    # Repeated into the channels: TensorFlow broadcasts over three channels several times slower.
    weights = xp.reshape(xp.repeat(weights, 3, axis=2), xp.shape(images))
    others, other_targets = mirrored
    images = others + weights * (images - others)
    return images, other_targets + shares[:, None] * (targets - other_targets)


def _cut_probability(mixup_alpha: float, cutmix_alpha: float) -> float:
    return 0.5 if mixup_alpha and cutmix_alpha else float(cutmix_alpha > 0)


def _beta(alpha: float, count, seed):
    """Draws from Beta(alpha, alpha) with TensorFlow."""
    first = tf.random.stateless_gamma((count,), _next(seed, 4), alpha)
    second = tf.random.stateless_gamma((count,), _next(seed, 5), alpha)
    return tf.where(first + second > 0, first / (first + second), 0.5)


def _next(seed, number: int):
    return seed + tf.constant((number, 0), seed.dtype)

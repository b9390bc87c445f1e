"""What needs a whole batch: MixUp, CutMix, smoothed labels.

Each image of a batch is mixed with the one at the mirrored place (the first with the last), by a
weight or a box of its own. A label's weight is the part of the pixels that show its image, after
the box has been clipped to the image.
"""

import tensorflow as tf


def smooth_targets(labels, classes: int, smoothing: float = 0.0):
    """Returns float32 (n, classes): 1 - smoothing for the class, and smoothing / classes for all.

    Args:
        labels: int (n,). classes: int. smoothing: float in 0 to below 1.
    """
    return tf.one_hot(labels, classes) * (1.0 - smoothing) + smoothing / classes


def mix(images, targets, seed, mixup: float = 0.0, cutmix: float = 0.0, probability: float = 1.0):
    """Mixes images and their targets.

    Args:
        images: float32 (n, height, width, 3). targets: float32 (n, classes).
        seed: int tensor (2,).
        mixup, cutmix: float, alpha of each; 0 for none. With both, each image gets either.
        probability: float, how many images are mixed.

    Returns:
        (images, targets), of the same shapes.
    """
    if not mixup and not cutmix:
        return images, targets
    count, height, width = tf.unstack(tf.shape(images)[:3])
    draws = tf.random.stateless_uniform((4, count), seed)
    is_mixed = draws[0] < probability
    is_cut = draws[1] < (0.5 if mixup and cutmix else float(cutmix > 0))
    weights = tf.ones((count, height, width))
    if cutmix:
        box = cut_box(_beta(cutmix, count, _next(seed, 1)), draws[2], draws[3], height, width)
        rows = (tf.range(height) >= box[0][:, None]) & (tf.range(height) < box[1][:, None])
        columns = (tf.range(width) >= box[2][:, None]) & (tf.range(width) < box[3][:, None])
        pasted = rows[:, :, None] & columns[:, None] & (is_cut & is_mixed)[:, None, None]
        weights = tf.where(pasted, 0.0, weights)
    if mixup:
        share = tf.where(is_mixed & ~is_cut, _beta(mixup, count, _next(seed, 2)), 1.0)
        weights *= share[:, None, None]
    label_weight = tf.reduce_mean(weights, (1, 2))[:, None]
    weights = tf.reshape(tf.repeat(weights, 3, axis=2), tf.shape(images))
    other_images, other_targets = tf.reverse(images, (0,)), tf.reverse(targets, (0,))
    images = other_images + weights * (images - other_images)
    return images, other_targets + label_weight * (targets - other_targets)


def cut_box(kept, across, down, height, width):
    """Returns CutMix's boxes, clipped to the image.

    Args:
        kept: float (n,), the part of the area to keep before clipping.
        across, down: float (n,) in 0-1, where the box's middle lies.
        height, width: int scalars.

    Returns:
        int32 tensors (n,): top, bottom, left, right; the box holds rows top to bottom - 1.
    """
    edge = tf.sqrt(1.0 - kept)
    ends = []
    for middle, side in ((down, height), (across, width)):
        side = tf.cast(side, tf.float32)
        middle, half = tf.floor(middle * side), tf.floor(edge * side) / 2.0
        ends += [tf.clip_by_value(tf.floor(middle + d * half), 0.0, side) for d in (-1.0, 1.0)]
    return [tf.cast(end, tf.int32) for end in ends]


def _beta(alpha: float, count, seed):
    """Draws from Beta(alpha, alpha)."""
    first = tf.random.stateless_gamma((count,), _next(seed, 4), alpha)
    second = tf.random.stateless_gamma((count,), _next(seed, 5), alpha)
    return tf.where(first + second > 0, first / (first + second), 0.5)


def _next(seed, number: int):
    return seed + tf.constant((number, 0), seed.dtype)

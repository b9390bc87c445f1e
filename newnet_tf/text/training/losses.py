"""The loss of a text detector: squared error with hard negatives, on maps of `score_maps`."""

from typing import Any

from newnet_tf.utils.lazy import keras

HARD_NEGATIVES = 3  # for each positive cell
MIN_NEGATIVES = 500  # of an image, however few its positive cells are
POSITIVE = 0.1  # a cell of the target with a higher value is text
BISECTIONS = 20  # to find the least error among the hard negatives


def text_loss(target: dict[str, Any], outputs: dict[str, Any]) -> dict:
    """Returns the loss of both maps, means over the batch's images.

    The loss of an image is the mean squared error of its positive cells, plus that of its hard
    negatives: the cells of the background with the largest errors, three for each positive cell and at
    least 500. Source: CRAFT, arXiv 1904.01941, with online hard negative mining.

    Args:
        target: `{"region", "affinity": float (batch, height, width, 1)}` in 0 to 1, and `"weight"`
            of the same shape, the confidence in a cell: 0 for no part in the loss.

        outputs: `{"region", "affinity": (batch, height, width, 1)}` of the model.

    Returns:
        `{"region": ..., "affinity": ...}`, scalars.
    """
    ops = keras.ops
    shape = ops.shape(target["region"])
    cells = int(shape[1]) * int(shape[2])

    def flat(values):
        return ops.reshape(ops.cast(values, "float32"), (-1, cells))

    weight = flat(target["weight"])
    return {
        name: _map_loss(ops, flat(target[name]), flat(outputs[name]), weight, cells)
        for name in ("region", "affinity")
    }


def _map_loss(ops, target, output, weight, cells: int) -> Any:
    """Returns the loss of one map, a scalar; arguments are (batch, cells)."""
    errors = ops.square(output - target) * weight
    used = ops.cast(weight > 0, "float32")
    positive = ops.cast(target > POSITIVE, "float32") * used
    count = ops.sum(positive, axis=-1, keepdims=True)
    of_positive = ops.sum(errors * positive, axis=-1, keepdims=True) / ops.maximum(count, 1.0)
    negative = used - positive
    most = ops.maximum(HARD_NEGATIVES * count, float(min(MIN_NEGATIVES, cells)))
    most = ops.minimum(most, ops.sum(negative, axis=-1, keepdims=True))
    hardest = _sum_of_largest(ops, errors * negative, most)
    return ops.mean(of_positive + hardest / ops.maximum(most, 1.0))


def _sum_of_largest(ops, values, most) -> Any:
    """Returns the sum of the `most` largest of values >= 0, (batch, 1), many times as fast as sorting.

    Args:
        values: (batch, cells).

        most: (batch, 1), how many.
    """
    fixed = ops.stop_gradient(values)
    low, high = ops.zeros_like(most), ops.max(fixed, axis=-1, keepdims=True)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        many = ops.sum(ops.cast(fixed > middle, "float32"), axis=-1, keepdims=True) > most
        low, high = ops.where(many, middle, low), ops.where(many, high, middle)
    above = ops.cast(fixed > high, "float32")
    ties = ops.cast(fixed > low, "float32") - above  # equal, but for rounding
    left = most - ops.sum(above, axis=-1, keepdims=True)
    count = ops.sum(ties, axis=-1, keepdims=True)
    share = ops.minimum(left, count) / ops.maximum(count, 1.0)
    return ops.sum(values * (above + ties * share), axis=-1, keepdims=True)

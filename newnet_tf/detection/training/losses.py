"""The loss of a single-shot detector, on targets of `matching.match`."""

from typing import Any

from newnet_tf.detection.config import SOFTMAX, DetectionConfig
from newnet_tf.utils.lazy import keras

HARD_NEGATIVES = 3  # of the background, for each matched anchor
ALPHA, GAMMA = 0.75, 2.0


def detection_loss(
    target: dict[str, Any], outputs: dict[str, Any], config: DetectionConfig
) -> dict:
    """Returns the parts of the loss, each a sum over anchors, divided by the number of matched anchors.

    Args:
        target: `{"boxes": float32 (batch, anchors, 4), "classes": int32 (batch, anchors)}`: codes of
            the matched boxes, and 0 for the background, k + 1 for class k, -1 for no part in the loss.

        outputs: `{"boxes": (batch, anchors, 4), "scores": (batch, anchors, columns)}` of the model.

        config: `DetectionConfig`. Its `score_function` decides the loss of the scores: with softmax
            cross entropy, of the background only on three times as many anchors as are matched, those
            of the highest loss (SSD, section 2.2); with sigmoid the focal loss with alpha 0.75 and
            gamma 2 of all anchors (arXiv 1708.02002), on the classes' own columns.

    Returns:
        `{"localization": ..., "classification": ...}`, scalars. Localization is the Huber loss.
    """
    ops = keras.ops
    classes = ops.cast(target["classes"], "int32")
    scores = ops.cast(outputs["scores"], "float32")
    matched = ops.cast(ops.greater(classes, 0), "float32")
    used = ops.cast(ops.greater_equal(classes, 0), "float32")
    count = ops.maximum(ops.sum(matched), 1.0)
    distance = ops.abs(ops.cast(outputs["boxes"], "float32") - target["boxes"])
    huber = ops.where(distance < 1, 0.5 * distance * distance, distance - 0.5)
    localization = ops.sum(ops.sum(huber, axis=-1) * matched) / count
    if config.score_function == SOFTMAX:
        losses = _hard_negative_entropy(ops, ops.maximum(classes, 0), scores, matched, used)
    else:
        losses = _focal(ops, classes, scores, config) * used
    return {"localization": localization, "classification": ops.sum(losses) / count}


def _hard_negative_entropy(ops, classes, scores, matched, used) -> Any:
    """Returns the cross entropy of each anchor that counts, 0 of the others, (batch, anchors)."""
    losses = ops.logsumexp(scores, axis=-1) - ops.squeeze(
        ops.take_along_axis(scores, classes[..., None], axis=-1), axis=-1
    )
    negative = used - matched
    rank = ops.argsort(ops.argsort(-ops.stop_gradient(losses) * negative, axis=-1), axis=-1)
    most = HARD_NEGATIVES * ops.sum(matched, axis=-1, keepdims=True)
    hard = ops.cast(ops.cast(rank, "float32") < most, "float32") * negative
    return losses * (matched + hard)


def _focal(ops, classes, scores, config: DetectionConfig) -> Any:
    """Returns the focal loss of each anchor, (batch, anchors)."""
    logits = scores[..., 1:]
    target = ops.one_hot(classes - 1, config.classes, dtype="float32")  # no class: all 0
    entropy = ops.softplus(logits) - target * logits
    probability = ops.sigmoid(logits)
    miss = target + probability - 2 * target * probability  # 1 - p of the truth
    weight = target * ALPHA + (1 - target) * (1 - ALPHA)
    return ops.sum(weight * miss**GAMMA * entropy, axis=-1)

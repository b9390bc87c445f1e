"""Which anchor is responsible for which box: the targets that a detector is trained on. NumPy only."""

import numpy as np

from newnet_tf.detection.anchors import anchor_corners
from newnet_tf.detection.box_coder import encode
from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.overlaps import box_ious

MATCH_IOU = 0.5
IGNORED = -1  # class of an anchor that takes no part in the loss


def match(
    boxes: np.ndarray,
    classes: np.ndarray,
    ignore: np.ndarray,
    config: DetectionConfig,
    crowd: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Matches the boxes of an image with the anchors of a detector (SSD, section 2.2).

    Each anchor is matched with the box that it overlaps most, if their IoU is 0.5 or more; and each box
    with its best anchor, whatever their IoU. All other anchors are background. Anchors that would match
    an ignored box, or of which half or more lies in a crowd, and that match no other box take no part.

    Args:
        boxes: float array (n, 4), corners x1, y1, x2, y2 in fractions of the image.

        classes: int array (n,), from 0.

        ignore: bool array (n,), boxes that are neither learned nor background: difficult ones, crowds.

        config: `DetectionConfig`.

        crowd: bool array (n,), which of the ignored boxes hold many objects. Default: None, none.

    Returns:
        `{"boxes": float32 (anchors, 4), "classes": int32 (anchors,)}`: the code of the matched box (0
        where there is none), and 0 for the background, k + 1 for class k, -1 for no part.
    """
    anchors = config.anchors
    codes = np.zeros((len(anchors), 4), np.float32)
    target = np.zeros(len(anchors), np.int32)
    boxes, classes = np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(classes, np.int32)
    ignore = np.asarray(ignore, bool)
    if ignore.any():
        many = None if crowd is None else np.asarray(crowd, bool)[ignore]
        overlaps = box_ious(anchor_corners(config), boxes[ignore], many)
        target[(overlaps >= MATCH_IOU).any(axis=1)] = IGNORED
    kept, labels = boxes[~ignore], classes[~ignore]
    if len(kept):
        ious = box_ious(anchor_corners(config), kept)
        best_box, best_iou = ious.argmax(axis=1), ious.max(axis=1)
        best_anchor = ious.argmax(axis=0)
        order = np.argsort(ious.max(axis=0), kind="stable")  # of two boxes the closer one is last
        best_box[best_anchor[order]] = order
        best_iou[best_anchor] = 1.0
        matched = best_iou >= MATCH_IOU
        chosen = best_box[matched]
        target[matched] = labels[chosen] + 1
        codes[matched] = encode(kept[chosen], anchors[matched], config.style)
    return {"boxes": codes, "classes": target}

"""What code outside of Python needs to turn a detector's raw outputs into boxes, as JSON values.

The code of bundles (C++, Kotlin, Swift) and the web page are generated from it. They do what
`postprocess` does with `nms="class_offset"`.
"""

from newnet_tf.detection import box_coder
from newnet_tf.detection.config import BACKGROUND, TF, DetectionConfig


def decoder_spec(config: DetectionConfig) -> dict:
    """Returns the description of a detector's decoder.

    Args:
        config: `DetectionConfig` of the model.

    Returns:
        dict of JSON values:

        - `boxes`, `scores`: names of the outputs, (1, anchors, 4) and (1, anchors, classes + 1).
        - `classes`: number of classes; `background`: columns of the scores before theirs.
        - `maps`: for each feature map its `size` in cells, and `anchors`, [width, height] of the
          anchors of a cell in fractions of the image. Anchors are numbered map by map, row by row,
          cell by cell, and have the center of their cell.
        - `code_order`: the columns of the box code that hold center x, center y, width and height.
        - `center_scale`, `side_scale`, `max_side_code`: a center is
          `code / center_scale * side of the anchor + center of the anchor`, a side is
          `exp(min(code / side_scale, max_side_code)) * side of the anchor`.
        - `score_function`: `"sigmoid"`, or `"softmax"` over all columns.
        - `score_threshold`, `iou_threshold`, `top_k`, `max_detections`: as in `DetectionConfig`.

    Example:
        >>> config = DetectionConfig(classes=20, image_size=320, feature_sizes=(20, 10, 5, 3, 2, 1))
        >>> [len(grid["anchors"]) for grid in decoder_spec(config)["maps"]]
        [3, 6, 6, 6, 6, 6]
    """
    maps, start = [], 0
    for size, count in zip(config.feature_sizes, config.anchors_per_cell, strict=True):
        sides = config.anchors[start : start + count, 2:]
        maps.append({"size": size, "anchors": sides.tolist()})
        start += size * size * count
    return {
        "boxes": "boxes",
        "scores": "scores",
        "classes": config.classes,
        "background": BACKGROUND,
        "maps": maps,
        "code_order": box_coder.Y_FIRST if config.style == TF else [0, 1, 2, 3],
        "center_scale": box_coder.CENTER_SCALE,
        "side_scale": box_coder.SIDE_SCALE,
        "max_side_code": box_coder.MAX_SIDE_CODE,
        "score_function": config.score_function,
        "score_threshold": config.score_threshold,
        "iou_threshold": config.iou_threshold,
        "top_k": config.top_k,
        "max_detections": config.max_detections,
    }

"""`TFLite_Detection_PostProcess`: post-processing inside a detector's file, and its results.

The operator is part of the interpreters on phones. It decodes boxes, keeps the best class of each
anchor or all (regular non-maximum suppression, which is used here: the fast one loses average
precision), and returns boxes as y1, x1, y2, x2 in fractions of the image. NumPy only.
"""

from collections.abc import Mapping

import numpy as np

from newnet_tf.data.box_geometry import to_original
from newnet_tf.detection.box_coder import CENTER_SCALE, SIDE_SCALE
from newnet_tf.detection.config import TF, DetectionConfig
from newnet_tf.models.config import STRETCH, PreprocessConfig
from newnet_tf.task import PostprocessOperator

NAME = "TFLite_Detection_PostProcess"
BOXES, CLASSES, SCORES = "detection_boxes", "detection_classes", "detection_scores"
COUNT = "num_detections"
STRETCHED = PreprocessConfig(resize_mode=STRETCH)
PER_CLASS = 100  # detections of one class


def operator(config: DetectionConfig) -> PostprocessOperator:
    """Returns the operator for a detector's raw outputs.

    Args:
        config: `DetectionConfig`. A threshold of 0.05 is usual: with 0.01 the operator takes twice as
            long.

    Raises:
        ValueError: for a style whose box code has x before y.
    """
    if config.style != TF:
        raise ValueError(
            f"`style` of a detector whose file ends in {NAME} must be {TF!r}: the operator reads "
            f"boxes as ty, tx, th, tw. Received: style={config.style!r}; export it without "
            "`embed_postprocess`"
        )
    most = config.max_detections
    return PostprocessOperator(
        name=NAME,
        inputs=("boxes", "scores", config.anchors[:, [1, 0, 3, 2]]),
        activations={"scores": config.score_function},
        options={
            "max_detections": most,
            "max_classes_per_detection": 1,
            "detections_per_class": PER_CLASS,
            "use_regular_nms": True,
            "nms_score_threshold": float(config.score_threshold),
            "nms_iou_threshold": float(config.iou_threshold or 0),
            "num_classes": config.classes,
            "y_scale": CENTER_SCALE,
            "x_scale": CENTER_SCALE,
            "h_scale": SIDE_SCALE,
            "w_scale": SIDE_SCALE,
        },
        outputs={BOXES: (1, most, 4), CLASSES: (1, most), SCORES: (1, most), COUNT: (1,)},
    )


def in_pixels(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Returns boxes in pixels of an image that was stretched to the model's input.

    Args:
        boxes: float array (n, 4), corners x1, y1, x2, y2 in fractions of the input.

        image_size: (height, width) of the image. Of one that is very long the input shows the middle
            (`data.resize.LONGEST`).

    Returns:
        float32 array (n, 4).
    """
    return to_original(boxes, image_size, STRETCHED).astype(np.float32)


def is_processed(outputs: Mapping[str, np.ndarray]) -> bool:
    """Returns whether outputs are results of the operator."""
    return BOXES in outputs


def read_results(
    outputs: Mapping[str, np.ndarray], image_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns boxes, scores and classes of an image, the highest score first.

    Args:
        outputs: mapping, the operator's results for one image, without batch axis.

        image_size: (height, width) of the original image.

    Returns:
        (float32 (n, 4), corners x1, y1, x2, y2 in pixels, clipped to the image; float32 (n,); int32
        (n,)).
    """
    count = int(np.asarray(outputs[COUNT]).reshape(-1)[0])
    boxes = np.asarray(outputs[BOXES], np.float32)[:count, [1, 0, 3, 2]].clip(0, 1)
    boxes = in_pixels(boxes, image_size)
    scores = np.asarray(outputs[SCORES], np.float32)[:count]
    return boxes, scores, np.asarray(outputs[CLASSES])[:count].astype(np.int32)

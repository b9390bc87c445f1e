"""`DetectionConfig`: anchors, box coder and post-processing of a single-shot detector, as one record.

It travels in a model's metadata (`ModelMetadata.task_config`), so that boxes can be decoded from the
raw outputs of any exported file. Importing it needs the standard library only.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

STYLES = TF, TORCHVISION = "tf", "torchvision"
SCORE_FUNCTIONS = SIGMOID, SOFTMAX = "sigmoid", "softmax"
NMS_MODES = CLASS_OFFSET, TORCHVISION_NMS, TF_NMS = "class_offset", "torchvision", "tf"
BACKGROUND = 1  # columns of the scores before those of the classes


@dataclass(frozen=True)
class StyleDefaults:
    """What a style stands for, where a `DetectionConfig` does not say otherwise.

    Args:
        score_function: str, among `SCORE_FUNCTIONS`.

        iou_threshold: float, of non-maximum suppression.

        max_detections: int, of an image.
    """

    score_function: str
    iou_threshold: float
    max_detections: int


DEFAULTS = {TF: StyleDefaults(SIGMOID, 0.6, 100), TORCHVISION: StyleDefaults(SOFTMAX, 0.55, 300)}


@dataclass(frozen=True, kw_only=True)
class DetectionConfig:
    """Anchors, box coder and post-processing of a single-shot detector (SSD, arXiv 1512.02325).

    Args:
        classes: int, number of classes, without the background.

        image_size: int, height and width of the input in pixels.

        feature_sizes: tuple of int, height and width of each feature map that boxes are predicted
            from, in cells, the finest map first.

        style: `"tf"` (default), anchors and box code of TensorFlow's Object Detection API, or
            `"torchvision"`, those of torchvision's `ssdlite320_mobilenet_v3_large`. See `anchors` and
            `box_coder`.

        score_function: `"sigmoid"`, each class on its own, or `"softmax"` over the classes and the
            background. Default: that of the style: sigmoid for `"tf"`, softmax for `"torchvision"`.

        score_threshold: float in [0, 1), detections with a lower score are dropped. Default: 0.05.

        iou_threshold: float in (0, 1], of two boxes of one class that overlap more, the one with the
            lower score is dropped. Default: that of the style, 0.6 or 0.55.

        max_detections: int, the most detections of an image. Default: that of the style, 100 or 300.

        top_k: int, the most candidates that non-maximum suppression considers, the highest scores
            first. Default: 400.

        nms: `"class_offset"` (default), one pass over the candidates of all classes; `"torchvision"`
            or `"tf"`, their exact rules. See `postprocess`.

    Raises:
        ValueError: for an argument outside of the above.

    Example:
        >>> config = DetectionConfig(classes=20, image_size=320, feature_sizes=(20, 10, 5, 3, 2, 1))
        >>> config.anchors.shape, config.columns
        ((2034, 4), 21)
    """

    classes: int
    image_size: int
    feature_sizes: tuple[int, ...]
    style: str = TF
    score_function: str | None = None
    score_threshold: float = 0.05
    iou_threshold: float | None = None
    max_detections: int | None = None
    top_k: int = 400
    nms: str = CLASS_OFFSET

    def __post_init__(self):
        for name, known in (("style", STYLES), ("nms", NMS_MODES)):
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be among {known}. Received: {self}")
        for name, value in dataclasses.asdict(DEFAULTS[self.style]).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if self.score_function not in SCORE_FUNCTIONS:
            raise ValueError(
                f"`score_function` must be None or among {SCORE_FUNCTIONS}. Received: {self}"
            )
        counts = (self.classes, self.image_size, self.max_detections, self.top_k)
        if not all(map(_is_count, (*counts, *self.feature_sizes))) or len(self.feature_sizes) < 2:
            raise ValueError(
                "`classes`, `image_size`, `max_detections` and `top_k` must be positive ints, and "
                f"`feature_sizes` two or more of them. Received: {self}"
            )
        thresholds = (self.score_threshold, self.iou_threshold)
        if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in thresholds):
            raise ValueError(f"thresholds must be numbers. Received: {self}")
        if not 0 <= self.score_threshold < 1 or not 0 < self.iou_threshold <= 1:
            raise ValueError(
                f"`score_threshold` must lie in [0, 1), `iou_threshold` in (0, 1]. Received: {self}"
            )

    @property
    def columns(self) -> int:
        """Columns of the scores: the background, then the classes."""
        return BACKGROUND + self.classes

    @property
    def anchors_per_cell(self) -> tuple[int, ...]:
        """Number of anchors of each cell, for each feature map."""
        first = 3 if self.style == TF else 6
        return (first, *[6] * (len(self.feature_sizes) - 1))

    @property
    def anchor_count(self) -> int:
        """Number of anchors of all feature maps together."""
        pairs = zip(self.feature_sizes, self.anchors_per_cell, strict=True)
        return sum(size * size * count for size, count in pairs)

    @property
    def anchors(self) -> "np.ndarray":
        """The anchors, see `anchors.make_anchors`."""
        from newnet_tf.detection.anchors import make_anchors

        return make_anchors(self)

    def to_dict(self) -> dict[str, Any]:
        """Returns the config as JSON values."""
        return {**dataclasses.asdict(self), "feature_sizes": list(self.feature_sizes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DetectionConfig":
        """Returns the config that `to_dict` described, as read from JSON.

        Raises:
            ValueError: for an unknown or missing field, or a value outside of the above.
        """
        known = list(cls.__dataclass_fields__)
        if not isinstance(values, Mapping) or set(values) != set(known):
            raise ValueError(
                f"a detector's config must be a JSON object of {known}. Received: {values!r}"
            )
        sizes = values["feature_sizes"]
        if not isinstance(sizes, list | tuple):
            raise ValueError(f"`feature_sizes` must be a list of int. Received: {sizes!r}")
        return cls(**{**values, "feature_sizes": tuple(sizes)})


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0

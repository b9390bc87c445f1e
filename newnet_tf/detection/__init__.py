"""Object detection: SSDLite over any backbone of the zoo."""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "BoxAugmentation": "newnet_tf.detection.training.augment",
    "DetectionConfig": "newnet_tf.detection.config",
    "DetectionLoader": "newnet_tf.detection.training.loader",
    "SSDLite": "newnet_tf.detection.ssdlite",
    "detection_config": "newnet_tf.detection.ssdlite",
    "draw_boxes": "newnet_tf.detection.drawing",
}
__getattr__, __dir__ = exports(__name__, PUBLIC)

"""Charts and pages of results; which parts of an image a classifier looks at (Grad-CAM).

grad_cam   Returns where in an image a classifier sees a class: Grad-CAM.
overlay    Returns an image with a heat map over it.
"""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "grad_cam": "newnet_tf.visualization.class_activation",
    "overlay": "newnet_tf.visualization.class_activation",
}

__all__ = list(PUBLIC)
__getattr__, __dir__ = exports(__name__, PUBLIC)

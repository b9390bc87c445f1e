"""Boxes of tensorflow-datasets' sets: `tfds:voc/2007`, `tfds:coco/2017`, and others of their form.

Such a set has a sequence of objects, each with a box (`BBoxFeature`: ymin, xmin, ymax, xmax in
fractions of the image) and a class (`ClassLabel`). Boxes that lie outside of the image or have no area
are dropped when they are read; these sets have next to none.
"""

from dataclasses import dataclass

import numpy as np

from newnet_tf.data.boxes import (
    BOXES,
    CLASSES,
    CROWD,
    DIFFICULT,
    FIELDS,
    PADDING,
    BoxChecker,
    make_label,
)
from newnet_tf.data.datasets.annotated import read_header
from newnet_tf.data.images import ImageError

FLAGS = {DIFFICULT: ("is_difficult",), CROWD: ("is_crowd",)}
X_FIRST = [1, 0, 3, 2]
UNLABELED = {"coco": ("test", "test2015")}  # splits without boxes


@dataclass(frozen=True)
class BoxFeature:
    """Names of the features of a set's boxes.

    Args:
        image, objects: str, features of an example.

        box, label: str, features of an object.

        flags: {`"difficult"` or `"crowd"`: str}.

        class_names: tuple of str.
    """

    image: str
    objects: str
    box: str
    label: str
    flags: dict[str, str]
    class_names: tuple[str, ...]

    def read(self, example):
        """Returns the label of an example whose image is encoded, as a mapping of tensors."""
        import tensorflow as tf

        objects = example[self.objects]
        count = tf.shape(objects[self.label])[0]
        none = tf.zeros((count,), tf.bool)
        flags = [objects[self.flags[k]] if k in self.flags else none for k in (DIFFICULT, CROWD)]
        inputs = (example[self.image], objects[self.box], objects[self.label], *flags)
        types = [tf.as_dtype(dtype) for dtype in FIELDS.values()]
        arrays = tf.numpy_function(_checked, inputs, types, stateful=False)
        for name, array in zip(FIELDS, arrays, strict=True):
            array.set_shape((None, 4) if name == BOXES else (None,))
        return dict(zip(FIELDS, arrays, strict=True))


def find_box_feature(source) -> BoxFeature | None:
    """Returns the features of a set's boxes, None for a set of another form.

    Args:
        source: builder of tensorflow-datasets.
    """
    import tensorflow_datasets as package

    kinds = package.features
    features = dict(source.info.features or {})
    image = next((n for n, kind in features.items() if isinstance(kind, kinds.Image)), None)
    for name, kind in features.items():
        inner = getattr(kind, "feature", None)
        inner = dict(inner) if isinstance(inner, kinds.FeaturesDict) else {}
        box = next((n for n, k in inner.items() if isinstance(k, kinds.BBoxFeature)), None)
        label = next((n for n, k in inner.items() if isinstance(k, kinds.ClassLabel)), None)
        if "label" in inner and isinstance(inner["label"], kinds.ClassLabel):
            label = "label"  # VOC's objects have a `pose` too
        if None not in (image, box, label) and inner[label].names:
            flags = {key: n for key, names in FLAGS.items() for n in names if n in inner}
            return BoxFeature(image, name, box, label, flags, tuple(inner[label].names))
    return None


def padding() -> dict:
    """Returns the values that labels are padded with in a batch."""
    import tensorflow as tf

    return {
        name: tf.constant(PADDING if name == CLASSES else 0, tf.as_dtype(dtype))
        if dtype is not bool
        else tf.constant(False)
        for name, dtype in FIELDS.items()
    }


def _checked(data: bytes, boxes, classes, difficult, crowd) -> list[np.ndarray]:
    """Returns the arrays of a label, in the order of `FIELDS`."""
    try:
        height, width = read_header(data).size
    except ImageError:  # who reads the image names it
        height, width = 1, 1
    corners = boxes[:, X_FIRST] * np.array([width, height] * 2, np.float32)
    label = make_label(corners, classes, difficult, crowd)
    label = BoxChecker().check("", label, height, width)
    return [label[name] for name in FIELDS]

"""SSDLite: a detector on any backbone of the zoo with feature maps at strides 16 and 32.

SSD (arXiv 1512.02325) with depthwise convolutions, from MobileNetV2 (arXiv 1801.04381, section 6.2);
the feature maps of the backbone as in TensorFlow's Object Detection API and in torchvision.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from newnet_tf.detection import catalog, head
from newnet_tf.detection.config import BACKGROUND, TF, DetectionConfig
from newnet_tf.models.config.metadata import get_metadata

if TYPE_CHECKING:
    import keras


def SSDLite(
    backbone: str = "newnet_small",
    classes: int | None = None,
    image_size: int | None = None,
    style: str = TF,
    weights: str | os.PathLike | None = None,
    backbone_weights: str | os.PathLike | None = catalog.DEFAULT,
    score_function: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Builds an SSDLite detector.

    Args:
        backbone: str, a model of the zoo with feature maps at strides 16 and 32, with or without a tag
            of its weights. Default: `"newnet_small"`.

        classes: int or None, number of classes, without the background. Default: None, those of
            `weights`; without them 20.

        image_size: int or None, height and width of the images in pixels. Default: None, 320; of
            weights their own.

        style: `"tf"` (default) or `"torchvision"`, of whose detectors the anchors, the box code, the
            padding and the score function are.

        weights: str, path or None, weights of the whole detector: a tag of the card of
            `ssdlite_<backbone>`, or a checkpoint file. Default: None, newly initialized.

        backbone_weights: str, path or None, weights of the backbone, where `weights` is None: a tag of
            its card or a checkpoint file; None initializes it randomly. Default: `"default"`, the tag
            in `backbone`, else those of the backbone's card, if any.

        score_function: `"sigmoid"`, `"softmax"` or None. Default: None, that of the style.

        name: str or None, name of the Keras model. Default: None, `ssdlite_<backbone>`.

    Returns:
        `keras.Model` from images of shape (batch, image_size, image_size, 3), stretched and normalized
        as `get_metadata(model).preprocess` says, to `{"boxes": (batch, anchors, 4) box codes,
        "scores": (batch, anchors, classes + 1) logits, the background first}`, float32. Its layers keep
        the backbone's names; further ones are `extra...` and `head...`.

    Raises:
        ValueError: for an unknown or unsuitable backbone, an argument outside of the above, or a
            checkpoint that does not fit.

    Example:
        >>> model = SSDLite("efficientnet_lite0", classes=3, backbone_weights=None)
        >>> {name: tensor.shape for name, tensor in model.output.items()}
        {'boxes': (None, 2034, 4), 'scores': (None, 2034, 4)}
    """
    variant = catalog.detector(backbone, style)
    return variant.build(
        weights=weights,
        classes=classes,
        image_size=image_size,
        backbone_weights=backbone_weights,
        score_function=score_function,
        name=name,
    )


def detection_config(model: keras.Model) -> DetectionConfig:
    """Returns anchors, box code and post-processing of a detector.

    Args:
        model: `keras.Model` of `SSDLite`, built or loaded; of one without metadata the style's usual
            post-processing is taken.

    Returns:
        `DetectionConfig`.

    Raises:
        ValueError: if the model is no SSDLite detector.

    Example:
        >>> detection_config(model).anchors.shape
        (2034, 4)
    """
    metadata = get_metadata(model)
    if metadata is not None and metadata.task_config is not None:
        return DetectionConfig.from_dict(metadata.task_config)
    layers = {layer.name: layer for layer in model.layers}
    names = head.predictor_layers(head.BOXES)
    outputs = getattr(model, "output", None)
    if not {*names} <= set(layers) or not isinstance(outputs, dict):
        raise ValueError(
            "`model` must be an SSDLite detector, with layers "
            f"{names[0]!r} to {names[-1]!r}. Received: {model.name!r}"
        )
    return DetectionConfig(
        classes=outputs[head.SCORES].shape[-1] - BACKGROUND,
        image_size=model.input_shape[1],
        feature_sizes=tuple(layers[name].output.shape[1] for name in names),
        style=head.style_of(layers[names[0]].output.shape[-1] // head.CODE),
    )

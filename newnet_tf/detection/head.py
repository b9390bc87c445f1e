"""Extra feature layers and prediction heads of SSDLite (MobileNetV2, arXiv 1801.04381, section 6.2).

SSD (arXiv 1512.02325) with each 3x3 convolution replaced by a depthwise one and a 1x1 convolution.
"""

from collections.abc import Sequence

from newnet_tf.detection.config import SIGMOID, TF, DetectionConfig
from newnet_tf.models import blocks
from newnet_tf.models.blocks import ConvBNConfig
from newnet_tf.utils.lazy import keras

STYLES = {  # padding and batch norm of the extra layers and the heads
    "tf": ConvBNConfig(padding="same", eps=1e-3, momentum=0.97),
    "torchvision": ConvBNConfig(padding="symmetric", eps=1e-3, momentum=0.97),
}
EXTRA_CHANNELS = (512, 256, 256, 128)
MAPS = 2 + len(EXTRA_CHANNELS)
CODE = 4  # numbers of a box
RARE = (
    -4.6
)  # first logit of each class with sigmoid: a score of 0.01 (arXiv 1708.02002, section 4.1)
PREDICTOR_STDDEV = 0.03
BOXES, SCORES = "boxes", "scores"


def extra_maps(x, style: str) -> list:
    """Returns four further feature maps, each at half the size of the one before.

    Args:
        x: Keras tensor, the last feature map of the backbone.

        style: str, among `config.STYLES`.

    Returns:
        List of Keras tensors with `EXTRA_CHANNELS`; the layers are `extra1_...` to `extra4_...`.
    """
    norm, maps = STYLES[style], []
    for i, channels in enumerate(EXTRA_CHANNELS, 1):
        x = blocks.conv_bn_act(x, channels // 2, style=norm, name=f"extra{i}_reduce")
        x = blocks.depthwise_bn_act(x, 3, 2, act="relu6", style=norm, name=f"extra{i}_depthwise")
        x = blocks.conv_bn_act(x, channels, style=norm, name=f"extra{i}_expand")
        maps.append(x)
    return maps


def predictions(maps: Sequence, config: DetectionConfig) -> dict:
    """Returns the outputs of a detector.

    Args:
        maps: sequence of Keras tensors, the feature maps, the finest first.

        config: `DetectionConfig`.

    Returns:
        `{"boxes": (batch, anchors, 4), "scores": (batch, anchors, columns)}`, in the order of
        `config.anchors`; the layers are `head1_...` to `head6_...`.
    """
    bias = RARE if config.score_function == SIGMOID else 0.0
    outputs = {}
    for output, columns, first in ((BOXES, CODE, 0.0), (SCORES, config.columns, bias)):
        parts = []
        for i, (x, count) in enumerate(zip(maps, config.anchors_per_cell, strict=True), 1):
            name = f"head{i}_{output}"
            parts.append(_predictor(x, count, columns, first, config.style, name))
        outputs[output] = _join(parts, output)
    return outputs


def predictor_layers(output: str) -> tuple[str, ...]:
    """Returns the names of the last convolutions of an output, one for each feature map."""
    return tuple(f"head{i + 1}_{output}" for i in range(MAPS))


def _predictor(x, count: int, columns: int, bias: float, style: str, name: str):
    """Returns the predictions on a feature map, (batch, cells * count, columns)."""
    x = blocks.depthwise_bn_act(x, act="relu6", style=STYLES[style], name=f"{name}_depthwise")
    height, width = x.shape[1:3]
    x = keras.layers.Conv2D(
        count * columns,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=PREDICTOR_STDDEV),
        bias_initializer=keras.initializers.Constant(bias),
        name=name,
    )(x)
    return keras.layers.Reshape((height * width * count, columns), name=f"{name}_rows")(x)


def _join(parts: list, name: str):
    """Concatenates the rows of all maps, in two steps: XNNPACK joins at most five tensors at once."""
    rest = keras.layers.Concatenate(axis=1, name=f"{name}_coarse")(parts[2:])
    return keras.layers.Concatenate(axis=1, dtype="float32", name=name)([*parts[:2], rest])


def style_of(first_count: int) -> str:
    """Returns the style whose first feature map has so many anchors a cell."""
    few = DetectionConfig(classes=1, image_size=1, feature_sizes=(1, 1)).anchors_per_cell[0]
    return TF if first_count == few else "torchvision"

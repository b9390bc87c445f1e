"""MobileNetV1.

Howard et al.: "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
arXiv 1704.04861. Plain names follow timm (symmetric padding, batch-norm epsilon 1e-5), `tf_` names
Google's weights (`same` padding, 1e-3; Apache-2.0); all use ReLU6. The head is `blocks.classifier`.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks
from newnet_tf.models.blocks import TENSORFLOW, TORCH, ConvBNConfig
from newnet_tf.models.config import (
    INCEPTION,
    Card,
    CheckpointFormat,
    HubFile,
    ReportedResults,
    Weights,
)
from newnet_tf.models.variants import Family

DEPTHS = (1, 2, 2, 6, 2)
CHANNELS = (64, 128, 256, 512, 1024)
STRIDES = blocks.block_strides(DEPTHS, firsts=(1, 2, 2, 2, 2))


@dataclass(frozen=True)
class Config:
    """One model of the family: width multiplier, and padding and epsilon of its weights."""

    width: float
    style: ConvBNConfig


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    channels = [c for c, depth in zip(CHANNELS, DEPTHS, strict=True) for _ in range(depth)]

    def block(x, i, stride):
        """Depthwise separable convolution (paper, figure 3)."""
        name, style = f"block{i}", config.style
        x = blocks.depthwise_bn_act(x, 3, stride, style=style, name=f"{name}_depthwise")
        width = blocks.make_divisible(channels[i] * config.width)
        return blocks.conv_bn_act(x, width, style=style, name=f"{name}_pointwise")

    stem = blocks.make_divisible(32 * config.width)
    x = blocks.conv_bn_act(x, stem, 3, 2, style=config.style, name="stem")
    return blocks.stack(x, STRIDES, block)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def timm_names() -> dict[str, str]:
    """Maps our layer names to timm's module names."""
    names = {"stem_conv": "conv_stem", "stem_bn": "bn1", "classifier": "classifier"}
    places = [(s, b) for s, depth in enumerate(DEPTHS) for b in range(depth)]
    for i, (s, b) in enumerate(places):
        for layer, conv, bn in (("depthwise", "conv_dw", "bn1"), ("pointwise", "conv_pw", "bn2")):
            names[f"block{i}_{layer}_conv"] = f"blocks.{s}.{b}.{conv}"
            names[f"block{i}_{layer}_bn"] = f"blocks.{s}.{b}.{bn}"
    return names


def keras_names() -> dict[str, str]:
    """Maps our layer names to those of keras.applications."""
    names = {"stem_conv": "conv1", "stem_bn": "conv1_bn", "classifier": "conv_preds"}
    for i in range(len(STRIDES)):
        for layer, module in (("depthwise", "conv_dw"), ("pointwise", "conv_pw")):
            names[f"block{i}_{layer}_conv"] = f"{module}_{i + 1}"
            names[f"block{i}_{layer}_bn"] = f"{module}_{i + 1}_bn"
    return names


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    timm = CheckpointFormat(name="timm", layers=timm_names())
    keras = CheckpointFormat(name="keras.applications", layers=keras_names(), layout="keras")
    return (timm, keras) if config.style is TORCH else (keras, timm)


TALK = ReportedResults(
    source="DEVIEW 2019 talk, table of light models",
    top1_error=29.4,
    top5_error=10.5,
    params=4.2,
    macs=0.58,
    discrepancy="the talk counts batch norm, activations and pooling too",
)
FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1704.04861",
)
preprocess_input = FAMILY.preprocess_input()


def _v1(width: float, top1: float, macs: float, params: float, tensorflow: bool = False):
    code = f"{round(width * 100):03}"
    reported = ReportedResults(
        source="arXiv 1704.04861, table 6",
        top1_error=round(100 - top1, 1),
        macs=macs,
        params=params,
    )
    if width == 1:
        reported = TALK
    timm = Weights(
        tag="ra4_e3600_r224_in1k",
        sources=(HubFile(repo="timm/mobilenetv1_100.ra4_e3600_r224_in1k"),),
        license="Apache-2.0",
        author="Ross Wightman (timm)",
        preprocess=INCEPTION,
    )
    file = "No weights are on a public hub; pass a checkpoint file (keras.applications' names or "
    published = width == 1 and not tensorflow
    card = Card(
        name=f"{'tf_' * tensorflow}mobilenet_v1_{code}",
        title=f"MobileNetV1 x{width}{' (TensorFlow)' * tensorflow}",
        preprocess=INCEPTION,
        reported=reported,
        weights=(timm,) if published else (),
        notes="" if published else f"{file}timm's) as `weights`.",
    )
    constructor = f"{'TF' * tensorflow}MobileNetV1_{code}"
    return FAMILY.register(constructor, Config(width, TENSORFLOW if tensorflow else TORCH), card)


MobileNetV1_025 = _v1(0.25, 50.6, 0.041, 0.5)
MobileNetV1_050 = _v1(0.5, 63.7, 0.149, 1.3)
MobileNetV1_075 = _v1(0.75, 68.4, 0.325, 2.6)
MobileNetV1_100 = _v1(1.0, 70.6, 0.569, 4.2)
TFMobileNetV1_025 = _v1(0.25, 50.6, 0.041, 0.5, tensorflow=True)
TFMobileNetV1_050 = _v1(0.5, 63.7, 0.149, 1.3, tensorflow=True)
TFMobileNetV1_075 = _v1(0.75, 68.4, 0.325, 2.6, tensorflow=True)
TFMobileNetV1_100 = _v1(1.0, 70.6, 0.569, 4.2, tensorflow=True)

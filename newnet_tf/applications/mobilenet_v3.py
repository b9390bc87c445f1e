"""MobileNetV3.

Howard et al.: "Searching for MobileNetV3", arXiv 1905.02244. Plain names follow timm's PyTorch weights
(symmetric padding, batch-norm epsilon 1e-5), `tf_` names Google's weights in timm's naming (`same`
padding, 1e-3; Apache-2.0). torchvision's network has symmetric padding with 1e-3, so its weights fit
neither. Hard swish and hard sigmoid are spelled out with ReLU6. Difference: nothing but layer
names. The last convolution before pooling belongs to the feature at stride 32, as in timm.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, stages
from newnet_tf.models.blocks import TENSORFLOW, TORCH, ConvBNConfig, SEConfig
from newnet_tf.models.config import (
    Card,
    CheckpointFormat,
    HubFile,
    PreprocessConfig,
    ReportedResults,
    Weights,
)
from newnet_tf.models.stages import Stage
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

LARGE = (  # paper, table 1; expansions are its widths over the input's
    Stage(16, 1, 1, expansion=None, act="relu"),
    Stage(24, 1, 2, expansion=4, act="relu"),
    Stage(24, 1, 1, expansion=3, act="relu", continues_stage=True),
    Stage(40, 3, 2, expansion=3, kernel=5, se_ratio=0.25, act="relu"),
    Stage(80, 1, 2),
    Stage(80, 1, 1, expansion=2.5, continues_stage=True),
    Stage(80, 2, 1, expansion=2.3, continues_stage=True),
    Stage(112, 2, 1, se_ratio=0.25),
    Stage(160, 3, 2, kernel=5, se_ratio=0.25),
)
SMALL = (  # paper, table 2
    Stage(16, 1, 2, expansion=None, se_ratio=0.25, act="relu"),
    Stage(24, 1, 2, expansion=4.5, act="relu"),
    Stage(24, 1, 1, expansion=3.67, act="relu", continues_stage=True),
    Stage(40, 1, 2, expansion=4, kernel=5, se_ratio=0.25),
    Stage(40, 2, 1, kernel=5, se_ratio=0.25, continues_stage=True),
    Stage(48, 2, 1, expansion=3, kernel=5, se_ratio=0.25),
    Stage(96, 3, 2, kernel=5, se_ratio=0.25),
)


@dataclass(frozen=True)
class Config:
    """One model of the family: stages, last two widths, padding and epsilon of its weights."""

    stages: tuple[Stage, ...]
    final: int
    hidden: int
    style: ConvBNConfig


def se_config(se_ratio: float, input_channels: int, expanded_channels: int, act: str) -> SEConfig:
    """A share of the expanded channels, ReLU, and a hard sigmoid as gate."""
    return SEConfig(blocks.make_divisible(expanded_channels * se_ratio), gate="hard_sigmoid")


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    act, style = "hard_swish", config.style

    def final(x):
        return blocks.conv_bn_act(x, config.final, act=act, style=style, name="final")

    x = blocks.conv_bn_act(x, 16, 3, 2, act=act, style=style, name="stem")
    return stages.build(x, config.stages, act=act, se_config=se_config, end=final, style=style)


def build_head(x, config: Config, classes: int):
    """The last feature map to logits, through a hidden layer without batch norm."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = blocks.conv(x, config.hidden, style=config.style, bias=True, name="hidden_conv")
    x = blocks.activation(x, "hard_swish", name="hidden_act")
    return blocks.logits(x, classes, dropout=0.2)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    last = f"blocks.{sum(not stage.continues_stage for stage in config.stages)}.0"
    ends = {"final_conv": f"{last}.conv", "final_bn": f"{last}.bn1", "hidden_conv": "conv_head"}
    return (CheckpointFormat(name="timm", layers=stages.timm_names(config.stages) | ends),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    head=("hidden_conv", "classifier"),
    source="arXiv 1905.02244",
)
preprocess_input = FAMILY.preprocess_input()

LARGE_REPORTED = ReportedResults(
    source="DEVIEW 2019 talk, table of light models",
    top1_error=24.8,
    params=5.4,
    macs=0.22,
    discrepancy="the paper prints 5.4M; its published checkpoints have 5.48M",
)
SMALL_REPORTED = ReportedResults(
    source="arXiv 1905.02244, table 3", top1_error=32.6, params=2.5, macs=0.056
)


def _v3(size: str, tag: str, style: ConvBNConfig = TORCH):
    tensorflow = style is TENSORFLOW
    google = PreprocessConfig(interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)
    preprocess = google if tensorflow else PreprocessConfig()
    prefix, is_large = "tf_" * tensorflow, size == "large"
    weights = Weights(
        tag=tag,
        sources=(HubFile(repo=f"timm/{prefix}mobilenetv3_{size}_100.{tag}"),),
        license="Apache-2.0",
        author="Google, in timm's naming" if tensorflow else "Ross Wightman (timm)",
        preprocess=preprocess,
    )
    card = Card(
        name=f"{prefix}mobilenet_v3_{size}",
        title=f"MobileNetV3-{size.title()}{' (TensorFlow)' * tensorflow}",
        preprocess=preprocess,
        reported=LARGE_REPORTED if is_large else SMALL_REPORTED,
        weights=(weights,),
    )
    config = Config(LARGE, 960, 1280, style) if is_large else Config(SMALL, 576, 1024, style)
    return FAMILY.register(f"{'TF' * tensorflow}MobileNetV3{size.title()}", config, card)


MobileNetV3Large = _v3("large", "ra_in1k")
MobileNetV3Small = _v3("small", "lamb_in1k")
TFMobileNetV3Large = _v3("large", "in1k", TENSORFLOW)
TFMobileNetV3Small = _v3("small", "in1k", TENSORFLOW)

"""MobileNetV3.

Howard et al.: "Searching for MobileNetV3", arXiv 1905.02244. Plain names follow timm's PyTorch weights
(symmetric padding, batch-norm epsilon 1e-5), `tf_` names Google's weights in timm's naming (`same`
padding, 1e-3; Apache-2.0). torchvision's network has symmetric padding with 1e-3, so its weights fit
neither. Hard swish and hard sigmoid are spelled out with ReLU6. What differs here: nothing but layer
names. The last convolution before pooling belongs to the feature at stride 32, as in timm.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, stages
from newnet_tf.models.blocks import TENSORFLOW, TORCH, SEConfig, Style
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
    Stage(40, 3, 2, expansion=3, kernel=5, squeeze=0.25, act="relu"),
    Stage(80, 1, 2),
    Stage(80, 1, 1, expansion=2.5, continues_stage=True),
    Stage(80, 2, 1, expansion=2.3, continues_stage=True),
    Stage(112, 2, 1, squeeze=0.25),
    Stage(160, 3, 2, kernel=5, squeeze=0.25),
)
SMALL = (  # paper, table 2
    Stage(16, 1, 2, expansion=None, squeeze=0.25, act="relu"),
    Stage(24, 1, 2, expansion=4.5, act="relu"),
    Stage(24, 1, 1, expansion=3.67, act="relu", continues_stage=True),
    Stage(40, 1, 2, expansion=4, kernel=5, squeeze=0.25),
    Stage(40, 2, 1, kernel=5, squeeze=0.25, continues_stage=True),
    Stage(48, 2, 1, expansion=3, kernel=5, squeeze=0.25),
    Stage(96, 3, 2, kernel=5, squeeze=0.25),
)


@dataclass(frozen=True)
class Row:
    """One network of the family: stages, last two widths, padding and epsilon of its weights."""

    stages: tuple[Stage, ...]
    final: int
    hidden: int
    style: Style


def squeeze(share: float, inputs: int, inner: int, act: str) -> SEConfig:
    """A share of the channels inside of the block, ReLU and a hard gate."""
    return SEConfig(blocks.make_divisible(inner * share), gate="hard_sigmoid")


def build(x, row: Row):
    """Input to the last map before pooling."""
    act, style = "hard_swish", row.style

    def final(x):
        return blocks.conv_bn_act(x, row.final, act=act, style=style, name="final")

    x = blocks.conv_bn_act(x, 16, 3, 2, act=act, style=style, name="stem")
    return stages.build(x, row.stages, act=act, squeeze=squeeze, end=final, style=style)


def top(x, row: Row, classes: int):
    """The last map to logits, through a hidden layer without batch norm."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = blocks.conv(x, row.hidden, style=row.style, bias=True, name="hidden_conv")
    x = blocks.activation(x, "hard_swish", name="hidden_act")
    return blocks.logits(x, classes, dropout=0.2)


def checkpoint_formats(row: Row) -> tuple[CheckpointFormat, ...]:
    """The checkpoint kinds that this family reads."""
    last = f"blocks.{sum(not stage.continues_stage for stage in row.stages)}.0"
    ends = {"final_conv": f"{last}.conv", "final_bn": f"{last}.bn1", "hidden_conv": "conv_head"}
    return (CheckpointFormat(name="timm", layers=stages.timm_names(row.stages) | ends),)


FAMILY = Family(
    __name__,
    build=build,
    top=top,
    checkpoint_formats=checkpoint_formats,
    head=("hidden_conv", "classifier"),
    source="arXiv 1905.02244",
)
preprocess_input = FAMILY.preprocess_input()

LARGE_CLAIM = ReportedResults(
    source="DEVIEW 2019 talk, table of light models",
    top1_error=24.8,
    params=5.4,
    macs=0.22,
    discrepancy="the paper prints 5.4M; its published checkpoints have 5.48M",
)
SMALL_CLAIM = ReportedResults(
    source="arXiv 1905.02244, table 3", top1_error=32.6, params=2.5, macs=0.056
)


def _v3(size: str, tag: str, style: Style = TORCH):
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
        reported=LARGE_CLAIM if is_large else SMALL_CLAIM,
        weights=(weights,),
    )
    row = Row(LARGE, 960, 1280, style) if is_large else Row(SMALL, 576, 1024, style)
    return FAMILY.variant(f"{'TF' * tensorflow}MobileNetV3{size.title()}", row, card)


MobileNetV3Large = _v3("large", "ra_in1k")
MobileNetV3Small = _v3("small", "lamb_in1k")
TFMobileNetV3Large = _v3("large", "in1k", TENSORFLOW)
TFMobileNetV3Small = _v3("small", "in1k", TENSORFLOW)

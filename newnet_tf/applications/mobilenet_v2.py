"""MobileNetV2.

Sandler et al.: "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv 1801.04381. Plain
names follow timm and torchvision (symmetric padding, batch-norm epsilon 1e-5), `tf_` names Google's
weights (`same` padding, 1e-3; Apache-2.0). `gluon_` is GluonCV's network, whose first block keeps an
expanding 1x1 convolution of factor 1, unlike the paper's.
"""

from dataclasses import dataclass, replace

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, stages
from newnet_tf.models.blocks import TENSORFLOW, TORCH, ConvBNConfig
from newnet_tf.models.config import (
    INCEPTION,
    Card,
    CheckpointFormat,
    HubFile,
    PreprocessConfig,
    ReportedResults,
    Weights,
)
from newnet_tf.models.stages import Stage
from newnet_tf.models.variants import Family

BASE = (  # paper, table 2
    Stage(16, 1, 1, expansion=None),
    Stage(24, 2, 2),
    Stage(32, 3, 2),
    Stage(64, 4, 2),
    Stage(96, 3, 1),
    Stage(160, 3, 2),
    Stage(320, 1, 1),
)
GLUON_BASE = (replace(BASE[0], expansion=1), *BASE[1:])
PARTS = ("expand", "depthwise", "project")


@dataclass(frozen=True)
class Config:
    """One model of the family: width multiplier, style of its weights, table of stages."""

    width: float
    style: ConvBNConfig = TORCH
    base: tuple[Stage, ...] = BASE

    @property
    def stages(self) -> tuple[Stage, ...]:
        return stages.scale(self.base, self.width)


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    stem = blocks.make_divisible(32 * config.width)
    x = blocks.conv_bn_act(x, stem, 3, 2, style=config.style, name="stem")
    x = stages.build(x, config.stages, style=config.style)
    final = max(1280, blocks.make_divisible(1280 * config.width))
    return blocks.conv_bn_act(x, final, style=config.style, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes, dropout=0.2)


def torchvision_names() -> dict[str, str]:
    """Maps our layer names to torchvision's module names."""
    names = {"stem_conv": "features.0.0", "stem_bn": "features.0.1"}
    for i, stage in enumerate(stages.per_block(BASE)):
        prefix = f"features.{i + 1}.conv"
        last = 1 if stage.expansion is None else 2
        modules = {"project": (f"{prefix}.{last}", f"{prefix}.{last + 1}")}
        for n, part in enumerate(PARTS[2 - last : 2]):
            modules[part] = (f"{prefix}.{n}.0", f"{prefix}.{n}.1")
        for part, (conv, bn) in modules.items():
            names[f"block{i}_{part}_conv"], names[f"block{i}_{part}_bn"] = conv, bn
    final = {"final_conv": "features.18.0", "final_bn": "features.18.1"}
    return names | final | {"classifier": "classifier.1"}


def keras_names() -> dict[str, str]:
    """Maps our layer names to those of keras.applications."""
    names = {"stem_conv": "Conv1", "stem_bn": "bn_Conv1"}
    for i, stage in enumerate(stages.per_block(BASE)):
        prefix = f"block_{i}" if i else "expanded_conv"
        for part in PARTS if stage.expansion else PARTS[1:]:
            names[f"block{i}_{part}_conv"] = f"{prefix}_{part}"
            names[f"block{i}_{part}_bn"] = f"{prefix}_{part}_BN"
    return names | {"final_conv": "Conv_1", "final_bn": "Conv_1_bn", "classifier": "predictions"}


def gluon_names() -> dict[str, str]:
    """Maps our layer names to GluonCV's module prefixes."""
    names = {}
    root = "mobilenetv20_features"
    for i, _ in enumerate(stages.per_block(GLUON_BASE)):
        for n, part in enumerate(PARTS):
            names[f"block{i}_{part}_conv"] = f"{root}_linearbottleneck{i}_conv{n}"
            names[f"block{i}_{part}_bn"] = f"{root}_linearbottleneck{i}_batchnorm{n}"
    for n, part in enumerate(("stem", "final")):
        names[f"{part}_conv"] = f"{root}_conv{n}"
        names[f"{part}_bn"] = f"{root}_batchnorm{n}"
    return names | {"classifier": "mobilenetv20_output_pred"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    if config.base is GLUON_BASE:
        return (CheckpointFormat(name="gluon", layers=gluon_names(), layout="gluon"),)
    return (
        CheckpointFormat(name="timm", layers=stages.timm_names(config.stages)),
        CheckpointFormat(name="torchvision", layers=torchvision_names()),
        CheckpointFormat(name="keras.applications", layers=keras_names(), layout="keras"),
    )


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1801.04381",
)
preprocess_input = FAMILY.preprocess_input()

FILE = "No weights are on a public hub; pass a checkpoint file as `weights`."
REPORTED_100 = ReportedResults(
    source="DEVIEW 2019 talk, table of light models",
    top1_error=28.0,
    top5_error=9.0,
    params=3.5,
    macs=0.33,
    discrepancy="no counting rule gives the talk's multiply-adds; the paper has 0.300G (table 4)",
)
REPORTED_140 = ReportedResults(
    source="arXiv 1801.04381, table 4", top1_error=25.3, params=6.9, macs=0.585
)


def _v2(width: float, recipe: str, reported: ReportedResults | None = None):
    code = f"{round(width * 100):03}"
    weights = Weights(
        tag=f"{recipe}_in1k",
        sources=(HubFile(repo=f"timm/mobilenetv2_{code}.{recipe}_in1k"),),
        license="Apache-2.0",
        author="Ross Wightman (timm)",
        preprocess=PreprocessConfig(),
    )
    card = Card(
        name=f"mobilenet_v2_{code}",
        title=f"MobileNetV2 x{width}",
        reported=reported,
        weights=(weights,),
    )
    return FAMILY.register(f"MobileNetV2_{code}", Config(width), card)


def _tensorflow(width: float, reported: ReportedResults | None = None):
    code = f"{round(width * 100):03}"
    card = Card(
        name=f"tf_mobilenet_v2_{code}",
        title=f"MobileNetV2 x{width} (TensorFlow)",
        preprocess=INCEPTION,
        reported=reported,
        notes=FILE,
    )
    return FAMILY.register(f"TFMobileNetV2_{code}", Config(width, TENSORFLOW), card)


MobileNetV2_050 = _v2(0.5, "lamb")
MobileNetV2_100 = _v2(1.0, "ra", REPORTED_100)
MobileNetV2_140 = _v2(1.4, "ra", REPORTED_140)
TFMobileNetV2_050 = _tensorflow(0.5)
TFMobileNetV2_100 = _tensorflow(1.0, REPORTED_100)
TFMobileNetV2_140 = _tensorflow(1.4, REPORTED_140)
GluonMobileNetV2_100 = FAMILY.register(
    "GluonMobileNetV2_100",
    Config(1.0, base=GLUON_BASE),
    Card(name="gluon_mobilenet_v2_100", title="MobileNetV2 x1.0 (GluonCV)", notes=FILE),
)

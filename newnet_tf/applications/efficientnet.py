"""EfficientNet B0 to B4.

Tan, Le: "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", arXiv 1905.11946;
Google's code (tensorflow/tpu, `models/official/efficientnet`) is under Apache-2.0. Plain names follow
timm's PyTorch weights (symmetric padding, batch-norm epsilon 1e-5), `tf_` names Google's weights in
timm's naming (`same` padding, 1e-3). Difference: the head is `blocks.classifier`;
stochastic depth is left out.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, stages
from newnet_tf.models.blocks import TENSORFLOW, TORCH, ConvBNConfig
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

BASE = (  # paper, table 1
    Stage(16, 1, 1, expansion=None, se_ratio=0.25),
    Stage(24, 2, 2, se_ratio=0.25),
    Stage(40, 2, 2, kernel=5, se_ratio=0.25),
    Stage(80, 3, 2, se_ratio=0.25),
    Stage(112, 3, 1, kernel=5, se_ratio=0.25),
    Stage(192, 4, 2, kernel=5, se_ratio=0.25),
    Stage(320, 1, 1, se_ratio=0.25),
)


@dataclass(frozen=True)
class Config:
    """One model of the family: width and depth factors, dropout, style of its weights."""

    width: float
    depth: float
    dropout: float
    style: ConvBNConfig

    @property
    def stages(self) -> tuple[Stage, ...]:
        return stages.scale(BASE, self.width, self.depth)


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    stem, final = (blocks.make_divisible(c * config.width) for c in (32, 1280))
    x = blocks.conv_bn_act(x, stem, 3, 2, act="silu", style=config.style, name="stem")
    x = stages.build(x, config.stages, act="silu", style=config.style)
    return blocks.conv_bn_act(x, final, act="silu", style=config.style, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes, dropout=config.dropout)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="timm", layers=stages.timm_names(config.stages)),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1905.11946",
)
preprocess_input = FAMILY.preprocess_input()

PAPER = "arXiv 1905.11946v1, table 2"
SCALES = (  # width, depth, dropout; image size and crop (tensorflow/tpu, preprocessing)
    ((1.0, 1.0, 0.2), PreprocessConfig(image_size=224)),
    ((1.0, 1.1, 0.2), PreprocessConfig(image_size=240, crop_pct=0.882)),
    ((1.1, 1.2, 0.3), PreprocessConfig(image_size=260, crop_pct=0.89)),
    ((1.2, 1.4, 0.3), PreprocessConfig(image_size=300, crop_pct=0.904)),
    ((1.4, 1.8, 0.4), PreprocessConfig(image_size=380, crop_pct=0.922)),
)
REPORTED = (
    ReportedResults(
        source="DEVIEW 2019 talk, table of NAS models",
        top1_error=23.7,
        top5_error=6.8,
        params=5.3,
        macs=0.39,
    ),
    ReportedResults(
        source=PAPER, top1_error=21.2, top5_error=5.6, params=7.8, macs=0.70, image_size=240
    ),
    ReportedResults(
        source=PAPER, top1_error=20.2, top5_error=5.1, params=9.2, macs=1.0, image_size=260
    ),
    ReportedResults(
        source=PAPER, top1_error=18.9, top5_error=4.5, params=12, macs=1.8, image_size=300
    ),
    ReportedResults(
        source=PAPER, top1_error=17.4, top5_error=3.7, params=19, macs=4.2, image_size=380
    ),
)


def _card(
    number: int, name: str, title: str, tag: str, preprocess: PreprocessConfig, **more
) -> Card:
    weights = Weights(
        tag=tag,
        sources=(HubFile(repo=f"timm/{name}.{tag}"),),
        license="Apache-2.0",
        author="Google, in timm's naming" if name[:3] == "tf_" else "Ross Wightman (timm)",
        preprocess=preprocess,
    )
    reported = REPORTED[number]
    return Card(
        name=name, title=title, preprocess=preprocess, reported=reported, weights=(weights,), **more
    )


def _torch(number: int, tag: str, trained: int = 224, tested: int = 224):
    factors, preprocess = SCALES[number]
    if tested != 224:
        preprocess = PreprocessConfig(image_size=preprocess.image_size, crop_pct=1.0)
    notes = f"The weights were trained at {trained} pixels and tested by timm at {tested}."
    name, title = f"efficientnet_b{number}", f"EfficientNet-B{number}"
    card = _card(number, name, title, tag, preprocess, notes=notes)
    return FAMILY.register(f"EfficientNetB{number}", Config(*factors, TORCH), card)


def _tensorflow(number: int):
    factors, preprocess = SCALES[number]
    name, title = f"tf_efficientnet_b{number}", f"EfficientNet-B{number} (TensorFlow)"
    card = _card(number, name, title, "in1k", preprocess)
    return FAMILY.register(f"TFEfficientNetB{number}", Config(*factors, TENSORFLOW), card)


EfficientNetB0 = _torch(0, "ra_in1k")
EfficientNetB1 = _torch(1, "ft_in1k", trained=224, tested=256)
EfficientNetB2 = _torch(2, "ra_in1k", trained=256, tested=288)
EfficientNetB3 = _torch(3, "ra2_in1k", trained=288, tested=320)
EfficientNetB4 = _torch(4, "ra2_in1k", trained=320, tested=384)
TFEfficientNetB0 = _tensorflow(0)
TFEfficientNetB1 = _tensorflow(1)
TFEfficientNetB2 = _tensorflow(2)
TFEfficientNetB3 = _tensorflow(3)
TFEfficientNetB4 = _tensorflow(4)

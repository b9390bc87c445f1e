"""NewNet: the light-weight backbone of Dongyoon Han's DEVIEW 2019 talk.

The talk ("light-weight image recognition and detection models for mobile services", NAVER CLOVA AI)
gives constraints, parameters, multiply-adds and errors, but no layer table. The tables below meet
every structural constraint, the parameters and the multiply-adds; they are this project's
reconstruction, and their accuracy is unproven until trained. Widths are multiples of 8 and grow at
every block, so that no layer is a bottleneck; in exchange the last convolution has only 512 channels.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks
from newnet_tf.models.blocks import ConvBNConfig, SEConfig
from newnet_tf.models.config import Card, PackageFile, PreprocessConfig, ReportedResults, Weights
from newnet_tf.models.inverted_residual import inverted_residual
from newnet_tf.models.variants import Family

STRIDES = blocks.block_strides(depths=(1, 2, 2, 3, 3, 5), firsts=(1, 2, 2, 2, 1, 2))
STYLE = ConvBNConfig(padding="same", eps=1e-5, momentum=0.9)
FIRST_SQUEEZED = 3
SQUEEZE_RATIO = 16
EXPANSION = 6
FEATURES = 512
CIFAR = PreprocessConfig(image_size=32, crop_pct=1.0)
CIFAR_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


@dataclass(frozen=True)
class Config:
    """One model of the family: output channels of the 16 blocks, stride of the stem."""

    widths: tuple[int, ...]
    stem: int = 2


SMALL = Config((16, 24, 40, 48, 64, 72, 88, 96, 112, 120, 128, 144, 152, 168, 176, 192))
SMALL_CIFAR = Config(SMALL.widths, stem=1)
LARGE = Config((40, 48, 56, 72, 80, 88, 96, 104, 112, 120, 136, 144, 152, 160, 176, 184))


def build(x, config: Config):
    """Input to the last feature map before pooling."""

    def block(x, i, stride):
        squeezed = x.shape[-1] * EXPANSION // SQUEEZE_RATIO
        return inverted_residual(
            x,
            config.widths[i],
            expansion=EXPANSION if i > 0 else None,
            stride=stride,
            se=SEConfig(squeezed, before_activation=True) if i >= FIRST_SQUEEZED else None,
            partial=True,
            style=STYLE,
            name=f"block{i}",
        )

    x = blocks.conv_bn_act(x, 32, 3, config.stem, style=STYLE, name="stem")
    x = blocks.stack(x, STRIDES, block, reduction=config.stem)
    return blocks.conv_bn_act(x, FEATURES, style=STYLE, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes, dropout=0.2)


def _card(name: str, title: str, top1: float, top5: float, params: float, macs: float) -> Card:
    return Card(
        name=name,
        title=title,
        reported=ReportedResults(
            source="DEVIEW 2019 talk, table of the new model (the talk's own network)",
            top1_error=top1,
            top5_error=top5,
            params=params,
            macs=macs,
        ),
        notes="A reconstruction from the talk's constraints and figures. No public weights exist, so "
        "`weights` is None by default and the talk's accuracy is reported, not measured.",
    )


FAMILY = Family(__name__, build=build, build_head=build_head, source="DEVIEW 2019")
preprocess_input = FAMILY.preprocess_input()

NewNetSmall = FAMILY.register(
    "NewNetSmall", SMALL, _card("newnet_small", "NewNet small", 22.96, 6.80, 3.76, 0.40)
)
NewNetLarge = FAMILY.register(
    "NewNetLarge", LARGE, _card("newnet_large", "NewNet large", 22.36, 6.16, 3.99, 0.71)
)
NewNetSmallCIFAR = FAMILY.register(
    "NewNetSmallCIFAR",
    SMALL_CIFAR,
    Card(
        name="newnet_small_cifar",
        title="NewNet small for CIFAR",
        preprocess=CIFAR,
        classes=10,
        weights=(
            Weights(
                tag="cifar10",
                sources=(
                    PackageFile(
                        distribution="newnet_tf",
                        module="newnet_tf.weights",
                        file="shipped/newnet_small_cifar.cifar10.safetensors",
                        sha256="f96a543b14a3cb94056ff45ba3dcae8404b9e366bda4a1151ffbbd7f3bb4db97",
                    ),
                ),
                license="Apache-2.0",
                author="newnet_tf: tools/train_cifar.py, 40 epochs (docs/cifar.md)",
                dataset="CIFAR-10",
                classes=10,
                class_names=CIFAR_NAMES,
                preprocess=CIFAR,
            ),
        ),
        notes="NewNet small with a stem of stride 1, for images of 32 x 32. Its weights reach top-1 "
        "88.20 % on CIFAR-10's test images (recipe cifar, lr 0.1, weight decay 5e-4, batch 256, "
        "bfloat16, seed 0; the last epoch). Kernels are in half precision.",
    ),
)

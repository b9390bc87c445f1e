"""Multi-ResNet.

Abdi, Nahavandi: "Multi-Residual Networks: Improving the Speed and Accuracy of Residual Networks",
arXiv 1609.05672: every block of a pre-activation ResNet adds several residual functions of its input
instead of one. The paper names the network by depth and number of functions; what it leaves open is
as in the authors' Lua code for ImageNet (masabdi/multi-resnet, BSD): each function has batch norms of
its own, also its first, but in the first block of a stage, where that batch norm and ReLU come before
functions and shortcut alike (and the very first block has none). No checkpoint is public, so this
reads only files of our own names. Difference: the head is `blocks.classifier`.
"""

from dataclasses import dataclass

from newnet_tf.applications.resnet import EXPANSION, body
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras


@dataclass(frozen=True)
class Config:
    """One model of the family: blocks of the four stages, residual functions of each block."""

    depths: tuple[int, ...]
    functions: int


def multi_residual(x, planes: int, stride: int, functions: int, *, name: str):
    """Parallel bottlenecks, added to their input (paper, figure 1)."""
    is_first = x.shape[-1] != planes * EXPANSION
    if stride > 1:
        x = blocks.bn_act(x, style=TORCH, name=f"{name}_shared")
    maps = []
    for k in range(functions):
        part, y = f"{name}_{k}", x
        if not is_first:
            y = blocks.bn_act(y, style=TORCH, name=f"{part}_1")
        y = blocks.conv(y, planes, style=TORCH, name=f"{part}_1_conv")
        y = blocks.bn_act(y, style=TORCH, name=f"{part}_2")
        y = blocks.conv(y, planes, 3, stride, style=TORCH, name=f"{part}_2_conv")
        y = blocks.bn_act(y, style=TORCH, name=f"{part}_3")
        maps.append(blocks.conv(y, planes * EXPANSION, style=TORCH, name=f"{part}_3_conv"))
    if is_first:
        x = blocks.conv(x, planes * EXPANSION, 1, stride, style=TORCH, name=f"{name}_shortcut_conv")
    return keras.layers.Add(name=f"{name}_add")([*maps, x])


def build(x, config: Config):
    """Input to the last feature map before pooling."""

    def block(x, name, planes, stride):
        return multi_residual(x, planes, stride, config.functions, name=name)

    x = blocks.conv_bn_act(x, 64, 7, 2, act="relu", style=TORCH, name="stem")
    return blocks.bn_act(body(x, config.depths, 1, block), style=TORCH, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


FAMILY = Family(__name__, build=build, build_head=build_head, source="arXiv 1609.05672")
preprocess_input = FAMILY.preprocess_input()

MultiResNet101 = FAMILY.register(
    "MultiResNet101",
    Config(depths=(3, 4, 23, 3), functions=2),
    Card(
        name="multi_resnet101",
        title="Multi-ResNet-101 (k=2)",
        notes=(
            "No checkpoint is public. Depth and the two residual functions of a block are the "
            "paper's; shared batch norms and the place of strides are taken from the authors' Lua "
            "code for ImageNet. No library has it: it is compared with a second definition "
            "of this project."
        ),
    ),
)

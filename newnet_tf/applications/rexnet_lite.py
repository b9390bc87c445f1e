"""ReXNet-lite: ReXNet without squeeze-and-excitation and SiLU, for integer hardware.

Han, Yun, Heo, Yoo, arXiv 2007.00992; the authors' PyTorch code (clovaai/rexnet, `rexnetv1_lite.py`)
is under the MIT license. Widths are rounded to multiples of 8, activations are ReLU6, and a hidden
layer of 1,024 stands between pooling and classifier. Definition and checkpoint names are the
authors'; their weights are not on a hub, so convert a file you have:
`ReXNetLite100(weights="rexnet_lite_1.0.pth")`.
"""

from newnet_tf.applications.newnet import EXPANSION, STRIDES
from newnet_tf.applications.rexnet import BLOCKS, Config, author_names, stem_width, widths
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.models.inverted_residual import inverted_residual
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

HIDDEN = 1024


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    channels = widths(config, rise=164 / (BLOCKS - 1))

    def block(x, i, stride):
        return inverted_residual(
            x,
            channels[i],
            expansion=EXPANSION if i > 0 else None,
            stride=stride,
            partial=True,
            style=TORCH,
            name=f"block{i}",
        )

    x = blocks.conv_bn_act(x, stem_width(config), 3, 2, style=TORCH, name="stem")
    x = blocks.stack(x, STRIDES, block)
    return blocks.conv_bn_act(x, int(1280 * max(1, config.width)), style=TORCH, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = blocks.conv(x, HIDDEN, style=TORCH, bias=True, name="hidden_conv")
    x = blocks.norm(x, style=TORCH, name="hidden_bn")
    x = blocks.activation(x, "relu6", name="hidden_act")
    return blocks.logits(x, classes, dropout=0.2)


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    head = {"hidden_conv": "output.0", "hidden_bn": "output.1", "classifier": "output.4"}
    return (CheckpointFormat(name="clovaai", layers=author_names(squeezed=False) | head),)


def _lite(width: float, top1: float, top5: float, macs: float, params: float):
    code = f"{round(width * 100)}"
    reported = ReportedResults(
        source="clovaai/rexnet README, ReXNet-lites vs. EfficientNet-lites",
        top1_error=round(100 - top1, 1),
        top5_error=round(100 - top5, 1),
        macs=macs,
        params=params,
    )
    notes = "No weights are on a public hub; pass the authors' checkpoint file as `weights`."
    card = Card(
        name=f"rexnet_lite_{code}", title=f"ReXNet-lite x{width}", reported=reported, notes=notes
    )
    return FAMILY.register(f"ReXNetLite{code}", Config(width, divisor=8), card)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    head=("hidden_conv", "hidden_bn", "classifier"),
    source="arXiv 2007.00992, CVPR 2021",
)
preprocess_input = FAMILY.preprocess_input()

ReXNetLite100 = _lite(1.0, 76.2, 92.8, 0.41, 4.7)
ReXNetLite130 = _lite(1.3, 77.8, 93.8, 0.65, 6.8)
ReXNetLite150 = _lite(1.5, 78.6, 94.2, 0.84, 8.3)
ReXNetLite200 = _lite(2.0, 80.2, 95.0, 1.5, 13)

"""DPN: dual path networks.

Chen, Li, Xiao, Jin, Yan, Feng: "Dual Path Networks", arXiv 1707.01629 (cypw/DPNs, Apache-2.0).
Follows timm: batch norm (epsilon 1e-3) and ReLU before each convolution, symmetric padding. A block
adds its first channels to a residual path and joins the others to a dense path; both travel as one
map. What differs here: nothing but layer names.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, pooling
from newnet_tf.models.blocks import Style
from newnet_tf.models.config import (
    Card,
    CheckpointFormat,
    HubFile,
    PreprocessConfig,
    ReportedResults,
    Weights,
)
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

STYLE = Style(padding="symmetric", eps=1e-3, momentum=0.9)
PREPROCESS = PreprocessConfig(mean=(124 / 255, 117 / 255, 104 / 255), std=(1 / (0.0167 * 255),) * 3)
GROUPS = 32


@dataclass(frozen=True)
class Row:
    """One network of the family (paper, table 1).

    Args:
        stem: channels of the first convolution. kernel: int, its kernel.
        inner: channels of the first stage's grouped convolutions; they double at each stage.
        residual: channels of the first stage's residual path; they double too.
        depths, growths: blocks of each stage, and channels that each adds to the dense path.
    """

    stem: int
    kernel: int
    inner: int
    residual: int
    depths: tuple[int, ...]
    growths: tuple[int, ...]


def build(x, row: Row):
    """Input to the last map before pooling."""
    stem = {"act": "relu", "style": STYLE, "name": "stem"}
    x = blocks.feature(blocks.conv_bn_act(x, row.stem, row.kernel, 2, **stem), 2)
    x = pooling.max_pool(x, padding=1, name="stem_pool")
    for stage, (depth, growth) in enumerate(zip(row.depths, row.growths, strict=True)):
        widths = row.inner << stage, row.residual << stage, growth
        for i in range(depth):
            stride = 2 if stage and i == 0 else 1
            x = _block(x, widths, stride, i == 0, f"stage{stage}_block{i}")
        x = blocks.feature(x, 4 << stage)
    x = blocks.norm(x, style=STYLE, name="final_bn")
    return blocks.activation(x, "relu", name="final_act")


def top(x, row: Row, classes: int):
    """The last map to logits."""
    return blocks.classifier(x, classes)


def _conv(x, filters: int, kernel=1, stride=1, groups=1, *, name: str):
    """Batch norm, ReLU, convolution."""
    x = blocks.norm(x, style=STYLE, name=f"{name}_bn")
    x = blocks.activation(x, "relu", name=f"{name}_act")
    return blocks.conv(x, filters, kernel, stride, style=STYLE, groups=groups, name=f"{name}_conv")


def _block(x, widths: tuple[int, int, int], stride: int, first: bool, name: str):
    """Dual path block (paper, figure 2 d); the first of a stage projects its input."""
    inner, residual, growth = widths
    paths = x
    if first:
        paths = _conv(x, residual + 2 * growth, stride=stride, name=f"{name}_shortcut")
    x = _conv(x, inner, name=f"{name}_reduce")
    x = _conv(x, inner, 3, stride, GROUPS, name=f"{name}_grouped")
    x = _conv(x, residual + growth, name=f"{name}_expand")
    added = keras.layers.Add(name=f"{name}_add")([paths[..., :residual], x[..., :residual]])
    dense = [paths[..., residual:], x[..., residual:]]
    return keras.layers.Concatenate(name=f"{name}_join")([added, *dense])


def timm_names(row: Row) -> dict[str, str]:
    """Our layer name to timm's module name."""
    names = {f"stem_{part}": f"features.conv1_1.{part}" for part in ("conv", "bn")}
    theirs = {"reduce": "c1x1_a", "grouped": "c3x3_b", "expand": "c1x1_c"}
    for stage, depth in enumerate(row.depths):
        for i in range(depth):
            shortcut = {"shortcut": "c1x1_w_s2" if stage else "c1x1_w_s1"} if i == 0 else {}
            for ours, module in (theirs | shortcut).items():
                for part in ("bn", "conv"):
                    prefix = f"features.conv{stage + 2}_{i + 1}.{module}"
                    names[f"stage{stage}_block{i}_{ours}_{part}"] = f"{prefix}.{part}"
    return names | {"final_bn": "features.conv5_bn_ac.bn", "classifier": "classifier"}


def checkpoint_formats(row: Row) -> tuple[CheckpointFormat, ...]:
    """The checkpoint kinds that this family reads."""
    return (CheckpointFormat(name="timm", layers=timm_names(row)),)


FAMILY = Family(
    __name__, build=build, top=top, checkpoint_formats=checkpoint_formats, source="arXiv 1707.01629"
)
preprocess_input = FAMILY.preprocess_input()


def _dpn(layers: int, row: Row, claim: ReportedResults):
    weights = Weights(
        tag="mx_in1k",
        sources=(HubFile(repo=f"timm/dpn{layers}.mx_in1k"),),
        license="Apache-2.0",
        author="the authors (cypw/DPNs), in timm's naming",
        preprocess=PREPROCESS,
    )
    card = Card(
        name=f"dpn{layers}",
        title=f"DPN-{layers}",
        preprocess=PREPROCESS,
        reported=claim,
        weights=(weights,),
    )
    return FAMILY.variant(f"DPN{layers}", row, card)


DPN68 = _dpn(
    68,
    Row(10, 3, 128, 64, (3, 4, 12, 3), (16, 32, 32, 64)),
    ReportedResults(source="cypw/DPNs README", top1_error=23.6, top5_error=6.9),
)
DPN92 = _dpn(
    92,
    Row(64, 7, 96, 256, (3, 4, 20, 3), (16, 32, 24, 128)),
    ReportedResults(source="arXiv 1707.01629, table 2", top1_error=20.7, top5_error=5.4, macs=6.5),
)

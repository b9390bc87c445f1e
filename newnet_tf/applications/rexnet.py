"""ReXNet and ReXNet-R.

Han, Yun, Heo, Yoo: "Rethinking Channel Dimensions for Efficient Model Design", CVPR 2021,
arXiv 2007.00992, the published successor of the talk's network. The authors' PyTorch code and weights
(clovaai/rexnet) are under the MIT license; ReXNet-R is timm's variant with widths rounded to multiples
of 8 (16 for x3.0). What differs here: the head is a 1x1 convolution on the pooled map, as the authors
have it and timm has not; parameters and outputs are the same.
"""

from dataclasses import dataclass

from newnet_tf.applications.newnet import EXPANSION, FIRST_SQUEEZED, STRIDES
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks
from newnet_tf.models.blocks import TORCH, SEConfig
from newnet_tf.models.config import (
    Card,
    CheckpointFormat,
    HubFile,
    PreprocessConfig,
    ReportedResults,
    Weights,
)
from newnet_tf.models.variants import Family

BLOCKS = len(STRIDES)
SQUEEZE_RATIO = 12


@dataclass(frozen=True)
class Row:
    """One network of the family: width multiplier and the divisor that channels are rounded to."""

    width: float
    divisor: int = 1


def widths(row: Row, rise: float) -> tuple[int, ...]:
    """Output channels of the 16 blocks: a line from 16 that rises by `rise` a block.

    Summed block by block, as published: which way a tie at .5 falls depends on it.
    """
    channels, found = 16 / row.width if row.width < 1 else 16, []
    for _ in range(BLOCKS):
        found.append(blocks.make_divisible(round(channels * row.width), row.divisor))
        channels += rise
    return tuple(found)


def stem_width(row: Row) -> int:
    """Output channels of the stem: never below 32."""
    base = 32 / row.width if row.width < 1 else 32
    return blocks.make_divisible(round(base * row.width), row.divisor)


def build(x, row: Row):
    """Input to the last map before pooling."""
    filters = widths(row, rise=180 / BLOCKS)

    def block(x, i, stride):
        squeezed = blocks.make_divisible(x.shape[-1] * EXPANSION // SQUEEZE_RATIO, row.divisor)
        return blocks.inverted_residual(
            x,
            filters[i],
            expansion=EXPANSION if i > 0 else None,
            stride=stride,
            act="silu",
            squeeze=SEConfig(squeezed, normed=True, early=True) if i >= FIRST_SQUEEZED else None,
            partial=True,
            style=TORCH,
            name=f"block{i}",
        )

    x = blocks.conv_bn_act(x, stem_width(row), 3, 2, act="silu", style=TORCH, name="stem")
    x = blocks.stack(x, STRIDES, block)
    final = blocks.make_divisible(int(1280 * row.width), row.divisor)
    return blocks.conv_bn_act(x, final, act="silu", style=TORCH, name="final")


def top(x, row: Row, classes: int):
    """The last map to logits."""
    return blocks.classifier(x, classes, dropout=0.2)


def timm_names() -> dict[str, str]:
    """Our layer name to timm's module name."""
    names = {"stem_conv": "stem.conv", "stem_bn": "stem.bn"}
    for i in range(BLOCKS):
        theirs = {"depthwise": "conv_dw", "project": "conv_pwl"}
        if i > 0:
            theirs["expand"] = "conv_exp"
        for ours, module in theirs.items():
            names[f"block{i}_{ours}_conv"] = f"features.{i}.{module}.conv"
            names[f"block{i}_{ours}_bn"] = f"features.{i}.{module}.bn"
        if i >= FIRST_SQUEEZED:
            for ours, module in {"reduce": "fc1", "bn": "bn", "expand": "fc2"}.items():
                names[f"block{i}_se_{ours}"] = f"features.{i}.se.{module}"
    names |= {f"final_{part}": f"features.{BLOCKS}.{part}" for part in ("conv", "bn")}
    return names | {"classifier": "head.fc"}


def author_names(squeezed: bool = True) -> dict[str, str]:
    """Our layer name to the authors' (clovaai/rexnet) module name, without the classifier's.

    ReXNet-lite shares it, with `squeezed=False`.
    """
    names = {"stem_conv": "features.0", "stem_bn": "features.1"}
    for i in range(BLOCKS):
        position = 0
        for ours in ("depthwise", "project") if i == 0 else ("expand", "depthwise", "project"):
            prefix = f"features.{i + 3}.out"
            names[f"block{i}_{ours}_conv"] = f"{prefix}.{position}"
            names[f"block{i}_{ours}_bn"] = f"{prefix}.{position + 1}"
            position += 3
            if ours == "depthwise" and squeezed and i >= FIRST_SQUEEZED:
                for part, index in {"reduce": 0, "bn": 1, "expand": 3}.items():
                    names[f"block{i}_se_{part}"] = f"{prefix}.{position - 1}.fc.{index}"
                position += 1
    return names | {"final_conv": "features.19", "final_bn": "features.20"}


def checkpoint_formats(row: Row) -> tuple[CheckpointFormat, ...]:
    """The checkpoint kinds that this family reads."""
    return (
        CheckpointFormat(name="timm", layers=timm_names()),
        CheckpointFormat(name="clovaai", layers=author_names() | {"classifier": "output.1"}),
    )


def _nav(name: str) -> tuple[Weights, ...]:
    return (
        Weights(
            tag="nav_in1k",
            sources=(HubFile(repo=f"timm/{name}.nav_in1k"),),
            license="MIT",
            author="NAVER AI Lab (clovaai/rexnet), in timm's naming",
            preprocess=PreprocessConfig(),
        ),
    )


def _sw(name: str) -> tuple[Weights, ...]:
    return (
        Weights(
            tag="sw_in12k_ft_in1k",
            sources=(HubFile(repo=f"timm/{name}.sw_in12k_ft_in1k"),),
            license="Apache-2.0",
            author="Ross Wightman (timm)",
            dataset="ImageNet-12k, finetuned on ImageNet-1k",
            preprocess=PreprocessConfig(crop_pct=0.95),
        ),
    )


def _claim(top1: float, top5: float, macs: float, params: float) -> ReportedResults:
    source = "clovaai/rexnet README, ImageNet classification results"
    return ReportedResults(
        source=source,
        top1_error=round(100 - top1, 1),
        top5_error=round(100 - top5, 1),
        macs=macs,
        params=params,
    )


FAMILY = Family(
    __name__,
    build=build,
    top=top,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 2007.00992, CVPR 2021",
)
preprocess_input = FAMILY.preprocess_input()


def _rexnet(width: float, claim: ReportedResults | None = None, published: bool = True):
    name = f"rexnet_{round(width * 100):03}"
    card = Card(
        name=name,
        title=f"ReXNet x{width}",
        reported=claim,
        weights=_nav(name) if published else (),
        notes="" if published else "No weights are published for this width.",
    )
    return FAMILY.variant(f"ReXNet{name[-3:]}", Row(width), card)


def _rexnet_r(width: float, published: bool = False):
    name = f"rexnetr_{round(width * 100)}"
    card = Card(
        name=name,
        title=f"ReXNet-R x{width}",
        weights=_sw(name) if published else (),
        notes="" if published else "No weights are published for this width.",
    )
    return FAMILY.variant(f"ReXNetR{name[-3:]}", Row(width, 16 if width == 3 else 8), card)


ReXNet060 = _rexnet(0.6, published=False)
ReXNet090 = _rexnet(0.9, published=False)
ReXNet100 = _rexnet(1.0, _claim(77.9, 93.9, 0.40, 4.8))
ReXNet130 = _rexnet(1.3, _claim(79.5, 94.7, 0.66, 7.6))
ReXNet150 = _rexnet(1.5, _claim(80.3, 95.2, 0.88, 9.7))
ReXNet200 = _rexnet(2.0, _claim(81.6, 95.7, 1.5, 16))
ReXNet220 = _rexnet(2.2, published=False)
ReXNet300 = _rexnet(3.0, _claim(82.8, 96.2, 3.4, 34))
ReXNetR100 = _rexnet_r(1.0)
ReXNetR130 = _rexnet_r(1.3)
ReXNetR150 = _rexnet_r(1.5)
ReXNetR200 = _rexnet_r(2.0, published=True)
ReXNetR300 = _rexnet_r(3.0, published=True)

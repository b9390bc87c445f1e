"""ReXNet and ReXNet-R.

Han, Yun, Heo, Yoo: "Rethinking Channel Dimensions for Efficient Model Design", CVPR 2021,
arXiv 2007.00992, the published successor of the talk's network. The authors' PyTorch code and weights
(clovaai/rexnet) are under the MIT licence; ReXNet-R is timm's variant with widths rounded to multiples
of 8 (16 for x3.0). What differs here: the head is a 1x1 convolution on the pooled map, as the authors
have it and timm has not; parameters and outputs are the same.
"""

from dataclasses import dataclass

from newnet_tf import blocks
from newnet_tf.blocks import TORCH, Squeeze
from newnet_tf.cards import Card, Claim, Hub, Naming, Preprocess, Weights
from newnet_tf.variants import Family

DEPTHS = (1, 2, 2, 3, 3, 5)
STAGE_STRIDES = (1, 2, 2, 2, 1, 2)
BLOCKS = sum(DEPTHS)
FIRST_SQUEEZED = 3
SQUEEZE_RATIO = 12


@dataclass(frozen=True)
class Row:
    """One network of the family: width multiplier and the divisor that channels are rounded to."""

    width: float
    divisor: int = 1


def strides() -> tuple[int, ...]:
    """Strides of the 16 blocks (paper, table of ReXNet-1.0x)."""
    firsts = [(s,) + (1,) * (d - 1) for d, s in zip(DEPTHS, STAGE_STRIDES, strict=True)]
    return sum(firsts, ())


def widths(row: Row) -> tuple[int, ...]:
    """Output channels of the 16 blocks: a line from 16 that rises by 180 / 16 a block."""
    channels, found = 16 / row.width if row.width < 1 else 16, []
    for _ in range(BLOCKS):  # summed as published: ties at .5 depend on the order of rounding
        found.append(blocks.make_divisible(round(channels * row.width), row.divisor))
        channels += 180 / BLOCKS
    return tuple(found)


def build(x, row: Row):
    """Input to the last map before pooling."""
    stem = round((32 / row.width if row.width < 1 else 32) * row.width)
    stem = blocks.make_divisible(stem, row.divisor)
    x = blocks.conv_bn_act(x, stem, 3, 2, act="silu", style=TORCH, name="stem")
    reduction = 2
    for i, (filters, stride) in enumerate(zip(widths(row), strides(), strict=True)):
        if stride == 2:
            x, reduction = blocks.feature(x, reduction), reduction * 2
        expansion = 1 if i == 0 else 6
        squeezed = blocks.make_divisible(
            x.shape[-1] * expansion // SQUEEZE_RATIO, row.divisor
        )
        x = blocks.inverted_residual(
            x,
            filters,
            expansion=expansion,
            stride=stride,
            act="silu",
            squeeze=Squeeze(width=squeezed, normed=True, early=True)
            if i >= FIRST_SQUEEZED
            else None,
            partial=True,
            style=TORCH,
            name=f"block{i}",
        )
    x = blocks.feature(x, reduction)
    final = blocks.make_divisible(int(1280 * row.width), row.divisor)
    return blocks.conv_bn_act(x, final, act="silu", style=TORCH, name="final")


def top(x, row: Row, classes: int):
    """The last map to logits."""
    return blocks.classifier(x, classes, dropout=0.2, style=TORCH)


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


def author_names(squeezed_from: int = FIRST_SQUEEZED) -> dict[str, str]:
    """Our layer name to the authors' (clovaai/rexnet) module name; ReXNet-lite squeezes nowhere."""
    names = {"stem_conv": "features.0", "stem_bn": "features.1"}
    for i in range(BLOCKS):
        position = 0
        for ours in ("depthwise", "project") if i == 0 else ("expand", "depthwise", "project"):
            prefix = f"features.{i + 3}.out"
            names[f"block{i}_{ours}_conv"] = f"{prefix}.{position}"
            names[f"block{i}_{ours}_bn"] = f"{prefix}.{position + 1}"
            position += 3
            if ours == "depthwise" and i >= squeezed_from:
                for part, index in {"reduce": 0, "bn": 1, "expand": 3}.items():
                    names[f"block{i}_se_{part}"] = f"{prefix}.{position - 1}.fc.{index}"
                position += 1
    return names | {"final_conv": "features.19", "final_bn": "features.20", "classifier": "output.1"}


def namings(row: Row) -> tuple[Naming, ...]:
    """The checkpoint kinds that this family reads."""
    return (
        Naming(name="timm", layers=timm_names()),
        Naming(name="clovaai", layers=author_names()),
    )


def _nav(name: str) -> tuple[Weights, ...]:
    return (
        Weights(
            tag="nav_in1k",
            sources=(Hub(repo=f"timm/{name}.nav_in1k"),),
            licence="MIT",
            origin="NAVER AI Lab (clovaai/rexnet), in timm's naming",
            preprocess=Preprocess(),
        ),
    )


def _sw(name: str) -> tuple[Weights, ...]:
    return (
        Weights(
            tag="sw_in12k_ft_in1k",
            sources=(Hub(repo=f"timm/{name}.sw_in12k_ft_in1k"),),
            licence="Apache-2.0",
            origin="Ross Wightman (timm)",
            data="ImageNet-12k, finetuned on ImageNet-1k",
            preprocess=Preprocess(crop=0.95),
        ),
    )


def _claim(top1: float, top5: float, macs: float, params: float) -> Claim:
    source = "clovaai/rexnet README, ImageNet classification results"
    return Claim(
        source=source,
        top1_error=round(100 - top1, 1),
        top5_error=round(100 - top5, 1),
        macs=macs,
        params=params,
    )


FAMILY = Family(
    __name__, build=build, top=top, namings=namings, source="arXiv 2007.00992, CVPR 2021"
)
preprocess_input = FAMILY.preprocess_input()


def _rexnet(width: float, claim: Claim | None = None, published: bool = True):
    name = f"rexnet_{round(width * 100):03}"
    card = Card(
        name=name,
        title=f"ReXNet x{width}",
        claim=claim,
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

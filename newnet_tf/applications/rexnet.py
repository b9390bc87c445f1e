"""ReXNet and ReXNet-R.

Han, Yun, Heo, Yoo: "Rethinking Channel Dimensions for Efficient Model Design", CVPR 2021,
arXiv 2007.00992, the published successor of the talk's network. The authors' PyTorch code and weights
(clovaai/rexnet) are under the MIT license; ReXNet-R is timm's variant with widths rounded to multiples
of 8 (16 for x3.0). Difference: the head is a 1x1 convolution on the pooled map, as the authors
have it and timm does not; parameters and outputs are the same.
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
from newnet_tf.models.inverted_residual import inverted_residual
from newnet_tf.models.variants import Family

BLOCKS = len(STRIDES)
SQUEEZE_RATIO = 12


@dataclass(frozen=True)
class Config:
    """One model of the family: width multiplier and the divisor that channels are rounded to."""

    width: float
    divisor: int = 1


def widths(config: Config, rise: float) -> tuple[int, ...]:
    """Output channels of the 16 blocks: a line from 16 that rises by `rise` a block.

    Summed block by block, as published: which way a tie at .5 falls depends on it.
    """
    channels, widths_ = 16 / config.width if config.width < 1 else 16, []
    for _ in range(BLOCKS):
        widths_.append(blocks.make_divisible(round(channels * config.width), config.divisor))
        channels += rise
    return tuple(widths_)


def stem_width(config: Config) -> int:
    """Output channels of the stem: never below 32."""
    base = 32 / config.width if config.width < 1 else 32
    return blocks.make_divisible(round(base * config.width), config.divisor)


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    channels = widths(config, rise=180 / BLOCKS)

    def block(x, i, stride):
        squeezed = blocks.make_divisible(x.shape[-1] * EXPANSION // SQUEEZE_RATIO, config.divisor)
        return inverted_residual(
            x,
            channels[i],
            expansion=EXPANSION if i > 0 else None,
            stride=stride,
            act="silu",
            se=SEConfig(squeezed, batch_norm=True, before_activation=True)
            if i >= FIRST_SQUEEZED
            else None,
            partial=True,
            style=TORCH,
            name=f"block{i}",
        )

    x = blocks.conv_bn_act(x, stem_width(config), 3, 2, act="silu", style=TORCH, name="stem")
    x = blocks.stack(x, STRIDES, block)
    final = blocks.make_divisible(int(1280 * config.width), config.divisor)
    return blocks.conv_bn_act(x, final, act="silu", style=TORCH, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes, dropout=0.2)


def timm_names() -> dict[str, str]:
    """Maps our layer names to timm's module names."""
    names = {"stem_conv": "stem.conv", "stem_bn": "stem.bn"}
    for i in range(BLOCKS):
        modules = {"depthwise": "conv_dw", "project": "conv_pwl"}
        if i > 0:
            modules["expand"] = "conv_exp"
        for layer, module in modules.items():
            names[f"block{i}_{layer}_conv"] = f"features.{i}.{module}.conv"
            names[f"block{i}_{layer}_bn"] = f"features.{i}.{module}.bn"
        if i >= FIRST_SQUEEZED:
            for layer, module in {"reduce": "fc1", "bn": "bn", "expand": "fc2"}.items():
                names[f"block{i}_se_{layer}"] = f"features.{i}.se.{module}"
    names |= {f"final_{part}": f"features.{BLOCKS}.{part}" for part in ("conv", "bn")}
    return names | {"classifier": "head.fc"}


def author_names(squeezed: bool = True) -> dict[str, str]:
    """Maps our layer names to the authors' (clovaai/rexnet) module names, without the classifier's.

    ReXNet-lite shares it, with `squeezed=False`.
    """
    names = {"stem_conv": "features.0", "stem_bn": "features.1"}
    for i in range(BLOCKS):
        position = 0
        for layer in ("depthwise", "project") if i == 0 else ("expand", "depthwise", "project"):
            prefix = f"features.{i + 3}.out"
            names[f"block{i}_{layer}_conv"] = f"{prefix}.{position}"
            names[f"block{i}_{layer}_bn"] = f"{prefix}.{position + 1}"
            position += 3
            if layer == "depthwise" and squeezed and i >= FIRST_SQUEEZED:
                for part, index in {"reduce": 0, "bn": 1, "expand": 3}.items():
                    names[f"block{i}_se_{part}"] = f"{prefix}.{position - 1}.fc.{index}"
                position += 1
    return names | {"final_conv": "features.19", "final_bn": "features.20"}


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
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


def _reported(top1: float, top5: float, macs: float, params: float) -> ReportedResults:
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
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 2007.00992, CVPR 2021",
)
preprocess_input = FAMILY.preprocess_input()


def _rexnet(width: float, reported: ReportedResults | None = None, published: bool = True):
    name = f"rexnet_{round(width * 100):03}"
    card = Card(
        name=name,
        title=f"ReXNet x{width}",
        reported=reported,
        weights=_nav(name) if published else (),
        notes="" if published else "No weights are published for this width.",
    )
    return FAMILY.register(f"ReXNet{name[-3:]}", Config(width), card)


def _rexnet_r(width: float, published: bool = False):
    name = f"rexnetr_{round(width * 100)}"
    card = Card(
        name=name,
        title=f"ReXNet-R x{width}",
        weights=_sw(name) if published else (),
        notes="" if published else "No weights are published for this width.",
    )
    return FAMILY.register(f"ReXNetR{name[-3:]}", Config(width, 16 if width == 3 else 8), card)


ReXNet060 = _rexnet(0.6, published=False)
ReXNet090 = _rexnet(0.9, published=False)
ReXNet100 = _rexnet(1.0, _reported(77.9, 93.9, 0.40, 4.8))
ReXNet130 = _rexnet(1.3, _reported(79.5, 94.7, 0.66, 7.6))
ReXNet150 = _rexnet(1.5, _reported(80.3, 95.2, 0.88, 9.7))
ReXNet200 = _rexnet(2.0, _reported(81.6, 95.7, 1.5, 16))
ReXNet220 = _rexnet(2.2, published=False)
ReXNet300 = _rexnet(3.0, _reported(82.8, 96.2, 3.4, 34))
ReXNetR100 = _rexnet_r(1.0)
ReXNetR130 = _rexnet_r(1.3)
ReXNetR150 = _rexnet_r(1.5)
ReXNetR200 = _rexnet_r(2.0, published=True)
ReXNetR300 = _rexnet_r(3.0, published=True)

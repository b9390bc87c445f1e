"""ProxylessNAS, as searched for a phone, a CPU and a GPU.

Cai, Zhu, Han: "ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware",
arXiv 1812.00332; the authors' code and weights (mit-han-lab/proxylessnas) are under the MIT license.
Symmetric padding, batch-norm epsilon 1e-3. Definition and checkpoint names are pytorchcv's
(`proxylessnas_mobile`, `_cpu`, `_gpu`), whose numbers count the removed units too.
Difference: the head is `blocks.classifier`, for any image size.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, stages
from newnet_tf.models.blocks import ConvBNConfig
from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.models.stages import Stage
from newnet_tf.models.variants import Family

STYLE = ConvBNConfig(padding="symmetric", eps=1e-3, momentum=0.9)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
MODULES = {"expand": "bc_conv", "depthwise": "dw_conv", "project": "pw_conv"}
FIRST = ((3, None),)  # kernel, expansion
SKIPPED = None  # a unit that the search replaced by the identity


@dataclass(frozen=True)
class Config:
    """One model of the family (paper, figure 4).

    Args:
        stem: int, channels of the first convolution.

        final: int, channels of the last convolution.

        channels: tuple of int, one for each of the seven groups of units.

        units: (kernel, expansion) of the units of each group, or `SKIPPED`.
    """

    stem: int
    final: int
    channels: tuple[int, ...]
    units: tuple[tuple[tuple[int, int | None] | None, ...], ...]

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage for each unit that is not skipped; no group begins with a skipped one."""
        return tuple(
            Stage(channels, 1, 1 if i else stride, expansion=unit[1], kernel=unit[0])
            for channels, stride, units in zip(self.channels, STRIDES, self.units, strict=True)
            for i, unit in enumerate(units)
            if unit
        )


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    x = blocks.conv_bn_act(x, config.stem, 3, 2, style=STYLE, name="stem")
    x = stages.build(x, config.stages, style=STYLE)
    return blocks.conv_bn_act(x, config.final, style=STYLE, name="final")


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


def pytorchcv_names(config: Config) -> dict[str, str]:
    """Maps our layer names to pytorchcv's module names; its stages begin where the stride is 2."""
    ends = {"stem": "features.init_block", "final": "features.final_block"}
    names, block, stage, number = {"classifier": "output"}, 0, 0, 0
    for group, units in enumerate(config.units):
        if STRIDES[group] == 2 or group == 0:
            stage, number = stage + 1, 0
        for unit in units:
            number += 1
            if unit:
                body = f"features.stage{stage}.unit{number}.body"
                parts = MODULES if unit[1] else list(MODULES)[1:]
                ends |= {f"block{block}_{part}": f"{body}.{MODULES[part]}" for part in parts}
                block += 1
    for layer, module in ends.items():
        names |= {f"{layer}_{part}": f"{module}.{part}" for part in ("conv", "bn")}
    return names


def checkpoint_formats(config: Config) -> tuple[CheckpointFormat, ...]:
    """Formats of the checkpoints that load."""
    return (CheckpointFormat(name="pytorchcv", layers=pytorchcv_names(config)),)


FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1812.00332",
)
preprocess_input = FAMILY.preprocess_input()

README = "mit-han-lab/proxylessnas README"
MOBILE = Config(
    stem=32,
    final=1280,
    channels=(16, 32, 40, 80, 96, 192, 320),
    units=(
        FIRST,
        ((5, 3), (3, 3), SKIPPED, SKIPPED),
        ((7, 3), (3, 3), (5, 3), (5, 3)),
        ((7, 6), (5, 3), (5, 3), (5, 3)),
        ((5, 6), (5, 3), (5, 3), (5, 3)),
        ((7, 6), (7, 6), (7, 3), (7, 3)),
        ((7, 6),),
    ),
)
CPU = Config(
    stem=40,
    final=1432,
    channels=(24, 32, 48, 88, 104, 216, 360),
    units=(
        FIRST,
        ((3, 6), (3, 3), (3, 3), (3, 3)),
        ((3, 6), (3, 3), (3, 3), (5, 3)),
        ((3, 6), SKIPPED, SKIPPED, (3, 3)),
        ((5, 6), (3, 3), (3, 3), (3, 3)),
        ((5, 6), (5, 3), (5, 3), (3, 3)),
        ((5, 6),),
    ),
)
GPU = Config(
    stem=40,
    final=1728,
    channels=(24, 32, 56, 112, 128, 256, 432),
    units=(
        FIRST,
        ((5, 3), SKIPPED, SKIPPED, SKIPPED),
        ((7, 3), SKIPPED, SKIPPED, (3, 3)),
        ((7, 6), SKIPPED, SKIPPED, (5, 3)),
        ((5, 6), SKIPPED, (3, 3), (5, 3)),
        ((7, 6), (7, 6), (7, 6), (5, 6)),
        ((7, 6),),
    ),
)


def _proxyless(target: str, config: Config, reported: ReportedResults | None):
    title = target if target == "Mobile" else target.upper()
    card = Card(
        name=f"proxyless_{target.lower()}",
        title=f"ProxylessNAS ({title})",
        reported=reported,
        notes="No weights are on a public hub; pass a checkpoint file in pytorchcv's naming as "
        "`weights`.",
    )
    return FAMILY.register(f"Proxyless{target}", config, card)


ProxylessMobile = _proxyless(
    "Mobile",
    MOBILE,
    ReportedResults(
        source="DEVIEW 2019 talk, table of NAS models",
        top1_error=25.4,
        top5_error=6.7,
        params=4.1,
        macs=0.32,
    ),
)
ProxylessCPU = _proxyless("CPU", CPU, None)
ProxylessGPU = _proxyless(
    "GPU", GPU, ReportedResults(source=README, top1_error=24.9, top5_error=7.5)
)

"""ProxylessNAS, as searched for a phone, a CPU and a GPU.

Cai, Zhu, Han: "ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware",
arXiv 1812.00332; the authors' code and weights (mit-han-lab/proxylessnas) are under the MIT license.
Symmetric padding, batch-norm epsilon 1e-3. Definition and checkpoint names are pytorchcv's
(`proxylessnas_mobile`, `_cpu`, `_gpu`), whose numbers count the units that the search left out too.
What differs here: the zoo's head, which takes any input side.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, stages
from newnet_tf.models.blocks import Style
from newnet_tf.models.config import Card, CheckpointFormat, ReportedResults
from newnet_tf.models.stages import Stage
from newnet_tf.models.variants import Family

STYLE = Style(padding="symmetric", eps=1e-3, momentum=0.9)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
MODULES = {"expand": "bc_conv", "depthwise": "dw_conv", "project": "pw_conv"}
FIRST = ((3, None),)  # kernel, expansion
GONE = None  # a unit that the search left out: the identity


@dataclass(frozen=True)
class Row:
    """One network of the family (paper, figure 4).

    Args:
        stem, final: int, channels of the first and the last convolution.
        filters: int of each of the seven groups of units.
        units: (kernel, expansion) of the units of each group, or `GONE`.
    """

    stem: int
    final: int
    filters: tuple[int, ...]
    units: tuple[tuple[tuple[int, int | None] | None, ...], ...]

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage for each unit that is left; no group begins with one that is not."""
        return tuple(
            Stage(filters, 1, 1 if i else stride, expansion=unit[1], kernel=unit[0])
            for filters, stride, units in zip(self.filters, STRIDES, self.units, strict=True)
            for i, unit in enumerate(units)
            if unit
        )


def build(x, row: Row):
    """Input to the last map before pooling."""
    x = blocks.conv_bn_act(x, row.stem, 3, 2, style=STYLE, name="stem")
    x = stages.build(x, row.stages, style=STYLE)
    return blocks.conv_bn_act(x, row.final, style=STYLE, name="final")


def top(x, row: Row, classes: int):
    """The last map to logits."""
    return blocks.classifier(x, classes)


def pytorchcv_names(row: Row) -> dict[str, str]:
    """Our layer name to pytorchcv's module name; its stages begin where the stride is 2."""
    ends = {"stem": "features.init_block", "final": "features.final_block"}
    names, block, stage, number = {"classifier": "output"}, 0, 0, 0
    for group, units in enumerate(row.units):
        if STRIDES[group] == 2 or group == 0:
            stage, number = stage + 1, 0
        for unit in units:
            number += 1
            if unit:
                body = f"features.stage{stage}.unit{number}.body"
                parts = MODULES if unit[1] else list(MODULES)[1:]
                ends |= {f"block{block}_{part}": f"{body}.{MODULES[part]}" for part in parts}
                block += 1
    for ours, theirs in ends.items():
        names |= {f"{ours}_{part}": f"{theirs}.{part}" for part in ("conv", "bn")}
    return names


def checkpoint_formats(row: Row) -> tuple[CheckpointFormat, ...]:
    """The checkpoint kinds that this family reads."""
    return (CheckpointFormat(name="pytorchcv", layers=pytorchcv_names(row)),)


FAMILY = Family(
    __name__, build=build, top=top, checkpoint_formats=checkpoint_formats, source="arXiv 1812.00332"
)
preprocess_input = FAMILY.preprocess_input()

README = "mit-han-lab/proxylessnas README"
MOBILE = Row(
    stem=32,
    final=1280,
    filters=(16, 32, 40, 80, 96, 192, 320),
    units=(
        FIRST,
        ((5, 3), (3, 3), GONE, GONE),
        ((7, 3), (3, 3), (5, 3), (5, 3)),
        ((7, 6), (5, 3), (5, 3), (5, 3)),
        ((5, 6), (5, 3), (5, 3), (5, 3)),
        ((7, 6), (7, 6), (7, 3), (7, 3)),
        ((7, 6),),
    ),
)
CPU = Row(
    stem=40,
    final=1432,
    filters=(24, 32, 48, 88, 104, 216, 360),
    units=(
        FIRST,
        ((3, 6), (3, 3), (3, 3), (3, 3)),
        ((3, 6), (3, 3), (3, 3), (5, 3)),
        ((3, 6), GONE, GONE, (3, 3)),
        ((5, 6), (3, 3), (3, 3), (3, 3)),
        ((5, 6), (5, 3), (5, 3), (3, 3)),
        ((5, 6),),
    ),
)
GPU = Row(
    stem=40,
    final=1728,
    filters=(24, 32, 56, 112, 128, 256, 432),
    units=(
        FIRST,
        ((5, 3), GONE, GONE, GONE),
        ((7, 3), GONE, GONE, (3, 3)),
        ((7, 6), GONE, GONE, (5, 3)),
        ((5, 6), GONE, (3, 3), (5, 3)),
        ((7, 6), (7, 6), (7, 6), (5, 6)),
        ((7, 6),),
    ),
)


def _proxyless(target: str, row: Row, claim: ReportedResults | None):
    title = target if target == "Mobile" else target.upper()
    card = Card(
        name=f"proxyless_{target.lower()}",
        title=f"ProxylessNAS ({title})",
        reported=claim,
        notes="No weights are on a public hub; pass a checkpoint file in pytorchcv's naming as "
        "`weights`.",
    )
    return FAMILY.variant(f"Proxyless{target}", row, card)


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

"""The drawing of `newnet profile --flame`: where a file's time goes, from the whole down to operators.

Three rows for each file, in the order in which it runs, as wide as the time that each part takes:
blocks (what layers' names begin with), layers, operators. Colors of operators are those of `shares`.
"""

import itertools
from collections.abc import Callable, Sequence

from newnet_tf.visualization import charts, op_breakdown
from newnet_tf.visualization.label_placement import FAINT, INK

ROWS = ("blocks", "layers", "operators")
TONES = ("#dfe6ee", "#c3cfdd")  # neighbors differ
WIDTH, LETTER = 13.0, 0.075  # inches: of the figure, of a letter


def flames(profiles: Sequence, titles: Sequence[str]):
    """Returns a figure with an icicle for each profile, all on one scale of time.

    Args:
        profiles: `operators.Profile`s. titles: what to call each.
    """
    drawn = charts.figure(WIDTH, 0.9 + 1.45 * len(profiles))
    all_axes = drawn.subplots(len(profiles), 1, sharex=True, squeeze=False)[:, 0]
    longest = max(profile.ops_ms for profile in profiles) or 1.0
    kinds = {}
    for axes, profile, title in zip(all_axes, profiles, titles, strict=True):
        ran = [operator for operator in profile.operators if operator.ms]
        for place, part_of in enumerate((_block, lambda operator: operator.layer)):
            for tone, (name, left, ms) in enumerate(_parts(ran, part_of)):
                _bar(axes, place, name, left, ms, TONES[tone % len(TONES)], longest)
        for _, left, ms, operator in _each(ran):
            label, color = (
                op_breakdown.WITH_MACS.get(operator.name)
                or op_breakdown.WITHOUT_MACS.get(operator.name)
                or op_breakdown.OTHER
            )
            kinds[label] = _bar(axes, 2, label, left, ms, color, longest)
        axes.set_title(
            f"{title}: {profile.ops_ms:.2f} ms",
            loc="left",
            color=INK,
            fontsize=10,
            fontweight="bold",
        )
        _finish(axes, longest)
    all_axes[-1].set_xlabel("milliseconds", color=FAINT, fontsize=9)
    drawn.legend(
        list(kinds.values()),
        list(kinds),
        loc="outside lower center",
        ncols=min(len(kinds), 8),
        frameon=False,
        fontsize=8.5,
    )
    return drawn


def _block(operator) -> str:
    return operator.layer.split("_")[0]


def _each(ran: Sequence):
    """Gives (layer, left, ms, operator) of each operator."""
    left = 0.0
    for operator in ran:
        yield operator.layer, left, operator.ms, operator
        left += operator.ms


def _parts(ran: Sequence, part_of: Callable):
    """Gives (name, left, ms) of runs of operators that belong together."""
    left = 0.0
    for name, group in itertools.groupby(ran, part_of):
        ms = sum(operator.ms for operator in group)
        yield name, left, ms
        left += ms


def _bar(axes, place: int, name: str, left: float, ms: float, color: str, longest: float):
    """Draws a part, with its name where there is room; returns its patch."""
    [patch] = axes.barh(
        place, ms, left=left, height=1, align="edge", color=color, edgecolor="white", lw=0.5
    )
    if ms / longest * (WIDTH - 1.2) > LETTER * (len(name) + 1):
        axes.text(
            left + ms / 2,
            place + 0.5,
            name,
            ha="center",
            va="center",
            fontsize=7.5,
            color=op_breakdown.readable(color),
            clip_on=True,
        )
    return patch


def _finish(axes, longest: float) -> None:
    axes.set_xlim(0, longest)
    axes.set_ylim(len(ROWS), 0)
    axes.set_yticks([row + 0.5 for row in range(len(ROWS))], ROWS)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=0, labelsize=8.5)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)

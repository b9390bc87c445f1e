"""The flame chart of `newnet profile --flame-chart`: time by block, by layer and by operator.

Each file has three rows in the order of execution, as wide as the time that each part takes: blocks
(the first word of a layer's name), layers, operators. Operators have the colors of `op_breakdown`.
"""

import itertools
from collections.abc import Callable, Sequence

from newnet_tf.utils.palette import FAINT, INK, text_on
from newnet_tf.visualization import charts, op_breakdown

ROWS = ("blocks", "layers", "operators")
TONES = ("#dfe6ee", "#c3cfdd")  # alternating, so that neighbors differ
WIDTH, LETTER = 13.0, 0.075  # inches: of the figure, of a letter


def flame_chart(profiles: Sequence, titles: Sequence[str]):
    """Returns a figure with a flame chart for each profile, all on one time axis.

    Args:
        profiles: `profiling.operators.Profile`s.

        titles: str for each profile.
    """
    figure = charts.figure(WIDTH, 0.9 + 1.45 * len(profiles))
    all_axes = figure.subplots(len(profiles), 1, sharex=True, squeeze=False)[:, 0]
    longest = max(profile.ops_ms for profile in profiles) or 1.0
    handles = {}
    for axes, profile, title in zip(all_axes, profiles, titles, strict=True):
        operators = [operator for operator in profile.operators if operator.ms]
        for row, key in enumerate((_block, lambda operator: operator.layer)):
            for number, (name, left, ms) in enumerate(_groups(operators, key)):
                _bar(axes, row, name, left, ms, TONES[number % len(TONES)], longest)
        left = 0.0
        for operator in operators:
            label, color = op_breakdown.style(operator.name)
            handles[label] = _bar(axes, 2, label, left, operator.ms, color, longest)
            left += operator.ms
        axes.set_title(
            f"{title}: {profile.ops_ms:.2f} ms",
            loc="left",
            color=INK,
            fontsize=10,
            fontweight="bold",
        )
        _style(axes, longest)
    all_axes[-1].set_xlabel("milliseconds", color=FAINT, fontsize=9)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=max(1, min(len(handles), 8)),
        frameon=False,
        fontsize=8.5,
    )
    return figure


def _block(operator) -> str:
    return operator.layer.split("_")[0]


def _groups(operators: Sequence, key: Callable):
    """Yields (name, left, ms) of consecutive operators with the same key."""
    left = 0.0
    for name, group in itertools.groupby(operators, key):
        ms = sum(operator.ms for operator in group)
        yield name, left, ms
        left += ms


def _bar(axes, row: int, name: str, left: float, ms: float, color: str, longest: float):
    """Draws a bar, with its name if it fits; returns the bar's patch."""
    [patch] = axes.barh(
        row, ms, left=left, height=1, align="edge", color=color, edgecolor="white", lw=0.5
    )
    if ms / longest * (WIDTH - 1.2) > LETTER * (len(name) + 1):
        axes.text(
            left + ms / 2,
            row + 0.5,
            name,
            ha="center",
            va="center",
            fontsize=7.5,
            color=text_on(color),
            clip_on=True,
        )
    return patch


def _style(axes, longest: float) -> None:
    axes.set_xlim(0, longest)
    axes.set_ylim(len(ROWS), 0)
    axes.set_yticks([row + 0.5 for row in range(len(ROWS))], ROWS)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=0, labelsize=8.5)
    for edge in ("top", "right", "bottom", "left"):
        axes.spines[edge].set_visible(False)

"""A study as files: `study.csv`, `study.png`."""

import csv
import importlib.util
import io
import textwrap
from collections.abc import Sequence

from newnet_tf.training import curves, run_files
from newnet_tf.training.curves import FAINT, INK, TEST, TRAIN
from newnet_tf.training.overrides import as_text
from newnet_tf.training.tuning.search_space import SearchDimension
from newnet_tf.training.tuning.trials import COMPLETE, FAILED, MEASURES, Trial, TuneResult

TABLE, DRAWING = "study.csv", "study.png"
LABELS = {
    "test_error": "test error of the last epoch (%)",
    "test_loss": "test loss of the last epoch",
}
DIGITS = {"test_error": 2, "test_loss": 4}
NARROWEST = 6.5  # inches
LETTERS, LINE = 15, 0.17  # an inch of the words below, and inches of one of their lines


def write_table(found: TuneResult) -> None:
    """Writes a line a trial, by number."""
    names = [one.name for one in found.dimensions]
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ["trial", "state", *names, *MEASURES, "seconds", "reason"], lineterminator="\n"
    )
    writer.writeheader()
    for tried in found.trials:
        figures = {name: getattr(tried, name) for name in (*MEASURES, "seconds", "reason", "state")}
        values = {name: as_text(value) for name, value in tried.values.items()}
        writer.writerow({"trial": tried.number, **values, **figures})
    run_files.write(found.folder / TABLE, text.getvalue().encode())


def write_drawing(found: TuneResult) -> None:
    """Draws the trials, with the best setting and the caveats below; needs matplotlib, else nothing."""
    if importlib.util.find_spec("matplotlib") is not None:
        curves.save(draw(found), found.folder / DRAWING)


def draw(found: TuneResult):
    """Returns the figure of a study.

    A heat map of the first two fields where both have choices, of several trials in a cell the best;
    else the trials against each field.
    """
    is_map = len(found.dimensions) > 1 and all(one.choices for one in found.dimensions[:2])
    words = (
        [f"best: {found.setting}", *found.warnings()] if found.best else ["no trial is complete"]
    )
    if is_map and len(found.dimensions) > 2:
        others = ", ".join(one.name for one in found.dimensions[2:])
        words.insert(
            0, f"each cell shows the best of all trials with its two values, over {others}"
        )
    if is_map:
        across, up = (len(one.choices) for one in found.dimensions[:2])
        width, height = 3.4 + 0.85 * across, 2 + 0.55 * up
    else:
        width, height = 4.2 * len(found.dimensions), 3.8
    width = max(NARROWEST, width)
    lines = [x for text in words for x in textwrap.wrap(text, int(LETTERS * width))]
    drawn = curves.blank(width, height + LINE * len(lines))
    (_heat_map if is_map else _scatter)(drawn, found)
    done = sum(tried.state == COMPLETE for tried in found.trials)
    title = f"{found.title}: {done} of {found.planned} trials"
    drawn.suptitle(title, color=INK, fontsize=12, x=0.01, ha="left")
    drawn.supxlabel("\n".join(lines), color=INK, fontsize=9, x=0.01, ha="left")
    return drawn


def _heat_map(drawn, found: TuneResult) -> None:
    import numpy as np

    across, up = found.dimensions[:2]
    axes = drawn.subplots()
    cells = {}
    for tried in reversed(found.ranked):  # the best of a cell last
        if tried.values.keys() >= {across.name, up.name}:
            row, column = (one.ordered.index(tried.values[one.name]) for one in (up, across))
            cells[row, column] = tried
    values = np.full((len(up.ordered), len(across.ordered)), np.nan)
    for place, tried in cells.items():
        if tried.state == COMPLETE:
            values[place] = getattr(tried, found.metric)
    image = axes.imshow(values, cmap="Blues_r", origin="lower", aspect="auto")
    for (row, column), tried in cells.items():
        _cell(axes, row, column, tried, image, found)
    axes.set_xticks(range(len(across.ordered)), map(as_text, across.ordered))
    axes.set_yticks(range(len(up.ordered)), map(as_text, up.ordered))
    axes.set_xlabel(across.name, color=INK)
    axes.set_ylabel(up.name, color=INK)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=0)
    if found.best:
        drawn.colorbar(image, ax=axes).set_label(LABELS[found.metric], color=INK)


def _cell(axes, row: int, column: int, tried: Trial, image, found: TuneResult) -> None:
    """Writes what a trial came to into its cell; one that failed is hatched."""
    from matplotlib.patches import Rectangle

    text, color = tried.state, FAINT
    if tried.state == COMPLETE:
        value = getattr(tried, found.metric)
        text = f"{value:.{DIGITS[found.metric]}f}"
        color = "white" if image.norm(value) < 0.5 else INK
    is_best = tried is found.best
    if tried.state == FAILED or is_best:
        look = {"ec": TEST, "lw": 2} if is_best else {"ec": FAINT, "lw": 0, "hatch": "///"}
        axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, fc="none", **look))
    axes.text(
        column,
        row,
        text,
        ha="center",
        va="center",
        color=color,
        fontweight="bold" if is_best else "normal",
        bbox={"fc": "white", "lw": 0, "pad": 2} if tried.state == FAILED else None,
    )


def _scatter(drawn, found: TuneResult) -> None:
    panels = drawn.subplots(1, len(found.dimensions), sharey=True, squeeze=False)[0]
    failed = [tried for tried in found.trials if tried.state == FAILED]
    for axes, one in zip(panels, found.dimensions, strict=True):
        _axis(axes, one)
        heights = [getattr(tried, found.metric) for tried in found.complete]
        axes.scatter(_places(one, found.complete), heights, color=TRAIN, s=36, zorder=3)
        if found.best:
            ring = _places(one, [found.best]), heights[:1]
            axes.scatter(*ring, s=130, fc="none", ec=TEST, lw=1.8, zorder=4, label="best")
        if failed:
            top = axes.get_xaxis_transform()  # heights as shares of the axis
            at = _places(one, failed), [0.97] * len(failed)
            axes.scatter(*at, transform=top, marker="x", color=INK, zorder=3, label="failed")
        axes.margins(y=0.12)
        curves.plain(axes)
    panels[0].set_ylabel(LABELS[found.metric], color=INK)
    if not found.best:
        panels[0].set_yticks([])
    handles, names = panels[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper right", ncols=2, frameon=False)


def _axis(axes, one: SearchDimension) -> None:
    """Gives a field's axis: choices side by side, a range from end to end."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xlabel(one.name, color=INK)
    if one.choices:
        axes.set_xticks(range(len(one.ordered)), map(as_text, one.ordered))
        axes.set_xlim(-0.5, len(one.ordered) - 0.5)
        return
    low, high = one.ends
    if one.is_log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        room = (high / low) ** 0.05
        axes.set_xlim(low / room, high * room)
    else:
        room = 0.05 * (high - low)
        axes.set_xlim(low - room, high + room)


def _places(one: SearchDimension, trials: Sequence[Trial]) -> list[float]:
    """Returns where trials stand on a field's axis."""
    values = [tried.values[one.name] for tried in trials]
    return [one.ordered.index(value) for value in values] if one.choices else values

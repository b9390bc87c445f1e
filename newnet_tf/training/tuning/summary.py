"""A hyperparameter search as files: `trials.csv`, `trials.png`."""

import importlib.util
import textwrap
from collections.abc import Sequence

from newnet_tf.training import curves
from newnet_tf.training.history import TEST, figure_name
from newnet_tf.training.overrides import as_text
from newnet_tf.training.tuning.search_space import SearchDimension
from newnet_tf.training.tuning.trials import COMPLETE, FAILED, Trial, TuneResult
from newnet_tf.utils import palette
from newnet_tf.utils.io import write_csv
from newnet_tf.utils.palette import FAINT, INK

TABLE, FIGURE = "trials.csv", "trials.png"
MIN_WIDTH = 6.5  # inches
LETTERS, LINE_HEIGHT = 15, 0.17  # of the text below: letters an inch, inches a line


def write_table(result: TuneResult) -> None:
    """Writes a line for each trial, by number."""
    names = [dimension.name for dimension in result.dimensions]
    figures = figure_columns(result)
    rows = [
        {
            "trial": trial.number,
            "state": trial.state,
            **{name: as_text(value) for name, value in trial.values.items()},
            **{name: trial.figures.get(name, "") for name in figures},
            "seconds": "" if trial.seconds is None else trial.seconds,
            "reason": trial.reason,
        }
        for trial in result.trials
    ]
    header = ["trial", "state", *names, *figures, "seconds", "reason"]
    write_csv(result.output_dir / TABLE, header, rows)


def figure_columns(result: TuneResult) -> list[str]:
    """Returns the columns of test figures, the task's metric first."""
    metric = f"{TEST}{result.task.metric}"
    columns = {metric: None, result.metric: None}
    for trial in result.complete:
        columns |= dict.fromkeys(trial.figures)
    return list(columns)


def write_figure(result: TuneResult) -> None:
    """Writes `trials.png`; does nothing where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is not None:
        curves.save_figure(draw(result), result.output_dir / FIGURE)


def draw(result: TuneResult):
    """Returns a matplotlib figure of the trials, the best setting and warnings below.

    It is a heat map of the first two dimensions if both have choices (of several trials in a cell the
    best counts), else a scatter plot of the trials against each dimension.
    """
    is_heat_map = len(result.dimensions) > 1 and all(d.choices for d in result.dimensions[:2])
    texts = (
        [f"best: {result.setting}", *result.warnings()] if result.best else ["no trial is complete"]
    )
    if is_heat_map and len(result.dimensions) > 2:
        others = ", ".join(dimension.name for dimension in result.dimensions[2:])
        texts.insert(
            0, f"each cell shows the best of all trials with its two values, over {others}"
        )
    if is_heat_map:
        columns, rows = (len(dimension.choices) for dimension in result.dimensions[:2])
        width, height = 3.4 + 0.85 * columns, 2 + 0.55 * rows
    else:
        width, height = 4.2 * len(result.dimensions), 3.8
    width = max(MIN_WIDTH, width)
    lines = [line for text in texts for line in textwrap.wrap(text, int(LETTERS * width))]
    figure = curves.empty_figure(width, height + LINE_HEIGHT * len(lines))
    (_heat_map if is_heat_map else _scatter)(figure, result)
    done = sum(trial.state == COMPLETE for trial in result.trials)
    title = f"{result.title}: {done} of {result.planned} trials"
    figure.suptitle(title, color=INK, fontsize=12, x=0.01, ha="left")
    figure.supxlabel("\n".join(lines), color=INK, fontsize=9, x=0.01, ha="left")
    return figure


def _axis_label(result: TuneResult) -> str:
    """Returns a label of the metric: `"test error of the last epoch (%)"`."""
    unit = result.task.units.get(result.metric.removeprefix(TEST))
    return f"{figure_name(result.metric)} of the last epoch{f' ({unit})' if unit else ''}"


def _heat_map(figure, result: TuneResult) -> None:
    import numpy as np

    across, up = result.dimensions[:2]
    axes = figure.subplots()
    cells = {}
    for trial in reversed(result.ranked):  # the best of a cell last
        if trial.values.keys() >= {across.name, up.name}:
            row, column = (d.ordered.index(trial.values[d.name]) for d in (up, across))
            cells[row, column] = trial
    values = np.full((len(up.ordered), len(across.ordered)), np.nan)
    for place, trial in cells.items():
        if trial.state == COMPLETE:
            values[place] = trial.figures[result.metric]
    colors = "Blues_r" if result.mode == "min" else "Blues"
    image = axes.imshow(values, cmap=colors, origin="lower", aspect="auto")
    for (row, column), trial in cells.items():
        _cell(axes, row, column, trial, image, result)
    axes.set_xticks(range(len(across.ordered)), map(as_text, across.ordered))
    axes.set_yticks(range(len(up.ordered)), map(as_text, up.ordered))
    axes.set_xlabel(across.name, color=INK)
    axes.set_ylabel(up.name, color=INK)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=0)
    if result.best:
        figure.colorbar(image, ax=axes).set_label(_axis_label(result), color=INK)


def _cell(axes, row: int, column: int, trial: Trial, image, result: TuneResult) -> None:
    """Writes a trial's metric into its cell; a failed one is hatched."""
    from matplotlib.patches import Rectangle

    text, color = trial.state, FAINT
    if trial.state == COMPLETE:
        value = trial.figures[result.metric]
        is_percent = result.task.units.get(result.metric.removeprefix(TEST)) == "%"
        text = f"{value:.2f}" if is_percent else f"{value:.4f}"
        is_dark = (image.norm(value) < 0.5) == (result.mode == "min")
        color = "white" if is_dark else INK
    is_best = trial is result.best
    if trial.state == FAILED or is_best:
        style = {"ec": palette.TEST, "lw": 2} if is_best else {"ec": FAINT, "lw": 0, "hatch": "///"}
        axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, fc="none", **style))
    axes.text(
        column,
        row,
        text,
        ha="center",
        va="center",
        color=color,
        fontweight="bold" if is_best else "normal",
        bbox={"fc": "white", "lw": 0, "pad": 2} if trial.state == FAILED else None,
    )


def _scatter(figure, result: TuneResult) -> None:
    panels = figure.subplots(1, len(result.dimensions), sharey=True, squeeze=False)[0]
    failed = [trial for trial in result.trials if trial.state == FAILED]
    for axes, dimension in zip(panels, result.dimensions, strict=True):
        _set_axis(axes, dimension)
        heights = [trial.figures[result.metric] for trial in result.complete]
        axes.scatter(
            _positions(dimension, result.complete), heights, color=palette.TRAIN, s=36, zorder=3
        )
        if result.best:
            best = _positions(dimension, [result.best]), heights[:1]
            axes.scatter(*best, s=130, fc="none", ec=palette.TEST, lw=1.8, zorder=4, label="best")
        if failed:
            top = axes.get_xaxis_transform()  # heights as fractions of the axis
            points = _positions(dimension, failed), [0.97] * len(failed)
            axes.scatter(*points, transform=top, marker="x", color=INK, zorder=3, label="failed")
        axes.margins(y=0.12)
        curves.style_axes(axes)
    panels[0].set_ylabel(_axis_label(result), color=INK)
    if not result.best:
        panels[0].set_yticks([])
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=2, frameon=False)


def _set_axis(axes, dimension: SearchDimension) -> None:
    """Sets a dimension's axis: choices side by side, a range from end to end."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xlabel(dimension.name, color=INK)
    if dimension.choices:
        axes.set_xticks(range(len(dimension.ordered)), map(as_text, dimension.ordered))
        axes.set_xlim(-0.5, len(dimension.ordered) - 0.5)
        return
    low, high = dimension.ends
    if dimension.is_log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        margin = (high / low) ** 0.05
        axes.set_xlim(low / margin, high * margin)
    else:
        margin = 0.05 * (high - low)
        axes.set_xlim(low - margin, high + margin)


def _positions(dimension: SearchDimension, trials: Sequence[Trial]) -> list[float]:
    """Returns the positions of trials on a dimension's axis."""
    values = [trial.values[dimension.name] for trial in trials]
    return [dimension.ordered.index(v) for v in values] if dimension.choices else values

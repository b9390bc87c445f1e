"""Training curves as files: `curves.png` and TensorBoard's events."""

import errno
import importlib.util
import io
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from newnet_tf.task import Task, get_task
from newnet_tf.training.curve_diagnosis import (
    OVERFITTING,
    REVERSAL,
    UNSTABLE,
    diagnose_curves,
)
from newnet_tf.training.history import (
    LOSS,
    TEST,
    TRAIN,
    best_epoch,
    figure_name,
    format_figure,
)
from newnet_tf.utils import palette
from newnet_tf.utils.io import write_bytes
from newnet_tf.utils.palette import FAINT, GRID, INK

FILE, EVENTS = "curves.png", "events.out.tfevents"
LINE_LENGTH = 118  # letters


def write_curves(
    history: Sequence[Mapping[str, float]],
    folder: Path,
    title: str,
    task: str | Task = "classification",
) -> None:
    """Writes `curves.png`; does nothing where matplotlib is not installed.

    Args:
        history, title, task: as in `draw`.

        folder: path.
    """
    if importlib.util.find_spec("matplotlib") is not None:
        save_figure(draw(history, title, task), folder / FILE)


def draw(history: Sequence[Mapping[str, float]], title: str, task: str | Task = "classification"):
    """Returns a matplotlib figure: the loss and the task's metric by epoch, the diagnosis below.

    Args:
        history: rows, at least one.

        title: str.

        task: name of a task, or a `Task`. Default: `"classification"`.
    """
    task = get_task(task)
    diagnosis = diagnose_curves(history, task)
    figure = empty_figure(10, 4.4)
    epochs = [row["epoch"] for row in history]
    for axes, name in zip(figure.subplots(1, 2), (LOSS, task.metric), strict=True):
        for split, color in ((TRAIN, palette.TRAIN), (TEST, palette.TEST)):
            if f"{split}{name}" not in history[0]:
                continue
            values = [row[f"{split}{name}"] for row in history]
            # a line needs two points
            marker = "o" if len(values) < 20 else None
            axes.plot(
                epochs,
                values,
                color=color,
                marker=marker,
                ms=4,
                lw=1.8,
                label=split.removesuffix("_"),
            )
        axes.set_xlabel("epoch", color=INK)
        axes.set_title(task.labels.get(name, figure_name(name)), color=INK, fontsize=10, loc="left")
        if diagnosis.kind in (OVERFITTING, UNSTABLE, REVERSAL):
            axes.axvspan(
                diagnosis.epoch, epochs[-1], color=palette.WARNING, alpha=0.35, lw=0, zorder=0
            )
        _label_epochs(axes, epochs)
        style_axes(axes)
    _mark_best(axes, history, task)
    figure.axes[0].legend(frameon=False)
    figure.suptitle(title, color=INK, fontsize=12, x=0.01, ha="left")
    words = "\n".join(textwrap.wrap(str(diagnosis), LINE_LENGTH))
    figure.supxlabel(words, color=INK, fontsize=10)
    return figure


def _mark_best(axes, history: Sequence[Mapping[str, float]], task: Task) -> None:
    """Marks the best epoch in the panel of the metric, whose axis begins at 0."""
    best, column = history[best_epoch(history, task)], f"{TEST}{task.metric}"
    axes.set_ylim(0, 1.06 * axes.get_ylim()[1])
    axes.scatter(best["epoch"], best[column], s=60, fc="none", ec=INK, zorder=5)
    has_room = best[column] > 0.1 * axes.get_ylim()[1]
    axes.annotate(
        f"best: {format_figure(task.metric, best[column], task)} at epoch {best['epoch']}",
        (best["epoch"], best[column]),
        xytext=(0, -16 if has_room else 8),
        textcoords="offset points",
        ha="right" if best["epoch"] > (history[0]["epoch"] + history[-1]["epoch"]) / 2 else "left",
        color=INK,
        fontsize=9,
    )


def empty_figure(width: float, height: float):
    """Returns an empty matplotlib figure.

    Args:
        width, height: float, inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes) -> None:
    """Gives axes a faint grid, and removes the frame above and to the right."""
    axes.grid(color=GRID, zorder=0)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save_figure(figure, path: Path) -> None:
    """Writes a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_bytes(path, buffer.getvalue())


class TensorBoardEvents:
    """TensorBoard's events of a run: `tensorboard --logdir FOLDER`.

    Each process writes the folder anew from the first epoch on, so that a run that was interrupted has
    one curve. TensorBoard itself need not be installed; without TensorFlow there are no events.

    Args:
        folder: path.
    """

    def __init__(self, folder: Path):
        self.writer, self.written = None, 0
        if importlib.util.find_spec("tensorflow") is None:
            return
        import tensorflow as tf

        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{EVENTS}.*"):
            old.unlink()
        path = folder / f"{EVENTS}.{int(time.time()):010d}.newnet"
        self.writer = tf.io.TFRecordWriter(str(path))
        self._put(file_version="brain.Event:2")

    def write(self, history: Sequence[Mapping[str, float]]) -> None:
        """Writes the epochs that were not written yet.

        Args:
            history: rows.
        """
        if self.writer is None:
            return
        import tensorflow as tf

        summary = tf.compat.v1.Summary
        for row in history[self.written :]:
            values = [
                summary.Value(tag=name.replace("_", "/", 1), simple_value=value)
                for name, value in row.items()
                if name != "epoch"
            ]
            self._put(step=row["epoch"], summary=summary(value=values))
        try:
            self.writer.flush()
        except tf.errors.ResourceExhaustedError as error:
            raise OSError(errno.ENOSPC, error.message) from error
        self.written = len(history)

    def close(self) -> None:
        """Closes the file."""
        if self.writer is not None:
            self.writer.close()

    def _put(self, **fields) -> None:
        import tensorflow as tf

        event = tf.compat.v1.Event(wall_time=time.time(), **fields)
        self.writer.write(event.SerializeToString())


def _label_epochs(axes, epochs: Sequence[int]) -> None:
    """Labels the axis of epochs by whole numbers; a single epoch stands in the middle."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)

"""Training curves as files: `history.csv`, `curves.png`, TensorBoard's events."""

import csv
import errno
import importlib.util
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from newnet_tf.training import run_files
from newnet_tf.training.curve_diagnosis import (
    OVERFITTING,
    REVERSAL,
    UNSTABLE,
    best_epoch,
    diagnose_curves,
)

COLUMNS = (
    "epoch",
    "learning_rate",
    "train_loss",
    "train_error",
    "test_loss",
    "test_error",
    "seconds",
)
HISTORY, DRAWING, EVENTS = "history.csv", "curves.png", "events.out.tfevents"
TRAIN, TEST, INK, FAINT, GRID, WARN = (
    "#4269d0",
    "#d1495b",
    "#1f2933",
    "#6b7280",
    "#e3e8ee",
    "#f6d9a8",
)
PANELS = (("loss", "loss (cross entropy)"), ("error", "top-1 error (%)"))
WRAPPED = 118  # letters a line


def write_history(history: Sequence[Mapping[str, float]], folder: Path) -> None:
    """Writes the numbers of all epochs, one line each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    run_files.write(folder / HISTORY, text.getvalue().encode())


def read_history(folder: Path) -> list[dict]:
    """Returns what `write_history` wrote."""
    with (folder / HISTORY).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: int(v) if k == "epoch" else float(v) for k, v in row.items()} for row in rows]


def write_drawing(history: Sequence[Mapping[str, float]], folder: Path, title: str) -> None:
    """Draws train and test loss and error, with the reading below; needs matplotlib, else nothing."""
    if importlib.util.find_spec("matplotlib") is None:
        return
    save(draw(history, title), folder / DRAWING)


def draw(history: Sequence[Mapping[str, float]], title: str):
    """Returns the figure of a run.

    Args:
        history: one mapping an epoch, at least one. title: str.
    """
    import textwrap

    reading, best = diagnose_curves(history), history[best_epoch(history)]
    drawn = blank(10, 4.4)
    epochs = [row["epoch"] for row in history]
    for axes, (quantity, label) in zip(drawn.subplots(1, 2), PANELS, strict=True):
        for split, color in (("train", TRAIN), ("test", TEST)):
            values = [row[f"{split}_{quantity}"] for row in history]
            # one point makes no line
            marker = "o" if len(values) < 20 else None
            axes.plot(epochs, values, color=color, marker=marker, ms=4, lw=1.8, label=split)
        axes.set_xlabel("epoch", color=INK)
        axes.set_title(label, color=INK, fontsize=10, loc="left")
        if reading.kind in (OVERFITTING, UNSTABLE, REVERSAL):
            axes.axvspan(reading.epoch, epochs[-1], color=WARN, alpha=0.35, lw=0, zorder=0)
        _whole(axes, epochs)
        plain(axes)
    axes.set_ylim(0, 1.06 * axes.get_ylim()[1])
    axes.scatter(best["epoch"], best["test_error"], s=60, fc="none", ec=INK, zorder=5)
    has_room = best["test_error"] > 0.1 * axes.get_ylim()[1]
    axes.annotate(
        f"best: {best['test_error']:.2f} % at epoch {best['epoch']}",
        (best["epoch"], best["test_error"]),
        xytext=(0, -16 if has_room else 8),
        textcoords="offset points",
        ha="right" if best["epoch"] > (epochs[0] + epochs[-1]) / 2 else "left",
        color=INK,
        fontsize=9,
    )
    drawn.axes[0].legend(frameon=False)
    drawn.suptitle(title, color=INK, fontsize=12, x=0.01, ha="left")
    drawn.supxlabel("\n".join(textwrap.wrap(str(reading), WRAPPED)), color=INK, fontsize=10)
    return drawn


def blank(width: float, height: float):
    """Returns an empty figure of so many inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn


def plain(axes) -> None:
    """Gives axes a faint grid and no frame above and to the right."""
    axes.grid(color=GRID, zorder=0)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save(drawn, path: Path) -> None:
    """Writes a figure as PNG."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=110)
    run_files.write(path, buffer.getvalue())


class Events:
    """TensorBoard's events of a run: `tensorboard --logdir FOLDER`.

    The folder is begun anew by each process, from the first epoch on, so that a run which was stopped
    has one curve. TensorBoard itself need not be installed; without TensorFlow there are no events.

    Args:
        folder: Path.
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
        """Writes the epochs that were not written yet."""
        if self.writer is None:
            return
        import tensorflow as tf

        summary = tf.compat.v1.Summary
        for row in history[self.written :]:
            values = [
                summary.Value(tag=name.replace("_", "/", 1), simple_value=row[name])
                for name in COLUMNS[1:]
            ]
            self._put(step=row["epoch"], summary=summary(value=values))
        try:
            self.writer.flush()
        except tf.errors.ResourceExhaustedError as error:
            raise OSError(errno.ENOSPC, error.message) from error
        self.written = len(history)

    def close(self) -> None:
        """Ends the file."""
        if self.writer is not None:
            self.writer.close()

    def _put(self, **fields) -> None:
        import tensorflow as tf

        event = tf.compat.v1.Event(wall_time=time.time(), **fields)
        self.writer.write(event.SerializeToString())


def _whole(axes, epochs: Sequence[int]) -> None:
    """Numbers epochs by whole ones, a single one in the middle."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)

"""The history of a run: one row of figures an epoch, its file, and the best epoch.

Columns are `epoch`, `learning_rate`, `train_<name>` for the loss and what the task measures while it
trains, `test_<name>` for the task's metrics on the evaluation split, and `seconds`. `loss_<part>` is a
part of a loss that has several.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from newnet_tf.task import Task, get_task
from newnet_tf.utils.io import write_csv

FILE = "history.csv"
LOSS, PART = "loss", "loss_"
TRAIN, TEST = "train_", "test_"


def epoch_row(
    task: Task,
    epoch: int,
    learning_rate: float,
    sums: Mapping[str, float],
    steps: int,
    results: Mapping[str, float],
    seconds: float,
) -> dict[str, float]:
    """Returns an epoch's row.

    Args:
        task: `Task`.

        epoch: int, from 1.

        learning_rate: float, at the epoch's end.

        sums: mapping from name to what the training steps returned, added up.

        steps: int, number of steps.

        results: mapping, the task's metrics on the evaluation split.

        seconds: float, duration of the training steps.
    """
    losses = {name: total / steps for name, total in sums.items() if is_loss(name)}
    others = {name: total for name, total in sums.items() if not is_loss(name)}
    trained = {**losses, **task.train_metrics(others, steps)}
    tested = {name: results[name] for name in sorted(results, key=lambda name: name != LOSS)}
    return {
        "epoch": epoch,
        "learning_rate": learning_rate,
        **{f"{TRAIN}{name}": value for name, value in trained.items()},
        **{f"{TEST}{name}": value for name, value in tested.items()},
        "seconds": round(seconds, 3),
    }


def is_loss(name: str) -> bool:
    """Returns whether a figure is the loss or a part of it."""
    return name == LOSS or name.startswith(PART)


def split_columns(history: Sequence[Mapping[str, float]], split: str) -> list[str]:
    """Returns the names of a split's figures, the loss first.

    Args:
        history: rows.

        split: `"train_"` or `"test_"`.
    """
    return [column.removeprefix(split) for column in history[0] if column.startswith(split)]


def best_epoch(history: Sequence[Mapping[str, float]], task: str | Task = "classification") -> int:
    """Returns the index of the row with the best metric, the first of equal ones.

    Args:
        history: rows.

        task: name of a task, or a `Task`; its `metric` and `mode` decide. Default: `"classification"`,
            the lowest test error.
    """
    task = get_task(task)
    column, sign = f"{TEST}{task.metric}", 1 if task.mode == "min" else -1
    return min(range(len(history)), key=lambda index: sign * history[index][column])


def is_stopped(history: Sequence[Mapping[str, float]], task: Task, patience: int | None) -> bool:
    """Returns whether early stopping ends a run.

    Args:
        history: rows, maybe none.

        task: `Task`.

        patience: int, epochs in a row that may be no better than the best; None for no early stopping.
    """
    if patience is None or not history:
        return False
    return len(history) - 1 - best_epoch(history, task) >= patience


def format_figure(name: str, value: float, task: Task) -> str:
    """Returns a figure with its unit: `"12.50 %"`, `"0.4310"`."""
    return f"{value:.2f} %" if task.units.get(name) == "%" else f"{value:.4f}"


def figure_name(name: str) -> str:
    """Returns a figure's name in words: `"cell error"`."""
    return name.replace("_", " ")


def write_history(history: Sequence[Mapping[str, float]], folder: Path) -> None:
    """Writes all rows to `history.csv` in a folder."""
    write_csv(folder / FILE, list(history[0]), history)


def read_history(folder: Path) -> list[dict[str, float]]:
    """Returns the rows that `write_history` wrote."""
    with (folder / FILE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: int(v) if k == "epoch" else float(v) for k, v in row.items()} for row in rows]

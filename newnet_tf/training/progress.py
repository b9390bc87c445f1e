"""Progress of a run on stderr: one line that is rewritten in a terminal, a line a minute in a log."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from newnet_tf.task import Task, get_task
from newnet_tf.training.history import (
    LOSS,
    TEST,
    TRAIN,
    figure_name,
    format_figure,
    is_loss,
    split_columns,
)
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.progress import note

TERMINAL_INTERVAL, LOG_INTERVAL = 0.5, 60.0  # seconds between lines
SMOOTHING = 0.1  # weight of a new step in the running mean of step times


class Progress:
    """Reports the position of a run, its speed and the time left.

    Args:
        epochs: int, of the whole run.

        steps: int, steps an epoch.

        batch_size: int, images a step.

        task: name of a task, or a `Task`. Default: `"classification"`.

        out: text stream. Default: stderr.

        clock: callable that returns seconds.
    """

    def __init__(
        self,
        epochs: int,
        steps: int,
        batch_size: int,
        task: str | Task = "classification",
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.epochs, self.steps, self.batch_size = epochs, steps, batch_size
        self.task, self.clock = get_task(task), clock
        self.out = sys.stderr if out is None else out
        self.is_terminal = self.out.isatty()
        self.step_seconds: float | None = None
        self.evaluation_seconds, self.last_line = 0.0, clock()
        self.last_step, self.is_first = self.last_line, True

    def begin(self) -> None:
        """Starts the clock of the next step: what came before is not part of it."""
        self.last_step = self.clock()

    def step(self, epoch: int, step: int, loss: float) -> None:
        """Reports a completed step.

        Args:
            epoch: int, from 0.

            step: int, completed steps of the epoch.

            loss: float, the epoch's mean so far.
        """
        now = self.clock()
        spent, self.last_step = now - self.last_step, now
        if self.is_first:  # it includes tracing the graph
            self.is_first = False
        elif self.step_seconds is None:
            self.step_seconds = spent
        else:
            self.step_seconds += SMOOTHING * (spent - self.step_seconds)
        if now - self.last_line < (TERMINAL_INTERVAL if self.is_terminal else LOG_INTERVAL):
            return
        self.last_line = now
        self._write(
            f"epoch {epoch + 1}/{self.epochs}, step {step}/{self.steps}, loss {loss:.4f}, "
            f"{self.speed()}, {self.time_left(epoch, step)}"
        )

    def epoch(self, row: Mapping[str, float], evaluation_seconds: float) -> None:
        """Reports a completed epoch.

        Args:
            row: its row of the history.

            evaluation_seconds: float, duration of its evaluation.
        """
        self.evaluation_seconds = evaluation_seconds
        figures = "; ".join(self._figures(row, split) for split in (TRAIN, TEST))
        self._write(
            f"epoch {row['epoch']}/{self.epochs}: {figures}; {self.speed()}, "
            f"{self.time_left(int(row['epoch']), 0)}",
            is_last=True,
        )

    def speed(self) -> str:
        """Returns the speed of training as text, in images a second."""
        return (
            f"{self.batch_size / self.step_seconds:.0f} images/s"
            if self.step_seconds
            else "- images/s"
        )

    def time_left(self, epoch: int, step: int) -> str:
        """Returns how long the rest of the run will take, as text.

        Args:
            epoch, step: int, completed ones.
        """
        steps = (self.epochs - epoch) * self.steps - step
        seconds = steps * (self.step_seconds or 0.0)
        seconds += (self.epochs - epoch) * self.evaluation_seconds
        return f"{duration(seconds)} left"

    def _figures(self, row: Mapping[str, float], split: str) -> str:
        names = [n for n in split_columns([row], split) if n == LOSS or not is_loss(n)]
        figures = (
            f"{figure_name(n)} {format_figure(n, row[f'{split}{n}'], self.task)}" for n in names
        )
        return f"{split.removesuffix('_')} {', '.join(figures)}"

    def _write(self, text: str, is_last: bool = False) -> None:
        if self.is_terminal:
            self.out.write(f"\r\x1b[K{text}" + ("\n" if is_last else ""))
        else:
            self.out.write(f"{text}\n")
        self.out.flush()


def duration(seconds: float) -> str:
    """Returns a duration in words: `"42 s"`, `"7 min"`, `"2 h 05 min"`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def fit_batch_size(recipe: Recipe, images: int, steps: int = 1) -> Recipe:
    """Returns `recipe.fit_batch_size(images, steps)`, with a note where that changes the recipe."""
    fitted = recipe.fit_batch_size(images, steps)
    if fitted is not recipe:
        note(
            f"batches of {fitted.batch_size} images instead of {recipe.batch_size}: {images} training "
            "images are few"
        )
    return fitted

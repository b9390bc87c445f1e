"""Progress of a run on stderr: a line that is rewritten on a terminal, now and then a line in a log."""

import sys
import time
from collections.abc import Callable

REWRITTEN, LOGGED = 0.5, 60.0  # seconds between lines
TAKEN = 0.1  # share of a step's time that its running mean takes


class Progress:
    """Tells where a run is, how fast it goes and when it will end.

    Args:
        epochs, steps: int, of the whole run, and of one epoch. batch: int, images a step.
        out: text stream; default: stderr. clock: callable, seconds.
    """

    def __init__(
        self, epochs: int, steps: int, batch: int, out=None, clock: Callable = time.monotonic
    ):
        self.epochs, self.steps, self.batch = epochs, steps, batch
        self.out, self.clock = sys.stderr if out is None else out, clock
        self.is_terminal = self.out.isatty()
        self.pace, self.testing, self.said = None, 0.0, clock()
        self.before, self.is_first = self.said, True

    def begin(self) -> None:
        """Says that steps follow from now on: what came before is not their time."""
        self.before = self.clock()

    def step(self, epoch: int, step: int, loss: float) -> None:
        """Tells of a step that was done.

        Args:
            epoch: int, from 0. step: int, steps done of it. loss: float, the epoch's mean so far.
        """
        now = self.clock()
        spent, self.before = now - self.before, now
        if self.is_first:  # it has the graph made
            self.is_first = False
        else:
            self.pace = spent if self.pace is None else self.pace + TAKEN * (spent - self.pace)
        if now - self.said < (REWRITTEN if self.is_terminal else LOGGED):
            return
        self.said = now
        self._write(
            f"epoch {epoch + 1}/{self.epochs}, step {step}/{self.steps}, loss {loss:.4f}, "
            f"{self.speed()}, {self.left(epoch, step)}"
        )

    def epoch(self, row: dict, testing: float) -> None:
        """Tells of an epoch that was done.

        Args:
            row: its line of the history. testing: float, seconds that its evaluation took.
        """
        self.testing = testing
        self._write(
            f"epoch {row['epoch']}/{self.epochs}: train loss {row['train_loss']:.4f}, error "
            f"{row['train_error']:.2f} %; test loss {row['test_loss']:.4f}, error "
            f"{row['test_error']:.2f} %; {self.speed()}, {self.left(row['epoch'], 0)}",
            is_last=True,
        )

    def speed(self) -> str:
        """Says how many images a second are trained on."""
        return f"{self.batch / self.pace:.0f} images/s" if self.pace else "- images/s"

    def left(self, epoch: int, step: int) -> str:
        """Says how long the rest of the run will take."""
        steps = (self.epochs - epoch) * self.steps - step
        seconds = steps * (self.pace or 0.0) + (self.epochs - epoch) * self.testing
        return f"{duration(seconds)} left"

    def _write(self, text: str, is_last: bool = False) -> None:
        if self.is_terminal:
            self.out.write(f"\r\x1b[K{text}" + ("\n" if is_last else ""))
        else:
            self.out.write(f"{text}\n")
        self.out.flush()


def duration(seconds: float) -> str:
    """Returns a span of time as people say it: `"42 s"`, `"7 min"`, `"2 h 05 min"`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"

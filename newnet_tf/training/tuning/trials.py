"""What a study found: its trials, the best of them, and how far that can be trusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.evaluation.intervals import wilson
from newnet_tf.training.curve_diagnosis import FEWEST
from newnet_tf.training.overrides import override
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.tuning.search_space import SearchDimension, setting

COMPLETE, FAILED, RUNNING = "complete", "failed", "running"
MEASURES = ("test_error", "test_loss")
EDGE = 0.05  # of a range's width


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial of a study.

    Args:
        number: int, from 0; its run lies in `trials/NUMBER`.
        values: {field: value}, what was varied; empty for one that is being drawn.
        state: `"complete"`, `"failed"` (diverged, or a setting that cannot be trained) or `"running"`.
        test_error, test_loss: float, of the last epoch; None unless complete.
        seconds: float, of training; of a failed one, from its last start to its end; None if running.
        reason: str, why it failed.
    """

    number: int
    values: dict[str, object]
    state: str
    test_error: float | None = None
    test_loss: float | None = None
    seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    """What a study came to, so far.

    Args:
        folder: Path of its files. title: str, network and data.
        recipe: `Recipe`, what was not varied. dimensions: `SearchDimension`s, what was.
        trials: `Trial`s, by number. planned: int, trials in all.
        metric: what is least in the best trial, `"test_error"` or `"test_loss"`.
        tests: int, images that an error was measured on.
    """

    folder: Path
    title: str
    recipe: Recipe
    dimensions: Sequence[SearchDimension]
    trials: Sequence[Trial]
    planned: int
    metric: str
    tests: int

    @property
    def ranked(self) -> list[Trial]:
        """All trials: complete ones, the best first; then failed ones; then those under way."""
        order = (COMPLETE, FAILED, RUNNING)
        return sorted(
            self.trials,
            key=lambda t: (order.index(t.state), getattr(t, self.metric) or 0.0, t.number),
        )

    @property
    def complete(self) -> list[Trial]:
        """The trials that have a result, the best first."""
        return [tried for tried in self.ranked if tried.state == COMPLETE]

    @property
    def best(self) -> Trial | None:
        """The trial of the least error or loss; None where there is none yet."""
        return next(iter(self.complete), None)

    @property
    def setting(self) -> str:
        """The best trial's setting as `--set` takes it; empty where there is none."""
        return setting(self.best.values) if self.best else ""

    def interval(self, tried: Trial) -> tuple[float, float]:
        """Returns Wilson's 95 % interval of a complete trial's test error, in percent."""
        wrong = round(tried.test_error * self.tests / 100)
        low, high = wilson(wrong, self.tests)
        return 100 * low, 100 * high

    def warnings(self) -> list[str]:
        """Returns what speaks against taking the best setting as it stands, a sentence or two each.

        - Its value of a field is the least or the greatest that the study could try, or within a
          twentieth of a range's width (by logarithm, if it is drawn so) from there.
        - The second's test error lies within the 95 % interval of the best one's.
        - Its run was too short for its curves to be read.
        """
        if self.best is None:
            return []
        return [*self._edges(), *self._ties(), *self._short()]

    def _edges(self) -> list[str]:
        found = []
        for one in self.dimensions:
            end = _end(one, self.best.values[one.name])
            if end:
                found.append(
                    f"The best {one.name}, {self.best.values[one.name]:g}, lies at the {end} end of "
                    "what was tried: a better one may lie beyond it."
                )
        return found

    def _ties(self) -> list[str]:
        others = self.complete[1:]
        low, high = self.interval(self.best)
        near = [tried for tried in others if low <= tried.test_error <= high]
        if not others or others[0] not in near:
            return []
        apart = abs(others[0].test_error - self.best.test_error)
        text = (
            f"Best and second (trials {self.best.number} and {others[0].number}) differ by "
            f"{apart:.2f} points of error, less than the 95 % interval of {self.tests:,} images "
            f"({low:.2f} to {high:.2f} %), which holds {len(near)} of the {len(others)} others: "
            "this study does not tell them apart."
        )
        return [text]

    def _short(self) -> list[str]:
        epochs = override(self.recipe, self.best.values).epochs
        if epochs >= FEWEST:
            return []
        runs = "a run of 1 epoch" if epochs == 1 else f"a run of {epochs} epochs"
        return [f"Early trends need not last: {runs} ranks settings for runs of that length only."]


def _end(one: SearchDimension, value) -> str:
    """Says at which end of its field a value lies: `"low"`, `"high"`, or nothing."""
    if not one.numbers:
        return ""
    least, most = one.ordered[0], one.ordered[-1]
    if one.choices:
        place = (value > least) - (value < most)
    else:
        scale = math.log if one.is_log else float
        share = (scale(value) - scale(least)) / (scale(most) - scale(least))
        place = (share > EDGE) - (share < 1 - EDGE)
    if place < 0 and value:  # nothing lies below 0
        return "low"
    return "high" if place > 0 else ""

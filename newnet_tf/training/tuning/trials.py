"""The result of a hyperparameter search: its trials, the best of them, and how reliable that is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from newnet_tf.evaluation.intervals import wilson
from newnet_tf.task import Task
from newnet_tf.training.curve_diagnosis import MIN_EPOCHS
from newnet_tf.training.history import LOSS, TEST, figure_name
from newnet_tf.training.overrides import as_text, override
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.tuning.search_space import SearchDimension, as_setting
from newnet_tf.utils import tables

COMPLETE, FAILED, RUNNING = "complete", "failed", "running"
EDGE = 0.05  # of a range's width


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial of a search.

    Args:
        number: int, from 0; its run is in `trials/NUMBER`.

        values: mapping from field to value; empty while they are being sampled.

        state: `"complete"`, `"failed"` (diverged, or a setting that cannot be trained) or `"running"`.

        figures: mapping, the columns `test_<name>` of the last epoch; empty unless complete.

        seconds: float, duration of training; of a failed trial, since its last start; None if running.

        reason: str, why it failed.
    """

    number: int
    values: dict[str, object]
    state: str
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    """The result of a hyperparameter search, so far.

    Args:
        output_dir: path of its files: `trials.csv`, `trials.png`, `trials.journal`, and `trials/`, a
            run's folder for each trial.

        title: str, model and dataset.

        recipe: `Recipe`, the fields that were not varied.

        dimensions: `SearchDimension`s, the fields that were.

        trials: `Trial`s, by number.

        planned: int, number of trials in all.

        task: `Task`.

        metric: str, the figure that chooses the best trial, such as `"test_error"`.

        mode: `"min"` or `"max"`, whether the lowest or the highest is the best.

        num_eval_samples: int, images that the test figures were measured on.
    """

    output_dir: Path
    title: str
    recipe: Recipe
    dimensions: Sequence[SearchDimension]
    trials: Sequence[Trial]
    planned: int
    task: Task
    metric: str
    mode: str
    num_eval_samples: int

    @property
    def ranked(self) -> list[Trial]:
        """All trials: complete ones, the best first; then failed ones; then running ones."""
        order, sign = (COMPLETE, FAILED, RUNNING), 1 if self.mode == "min" else -1
        return sorted(
            self.trials,
            key=lambda t: (order.index(t.state), sign * t.figures.get(self.metric, 0.0), t.number),
        )

    @property
    def complete(self) -> list[Trial]:
        """The complete trials, the best first."""
        return [trial for trial in self.ranked if trial.state == COMPLETE]

    @property
    def best(self) -> Trial | None:
        """The complete trial with the best metric; None if there is none yet."""
        return next(iter(self.complete), None)

    @property
    def setting(self) -> str:
        """The best trial's setting as `--set` takes it; empty if there is none."""
        return as_setting(self.best.values) if self.best else ""

    @property
    def percent(self) -> str | None:
        """The task's metric as a column, if it is in percent of images; else None."""
        return f"test_{self.task.metric}" if self.task.units.get(self.task.metric) == "%" else None

    def interval(self, trial: Trial) -> tuple[float, float]:
        """Returns Wilson's 95 % interval of a complete trial's `percent`.

        Args:
            trial: complete `Trial`.
        """
        images = round(trial.figures[self.percent] * self.num_eval_samples / 100)
        low, high = wilson(images, self.num_eval_samples)
        return 100 * low, 100 * high

    @property
    def files(self) -> dict[str, Path]:
        """The paths of `trials.csv`, `trials.png`, and the folder `trials`."""
        names = {"table": "trials.csv", "figure": "trials.png", "trials": "trials"}
        return {key: self.output_dir / name for key, name in names.items()}

    def rows(self) -> list[dict[str, object]]:
        """Returns the trials as lines of a table, the best first."""
        return [self._row(trial) for trial in self.ranked]

    def _row(self, trial: Trial) -> dict[str, object]:
        metric, loss = f"{TEST}{self.task.metric}", f"{TEST}{LOSS}"
        row: dict[str, object] = {"trial": trial.number, "state": trial.state}
        row |= {d.name: as_text(trial.values.get(d.name, "")) for d in self.dimensions}
        is_complete = trial.state == COMPLETE
        if self.percent:
            low, high = self.interval(trial) if is_complete else (None, None)
            row |= {
                f"{figure_name(metric)} %": f"{trial.figures[metric]:.2f}" if is_complete else "",
                "low": f"{low:.2f}" if is_complete else "",
                "high": f"{high:.2f}" if is_complete else "",
            }
        else:
            row[figure_name(metric)] = f"{trial.figures[metric]:.4f}" if is_complete else ""
        if any(loss in complete.figures for complete in self.complete):
            row[figure_name(loss)] = f"{trial.figures[loss]:.4f}" if is_complete else ""
        return row | {"seconds": "" if trial.seconds is None else f"{trial.seconds:.0f}"}

    def __str__(self) -> str:
        rows = self.rows()
        right = [name for name in (rows[0] if rows else ()) if name not in ("trial", "state")]
        lines = [tables.table(rows, right=tuple(right))]
        if self.best:
            name = figure_name(self.metric)
            lines.append(f"\nbest by {name} of the last epoch: --set {self.setting}")
        return "\n".join([*lines, *(f"- {text}" for text in self.warnings()), str(self.output_dir)])

    def warnings(self) -> list[str]:
        """Returns reasons to doubt the best setting, a sentence or two each.

        - Its value of a field is the lowest or the highest in the search space, or within a twentieth
          of a range's width (of its logarithm, if it is sampled so) from there.
        - The second-best trial's error lies within the 95 % interval of the best one's.
        - The runs were too short for a diagnosis of their curves.
        """
        if self.best is None:
            return []
        return [*self._edges(), *self._ties(), *self._short()]

    def _edges(self) -> list[str]:
        texts = []
        for dimension in self.dimensions:
            value = self.best.values[dimension.name]
            end = _end(dimension, value)
            if end:
                texts.append(
                    f"The best {dimension.name}, {value:g}, lies at the {end} end of the search space: "
                    "a better one may lie beyond it."
                )
        return texts

    def _ties(self) -> list[str]:
        column, others = self.percent, self.complete[1:]
        if column is None:
            return []
        low, high = self.interval(self.best)
        near = [trial for trial in others if low <= trial.figures[column] <= high]
        if not others or others[0] not in near:
            return []
        difference = abs(others[0].figures[column] - self.best.figures[column])
        text = (
            f"Best and second (trials {self.best.number} and {others[0].number}) differ by "
            f"{difference:.2f} points of {figure_name(self.task.metric)}, less than the 95 % interval "
            f"of {self.num_eval_samples:,} images ({low:.2f} to {high:.2f} %), which holds {len(near)} "
            f"of the {len(others)} others: the difference is not significant."
        )
        return [text]

    def _short(self) -> list[str]:
        epochs = override(self.recipe, self.best.values).epochs
        if epochs >= MIN_EPOCHS:
            return []
        runs = "a run of 1 epoch" if epochs == 1 else f"a run of {epochs} epochs"
        return [f"Early trends need not last: {runs} ranks settings for runs of that length only."]


def _end(dimension: SearchDimension, value) -> str:
    """Returns at which end of its dimension a value lies: `"low"`, `"high"`, or `""`."""
    if not dimension.is_numeric:
        return ""
    low, high = dimension.ordered[0], dimension.ordered[-1]
    if dimension.choices:
        position = (value > low) - (value < high)
    else:
        scale = math.log if dimension.is_log else float
        fraction = (scale(value) - scale(low)) / (scale(high) - scale(low))
        position = (fraction > EDGE) - (fraction < 1 - EDGE)
    if position < 0 and value:  # nothing lies below 0
        return "low"
    return "high" if position > 0 else ""

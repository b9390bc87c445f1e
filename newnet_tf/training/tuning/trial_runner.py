"""`run_trials`: an ordinary run for each setting of a search space.

A search may be killed at any moment and resumes; several processes may share it. `trial_storage` keeps
track of who does which trial, `trials` holds the result, `summary` writes it.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.task import Task, get_task
from newnet_tf.training.compilation import build_model, check_model, model_info
from newnet_tf.training.history import LOSS, TEST, figure_name, format_figure
from newnet_tf.training.overrides import override
from newnet_tf.training.progress import duration
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.run import CHECKPOINT_EVERY, FitResult
from newnet_tf.training.run_files import Diverged
from newnet_tf.training.trainer import fit
from newnet_tf.training.tuning import summary, trial_storage
from newnet_tf.training.tuning.search_space import (
    as_setting,
    default_search_space,
    parse_search_space,
)
from newnet_tf.training.tuning.trial_storage import TrialLease, TrialStorage
from newnet_tf.training.tuning.trials import RUNNING, TuneResult

FORMAT = 2


def run_trials(
    build: Callable,
    make_loader: Callable,
    recipe: Recipe,
    output_dir: str | os.PathLike,
    search_space: Mapping[str, object] | None = None,
    *,
    task: str | Task = "classification",
    trials: int | None = None,
    sampler: str | None = None,
    metric: str | None = None,
    checkpoint_every: int = CHECKPOINT_EVERY,
    fingerprint: Mapping[str, object] | None = None,
    metadata: Mapping[str, object] | None = None,
    model_metadata: ModelMetadata | None = None,
    out: TextIO | None = None,
) -> TuneResult:
    """Trains a model for each setting of a search space, or resumes; does all trials that are left.

    Call it in several processes at once, with the same arguments, to share the work.

    Args:
        build: callable, recipe -> Keras model. Seed and dtype policy are set before it is called, and
            Keras' session is cleared.

        make_loader: callable, recipe -> `ImageLoader`, or another loader that `fit` takes.

        recipe: `Recipe`, all fields that are not varied; its seed is the sampler's too.

        output_dir: path of the search's files: `trials.journal`, `trials.csv`, `trials.png`, and
            `trials/`, a run's folder for each.

        search_space: mapping, see `parse_search_space`. Default: `default_search_space(recipe)`,
            learning rate and weight decay.

        task: name of a task, or a `Task`. Default: `"classification"`.

        trials: int, number of trials over all processes. Default: the grid's size, if it is a grid.

        sampler: `"grid"` (every setting once; the default if all fields have choices), `"random"`, or
            `"tpe"` (the default otherwise): Optuna's tree-structured Parzen estimator, whose first ten
            trials are random.

        metric: str, the figure of the last epoch that chooses the best trial: `"test_loss"`, or
            `"test_"` and the task's metric. Default: the latter, `"test_error"` for classification.

        checkpoint_every: int, steps between checkpoints. Default: 500.

        fingerprint: mapping, what else must be the same whenever the search resumes, such as the
            weights that its runs begin with.

        metadata: mapping of JSON values for each trial's `run.json`.

        model_metadata: `ModelMetadata` to write into the `.keras` files. Default: none.

        out: text stream for progress. Default: stderr.

    Returns:
        A `TuneResult`.

    Raises:
        ValueError: if an argument is not valid, or the folder holds another search.

        RuntimeError: if Optuna is not installed.

        TrainingStopped: as `fit`, but for runs that diverge: they are trials that failed.

    Example:
        >>> space = {"lr": "0.02..0.4:log"}
        >>> print(run_trials(build, make_loader, recipe, "runs/lr", space, trials=8))
    """
    task = get_task(task)
    metric, mode = choose_metric(task, metric)
    if search_space is None:
        search_space = default_search_space(recipe)
    dimensions = parse_search_space(recipe, search_space)
    sampler, planned = trial_storage.choose_sampler(dimensions, sampler, trials)
    loader, model = make_loader(recipe), build_model(build, recipe)
    task.check(model, loader)
    check_model(model, recipe)
    names = [dimension.name for dimension in dimensions]
    settings = {
        "format": FORMAT,
        "task": task.name,
        "recipe": {name: v for name, v in recipe.flat().items() if name not in names},
        "data": loader.fingerprint,
        "model": model_info(model),
        "search": {
            "space": [str(dimension) for dimension in dimensions],
            "sampler": sampler,
            "metric": metric,
        },
        **(fingerprint or {}),
    }
    return TrialRunner(
        build=build,
        make_loader=make_loader,
        recipe=recipe,
        task=task,
        metric=metric,
        mode=mode,
        checkpoint_every=checkpoint_every,
        metadata=dict(metadata or {}),
        model_metadata=model_metadata,
        out=sys.stderr if out is None else out,
        num_eval_samples=loader.num_eval_samples,
        title=f"{model.name} on {loader.fingerprint['dataset']}",
        storage=TrialStorage(
            Path(output_dir), dimensions, sampler, planned, recipe.seed, settings, mode
        ),
    ).run()


def choose_metric(task: Task, metric: str | None) -> tuple[str, str]:
    """Returns the column that chooses the best trial, and its mode.

    Args:
        task: `Task`.

        metric: str, `"test_loss"` or `"test_"` and the task's metric; None for the latter.

    Raises:
        ValueError: if it is another.
    """
    own, loss = f"{TEST}{task.metric}", f"{TEST}{LOSS}"
    if metric not in (None, own, loss):
        raise ValueError(f"`metric` must be among {(own, loss)}. Received: metric={metric!r}")
    return (loss, "min") if metric == loss else (own, task.mode)


@dataclass(kw_only=True)
class TrialRunner:
    """A search, as one process works on it. `run_trials` creates it; arguments as there."""

    build: Callable
    make_loader: Callable
    recipe: Recipe
    task: Task
    metric: str
    mode: str
    checkpoint_every: int
    metadata: dict
    model_metadata: ModelMetadata | None
    out: TextIO
    num_eval_samples: int
    title: str
    storage: TrialStorage
    durations: list[float] = field(default_factory=list)  # seconds of each trial done here

    def run(self) -> TuneResult:
        """Does trials until none is left."""
        while lease := self.storage.lease():
            try:
                self._do(lease)
            finally:
                lease.lock.release()
        return self._write_result()

    def _do(self, lease: TrialLease) -> None:
        """Does one trial; one that diverges, or that cannot be trained, is stored as failed."""
        began = time.monotonic()
        name = f"trial {lease.number + 1} of {self.storage.planned} ({lease.folder.name})"
        resumes = " resumes" if lease.is_resumed else ""
        self._print(f"{name}{resumes}: {as_setting(lease.values)}{self._time_left()}")
        try:
            history = self._fit(lease).history
        except (Diverged, ValueError) as error:
            seconds = round(time.monotonic() - began, 3)
            self.storage.finish(lease, None, reason=str(error), seconds=seconds)
            self._print(f"{name} failed: {error}")
        else:
            last = history[-1]
            figures = {column: last[column] for column in last if column.startswith(TEST)}
            seconds = round(sum(row["seconds"] for row in history), 3)
            self.storage.finish(lease, figures[self.metric], figures=figures, seconds=seconds)
            metric = self.task.metric
            value = format_figure(metric, figures[f"{TEST}{metric}"], self.task)
            self._print(f"{name}: test {figure_name(metric)} {value}")
        self.durations.append(time.monotonic() - began)
        self._write_result()

    def _fit(self, lease: TrialLease) -> FitResult:
        recipe = override(self.recipe, lease.values)
        loader = self.make_loader(recipe)
        return fit(
            build_model(self.build, recipe),
            loader,
            recipe,
            lease.folder,
            task=self.task,
            resume=True,
            checkpoint_every=self.checkpoint_every,
            metadata={**self.metadata, "trial": lease.number},
            model_metadata=self.model_metadata,
            out=self.out,
        )

    def _write_result(self) -> TuneResult:
        """Writes the result so far."""
        with self.storage.locked():
            result = TuneResult(
                output_dir=self.storage.folder,
                title=self.title,
                recipe=self.recipe,
                dimensions=self.storage.dimensions,
                trials=self.storage.trials(),
                planned=self.storage.planned,
                task=self.task,
                metric=self.metric,
                mode=self.mode,
                num_eval_samples=self.num_eval_samples,
            )
            summary.write_table(result)
            summary.write_figure(result)
        return result

    def _time_left(self) -> str:
        """Returns how long the search will take, as text, if a trial is complete already."""
        trials = self.storage.trials()
        durations = self.durations or [t.seconds for t in trials if t.seconds is not None]
        if not durations:
            return ""
        running = sum(trial.state == RUNNING for trial in trials)
        rounds = max(1, -(-(self.storage.planned - len(trials) + running) // running))
        return f"; {duration(rounds * statistics.median(durations))} left"

    def _print(self, text: str) -> None:
        # over a run's progress line, if it ended in the middle of an epoch
        start = "\r\x1b[K" if self.out.isatty() else ""
        self.out.write(f"{start}{text}\n")
        self.out.flush()

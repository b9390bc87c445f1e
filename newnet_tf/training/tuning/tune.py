"""`tune`: one recipe, some of its fields varied, an ordinary run for each setting.

A study may be killed at any moment and goes on; several processes may work on one. `journal` keeps
their claims, `trials` says what was found, `study_files` writes it down.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from newnet_tf.training.compilation import build_model, check, described
from newnet_tf.training.overrides import override
from newnet_tf.training.progress import duration
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.run_files import Diverged
from newnet_tf.training.trainer import EVERY, TrainResult, train
from newnet_tf.training.tuning import summary, trial_storage
from newnet_tf.training.tuning.search_space import around, setting, space
from newnet_tf.training.tuning.trial_storage import TrialLease, TrialStorage
from newnet_tf.training.tuning.trials import MEASURES, RUNNING, TuneResult


def tune(
    build: Callable,
    make_data: Callable,
    recipe: Recipe,
    folder: str | os.PathLike,
    search_space: Mapping[str, object] | None = None,
    *,
    trials: int | None = None,
    sampler: str | None = None,
    metric: str = "test_error",
    checkpoint_every: int = EVERY,
    fingerprint: Mapping[str, object] | None = None,
    metadata: Mapping[str, object] | None = None,
    out=None,
) -> TuneResult:
    """Tries settings of a recipe, or goes on with trying them; does all that are left.

    Call it in several processes at once, with the same arguments, to share the work.

    Args:
        build: callable, recipe -> Keras model from images to logits. Seed and dtype policy are set
            before, Keras' session is cleared.
        make_data: callable, recipe -> `ImageLoader`, or what `train` takes as data.
        recipe: `Recipe`, which says all that is not varied; its seed is the sampler's too.
        folder: where the study's files go: `study.journal`, `study.csv`, `study.png`, and `trials/`, a
            run's folder for each.
        search_space: what is varied, see `space`. Default: `around(recipe)`, learning rate and weight decay.
        trials: int, over all processes and all times; default: the grid's size, if it is a grid.
        sampler: `"grid"` (the default if all fields have choices: every setting once), `"random"`,
            or `"tpe"` (the default otherwise): Optuna's tree-structured Parzen estimator, whose first
            ten are random.
        metric: what is to be least, `"test_error"` or `"test_loss"`, both of the last epoch.
        checkpoint_every: int, steps between checkpoints. metadata: mapping, both as in `train`.
        fingerprint: mapping, what else must be the same whenever the study goes on, such as the weights
            that its runs begin with.
        out: text stream for progress; default: stderr.

    Returns:
        A `TuneResult`.

    Raises:
        ValueError: for what `space` does not take, and a folder that holds another study.
        RuntimeError: where Optuna is not installed.
        TrainingStopped: as `train`, but for runs that diverge: they are trials that failed.

    Example:
        >>> found = tune(build, make_data, recipe, "studies/lr", {"lr": "0.02..0.4:log"}, trials=8)
        >>> print(found.setting, *found.caveats(), sep="\\n")
    """
    if metric not in MEASURES:
        raise ValueError(f"`metric` must be among {MEASURES}. Received: {metric!r}")
    varied = space(recipe, around(recipe) if search_space is None else search_space)
    sampler, planned = trial_storage.chosen(varied, sampler, trials)
    data, model = make_data(recipe), build_model(build, recipe)
    check(model, data, recipe)
    names = [one.name for one in varied]
    begun = {
        "recipe": {name: v for name, v in recipe.flat().items() if name not in names},
        "data": data.fingerprint,
        "model": described(model),
        "study": {"over": [str(one) for one in varied], "sampler": sampler, "measure": metric},
        **(fingerprint or {}),
    }
    return Study(
        build=build,
        make_data=make_data,
        recipe=recipe,
        metric=metric,
        checkpoint_every=checkpoint_every,
        metadata=dict(metadata or {}),
        out=sys.stderr if out is None else out,
        tests=data.tests,
        title=f"{model.name} on {data.fingerprint['source']}",
        journal=TrialStorage(Path(folder), varied, sampler, planned, recipe.seed, begun),
    ).finish()


@dataclass(kw_only=True)
class Study:
    """A study, as one process works on it. `tune` makes it; arguments as there."""

    build: Callable
    make_data: Callable
    recipe: Recipe
    metric: str
    checkpoint_every: int
    metadata: dict
    out: object
    tests: int
    title: str
    journal: TrialStorage
    took: list[float] = field(default_factory=list)  # seconds of a trial, all in all

    def finish(self) -> TuneResult:
        """Does trials until there are none left."""
        while claim := self.journal.claim():
            try:
                self._do(claim)
            finally:
                claim.lock.release()
        return self._written()

    def _do(self, claim: TrialLease) -> None:
        """Does one trial; one that diverges, or that cannot be trained, is written down as failed."""
        began = time.monotonic()
        called = f"trial {claim.number + 1} of {self.journal.planned} ({claim.folder.name})"
        goes_on = " goes on" if claim.is_begun else ""
        self._say(f"{called}{goes_on}: {setting(claim.values)}{self._left()}")
        try:
            history = self._trained(claim).history
        except (Diverged, ValueError) as error:
            seconds = round(time.monotonic() - began, 3)
            self.journal.end(claim, None, reason=str(error), seconds=seconds)
            self._say(f"{called} failed: {error}")
        else:
            figures = {name: history[-1][name] for name in MEASURES}
            seconds = round(sum(row["seconds"] for row in history), 3)
            self.journal.end(claim, figures[self.metric], **figures, seconds=seconds)
            self._say(f"{called}: test error {figures['test_error']:.2f} %")
        self.took.append(time.monotonic() - began)
        self._written()

    def _trained(self, claim: TrialLease) -> TrainResult:
        recipe = override(self.recipe, claim.values)
        data = self.make_data(recipe)
        return train(
            build_model(self.build, recipe),
            data,
            recipe,
            claim.folder,
            resume=True,
            checkpoint_every=self.checkpoint_every,
            metadata={**self.metadata, "trial": claim.number},
            out=self.out,
        )

    def _written(self) -> TuneResult:
        """Writes down what the study came to so far."""
        with self.journal.alone():
            outcome = TuneResult(
                folder=self.journal.folder,
                title=self.title,
                recipe=self.recipe,
                dimensions=self.journal.dimensions,
                trials=self.journal.trials(),
                planned=self.journal.planned,
                metric=self.metric,
                tests=self.tests,
            )
            summary.write_table(outcome)
            summary.write_drawing(outcome)
        return outcome

    def _left(self) -> str:
        """Says how long the study will take, if a trial was finished already."""
        tried = self.journal.trials()
        took = self.took or [t.seconds for t in tried if t.seconds is not None]
        if not took:
            return ""
        running = sum(t.state == RUNNING for t in tried)
        rounds = max(1, -(-(self.journal.planned - len(tried) + running) // running))
        return f"; {duration(rounds * statistics.median(took))} left"

    def _say(self, text: str) -> None:
        start = (
            "\r\x1b[K" if self.out.isatty() else ""
        )  # over a run's line, if it ended in mid-epoch
        self.out.write(f"{start}{text}\n")
        self.out.flush()

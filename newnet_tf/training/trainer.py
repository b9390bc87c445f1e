"""`train`: the loop. Data, step and evaluation are apart, and everything is written atomically.

A run is a pure function of the network's first weights, the recipe and the data; where it is, is one
`TrainState`. So it can be killed at any moment: it goes on from its last checkpoint, and what comes out
is what would have come out.
"""

import contextlib
import dataclasses
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from newnet_tf import results
from newnet_tf.training import checkpoint, curves, run_files
from newnet_tf.training.checkpoint import TrainState
from newnet_tf.training.compilation import averaged, check, compiled, described
from newnet_tf.training.curve_diagnosis import CurveDiagnosis, best_epoch, diagnose_curves
from newnet_tf.training.distributed.single_process import SingleProcess
from newnet_tf.training.metrics import EvalResult
from newnet_tf.training.progress import Progress
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.run_files import Diverged

EVERY = 500
DRAWN = 10.0  # seconds between drawings of the curves
BEST, LAST, SUMMARY = "best.keras", "last.keras", "run.json"


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Args:
        folder: Path of its files. history: list of mappings, one an epoch; see `curves.COLUMNS`.
        best: the history's line of the lowest test error. reading: `CurveDiagnosis` of the curves.
        tests: int, images that an error was measured on.
    """

    folder: Path
    history: list[dict]
    best: dict
    reading: CurveDiagnosis
    tests: int


def train(
    model,
    data,
    recipe: Recipe,
    folder: str | os.PathLike,
    *,
    resume: bool = False,
    checkpoint_every: int = EVERY,
    metadata: Mapping[str, object] | None = None,
    make_step: Callable | None = None,
    make_evaluator: Callable | None = None,
    strategy: SingleProcess | None = None,
    out=None,
) -> TrainResult:
    """Trains a network, or goes on with training it.

    Args:
        model: Keras model from images to logits (`classifier_activation=None`), built under the
            recipe's dtype policy. Its weights change; `recipe.dropout` sets its dropout layers.
        data: `ImageLoader`, or what has `classes`, `batch`, `steps`, `tests`, `facts`, `train(epoch,
            start)` and `test()` as they do.
        recipe: `Recipe`.
        folder: where the run's files go: `checkpoint.safetensors`, `best.keras` and `last.keras` (the
            network without its optimizer), `history.csv`, `curves.png`, `tensorboard/`, `run.json`.
        resume: bool, go on from the folder's checkpoint; without one, begin. Default: False, and a
            folder that has one is refused.
        checkpoint_every: int, steps between checkpoints; there is one after each epoch too.
        metadata: mapping, facts to write into `run.json`, such as the command.
        make_step: callable, compiled model -> step; default: `single_step`, or the
            strategy's.
        make_evaluator: callable, compiled model -> what gives a `EvalResult` of batches; default: Keras'
            predictions, or the strategy's.
        strategy: `strategy.Strategy`, to train on several devices or machines; the model must have
            been built in its scope, and `data` be this worker's share. Default: one process.
        out: text stream for progress; default: stderr.

    Returns:
        An `TrainResult`.

    Raises:
        ValueError: for a model, data or folder that does not fit; for a checkpoint of another recipe,
            data or network: it says what differs.
        TrainingStopped: where there is no room for a file, or (`Diverged`) the loss is no number any
            more. The last good checkpoint is intact.

    Example:
        >>> data = Images(load_dataset("photos/"), card.preprocess, recipe)
        >>> print(train(model, data, recipe, "runs/photos").reading)
    """
    folder = Path(folder)
    if not isinstance(checkpoint_every, int) or checkpoint_every < 1:
        raise ValueError(
            f"`checkpoint_every` must be a positive int. Received: checkpoint_every={checkpoint_every!r}"
        )
    check(model, data, recipe)
    make_step = make_step or (strategy.make_step if strategy else single_step)
    strategy = strategy or SingleProcess()
    strategy.check(model, data)
    with contextlib.ExitStack() as held:
        strategy.chief(lambda: _occupy(held, folder, resume))
        if not strategy.is_chief:
            out = held.enter_context(open(os.devnull, "w"))
        held.enter_context(strategy.synchronized(model))
        run = Run(
            model,
            data,
            recipe,
            folder,
            checkpoint_every,
            dict(metadata or {}),
            strategy,
            make_evaluator,
        )
        run.begin()
        return run.finish(
            make_step(run.trained),
            Progress(recipe.epochs, data.steps, data.batch, out),
        )


def _occupy(held: contextlib.ExitStack, folder: Path, resume: bool) -> None:
    """Keeps other processes out of a run's folder for as long as `held`."""
    held.enter_context(run_files.exclusive_lock(folder))
    if (folder / checkpoint.NAME).exists() and not resume:
        raise ValueError(
            f"a run must have a folder of its own, or go on with `resume` (--resume). "
            f"Received: {folder}, which holds one"
        )


def single_step(trained) -> Callable:
    """Returns the step of one process: (images, targets) -> `{"loss": ..., "accuracy": ...}`.

    A step of several (`strategy.Strategy`) answers the same for their joint batch.

    Args:
        trained: compiled Keras model.
    """
    return lambda images, targets: trained.train_on_batch(images, targets, return_dict=True)


class Run:
    """One run, from its position to its end. `train` makes it; arguments as there."""

    def __init__(
        self,
        model,
        data,
        recipe: Recipe,
        folder: Path,
        checkpoint_every: int,
        metadata: dict,
        strategy: SingleProcess | None = None,
        make_evaluator: Callable | None = None,
    ):
        self.model, self.data, self.recipe, self.folder = model, data, recipe, folder
        self.checkpoint_every, self.metadata, self.position = (
            checkpoint_every,
            metadata,
            TrainState(),
        )
        self.strategy = strategy or SingleProcess()
        self.checkpoint, self.drawn = folder / checkpoint.NAME, -math.inf
        with self.strategy.scope():
            self.trained = compiled(model, recipe, data.steps)
        self.judge = (make_evaluator or self.strategy.make_evaluator)(self.trained)
        self.fingerprint = {
            "recipe": recipe.flat(),
            "data": data.fingerprint,
            "model": described(model),
        }

    def begin(self) -> None:
        """Goes to where the folder's checkpoint was written, if there is one."""

        def restored():
            path, found = self.checkpoint, TrainState()
            if path.exists():
                found = checkpoint.restore(path, self.trained, self.fingerprint)
            return dataclasses.asdict(found)

        self.position = TrainState(**self.strategy.chief(restored))
        self.strategy.spread(self.trained, self.fingerprint)

    def finish(self, step: Callable, progress: Progress) -> TrainResult:
        """Does all epochs that are left."""
        with contextlib.ExitStack() as held:
            events = None
            if self.strategy.is_chief:
                events = curves.Events(self.folder / "tensorboard")
                held.enter_context(contextlib.closing(events))
            self._write_results(events)
            while self.position.epoch < self.recipe.epochs:
                self._train_epoch(step, progress)
                self._end_epoch(progress, events)
            with averaged(self.trained, self.recipe):
                self._save_network(LAST)
            self._write_results(events)
        history = self.position.history
        return TrainResult(
            self.folder,
            history,
            history[best_epoch(history)],
            diagnose_curves(history),
            self.data.tests,
        )

    def _train_epoch(self, step: Callable, progress: Progress) -> None:
        """Does the steps that are left of the epoch under way."""
        at, began = self.position, time.monotonic()
        spent = at.seconds
        progress.begin()
        for images, targets in self.data.train(at.epoch, at.step):
            found = step(images, targets)
            loss = float(found["loss"])
            at.step += 1
            at.loss += loss
            at.error += 1 - float(found["accuracy"])
            at.seconds = spent + time.monotonic() - began
            if not math.isfinite(loss):
                self._stop("the loss", loss)
            if at.step % self.checkpoint_every == 0:
                self._save()
            progress.step(at.epoch, at.step, at.loss / at.step)

    def _end_epoch(self, progress: Progress, events: curves.Events | None) -> None:
        """Tests the network, and writes down what the epoch came to."""
        at = self.position
        if not at.step:
            raise ValueError("there must be a readable image to train on. Received: none")
        began = time.monotonic()
        with averaged(self.trained, self.recipe):
            judged = self.judge(self.data.test())
            if not math.isfinite(judged.loss):
                self._stop("the test loss", judged.loss)
            history = [*at.history, self._row(judged)]
            if best_epoch(history) == at.epoch:
                self._save_network(BEST)
        self.position = TrainState(epoch=at.epoch + 1, history=history)
        self._save()
        self._write_results(events)
        progress.epoch(history[-1], time.monotonic() - began)

    def _row(self, judged: EvalResult) -> dict:
        at = self.position
        return {
            "epoch": at.epoch + 1,
            "learning_rate": float(self.trained.optimizer.learning_rate),
            "train_loss": at.loss / at.step,
            "train_error": 100 * at.error / at.step,
            "test_loss": judged.loss,
            "test_error": judged.error,
            "seconds": round(at.seconds, 3),
        }

    def _save(self) -> None:
        state = (self.checkpoint, self.trained, self.position, self.fingerprint)
        self.strategy.chief(lambda: checkpoint.save(*state))

    def _save_network(self, name: str) -> None:
        def save():
            with (
                run_files.on_disk_full(name, self.checkpoint),
                run_files.beside(self.folder / name) as part,
            ):
                self.model.save(part, overwrite=True)

        with self.strategy.synchronized(self.model, on=False):
            self.strategy.chief(save)

    def _write_results(self, events: curves.Events | None) -> None:
        """Writes the curves and the summary of what is done so far."""
        self.strategy.chief(lambda: self._results(events))

    def _results(self, events: curves.Events) -> None:
        history = self.position.history
        summary = {
            "complete": self.position.epoch == self.recipe.epochs,
            **self.metadata,
            **self.fingerprint,
            "machine": results.machine(),
            "versions": results.versions(),
        }
        if history:
            summary |= {
                "best": history[best_epoch(history)],
                "last": history[-1],
                "reading": str(diagnose_curves(history)),
                "seconds": sum(row["seconds"] for row in history),
            }
        with run_files.on_disk_full("the run's results", self.checkpoint):
            text = json.dumps(summary, indent=2) + "\n"
            run_files.write(self.folder / SUMMARY, text.encode())
            if history:
                curves.write_history(history, self.folder)
                if summary["complete"] or time.monotonic() - self.drawn > DRAWN:
                    curves.write_drawing(history, self.folder, self.model.name)
                    self.drawn = time.monotonic()
                events.write(history)

    def _stop(self, what: str, value: float):
        kept = self.strategy.chief(lambda: checkpoint.kept(self.checkpoint))
        raise Diverged(
            f"{what} must be a finite number at {self.position}; {kept} A lower rate (--set lr=...) "
            f"or a longer warm-up in a new run may help. Received: {value}"
        )

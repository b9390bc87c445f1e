"""One training run: its steps, evaluations, checkpoints and files."""

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from newnet_tf import results
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.models.model_file import write_model
from newnet_tf.task import Metrics, Task, get_task
from newnet_tf.training import checkpoint
from newnet_tf.training.checkpoint import TrainState
from newnet_tf.training.compilation import compile_model, ema_weights, model_info
from newnet_tf.training.curve_diagnosis import CurveDiagnosis, diagnose_curves
from newnet_tf.training.curves import TensorBoardEvents, write_curves
from newnet_tf.training.distributed.single_process import SingleProcess
from newnet_tf.training.history import LOSS, best_epoch, epoch_row, is_stopped, write_history
from newnet_tf.training.progress import Progress
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.run_files import Diverged, on_disk_full
from newnet_tf.utils.io import atomic_write, write_text
from newnet_tf.utils.progress import note

CHECKPOINT_EVERY = 500  # steps
CURVES_INTERVAL = 10.0  # seconds between two drawings of the curves
BEST, LAST, SUMMARY = "best.keras", "last.keras", "run.json"
SUMMARY_FORMAT = 2


@dataclass(frozen=True)
class FitResult:
    """The result of a run.

    Args:
        output_dir: path of its files.

        history: list of rows, one an epoch; see `training.history`.

        best: the row with the best metric.

        diagnosis: `CurveDiagnosis`.

        num_eval_samples: int, images that the test figures were measured on.
    """

    output_dir: Path
    history: list[dict]
    best: dict
    diagnosis: CurveDiagnosis
    num_eval_samples: int


class Run:
    """One run, from its position to its end. `fit` creates it; arguments as there."""

    def __init__(
        self,
        *,
        model,
        loader,
        recipe: Recipe,
        output_dir: Path,
        task: str | Task = "classification",
        checkpoint_every: int = CHECKPOINT_EVERY,
        metadata: Mapping[str, object] | None = None,
        strategy: SingleProcess | None = None,
        make_evaluator: Callable | None = None,
        model_metadata: ModelMetadata | None = None,
    ):
        self.model_metadata = model_metadata
        self.model, self.loader, self.recipe, self.output_dir = model, loader, recipe, output_dir
        self.task, self.checkpoint_every = get_task(task), checkpoint_every
        self.metadata, self.position = dict(metadata or {}), TrainState()
        self.strategy = strategy or SingleProcess()
        self.checkpoint, self.curves_time = output_dir / checkpoint.NAME, -math.inf
        with self.strategy.scope():
            self.trained = compile_model(model, recipe, loader.steps_per_epoch, self.task)
        self.evaluate = (make_evaluator or self.strategy.make_evaluator)(self.trained, self.task)
        self.fingerprint = {
            "task": self.task.name,
            "recipe": recipe.flat(),
            "data": loader.fingerprint,
            "model": model_info(model),
        }

    @property
    def is_complete(self) -> bool:
        """Whether all epochs are done, or early stopping ended the run."""
        position, patience = self.position, self.recipe.early_stopping
        if position.epoch >= self.recipe.epochs:
            return True
        return not position.step and is_stopped(position.history, self.task, patience)

    def restore(self) -> None:
        """Loads the folder's checkpoint, if there is one."""

        def load():
            position = TrainState()
            if self.checkpoint.exists():
                position = checkpoint.restore(self.checkpoint, self.trained, self.fingerprint)
            return dataclasses.asdict(position)

        self.position = TrainState(**self.strategy.run_on_chief(load))
        self.strategy.broadcast(self.trained, self.fingerprint)

    def train(self, step: Callable, progress: Progress) -> FitResult:
        """Trains the remaining epochs.

        Args:
            step: callable, (images, targets) -> values by name.

            progress: `Progress`.
        """
        with contextlib.ExitStack() as stack:
            events = None
            if self.strategy.is_chief:
                events = TensorBoardEvents(self.output_dir / "tensorboard")
                stack.enter_context(contextlib.closing(events))
            self._write_results(events)
            while not self.is_complete:
                self._train_epoch(step, progress)
                self._end_epoch(progress, events)
            if self.position.epoch < self.recipe.epochs and self.strategy.is_chief:
                note(
                    f"stopped early, after epoch {self.position.epoch} of {self.recipe.epochs}: the "
                    f"last {self.recipe.early_stopping} brought no better one"
                )
            with ema_weights(self.trained, self.recipe):
                self._save_model(LAST)
            self._write_results(events)
        history = self.position.history
        return FitResult(
            self.output_dir,
            history,
            history[best_epoch(history, self.task)],
            diagnose_curves(history, self.task),
            self.loader.num_eval_samples,
        )

    def _train_epoch(self, step: Callable, progress: Progress) -> None:
        """Does the remaining steps of the current epoch."""
        position, began = self.position, time.monotonic()
        seconds_before = position.seconds
        progress.begin()
        for images, targets in self.loader.train(position.epoch, position.step):
            values = step(images, targets)
            position.add(values)
            position.seconds = seconds_before + time.monotonic() - began
            if not math.isfinite(values[LOSS]):
                self._stop("the loss", float(values[LOSS]))
            if position.step % self.checkpoint_every == 0:
                self._save_checkpoint()
            progress.step(position.epoch, position.step, position.sums[LOSS] / position.step)

    def _end_epoch(self, progress: Progress, events: TensorBoardEvents | None) -> None:
        """Evaluates the model, and writes the epoch's results."""
        position = self.position
        if not position.step:
            raise ValueError("there must be a readable image to train on. Received: none")
        began = time.monotonic()
        with ema_weights(self.trained, self.recipe):
            metrics: Metrics = self.evaluate(self.loader.test())
            test_results = metrics.result()
            for name in (LOSS, self.task.metric):
                if not math.isfinite(test_results.get(name, 0.0)):
                    self._stop(f"the test {name}", test_results[name])
            row = epoch_row(
                self.task,
                position.epoch + 1,
                float(self.trained.optimizer.learning_rate),
                position.sums,
                position.step,
                test_results,
                position.seconds,
            )
            history = [*position.history, row]
            if best_epoch(history, self.task) == position.epoch:
                self._save_model(BEST)
        self.position = TrainState(epoch=position.epoch + 1, history=history)
        self._save_checkpoint()
        self._write_results(events)
        progress.epoch(row, time.monotonic() - began)

    def _save_checkpoint(self) -> None:
        arguments = (self.checkpoint, self.trained, self.position, self.fingerprint)
        self.strategy.run_on_chief(lambda: checkpoint.save(*arguments))

    def _save_model(self, name: str) -> None:
        def save():
            with (
                on_disk_full(name, self.checkpoint),
                atomic_write(self.output_dir / name) as temporary,
            ):
                if self.model_metadata is None:
                    self.model.save(temporary, overwrite=True)
                else:
                    write_model(self.model, temporary, self.model_metadata)

        with self.strategy.synchronized(self.model, on=False):
            self.strategy.run_on_chief(save)

    def _write_results(self, events: TensorBoardEvents | None) -> None:
        """Writes the curves, and a summary of what is done so far."""
        self.strategy.run_on_chief(lambda: self._write(events))

    def _write(self, events: TensorBoardEvents) -> None:
        history = self.position.history
        summary = {
            "format": SUMMARY_FORMAT,
            "complete": self.is_complete,
            **self.metadata,
            **self.fingerprint,
            "machine": results.machine(),
            "versions": results.versions(),
        }
        if history:
            summary |= {
                "best": history[best_epoch(history, self.task)],
                "last": history[-1],
                "diagnosis": str(diagnose_curves(history, self.task)),
                "seconds": sum(row["seconds"] for row in history),
            }
        with on_disk_full("the run's results", self.checkpoint):
            write_text(self.output_dir / SUMMARY, json.dumps(summary, indent=2) + "\n")
            if history:
                write_history(history, self.output_dir)
                if summary["complete"] or time.monotonic() - self.curves_time > CURVES_INTERVAL:
                    write_curves(history, self.output_dir, self.model.name, self.task)
                    self.curves_time = time.monotonic()
                events.write(history)

    def _stop(self, name: str, value: float) -> NoReturn:
        last_good = self.strategy.run_on_chief(lambda: checkpoint.last_good(self.checkpoint))
        raise Diverged(
            f"{name} must be a finite number at {self.position}; {last_good} A lower learning rate "
            f"(--set lr=...) or a longer warm-up in a new run may help. Received: {value}"
        )

"""`fit`: the training loop. Data, step, evaluation and task are interchangeable; files are atomic.

A run is a pure function of the model's initial weights, the recipe and the data; its position is one
`TrainState`. So it can be killed at any moment and resumes from its last checkpoint with the numbers
of a run that was never interrupted.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.task import Task, get_task
from newnet_tf.training import checkpoint
from newnet_tf.training.class_weight import weighted_task
from newnet_tf.training.compilation import check_model
from newnet_tf.training.distributed.single_process import SingleProcess
from newnet_tf.training.progress import Progress
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.run import CHECKPOINT_EVERY, FitResult, Run
from newnet_tf.training.run_files import exclusive_lock


def fit(
    model,
    loader,
    recipe: Recipe,
    output_dir: str | os.PathLike,
    *,
    task: str | Task = "classification",
    resume: bool = False,
    checkpoint_every: int = CHECKPOINT_EVERY,
    metadata: Mapping[str, object] | None = None,
    make_step: Callable | None = None,
    make_evaluator: Callable | None = None,
    strategy: SingleProcess | None = None,
    out: TextIO | None = None,
    model_metadata: ModelMetadata | None = None,
) -> FitResult:
    """Trains a model on a loader's batches, or resumes a run.

    Args:
        model: Keras model whose outputs the task's loss takes (for classification logits:
            `classifier_activation=None`), built under the recipe's dtype policy. Its weights change;
            `recipe.dropout` sets the rate of its dropout layers.

        loader: `data.ImageLoader`, or an object that has `classes`, `batch_size`, `steps_per_epoch`,
            `num_eval_samples`, `fingerprint`, `train(epoch, start)` and `test()` as it has.

        recipe: `Recipe`.

        output_dir: path of the run's files: `checkpoint.safetensors`, `best.keras` and `last.keras`
            (the model without its optimizer), `history.csv`, `curves.png`, `tensorboard/`, `run.json`.

        task: name of a task, or a `Task`: loss, metrics, and what chooses `best.keras`. Default:
            `"classification"`.

        resume: bool, resume from the checkpoint in `output_dir`, if there is one. Default: False: a
            folder that has a checkpoint is an error.

        checkpoint_every: int, steps between checkpoints; there is one after each epoch too. Default:
            500.

        metadata: mapping of JSON values to write into `run.json`, such as the command.

        make_step: callable, compiled model -> step; see `single_step`. Default: `single_step`, or the
            strategy's.

        make_evaluator: callable, (compiled model, task) -> callable, batches -> `Metrics`. Default:
            Keras' predictions, or the strategy's.

        strategy: `distributed.strategy.Strategy`, to train on several devices or machines; `model` must
            have been built in its scope, and `loader` be this worker's shard. Default: one process.

        out: text stream for progress. Default: stderr.

        model_metadata: `ModelMetadata` to write into the `.keras` files. Default: none.

    Returns:
        A `FitResult`.

    Raises:
        ValueError: if model, loader or folder do not fit, or the checkpoint is of another recipe,
            dataset, model or task; the message says what differs.

        TrainingStopped: if there is no room for a file, or (`Diverged`) the loss is NaN or infinite.
            The last good checkpoint is intact.

    Example:
        >>> loader = ImageLoader(load_dataset("photos/"), card.preprocess, batch_size=recipe.batch_size)
        >>> print(fit(model, loader, recipe, "runs/photos").diagnosis)
    """
    output_dir, task = Path(output_dir), get_task(task)
    if not isinstance(checkpoint_every, int) or checkpoint_every < 1:
        raise ValueError(
            "`checkpoint_every` must be a positive int. "
            f"Received: checkpoint_every={checkpoint_every!r}"
        )
    task.check(model, loader)
    check_model(model, recipe)
    task = weighted_task(task, recipe, loader)
    make_step = make_step or (strategy.make_step if strategy else single_step)
    strategy = strategy or SingleProcess()
    strategy.check(model, loader)
    with contextlib.ExitStack() as stack:
        strategy.run_on_chief(lambda: _lock(stack, output_dir, resume))
        if not strategy.is_chief:
            out = stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(strategy.synchronized(model))
        run = Run(
            model=model,
            loader=loader,
            recipe=recipe,
            output_dir=output_dir,
            task=task,
            checkpoint_every=checkpoint_every,
            metadata=metadata,
            strategy=strategy,
            make_evaluator=make_evaluator,
            model_metadata=model_metadata,
        )
        run.restore()
        progress = Progress(recipe.epochs, loader.steps_per_epoch, loader.batch_size, task, out)
        return run.train(make_step(run.trained), progress)


def _lock(stack: contextlib.ExitStack, output_dir: Path, resume: bool) -> None:
    """Locks a run's folder until `stack` is closed."""
    stack.enter_context(exclusive_lock(output_dir))
    if (output_dir / checkpoint.NAME).exists() and not resume:
        raise ValueError(
            "a run must have a folder of its own, or resume with `resume=True` (--resume). "
            f"Received: {output_dir}, which has a checkpoint"
        )


def single_step(trained) -> Callable:
    """Returns the training step of one process.

    Args:
        trained: compiled Keras model of `compile_model`.

    Returns:
        Callable, (images, targets) -> mapping from name to value: `"loss"`, parts of the loss as
        `"loss_<name>"`, and the task's `batch_metrics`.
    """
    return lambda images, targets: trained.train_on_batch(images, targets, return_dict=True)

"""`newnet_tf.tune`: a search of hyperparameters of a recipe."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from newnet_tf.api.training_setup import (
    check_arguments,
    resolve_recipe,
    set_up,
    start_training,
)
from newnet_tf.data.datasets.base import Dataset
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import Task
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.run import CHECKPOINT_EVERY
from newnet_tf.training.tuning import trial_storage
from newnet_tf.training.tuning.search_space import default_search_space, parse_search_space
from newnet_tf.training.tuning.trial_runner import run_trials
from newnet_tf.training.tuning.trials import FAILED, RUNNING, TuneResult
from newnet_tf.utils.progress import note


def tune(
    model: str | Callable,
    dataset: Dataset | str | os.PathLike | Callable,
    *,
    recipe: str | Recipe = "finetune",
    search_space: Mapping[str, object] | None = None,
    trials: int | None = None,
    sampler: str | None = None,
    metric: str | None = None,
    output_dir: str | os.PathLike | None = None,
    overrides: Mapping[str, object] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    weights: str | os.PathLike | None = None,
    task: str | Task | None = None,
    preprocess: PreprocessConfig | None = None,
    image_size: int | None = None,
    cifar_stem: bool = False,
    activation: str | None = None,
    max_samples: int | None = None,
    validation_split: float = 0.2,
    data_dir: str | os.PathLike | None = None,
    images_dir: str | os.PathLike | None = None,
    checkpoint_every: int = CHECKPOINT_EVERY,
    deterministic: bool = False,
    metadata: Mapping[str, object] | None = None,
) -> TuneResult:
    """Trains a model with each setting of a search space, or resumes an interrupted search.

    Each trial is an ordinary run, in `output_dir/trials/NUMBER`, as `train` leaves it. Several
    processes that call it with the same arguments share the trials.

    Args:
        model: str, name of a model of the zoo; or a callable, `Recipe` -> a new `keras.Model`.

        dataset: as in `train`.

        recipe: name of a recipe, or a `Recipe`: all fields that are not varied. Default:
            `"finetune"`.

        search_space: mapping from a field to its values: a sequence of two or more, or text such as
            `"1e-5,1e-4"` (choices), `"0.02..0.4"` (a range), `"0.02..0.4:log"` (sampled
            logarithmically). Default: learning rate and weight decay, each a third, once and three
            times the recipe's own.

        trials: int, number of trials. Default: all settings, if all fields have choices.

        sampler: `"grid"` (every setting once), `"random"` or `"tpe"` (Optuna's tree-structured
            Parzen estimator). Default: `"grid"` if all fields have choices, else `"tpe"`.

        metric: `"test_loss"`, or `"test_"` and the task's metric: the figure of the last epoch that
            chooses the best trial. Default: the latter, `"test_error"` for classification.

        output_dir: path of the search's folder. Default: `tuning/MODEL.RECIPE`.

        overrides, epochs, seed, weights, task, preprocess, image_size, cifar_stem, activation,
        max_samples, validation_split, data_dir, images_dir, checkpoint_every, deterministic, metadata:
            as in `train`.

    Returns:
        A `TuneResult`.

    Raises:
        ValueError: if an argument is not valid, a field is both set and varied, or `output_dir`
            holds another search.

        RuntimeError: if Optuna is not installed.

        TrainingStopped: as `train`, but for runs that diverge: they are trials that failed.

    Example:
        >>> result = newnet_tf.tune("newnet_small", "flowers/", search_space={"lr": [0.02, 0.05, 0.1]})
        >>> print(result)
        >>> newnet_tf.train("newnet_small", "flowers/", overrides=result.best.values)
    """
    chosen, recipe_name = resolve_recipe(recipe, overrides, epochs, seed)
    fixed = {
        *(overrides or {}),
        *(n for n, v in (("epochs", epochs), ("seed", seed)) if v is not None),
    }
    if twice := sorted(fixed & set(search_space or {})):
        raise ValueError(f"a field must be set or varied, not both. Received: {', '.join(twice)}")
    space = search_space or default_search_space(chosen)
    trial_storage.import_optuna()  # raised before anything is read
    trial_storage.choose_sampler(parse_search_space(chosen, space), sampler, trials)
    check_arguments(
        model,
        dataset,
        weights=weights,
        image_size=image_size,
        activation=activation,
        max_samples=max_samples,
        validation_split=validation_split,
        images_dir=images_dir,
        checkpoint_every=checkpoint_every,
    )
    if not isinstance(model, str) and hasattr(model, "layers"):
        raise ValueError(
            "`model` must be a name, or a callable that returns a new model for each trial. "
            f"Received: {model!r}"
        )
    start_training(chosen, deterministic)
    setup = set_up(
        model,
        dataset,
        task=task,
        weights=weights,
        preprocess=preprocess,
        image_size=image_size,
        cifar_stem=cifar_stem,
        activation=activation,
        max_samples=max_samples,
        validation_split=validation_split,
        data_dir=data_dir,
        images_dir=images_dir,
    )
    result = run_trials(
        setup.build,
        setup.make_loader,
        chosen,
        output_dir or Path("tuning") / f"{setup.name}.{recipe_name}",
        space,
        task=setup.task,
        trials=trials,
        sampler=sampler,
        metric=metric,
        checkpoint_every=checkpoint_every,
        fingerprint={"weights": weights and os.fspath(weights), "cifar_stem": cifar_stem},
        metadata={**(metadata or {}), "recipe_name": recipe_name},
        model_metadata=setup.metadata,
    )
    _note_unfinished(result)
    return result


def _note_unfinished(result: TuneResult) -> None:
    for trial in result.trials:
        if trial.state == FAILED:
            note(f"trial {trial.number} failed: {trial.reason}")
    running = sum(trial.state == RUNNING for trial in result.trials)
    if running:
        note(f"{running} of {result.planned} trials are running in other processes")

"""`newnet_tf.train`: a model trained by a recipe."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from newnet_tf.api.data_arguments import check_run_folder
from newnet_tf.api.train_result import FILES, TrainResult
from newnet_tf.api.training_setup import (
    TrainingSetup,
    check_arguments,
    model_name,
    resolve_recipe,
    set_up,
    start_training,
)
from newnet_tf.data.datasets.base import TRAIN, Dataset
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import set_metadata
from newnet_tf.task import Task
from newnet_tf.training.compilation import build_model
from newnet_tf.training.distributed import cluster, strategy as strategies
from newnet_tf.training.distributed.single_process import SingleProcess
from newnet_tf.training.progress import fit_batch_size
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.run import BEST, CHECKPOINT_EVERY, FitResult
from newnet_tf.training.trainer import fit
from newnet_tf.utils.progress import note


def train(
    model: Any,
    dataset: Dataset | str | os.PathLike | Callable,
    *,
    recipe: str | Recipe = "finetune",
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
    resume: bool = False,
    checkpoint_every: int = CHECKPOINT_EVERY,
    strategy: str | SingleProcess | None = None,
    workers: str | None = None,
    worker_index: int | None = None,
    deterministic: bool = False,
    metadata: Mapping[str, object] | None = None,
) -> TrainResult:
    """Trains a model by a recipe, or resumes an interrupted run.

    Args:
        model: one of

            - str, name of a model of the zoo; it gets a classifier of the dataset's classes.
            - `keras.Model` that returns logits, built under the recipe's dtype policy; it is trained.
            - callable, `Recipe` -> such a model.

        dataset: `Dataset`; or what `load_dataset` takes, e.g. a folder with one folder of images
            for each class; or a callable, `Recipe` -> a loader of your own (see `training.fit`).

        recipe: name of a recipe (`training.RECIPES`), or a `Recipe`. Default: `"finetune"`.

        output_dir: path of the run's folder. Default: `runs/MODEL.RECIPE`.

        overrides: mapping from field to value, changes of the recipe, e.g.
            `{"lr": 0.1, "augmentation.cutmix_alpha": 1.0}`. Default: none.

        epochs, seed: int, the same as in `overrides`. The seed decides initial weights, order and
            augmentation, not the validation split. Default: the recipe's.

        weights: str or path, tag or checkpoint file to start from, for a name. Default: the tag in
            the name, else random.

        task: name of a task, or a `Task`. Default: the dataset's, or `"classification"`.

        preprocess: `PreprocessConfig` of the model. Default: that of the weights.

        image_size: int, height and width of the model's input, for a name. Default: that of the
            weights, 32 with `cifar_stem`.

        cifar_stem: bool, for images as small as CIFAR's: the first convolution has stride 1, and
            images are not cropped. Default: False.

        activation: one of `"relu"`, `"relu6"`, `"hard_swish"`, which replaces SiLU, for a name.
            Default: None.

        max_samples: int, train on this many images only, sampled by the seed. Default: all.

        validation_split: float in (0, 1), fraction of a folder without splits that is not trained
            on but evaluated. Default: 0.2.

        data_dir: path, where tensorflow-datasets keeps its datasets. Default: its own folder.

        images_dir: path, the folder that the paths of a CSV file start from. Default: its own folder.

        resume: bool, resume from the checkpoint in `output_dir`, if there is one. Default: False: a
            folder that has a checkpoint is an error.

        checkpoint_every: int, steps between checkpoints; there is one after each epoch too.
            Default: 500.

        strategy: `"mirrored"` (all GPUs of this machine), `"multiworker"` (several machines), or a
            `training.distributed.strategy.Strategy`. Default: None, one device.

        workers: str, `"host:port,host:port"`, all workers of `"multiworker"`, the same for each.
            Default: those of `TF_CONFIG`.

        worker_index: int, which of them this process is, from 0. Default: that of `TF_CONFIG`.

        deterministic: bool, the same numbers in every run, but slower. Default: False.

        metadata: mapping of JSON values to write into `run.json`. Default: none.

    Returns:
        A `TrainResult`; its `.model` has the weights of the best epoch.

    Raises:
        ValueError: if there is no such model, dataset or recipe, arguments do not fit each other,
            or `output_dir` holds another run.

        TrainingStopped: if the run cannot continue: no room for a file, a lost worker, or
            (`Diverged`) a loss that is NaN or infinite. The last checkpoint is intact.

    Example:
        >>> result = newnet_tf.train("newnet_small", "flowers/", recipe="rexnet", epochs=100)
        >>> print(newnet_tf.evaluate(result, "more_flowers/"))
    """
    chosen, recipe_name = resolve_recipe(recipe, overrides, epochs, seed)
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
    folder = Path(output_dir or Path("runs") / f"{model_name(model, activation)}.{recipe_name}")
    check_run_folder(folder, chosen, resume)
    devices = _resolve_strategy(strategy, workers, worker_index)  # before TensorFlow computes
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
    chosen = _fit_batch_size(chosen, setup, max_samples)
    shard, about = {}, {**(metadata or {}), "recipe_name": recipe_name}
    if devices:
        shard = {"num_shards": devices.workers, "shard_index": devices.index}
        about["strategy"] = str(devices)
    built = _build(setup, chosen, devices, is_new=not hasattr(model, "layers"))
    fitted = fit(
        built,
        setup.make_loader(chosen, **shard),
        chosen,
        folder,
        task=setup.task,
        resume=resume,
        checkpoint_every=checkpoint_every,
        metadata=about,
        strategy=devices,
        model_metadata=setup.metadata and dataclasses.replace(setup.metadata, weights=BEST),
    )
    if devices and not devices.is_chief:
        note(f"worker {devices.index} is done; worker 0 has the files")
        return _result(setup, chosen, fitted, built, has_files=False)
    return _result(setup, chosen, fitted, built, has_files=True)


def _fit_batch_size(recipe: Recipe, setup: TrainingSetup, max_samples: int | None) -> Recipe:
    """Returns the recipe with a batch of at most the number of training images."""
    if setup.dataset is None:
        return recipe
    images = setup.dataset.split(TRAIN).size
    return fit_batch_size(recipe, images if max_samples is None else min(images, max_samples))


def _build(setup: TrainingSetup, recipe: Recipe, devices: Any, is_new: bool):
    """Returns the model, a new one built in the scope of the strategy."""
    if not is_new:
        return setup.build(recipe)

    def build(recipe: Recipe):
        with (devices or SingleProcess()).scope():
            return setup.build(recipe)

    return build_model(build, recipe)


def _result(
    setup: TrainingSetup, recipe: Recipe, fitted: FitResult, built: Any, has_files: bool
) -> TrainResult:
    files = {}
    if has_files:
        import keras

        paths = {name: fitted.output_dir / file for name, file in FILES.items()}
        files = {name: path for name, path in paths.items() if path.exists()}
        built = keras.models.load_model(files["best"], compile=False)
    if setup.metadata:
        set_metadata(built, dataclasses.replace(setup.metadata, weights=BEST))
    return TrainResult(
        model=built,
        name=setup.name,
        task=setup.task,
        recipe=recipe,
        history=tuple(fitted.history),
        best=fitted.best,
        diagnosis=fitted.diagnosis,
        num_eval_samples=fitted.num_eval_samples,
        preprocess=setup.preprocess,
        class_names=setup.class_names,
        output_dir=fitted.output_dir,
        files=files,
    )


def _resolve_strategy(strategy: Any, workers: str | None, worker_index: int | None) -> Any:
    """Returns the strategy of the arguments, or None."""
    if strategy != strategies.MULTIWORKER and (workers is not None or worker_index is not None):
        raise ValueError(
            "`workers` and `worker_index` (--workers, --worker-index) must come with "
            f"strategy={strategies.MULTIWORKER!r}. Received: strategy={strategy!r}"
        )
    if not isinstance(strategy, str):
        return strategy
    if strategy not in strategies.STRATEGIES:
        raise ValueError(
            f"`strategy` must be among {strategies.STRATEGIES}. Received: strategy={strategy!r}"
        )
    from newnet_tf.utils.quiet import quiet

    if strategy == strategies.MIRRORED:
        with quiet():
            return strategies.mirrored()
    resolved = cluster.resolve_cluster(workers, worker_index)
    note(
        f"worker {resolved.index} of {len(resolved.addresses)}: waiting for "
        f"{', '.join(resolved.addresses)}"
    )
    with quiet():
        return strategies.multiworker(workers, worker_index)

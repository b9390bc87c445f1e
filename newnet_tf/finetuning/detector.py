"""Finetuning of a detector: new parts first, on a frozen backbone, then all layers."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newnet_tf.data.datasets.base import TRAIN, Dataset
from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.training.augment import BoxAugmentation
from newnet_tf.detection.training.loader import DetectionLoader
from newnet_tf.finetuning.detector_drawings import ProgressDrawings
from newnet_tf.finetuning.detector_features import cached_features
from newnet_tf.finetuning.detector_parts import layers_until, write_whole_model
from newnet_tf.finetuning.full_finetune import BATCH_NORM, scaled_lr_step
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.models.model_file import weights_digest
from newnet_tf.task import Task, task_of
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.run import LAST, FitResult
from newnet_tf.training.trainer import fit, single_step
from newnet_tf.utils.lazy import keras

HEAD, ALL_LAYERS = "head", "all layers"  # names of the stages
FOLDERS = {HEAD: "head", ALL_LAYERS: "training"}  # in the run's folder
FEATURE_FILES = "features"  # in the folder of the first stage
NEW_LAYERS = ("extra", "head")  # what names of layers that no backbone has begin with
MIN_HEAD_BATCH = 16  # images a step, below which batch norm of the new layers is not updated
RECIPE = Recipe(
    optimizer="adamw",
    lr=1e-3,
    batch_size=32,
    epochs=20,
    warmup=0.5,
    weight_decay=1e-4,
    ema_decay=0.99,
)
HEAD_EPOCHS = 5
MIN_AVERAGED_STEPS = 500  # below which an average of the weights lags behind
CACHED_VIEWS = 4
MIN_STEPS = 4  # of an epoch, for which the batch size is lowered


@dataclass(frozen=True, kw_only=True)
class DetectorRun:
    """What a finetuning run of a detector does.

    Args:
        dataset: `Dataset` of task `"detection"`.

        metadata: `ModelMetadata` of the finetuned model.

        output_dir: `Path` of the run's folder.

        recipe: `Recipe` of the stage that trains all layers; that of the first stage is the same with
            `head_epochs`.

        head_epochs: int, epochs of the first stage, on a frozen backbone; 0 leaves it out.

        augmentation: `BoxAugmentation` of the training images.

        backbone_lr_scale: float >= 0, the backbone's learning rate as a fraction of that of the new
            layers. Default: 0.25.

        batch_norm: `"frozen"` (default: statistics, scale and shift of the backbone's batch norm stay)
            or `"trained"`.

        all_layers: bool, whether to train all layers after the head. Default: True.

        frozen_stride: int or None, the backbone's layers up to its feature map at this stride stay as
            they are in the second stage too, which makes its steps cheaper. Default: None, all layers
            are trained.

        cached_views: int, augmented views of each training image, from whose cached features the first
            stage is trained if it has more epochs than that; 0 trains it on images. See
            `detector_features`. Default: 4.

        keep_features: bool, whether the files of cached features stay after the first stage. Default:
            False.
    """

    dataset: Dataset
    metadata: ModelMetadata
    output_dir: Path
    recipe: Recipe
    head_epochs: int
    augmentation: BoxAugmentation
    backbone_lr_scale: float = 0.25
    batch_norm: str = "frozen"
    all_layers: bool = True
    frozen_stride: int | None = None
    cached_views: int = CACHED_VIEWS
    keep_features: bool = False

    @property
    def task(self) -> Task:
        """The task, which knows the detector's config."""
        return task_of(self.metadata)

    @property
    def config(self) -> DetectionConfig:
        """The detector's config."""
        return DetectionConfig.from_dict(self.metadata.task_config or {})

    def stages(self) -> dict[str, Recipe]:
        """Returns the recipe of each stage, in order.

        Weights are averaged in the second alone, and only if it has steps enough to forget the first.
        """
        warmup = min(self.recipe.warmup, self.head_epochs / 2)
        head = dataclasses.replace(
            self.recipe, epochs=max(self.head_epochs, 1), warmup=warmup, ema_decay=None
        )
        stages = {HEAD: head} if self.head_epochs else {}
        steps = self.dataset.split(TRAIN).steps(self.recipe.batch_size) * self.recipe.epochs
        has_average = self.recipe.ema_decay is not None and steps >= MIN_AVERAGED_STEPS
        recipe = self.recipe if has_average else dataclasses.replace(self.recipe, ema_decay=None)
        return stages | ({ALL_LAYERS: recipe} if self.all_layers else {})


def finetune_detector(model: Any, run: DetectorRun) -> dict[str, FitResult]:
    """Trains a detector on boxes; resumes an interrupted run.

    Batch norm of the backbone acts as in inference. That of the new layers learns its statistics from
    batches of 16 images or more; with smaller ones it acts as in inference too (single images of a
    batch move the statistics so far that the detector gets worse, whatever the learning rate).

    Args:
        model: Keras model of `SSDLite`. Its weights change to those of the last epoch.

        run: `DetectorRun`.

    Returns:
        Mapping from the name of a stage to its `FitResult`.

    Raises:
        ValueError: for an argument outside of the above, or a folder that holds another run.

        TrainingStopped: as `training.trainer.fit`.
    """
    if run.batch_norm not in BATCH_NORM or run.backbone_lr_scale < 0:
        raise ValueError(
            f"`batch_norm` must be among {BATCH_NORM}, `backbone_lr_scale` not negative. "
            f"Received: {run.batch_norm!r}, {run.backbone_lr_scale}"
        )
    layers_until(model, run.frozen_stride)  # raises before any work
    results = {}
    for stage, recipe in run.stages().items():
        folder = run.output_dir / FOLDERS[stage]
        settings = {
            "stage": stage,
            "batch_norm": run.batch_norm,
            "backbone_lr_scale": run.backbone_lr_scale,
            "frozen_stride": run.frozen_stride,
            "score_function": run.config.score_function,
            "augmentation": dataclasses.asdict(run.augmentation),
            "initial_weights": weights_digest(model),
        }
        loader = _Loader(run, recipe, settings)
        frozen = None if stage == HEAD else run.frozen_stride
        with trainable_layers(model, stage, run.batch_norm, recipe.batch_size, frozen):
            train = _train_head if stage == HEAD else _train
            results[stage] = train(model, loader, recipe, run)
        if recipe.ema_decay is not None:  # the files hold the average, the model the last weights
            last = keras.models.load_model(folder / LAST, compile=False)
            model.set_weights(last.get_weights())
    return results


def _train_head(model: Any, loader: "_Loader", recipe: Recipe, run: DetectorRun) -> FitResult:
    """Trains the new layers, on cached features where that saves time."""
    folder = run.output_dir / FOLDERS[HEAD]
    files = folder / FEATURE_FILES
    cached = cached_features(model, loader, files, run.cached_views, recipe.epochs)
    if cached is None:
        return _train(model, loader, recipe, run)
    upper, features = cached
    result = _train(model, features, recipe, run, upper)
    write_whole_model(model, upper, folder, run.metadata)
    if not run.keep_features:
        features.remove()
    return result


def _train(
    model: Any, loader: Any, recipe: Recipe, run: DetectorRun, upper: Any = None
) -> FitResult:
    """Trains a stage: the model, or on cached features its upper part."""
    stage = loader.settings["stage"]
    new = [v for layer in new_layers(model) for v in layer.trainable_variables]
    drawings = ProgressDrawings(
        model,
        run.task,
        run.metadata.preprocess,
        run.dataset.split(loader.eval_split),
        run.dataset.class_names,
        run.output_dir,
        FOLDERS[stage],
        recipe.epochs,
    )
    return fit(
        model if upper is None else upper,
        loader,
        recipe,
        run.output_dir / FOLDERS[stage],
        task=run.task,
        resume=True,
        make_step=_step_maker(new, run.backbone_lr_scale if stage == ALL_LAYERS else 1.0),
        make_evaluator=functools.partial(drawings.evaluator, loader),
        model_metadata=run.metadata if upper is None else None,
    )


def new_layers(model: Any) -> list[Any]:
    """Returns the layers of a detector that its backbone does not have: extra layers and heads."""
    return [layer for layer in model.layers if layer.name.startswith(NEW_LAYERS)]


def _step_maker(new: Sequence, backbone_lr_scale: float) -> Callable:
    if backbone_lr_scale == 1.0:
        return single_step
    return lambda compiled: scaled_lr_step(compiled, new, backbone_lr_scale)


@contextlib.contextmanager
def trainable_layers(
    model: Any, stage: str, batch_norm: str, batch_size: int, frozen_stride: int | None = None
) -> Iterator[None]:
    """Freezes the backbone, or its batch norm alone, for the time of the context.

    Args:
        model: Keras model of `SSDLite`.

        stage: `"head"` or `"all layers"`.

        batch_norm: `"frozen"` or `"trained"`, of the backbone.

        batch_size: int; below 16 batch norm of the new layers is frozen too.

        frozen_stride: int or None, as in `DetectorRun`.
    """
    new = {id(layer) for layer in new_layers(model)}
    frozen = {id(layer) for layer in layers_until(model, frozen_stride)}
    before = [(layer, layer.trainable) for layer in model.layers]
    try:
        for layer in model.layers:
            is_norm = isinstance(layer, keras.layers.BatchNormalization)
            if id(layer) in new:
                layer.trainable = not is_norm or batch_size >= MIN_HEAD_BATCH
            else:
                is_trained = stage == ALL_LAYERS and id(layer) not in frozen
                layer.trainable = is_trained and (not is_norm or batch_norm == "trained")
        yield
    finally:
        for layer, trainable in before:
            layer.trainable = trainable


class _Loader(DetectionLoader):
    """Loads the images of a stage; its fingerprint holds the run's settings too."""

    def __init__(self, run: DetectorRun, recipe: Recipe, settings: dict):
        super().__init__(
            run.dataset,
            run.metadata.preprocess,
            run.config,
            augmentation=run.augmentation,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
        )
        self.settings, self.epoch = settings, -1

    def train(self, epoch: int, start: int = 0) -> Iterator:
        """Yields the training batches of an epoch, which is kept as `epoch`."""
        self.epoch = epoch
        return super().train(epoch, start)

    @property
    def fingerprint(self) -> dict[str, object]:
        """What decides the batches, and the run's settings."""
        return super().fingerprint | self.settings

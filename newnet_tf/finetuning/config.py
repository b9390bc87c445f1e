"""What a finetuning run does, and the checks that need neither model nor images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.data.datasets.base import TRAIN, Dataset, Split
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import Task, get_task
from newnet_tf.training import checkpoint
from newnet_tf.training.class_weight import class_weights
from newnet_tf.training.recipes import BALANCED, Recipe

MIN_STEPS = 4  # of an epoch, for which the batch size is lowered
TRAINING = "training"  # folder of the second stage in the run's folder


@dataclass(frozen=True, eq=False, kw_only=True)
class FinetuneConfig:
    """What a finetuning run does.

    Args:
        weights: str, tag or file name of the pretrained weights.

        dataset: `Dataset` with a split `train` and one of `validation`, `test`.

        preprocess: `PreprocessConfig` of the model.

        output_dir: `Path` of the run's folder.

        recipe: `Recipe` of the second stage; None for the linear probe alone.

        seed: int, of holdout, order and augmentation. Default: 0.

        backbone_lr_scale, batch_norm: as in `full_finetune.train_all_layers`.

        holdout_fraction: float in [0, 1), fraction of the training images that decide which stage is
            kept. Default: 0.1.

        cap_lr: bool, whether to lower the recipe's learning rate to the largest stable one. Default:
            True.
    """

    weights: str
    dataset: Dataset
    preprocess: PreprocessConfig
    output_dir: Path
    recipe: Recipe | None = None
    seed: int = 0
    backbone_lr_scale: float = 0.25
    batch_norm: str = "frozen"
    holdout_fraction: float = 0.1
    cap_lr: bool = True

    @property
    def train(self) -> Split:
        """The training images."""
        return self.dataset.split(TRAIN)

    @property
    def test(self) -> Split:
        """The images that accuracies are reported for."""
        return self.dataset.split(evaluation_split(self.dataset))

    @property
    def task(self) -> Task:
        """The dataset's task."""
        return get_task(self.dataset.task)


def evaluation_split(dataset: Dataset) -> str:
    """Returns the name of the split that accuracies are reported for: validation, else test.

    Raises:
        ValueError: if the dataset has fewer than two classes, or lacks images to train or test on.
    """
    name = next((name for name in ("validation", "test") if name in dataset.splits), None)
    if dataset.classes < 2 or TRAIN not in dataset.splits or name is None:
        raise ValueError(
            "`dataset` (--data) must have two classes or more, with images to train and to test on. "
            f"Received: {dataset}"
        )
    labels = dataset.split(TRAIN).labels
    if labels is not None:
        check_classes(labels, dataset, "a training image")
    return name


def check_classes(labels: np.ndarray, dataset: Dataset, requirement: str) -> None:
    """Checks that every class has an image.

    Args:
        labels: int array (n,), or (n, classes) of 0 and 1.

        dataset: `Dataset`.

        requirement: str, what each class must have.

    Raises:
        ValueError: if one has none; it names the class.
    """
    present = labels.any(axis=0) if labels.ndim == 2 else np.bincount(labels) > 0
    present = np.pad(present, (0, dataset.classes - len(present)))
    missing = [dataset.class_names[i] for i in np.flatnonzero(~present)]
    if missing:
        raise ValueError(
            f"each class must have {requirement}. Received: none of {', '.join(missing)}"
        )


def check_run(config: FinetuneConfig) -> None:
    """Checks recipe and folder of a run before any work.

    Args:
        config: `FinetuneConfig`.

    Raises:
        ValueError: for early stopping without a holdout, class weights of unknown classes, or a folder
            whose second stage was begun with other settings; the message says which.
    """
    recipe, dataset = config.recipe, config.dataset
    if recipe is None:
        return
    if recipe.early_stopping is not None and not config.holdout_fraction:
        raise ValueError(
            "`early_stopping` must come with a holdout (`holdout_fraction`, --holdout-fraction), as "
            "the test images choose nothing. "
            f"Received: early_stopping={recipe.early_stopping} without one"
        )
    if recipe.class_weight not in (None, BALANCED):
        class_weights(config.task, recipe.class_weight, dataset.class_names, None, 0)
    file = config.output_dir / TRAINING / checkpoint.NAME
    before = checkpoint.read_fingerprint(file)
    if before is None:
        return
    now = {
        "task": config.task.name,
        "recipe": recipe.flat(),
        "data": {
            "dataset": dataset.name,
            "classes": dataset.classes,
            "image_size": config.preprocess.image_size,
            "backbone_lr_scale": config.backbone_lr_scale,
            "batch_norm": config.batch_norm,
        },
    }
    adapted = {"lr"} if config.cap_lr else set()  # set by the run itself
    if config.train.size < 2 * MIN_STEPS * recipe.batch_size:
        adapted |= {"lr", "batch_size"}
    recipes = (
        {k: v for k, v in each["recipe"].items() if k not in adapted} for each in (before, now)
    )
    old, new = (
        {
            "task": each["task"],
            "recipe": flat,
            "data": {k: each["data"].get(k) for k in now["data"]},
        }
        for each, flat in zip((before, now), recipes, strict=True)
    )
    if differing := checkpoint.differences(old, new):
        raise ValueError(
            f"a run must resume with the settings it began with, or have another folder (`output_dir`, "
            f"-o); {file} has others. Received: {'; '.join(differing)}"
        )

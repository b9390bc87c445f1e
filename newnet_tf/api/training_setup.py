"""What `train` and `tune` have in common: recipe, dataset, model and loader from their arguments."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from newnet_tf import weights as checkpoints
from newnet_tf.api.arguments import check_model, check_positive
from newnet_tf.api.data_arguments import check_data, refuse_text
from newnet_tf.data.datasets.base import Dataset
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.data.image_loader import ImageLoader
from newnet_tf.inference.model import REPLACED_ACTIVATION, load_model
from newnet_tf.models import activations, registry
from newnet_tf.models.cifar_stem import small_preprocess, with_stride1_stem
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import OUTPUT_TYPES, ModelMetadata, get_metadata
from newnet_tf.task import Task, get_task
from newnet_tf.training.overrides import override
from newnet_tf.training.recipe_registry import get_recipe
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.progress import note
from newnet_tf.utils.quiet import start_keras

CIFAR_SIZE = 32  # default height and width with `cifar_stem`


def resolve_recipe(
    recipe: str | Recipe,
    overrides: Mapping[str, object] | None,
    epochs: int | None,
    seed: int | None,
) -> tuple[Recipe, str]:
    """Returns a recipe with its changes, and its name.

    Args:
        recipe: name of a recipe, or a `Recipe`, whose name is `"own"`.

        overrides: mapping from field to value, or None.

        epochs, seed: int or None, the same as in `overrides`.

    Raises:
        ValueError: if a name is unknown, a value is not valid, or a field is given twice.
    """
    changes = dict(overrides or {})
    for name, value in (("epochs", epochs), ("seed", seed)):
        if value is not None:
            if name in changes:
                raise ValueError(
                    f"`{name}` (--{name}) must be given once. Received: it, and `overrides` (--set) "
                    f"with {name}"
                )
            changes[name] = value
    is_own = isinstance(recipe, Recipe)
    return override(recipe if is_own else get_recipe(recipe), changes), "own" if is_own else recipe


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """A model and a dataset, ready to be trained.

    Args:
        name: str, of the model, for folders and tables.

        build: callable, recipe -> Keras model.

        make_loader: callable, (recipe, **shard) -> loader.

        task: `Task`.

        dataset: `Dataset`, or None for a loader of the user's.

        preprocess: `PreprocessConfig`, or None for a loader of the user's.

        class_names: tuple of str, or None if they are unknown.
    """

    name: str
    build: Callable[[Recipe], Any]
    make_loader: Callable
    task: Task
    dataset: Dataset | None
    preprocess: PreprocessConfig | None
    class_names: tuple[str, ...] | None

    @property
    def metadata(self) -> ModelMetadata | None:
        """What files of the model hold; None for a loader of the user's, whose images are unknown."""
        if self.preprocess is None:
            return None
        names = self.class_names if self.task.name in OUTPUT_TYPES or self.class_names else None
        return ModelMetadata(
            name=self.name,
            preprocess=self.preprocess,
            task=self.task.name,
            class_names=names and tuple(names),
            dataset=self.dataset.name if self.dataset else None,
        )


def check_arguments(
    model: Any,
    dataset: Any,
    *,
    weights: str | os.PathLike | None,
    image_size: int | None,
    activation: str | None,
    max_samples: int | None,
    validation_split: float,
    images_dir: str | os.PathLike | None,
    checkpoint_every: int,
) -> None:
    """Checks what `train` and `tune` have in common, before anything expensive is imported.

    Raises:
        ValueError: for the first argument that cannot be right.
    """
    check_positive(
        image_size=image_size, max_samples=max_samples, checkpoint_every=checkpoint_every
    )
    if isinstance(model, str):
        registry.resolve(model)
        check_model(model, weights=weights, activation=activation, allow_untrained=True)
    check_data(dataset, validation_split=validation_split, images_dir=images_dir)


def start_training(recipe: Recipe, deterministic: bool) -> None:
    """Starts Keras for training.

    Args:
        recipe: `Recipe`; mixed precision without a GPU is slow, which is noted on stderr.

        deterministic: bool, whether operations of TensorFlow are deterministic.
    """
    keras = start_keras()
    if deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    if recipe.dtype != "float32" and not keras.distribution.list_devices("gpu"):
        note(f"{recipe.dtype} is slow on a CPU: --set dtype=float32")


def set_up(
    model: Any,
    dataset: Any,
    *,
    task: str | Task | None,
    weights: str | os.PathLike | None,
    preprocess: PreprocessConfig | None,
    image_size: int | None,
    cifar_stem: bool,
    activation: str | None,
    max_samples: int | None,
    validation_split: float,
    data_dir: str | os.PathLike | None,
    images_dir: str | os.PathLike | None = None,
) -> TrainingSetup:
    """Returns the `TrainingSetup` of the arguments of `train` and `tune`.

    Raises:
        ValueError: if arguments do not fit each other.
    """
    if not isinstance(model, str):
        given = {
            "weights": weights,
            "image_size": image_size,
            "cifar_stem": cifar_stem or None,
            "activation": activation,
        }
        extra = [name for name, value in given.items() if value is not None]
        if extra:
            raise ValueError(
                f"{', '.join(f'`{name}`' for name in extra)} must come with the name of a model of "
                f"the zoo. Received: a {type(model).__name__}"
            )
    if callable(dataset):  # recipe -> loader
        loader, chosen = dataset, None
        task = get_task(task or "classification")
    else:
        loader, chosen = None, dataset
        if not isinstance(dataset, Dataset):
            chosen = load_dataset(
                dataset,
                validation_split=validation_split,
                data_dir=data_dir,
                images_dir=images_dir,
            )
        refuse_text(chosen)
        task = get_task(task or chosen.task)
    if isinstance(model, str):
        size = image_size or (CIFAR_SIZE if cifar_stem else None)
        preprocess = preprocess or _zoo_preprocess(model, weights, size, cifar_stem)
    elif preprocess is None and chosen is not None:
        preprocess = load_model(model).preprocess

    def build(recipe: Recipe):
        if isinstance(model, str):
            classes = chosen.classes if chosen else None
            return _build_zoo(model, weights, preprocess, classes, cifar_stem, activation)
        return model(recipe) if _is_builder(model) else model

    def make_loader(recipe: Recipe, **shard):
        if loader is not None:
            return loader(recipe, **shard)
        options = recipe.loader_options()
        return ImageLoader(chosen, preprocess, max_samples=max_samples, **options, **shard)

    known = None if isinstance(model, str) else get_metadata(model)
    return TrainingSetup(
        name=model_name(model, activation),
        build=build,
        make_loader=make_loader,
        task=task,
        dataset=chosen,
        preprocess=preprocess,
        class_names=chosen.class_names if chosen else known and known.class_names,
    )


def _is_builder(model: Any) -> bool:
    return callable(model) and not hasattr(model, "layers")


def model_name(model: Any, activation: str | None) -> str:
    """Returns the name of a model in folders and tables."""
    if isinstance(model, str):
        name = registry.resolve(model)[0].card.name
        return activations.name_with(name, activation)
    return getattr(model, "name", None) or getattr(model, "__name__", "model")


def _zoo_preprocess(
    name: str, weights: str | os.PathLike | None, image_size: int | None, cifar_stem: bool
) -> PreprocessConfig:
    variant, tag = registry.resolve(name)
    chosen = os.fspath(weights) if weights else tag
    is_tag = chosen is not None and not checkpoints.is_file(chosen)
    preprocess = registry.preprocess_config(variant.card.name, chosen if is_tag else None)
    if cifar_stem:
        return small_preprocess(preprocess, image_size or CIFAR_SIZE)
    return dataclasses.replace(preprocess, image_size=image_size) if image_size else preprocess


def _build_zoo(
    name: str,
    weights: str | os.PathLike | None,
    preprocess: PreprocessConfig,
    classes: int | None,
    cifar_stem: bool,
    activation: str | None,
):
    """Returns a model of the zoo with logits, for images of the preprocessing's size."""
    variant, tag = registry.resolve(name)
    size = 2 * preprocess.image_size if cifar_stem else preprocess.image_size
    model = variant.build(
        weights=os.fspath(weights) if weights else tag,
        classes=classes,
        input_shape=(size, size, preprocess.channels),
        classifier_activation=None,
    )
    model = with_stride1_stem(model) if cifar_stem else model
    if activation is None:
        return model
    return activations.replace_activation(model, REPLACED_ACTIVATION, activation)

"""All models of the zoo by name: list them, read their cards, build them, prepare their images."""

from __future__ import annotations

import fnmatch
import importlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from newnet_tf import applications as applications  # registers every family
from newnet_tf.models.config import Card, HubFile, PreprocessConfig
from newnet_tf.models.task_catalog import BACKBONE
from newnet_tf.models.variants import REGISTRY
from newnet_tf.utils.suggest import suggestion

if TYPE_CHECKING:
    import keras

    from newnet_tf.data.preprocess import Transform

CATALOGS = (  # modules of the tasks with models of their own: `names()` and `find(name)`
    "newnet_tf.detection.catalog",
    "newnet_tf.text.catalog",
)
DEFAULT = "default"  # of `weights`: those of the tag in `name`, else the constructor's default


def list_models(
    pattern: str = "*", *, task: str | None = None, pretrained: bool = False
) -> list[str]:
    """Lists the names of the zoo's models.

    Args:
        pattern: str, as in a shell: `"rexnet*"`, `"*_100"`. Default: `"*"`, all models.

        task: str or None, lists only models of this task, such as `"classification"`. Default: None,
            all tasks.

        pretrained: bool, lists only models with published weights. Default: False.

    Returns:
        list of str, sorted.

    Raises:
        ValueError: for an unknown task.

    Example:
        >>> newnet_tf.list_models("newnet_*")
        ['newnet_large', 'newnet_small', 'newnet_small_cifar']
    """
    known = [*(variant.card for variant in REGISTRY.values()), *_other_cards()]
    tasks = sorted({card.task for card in known})
    if task is not None and task not in tasks:
        raise ValueError(f"`task` must be None or among {tasks}. Received: task={task!r}")
    return sorted(
        card.name
        for card in known
        if fnmatch.fnmatchcase(card.name, pattern)
        and task in (None, card.task)
        and (not pretrained or any(weights.tag != BACKBONE for weights in card.weights))
    )


def model_card(name: str) -> Card:
    """Returns the card of a model: reported figures, published weights, our measurements.

    Args:
        name: str, as in `create_model`; a tag behind a dot is ignored.

    Returns:
        `newnet_tf.models.config.Card`.

    Raises:
        ValueError: for an unknown name; the message lists the nearest ones.

    Example:
        >>> newnet_tf.model_card("rexnet_100").reported.top1_error
        22.1
    """
    return resolve(name)[0].card


def create_model(
    name: str,
    *,
    weights: str | os.PathLike | None = DEFAULT,
    classes: int | None = None,
    drop_rate: float | None = None,
    include_top: bool = True,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: str | None = None,
    classifier_activation: str | Callable | None = "softmax",
    model_name: str | None = None,
) -> keras.Model:
    """Builds a model by name.

    Args:
        name: str, one of `list_models()`, or timm's name of the same model. A tag behind a dot selects
            weights: `"rexnet_100.nav_in1k"`.

        weights: str, path or None. `"default"` takes the tag in `name`, else the constructor's default:
            `"imagenet"` where such weights are published; of a detector without weights of its own
            `"backbone"`, those of its backbone. None initializes randomly; else a tag of the model's
            card or a checkpoint file (`.safetensors`, `.pth`, `.pt`, `.bin`, `.ckpt`, `.npz`,
            `.weights.h5`, `.keras`, `.pb`). Default: `"default"`.

        classes: int or None, number of classes. Where the weights have another number, the layer
            `classifier` (of a detector `head1_scores` to `head6_scores`) is newly initialized, with a
            warning. Default: None, the number of the weights; without weights the card's.

        drop_rate: float in [0, 1) or None, rate of the Dropout before the classifier. Default: None,
            the rate of the paper.

        include_top: bool, whether to include the pooling and the classifier. Default: True.

        input_tensor: Keras tensor or None, used as the image input. Default: None, a new input.

        input_shape: tuple (height, width, channels) or None; height and width may be None; with one
            channel the model takes gray images. Default: None, the image size of the card, and the
            channels of the weights.

        pooling: str or None, with `include_top=False` one of None (feature map of rank 4), `"avg"`,
            `"max"` (rank 2). Default: None.

        classifier_activation: str, callable or None (logits). Default: `"softmax"`.

        model_name: str or None, name of the Keras model. Default: None, the card's name.

    Returns:
        `keras.Model` from images of shape (batch, height, width, channels), float32, as
        `create_transform(name)` makes them, to class scores of shape (batch, classes); of a detector
        to what `newnet_tf.detection.ssdlite.SSDLite` describes.

    Raises:
        ValueError: for an unknown name or tag, an argument outside of the above, or a checkpoint that
            does not fit.

    Example:
        >>> model = newnet_tf.create_model("efficientnet_lite0", classes=10)
        >>> model.output_shape
        (None, 10)
    """
    variant, tag = resolve(name)
    if tag and weights not in (DEFAULT, tag):
        raise ValueError(
            f"`weights` must be left out when `name` holds a tag. Received: {name=}, {weights=}"
        )
    if isinstance(weights, str) and weights == DEFAULT:
        weights = tag or variant.card.default_weights
    return variant.build(
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=model_name,
        drop_rate=drop_rate,
    )


def create_transform(name: str, *, weights: str | None = None) -> Transform:
    """Returns the preprocessing of a model: from images to its input.

    Args:
        name: str, as in `create_model`.

        weights: str or None, `"imagenet"` or a tag of the model's card: whose preprocessing. Default:
            None, the tag in `name`, else the model's usual one.

    Returns:
        `newnet_tf.data.preprocess.Transform`: call it with an image (path, bytes, PIL image or uint8
        array) or a list of images. It returns a float32 array of shape (n, size, size, channels).

    Raises:
        ValueError: for an unknown name or tag.

    Example:
        >>> transform = newnet_tf.create_transform("efficientnet_lite0")
        >>> model.predict(transform("cat.jpg"))
    """
    from newnet_tf.data.preprocess import Transform

    return Transform(preprocess_config(name, weights))


def preprocess_config(name: str, weights: str | None = None) -> PreprocessConfig:
    """Returns the `PreprocessConfig` of a model's weights.

    Args:
        name: str, as in `create_model`.

        weights: str or None, as in `create_transform`.

    Returns:
        `newnet_tf.models.config.PreprocessConfig`.

    Raises:
        ValueError: for an unknown name or tag.
    """
    variant, tag = resolve(name)
    tag = weights or tag
    return variant.card.select(tag).preprocess if tag else variant.card.preprocess


def resolve(name: str) -> tuple[Any, str | None]:
    """Returns the variant of a name and the tag in the name.

    Args:
        name: str, as in `create_model`.

    Returns:
        (`newnet_tf.models.variants.Variant`, or what another task has in its place, with the same
        `card`, `build` and `target`; str or None).

    Raises:
        ValueError: for an unknown name or tag; the message lists the nearest names.
    """
    base, _, tag = str(name).partition(".")
    aliases = _timm_names()
    variant: Any = REGISTRY.get(base) or REGISTRY.get(aliases.get(base, ""))
    if variant is None:
        found = (importlib.import_module(module).find(base) for module in CATALOGS)
        variant = next((other for other in found if other is not None), None)
    if variant is None:
        names = [*REGISTRY, *aliases, *(card.name for card in _other_cards())]
        raise ValueError(
            "`name` must be a model of the zoo (`newnet list` lists them). "
            f"Received: name={name!r}{suggestion(base, names, count=4, cutoff=0.5)}"
        )
    if tag:
        variant.card.select(tag)
    return variant, tag or None


def _other_cards() -> Iterator[Card]:
    """Yields the cards of the models that are listed for other tasks than classification."""
    for name in CATALOGS:
        module = importlib.import_module(name)
        yield from (module.find(model).card for model in module.names())


def _timm_names() -> dict[str, str]:
    """{timm's name: our name}, read from the hub repositories in the cards."""
    return {
        source.repo.split("/")[-1].partition(".")[0]: name
        for name, variant in REGISTRY.items()
        for weights in variant.card.weights
        for source in weights.sources
        if isinstance(source, HubFile) and source.repo.startswith("timm/")
    }

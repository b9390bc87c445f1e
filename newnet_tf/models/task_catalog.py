"""What the catalogs of tasks with models of their own share: detectors of objects and of text.

Importing it loads neither Keras nor NumPy.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from newnet_tf.models.config import Card, PreprocessConfig, Weights

BACKBONE = (
    "backbone"  # tag of the weights of a classifier, for the backbone of another task's model
)


def backbone_alone(
    backbone: Card, classes: int, fit: Callable[[PreprocessConfig], PreprocessConfig]
) -> tuple[Weights, ...]:
    """Returns the usual weights of a backbone as weights of a model that is built on it.

    Args:
        backbone: `Card` of the backbone.

        classes: int, of the model.

        fit: callable, the backbone's `PreprocessConfig` -> the model's.

    Returns:
        Tuple of one `Weights` of the tag `"backbone"`, empty for a backbone without weights.
    """
    if backbone.default_weights is None:
        return ()
    trained = backbone.select(backbone.default_weights)
    return (
        dataclasses.replace(
            trained,
            tag=BACKBONE,
            preprocess=fit(trained.preprocess),
            dataset=f"{trained.dataset}, the backbone alone",
            classes=classes,
            class_names=(),
        ),
    )


def refuse_arguments(
    given: Mapping[str, Any], allowed: Mapping[str, Sequence], kind: str, name: str
) -> None:
    """Raises ValueError for an argument of a classifier that a task's model does not have.

    Args:
        given: mapping from argument to value.

        allowed: mapping from argument to the only values that are taken.

        kind: str, what the model is, such as `"a detector"`.

        name: str, the model's name.
    """
    for argument, value in given.items():
        if not any(value is x or value == x for x in allowed.get(argument, ())):
            raise ValueError(
                f"`{argument}` must be left out: {kind} has none. "
                f"Received: {argument}={value!r} for {name!r}"
            )


def square_side(input_shape: Any, image_size: Any, unset: Any, kind: str) -> Any:
    """Returns the height and width that `input_shape` says, `image_size` where it is None.

    Args:
        input_shape: tuple (size, size, 3) or None.

        image_size: the other way to say the size.

        unset: the value of `image_size` that says none.

        kind: str, as of `refuse_arguments`.

    Raises:
        ValueError: for another shape, or both.
    """
    if input_shape is None:
        return image_size
    shape = tuple(input_shape)
    if len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3 or image_size != unset:
        raise ValueError(
            f"`input_shape` of {kind} must be (size, size, 3), without `image_size`. "
            f"Received: input_shape={shape}, image_size={image_size!r}"
        )
    return shape[0]

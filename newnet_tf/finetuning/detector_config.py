"""The arguments of a detector's finetuning run, checked without TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from newnet_tf.detection.config import SCORE_FUNCTIONS
from newnet_tf.detection.training.augment import BoxAugmentation
from newnet_tf.finetuning.detector import RECIPE
from newnet_tf.models.features import STRIDES
from newnet_tf.training.overrides import override
from newnet_tf.training.recipes import Recipe

AUGMENTATION = "augmentation."


def check_settings(
    head_epochs: int | None,
    frozen_stride: int | None,
    score_function: str | None,
    cached_views: int | None,
) -> None:
    """Checks arguments of `newnet_tf.finetune` that only detectors have.

    Raises:
        ValueError: for the first that is outside of its range.
    """
    for name, value in (("head_epochs", head_epochs), ("cached_views", cached_views)):
        is_count = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (is_count and value >= 0):
            option = name.replace("_", "-")
            raise ValueError(
                f"`{name}` (--{option}) must be an int, not negative. Received: {value!r}"
            )
    if frozen_stride is not None and frozen_stride not in STRIDES:
        raise ValueError(
            f"`frozen_stride` (--frozen-stride) must be None or among {STRIDES}. "
            f"Received: frozen_stride={frozen_stride!r}"
        )
    if score_function is not None and score_function not in SCORE_FUNCTIONS:
        raise ValueError(
            f"`score_function` (--score-function) must be None or among {SCORE_FUNCTIONS}. "
            f"Received: score_function={score_function!r}"
        )


def split_overrides(changes: Mapping[str, Any]) -> tuple[Recipe, BoxAugmentation]:
    """Returns the recipe and the augmentation of a detector with some fields changed.

    Args:
        changes: mapping from field to value; a field of `BoxAugmentation` is `"augmentation.NAME"`.

    Raises:
        ValueError: for an unknown name or a value of another type.
    """
    known = [field.name for field in dataclasses.fields(BoxAugmentation)]
    own, inner = {}, {}
    for name, value in changes.items():
        field = name.removeprefix(AUGMENTATION)
        if field == name:
            own[name] = value
        elif field not in known:
            raise ValueError(
                f"`{AUGMENTATION}` must be followed by one of {known}. Received: {name!r}"
            )
        else:
            try:
                inner[field] = float(value)
            except (TypeError, ValueError):
                raise ValueError(f"`{name}` must be a number. Received: {value!r}") from None
    return override(RECIPE, own), BoxAugmentation(**inner)

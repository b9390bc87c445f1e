"""`LoadedModel`: a Keras model with its metadata."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from newnet_tf.classification.class_matching import (
    binary_names,
    check_class_names,
    read_class_names,
)
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import (
    CLASSIFICATION,
    LOGITS,
    OUTPUT_TYPES,
    HasMetadata,
    ModelMetadata,
)
from newnet_tf.models.outputs import declared

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class LoadedModel(HasMetadata):
    """A Keras model and what is needed to use it.

    Args:
        model: `keras.Model`.

        metadata: `ModelMetadata`: preprocessing, class names, what the outputs are, origin.

    Example:
        >>> loaded = newnet_tf.load_model("runs/flowers")
        >>> loaded.preprocess.image_size, loaded.class_names
    """

    model: keras.Model
    metadata: ModelMetadata

    @property
    def name(self) -> str:
        """The model's name in tables and file names."""
        return self.metadata.name

    @property
    def weights(self) -> str:
        """Tag or file name of the weights."""
        return self.metadata.weights

    @property
    def is_trained(self) -> bool:
        """Whether all weights are trained."""
        return self.metadata.trained

    @property
    def classes(self) -> int | None:
        """Number of classes of a classifier; None for another task where they have no names."""
        return count_classes(self.model.output_shape, self.metadata)

    def check_trained(self, allow_untrained: bool = False) -> None:
        """Raises ValueError if weights are newly initialized, unless that is allowed.

        Args:
            allow_untrained: bool. Default: False.
        """
        if not self.is_trained and not allow_untrained:
            raise ValueError(
                f"{self.name} must be trained: its classifier (or all of it) is newly initialized, and "
                "its outputs mean nothing. Pass a checkpoint file with a classifier as `weights` "
                "(--weights), or `allow_untrained=True` (--allow-untrained), which marks the files. "
                f"Received: weights={self.weights or None!r}"
            )


def count_classes(output_shape: Any, metadata: ModelMetadata) -> int | None:
    """Returns the number of classes of a model, two for a binary classifier.

    Args:
        output_shape: shape of its outputs, or a structure of shapes.

        metadata: `ModelMetadata`.
    """
    if metadata.task not in OUTPUT_TYPES:
        names = metadata.class_names
        return len(names) if names else (metadata.task_config or {}).get("classes")
    return metadata.count_classes(output_shape[-1])


def with_given(
    metadata: ModelMetadata,
    output_shape: Any,
    preprocess: PreprocessConfig | None,
    class_names: object,
    task: str | None,
    outputs: str | None,
) -> ModelMetadata:
    """Returns metadata with what the user says of a model; None stands for what the metadata say.

    Args:
        metadata, output_shape: as in `count_classes`.

        preprocess, class_names, task, outputs: as in `load_model`, `preprocess` as a config.

    Raises:
        ValueError: where they do not fit each other, or the number of outputs.
    """
    if preprocess is not None:
        metadata = dataclasses.replace(metadata, preprocess=preprocess)
    if task is not None and task not in OUTPUT_TYPES:
        metadata = dataclasses.replace(metadata, task=task, output_type=LOGITS)
    elif metadata.task in OUTPUT_TYPES and (outputs or task):
        known = declared(task, outputs or metadata.output_type, output_shape[-1])
        metadata = dataclasses.replace(metadata, task=known[0], output_type=known[1])
    if class_names is not None:
        names = resolve_names(class_names, output_shape, metadata)
        metadata = dataclasses.replace(metadata, class_names=names)
    return metadata


def resolve_names(
    class_names: object, output_shape: Any, metadata: ModelMetadata
) -> tuple[str, ...] | None:
    """Returns names for the classes of a model, as the user gives them.

    Args:
        class_names: sequence of str, path of a text file with a class a line, or `"imagenet"`; None
            where they are unknown. Of a binary classifier one name is that of the second class.

        output_shape, metadata: as in `count_classes`.

    Raises:
        ValueError: for another number of names than of classes.
    """
    names = read_class_names(class_names)
    if names is None:
        return None
    classes = count_classes(output_shape, metadata)
    if classes == 2 and metadata.task == CLASSIFICATION:
        names = binary_names(names)
    return names if classes is None else check_class_names(names, classes)

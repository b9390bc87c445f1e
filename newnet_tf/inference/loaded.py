"""`LoadedModel`: a Keras model with its metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from newnet_tf.classification.class_matching import (
    binary_names,
    check_class_names,
    read_class_names,
)
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import CLASSIFICATION, OUTPUT_TYPES, ModelMetadata

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class LoadedModel:
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
    def task(self) -> str:
        """The task, a name in `newnet_tf.task.TASKS`."""
        return self.metadata.task

    @property
    def preprocess(self) -> PreprocessConfig:
        """How images become the model's input."""
        return self.metadata.preprocess

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """A name for each class, None where they are unknown."""
        return self.metadata.class_names

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


def count_classes(output_shape: object, metadata: ModelMetadata) -> int | None:
    """Returns the number of classes of a model, two for a binary classifier.

    Args:
        output_shape: shape of its outputs, or a structure of shapes.

        metadata: `ModelMetadata`.
    """
    if metadata.task not in OUTPUT_TYPES:
        return len(metadata.class_names) if metadata.class_names else None
    outputs = output_shape[-1]
    return 2 if outputs == 1 and metadata.task == CLASSIFICATION else outputs


def resolve_names(
    class_names: object, output_shape: object, metadata: ModelMetadata
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

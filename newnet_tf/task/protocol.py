"""`Task`: what training, evaluation, export and the command line ask of a computer-vision task.

The engine knows classification, detection or segmentation by this protocol alone. A new task is a room
of its own, with a `task.py` that defines `TASK`, and a line in `TASKS`. No TensorFlow is imported here.

Terms that every method uses:

- *image*: float32 array (height, width, channels), normalized; *images*: a batch of them.
- *label*: what a dataset says of an image: an array, or a mapping of arrays by name (`{"boxes": ...,
  "classes": ...}`). Labels of a batch carry a leading batch axis in each array; what varies in number
  from image to image is padded.
- *target*: a batch's labels as the loss takes them (one-hot, mixed, or matched with anchors): an array
  or a mapping of arrays by name.
- *outputs*: what the model returns: one array, or a mapping of arrays by output name (a model built as
  `keras.Model(image, {"point": ..., "scores": ...})`).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from newnet_tf.task.records import PostprocessOperator, Prediction

if TYPE_CHECKING:
    import numpy as np

Arrays = Any  # an array, or a mapping of arrays by name
MODES = ("min", "max")


@runtime_checkable
class Metrics(Protocol):
    """Metrics of a split, in sums that can be merged: from batches, and from several workers."""

    def update(self, label: Arrays, outputs: Arrays) -> None:
        """Adds a batch: labels as the loader's `test()` gives them, and the model's outputs."""

    def __add__(self, other: "Metrics") -> "Metrics":
        """Returns the metrics of both parts of a split together."""

    def result(self) -> dict[str, float]:
        """Returns the figures by name, `task.metric` among them, and if known `"loss"`, the mean;
        raises ValueError if no image was added."""

    def state(self) -> dict[str, Any]:
        """Returns the sums as JSON values, to send them to another process."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Replaces the sums by those of `state()`."""


class Task(Protocol):
    """A computer-vision task. Inherit from it: attributes and methods with a default are optional.

    Attributes:
        name: str, its key in `TASKS`: `"classification"`, `"detection"`, ...

        metric: str, name of the figure in `metrics().result()` that chooses the best checkpoint and
            the best trial.

        mode: `"min"` or `"max"`, whether the lowest or the highest `metric` is the best.

        units: mapping from a figure's name to its unit; `"%"` is the only unit that is printed.

        labels: mapping from a figure's name to the title of its curve; default: the name.
    """

    name: str
    metric: str
    mode: str
    units: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}

    def configured(self, task_config: Mapping[str, Any] | None) -> "Task":
        """Returns the task for a model's outputs.

        Args:
            task_config: mapping or None, `ModelMetadata.task_config` of the model.

        Returns:
            A `Task`. Default: the task itself, which needs no such config.
        """
        return self

    def check(self, model, dataset) -> None:
        """Checks that a model and a dataset fit together and suit the task.

        Args:
            model: Keras model.

            dataset: what knows the labels: a `Dataset`, or a loader with the same `classes`.

        Raises:
            ValueError: if they do not; it names what was expected and what came.
        """

    def preprocess(
        self, image: "np.ndarray", label: Arrays, preprocess, *, augmentation=None, seed: int = 0
    ) -> tuple["np.ndarray", Arrays]:
        """Returns an image as the model takes it, and its label, moved with the pixels.

        Args:
            image, label: uint8 array (height, width, 3), decoded, and its label in its pixels.

            preprocess: `PreprocessConfig` of the model.

            augmentation: the task's augmentation config for training; None for evaluation.

            seed: int, decides the augmentation.
        """

    def loss(self, target: Arrays, outputs: Arrays) -> dict[str, Any]:
        """Returns the loss of a batch, in one or several named parts.

        The training step minimizes their sum and logs it as `loss`; with several parts each is logged
        by its name too. Use `keras.ops`; compute in float32.

        Args:
            target: tensor or mapping of tensors, the batch's targets.

            outputs: tensor or mapping of tensors, the model's outputs with `training=True`.

        Returns:
            Mapping from name to a scalar tensor, the part's mean over the batch.
        """

    def batch_metrics(self, target: Arrays, outputs: Arrays) -> dict[str, Any]:
        """Returns further figures of a training batch, cheap ones, to be logged by name.

        Args:
            target, outputs: as in `loss`.

        Returns:
            Mapping from name (not `loss...`) to a scalar tensor, the batch's mean. Default: empty.
        """
        return {}

    def train_metrics(self, sums: Mapping[str, float], steps: int) -> dict[str, float]:
        """Returns an epoch's training figures, by the names that `metrics().result()` uses.

        Args:
            sums: mapping, each of `batch_metrics` added up over the epoch's steps.

            steps: int, the number of steps.

        Returns:
            Mapping from name to value. Default: the means of `batch_metrics`.
        """
        return {name: total / steps for name, total in sums.items()}

    def metrics(self) -> Metrics:
        """Returns new metrics, to which nothing was added yet."""

    def evaluator(
        self,
        classes: int,
        class_names: Sequence[str] | None = None,
        dataset_class_names: Sequence[str] | None = None,
        output_type: str = "logits",
    ) -> Any:
        """Returns what collects the outputs of an evaluation image by image and makes its result.

        Args:
            classes: int, number of the model's classes.

            class_names: one str for each class of the model; None if they are unknown.

            dataset_class_names: one str for each class of the dataset, which are matched with the
                model's by name; None if labels are the model's classes.

            output_type: str, what class scores are, see `ModelMetadata.output_type`.

        Returns:
            A `newnet_tf.evaluation.loop.Evaluator` without outputs.

        Raises:
            ValueError: if the dataset has a class that the model does not have.
        """

    def decode(
        self,
        outputs: Arrays,
        image_size: tuple[int, int],
        class_names: Sequence[str] | None = None,
        max_predictions: int | None = None,
        output_type: str = "logits",
    ) -> list[Prediction]:
        """Returns the predictions for one image, the highest score first. NumPy only.

        Args:
            outputs: array or mapping of arrays, the model's outputs for one image, without batch axis.

            image_size: (height, width) of the original image, in whose pixels boxes are.

            class_names: sequence of str or None, a name for each class.

            max_predictions: int or None, the most predictions; default: the task's own.

            output_type: str, what class scores are, see `ModelMetadata.output_type`.
        """

    def fidelity(
        self,
        reference: Arrays,
        outputs: Arrays,
        output_type: str = "logits",
        reference_type: str = "logits",
    ) -> dict[str, float]:
        """Returns how close an exported model's outputs are to the Keras model's. NumPy only.

        Args:
            reference: array or mapping of arrays, the Keras model's outputs for two or more images.

            outputs: the same from the exported model.

            output_type, reference_type: str, what class scores of the exported model and of the Keras
                model are, see `ModelMetadata.output_type`.

        Returns:
            Mapping from name to figure, `"images"` (their number), `"cosine"` (1 for equal outputs)
            and `"max_normalized_error"` (0 for equal outputs) among them.

        Raises:
            ValueError: if names or shapes differ.
        """

    def tolerance(self, precision: str) -> Mapping[str, tuple[float | None, float | None]] | None:
        """Returns the bounds of `fidelity`'s figures that an exported file must keep.

        Args:
            precision: str, one of `newnet_tf.deploy.PRECISIONS`.

        Returns:
            Mapping from a figure's name to (least, most), either None for no bound. Default: None,
            the bounds of the precision itself on `"cosine"`, `"max_normalized_error"` and, where the
            figures hold it, `"top1_matches"`.
        """
        return None

    def postprocess_operator(self) -> PostprocessOperator | None:
        """Returns the TFLite operator that `export(embed_postprocess=True)` adds; None for a task
        without one."""
        return None

    def decoder_spec(self) -> Mapping[str, Any] | None:
        """Returns how code outside of Python turns raw outputs into results, as JSON values, from which
        the code of bundles and the web page are generated; None where outputs need no decoding."""
        return None

    def draw(self, image: "np.ndarray", predictions: Sequence[Prediction]) -> "np.ndarray":
        """Returns an image with its predictions drawn on it or next to it.

        Args:
            image: uint8 array (height, width, 3), the original image.

            predictions: of `decode`.

        Returns:
            uint8 array (height, width, 3), possibly larger.
        """

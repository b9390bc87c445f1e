"""`ModelMetadata`: what is needed to use a model, in one record that travels inside its files.

Every file that the package writes holds it: `.keras` files as an entry of the archive, TFLite files in
a metadata buffer, ONNX files in their metadata properties, SavedModels in `assets.extra`. A file
without it (of another package, say) leaves these questions to its user; nothing is guessed from names.
Standard library only.
"""

import dataclasses
import json
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from newnet_tf.models.config.preprocess import PreprocessConfig

FORMAT = 2  # raise it when keys change
KEY = "newnet_tf"  # under which files hold the record
ENTRY = "newnet_tf.json"  # the file that holds it in archives and folders
CLASSIFICATION, MULTILABEL = "classification", "multilabel_classification"
LOGITS, PROBABILITIES, SIGMOID = "logits", "probabilities", "sigmoid"
OUTPUT_TYPES = {  # of each task whose outputs are class scores
    CLASSIFICATION: (LOGITS, PROBABILITIES, SIGMOID),
    MULTILABEL: (LOGITS, SIGMOID),
}


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """What is needed to use a model: preprocessing, classes, meaning of the outputs, origin.

    Args:
        name: str, the model's name in tables and file names.

        preprocess: `PreprocessConfig`, how an image becomes the model's input.

        task: str, among `newnet_tf.task.TASKS`. Default: `"classification"`.

        class_names: tuple with one str for each class; None if they are unknown. A binary classifier
            (`classification` with one output) has two: of output 0 and of output 1.

        output_type: what class scores are. `"logits"` (default); `"probabilities"` that add up to 1;
            `"sigmoid"`, a probability for each output on its own (of `classification` with one output:
            of the second class). `"logits"` for any other task.

        trained: bool, whether all weights are trained. Default: True.

        weights: str, tag or file name of the weights. Default: `""`, unknown.

        license: str or None, SPDX identifier of the weights' license.

        author: str or None, who trained them.

        dataset: str or None, what they were trained on.

        sha256: str, digest over all weights, as `deploy.fingerprint.weights_digest`. Default: `""`,
            not computed.

        task_config: dict of JSON values or None, what else the task must know to read the outputs: of
            a detector its `DetectionConfig.to_dict()`. Default: None, nothing.

    Raises:
        ValueError: for an `output_type` that the task does not have.
    """

    name: str
    preprocess: PreprocessConfig
    task: str = CLASSIFICATION
    class_names: tuple[str, ...] | None = None
    output_type: str = LOGITS
    trained: bool = True
    weights: str = ""
    license: str | None = None
    author: str | None = None
    dataset: str | None = None
    sha256: str = ""
    task_config: dict[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self):
        check_output_type(self.output_type, self.task)

    def count_classes(self, outputs: int) -> int:
        """Returns the number of classes of a classifier: two for a binary one, of one output.

        Args:
            outputs: int, number of its outputs.
        """
        return 2 if outputs == 1 and self.task == CLASSIFICATION else outputs

    def to_dict(self) -> dict:
        """Returns the record as JSON values."""
        return {"format": FORMAT, **json.loads(json.dumps(dataclasses.asdict(self)))}

    @classmethod
    def from_dict(cls, values: Mapping) -> "ModelMetadata":
        """Returns the record that `to_dict` described.

        Args:
            values: mapping, as read from JSON.

        Raises:
            ValueError: for another format, a missing or unknown field, or a value of another type.
        """
        if not isinstance(values, Mapping) or values.get("format") != FORMAT:
            received = (
                values.get("format") if isinstance(values, Mapping) else type(values).__name__
            )
            raise ValueError(
                f"a model's metadata must be a JSON object of format {FORMAT}. Received: {received!r}"
            )
        fields = {name: value for name, value in values.items() if name != "format"}
        known = set(cls.__dataclass_fields__)
        if set(fields) != known:
            odd = sorted(set(fields) ^ known)
            raise ValueError(f"a model's metadata must hold {sorted(known)}. Received: not {odd}")
        names = fields["class_names"]
        is_list = names is None or isinstance(names, list | tuple)
        if not isinstance(fields["task_config"], dict | None):
            raise ValueError(
                "`task_config` of a model's metadata must be a JSON object or null. "
                f"Received: {fields['task_config']!r:.60}"
            )
        if not is_list or not isinstance(fields["trained"], bool):
            raise ValueError(
                "a model's metadata must hold a list of class names or null, and `trained` as a bool. "
                f"Received: class_names={names!r:.60}, trained={fields['trained']!r:.60}"
            )
        texts = [
            fields["name"],
            fields["task"],
            fields["weights"],
            fields["sha256"],
            *(names or ()),
        ]
        texts += [
            fields[key] for key in ("license", "author", "dataset") if fields[key] is not None
        ]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a model's metadata must hold texts. Received: another type in it")
        fields["preprocess"] = PreprocessConfig.from_dict(fields["preprocess"])
        fields["class_names"] = None if names is None else tuple(names)
        return cls(**fields)


class HasMetadata:
    """What is said of a model by everything that has its `ModelMetadata` as `metadata`."""

    metadata: ModelMetadata

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


def check_output_type(output_type: str, task: str) -> None:
    """Raises ValueError unless models of a task may have this `output_type`."""
    known = OUTPUT_TYPES.get(task, (LOGITS,))
    if output_type not in known:
        raise ValueError(
            f"`output_type` of a model for {task!r} must be among {known}. "
            f"Received: output_type={output_type!r}"
        )


_of_models: weakref.WeakKeyDictionary[Any, ModelMetadata] = weakref.WeakKeyDictionary()


def set_metadata(model: Any, metadata: ModelMetadata) -> None:
    """Keeps the metadata of a Keras model for as long as the object lives.

    `evaluate`, `predict`, `export`, `load_model` and the other functions then take the Keras model
    alone. A copy of it (`keras.models.clone_model`) is another object and has none.

    Args:
        model: `keras.Model`.

        metadata: `ModelMetadata`.

    Example:
        >>> preprocess = PreprocessConfig(image_size=160, mean=(0.5,) * 3, std=(0.5,) * 3)
        >>> metadata = ModelMetadata(name="pets", preprocess=preprocess, class_names=("cat", "dog"))
        >>> newnet_tf.set_metadata(model, metadata)
        >>> newnet_tf.evaluate(model, "pets/")
    """
    _of_models[model] = metadata


def get_metadata(model: Any) -> ModelMetadata | None:
    """Returns the metadata of a Keras model: of `create_model`, `load_model`, `train`, `finetune` or
    `set_metadata`; None where nothing is known of it.

    Args:
        model: any object.
    """
    try:
        return _of_models.get(model)
    except TypeError:  # it cannot be referred to weakly, or not hashed
        return None

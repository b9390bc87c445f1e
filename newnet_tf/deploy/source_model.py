"""The model that an export begins with: as the user has it, and as the graph that is converted."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from newnet_tf.data.sample_images import sample_images
from newnet_tf.deploy import model_outputs
from newnet_tf.models import outputs
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import (
    CLASSIFICATION,
    LOGITS,
    MULTILABEL,
    OUTPUT_TYPES,
    PROBABILITIES,
    SIGMOID,
    ModelMetadata,
    get_metadata,
)
from newnet_tf.models.flatten import compute_dtypes, flatten
from newnet_tf.models.model_file import weights_digest
from newnet_tf.task import task_of
from newnet_tf.utils.lazy import LazyModule, keras

if TYPE_CHECKING:
    from newnet_tf.task import PostprocessOperator, Task

image_batch = LazyModule("newnet_tf.deploy.image_batch")

SOFTMAX = "softmax"
SCOPE_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
HALF_PRECISION = {"float16": "fp16", "bfloat16": "int8-full"}  # whose tolerance bounds its rounding


@dataclass(frozen=True, kw_only=True)
class SourceModel:
    """A model to export.

    Args:
        given: `keras.Model` as the user has it. Files are verified against its outputs.

        graph: `keras.Model` to convert: flat, float32, without what acts in training only. A
            classifier's returns logits, unless its end cannot be taken off.

        metadata: `ModelMetadata` of `given`, with the digest of its weights.

        head: `"softmax"` or `"sigmoid"`, which makes `given`'s outputs of `graph`'s; None where these
            are the same.

        task: `Task`.
    """

    given: Any
    graph: Any
    metadata: ModelMetadata
    head: str | None
    task: Task

    @property
    def graph_output_type(self) -> str:
        """What the outputs of `graph` are."""
        return LOGITS if self.head else self.metadata.output_type

    @property
    def half_precision(self) -> str | None:
        """The name of the precision whose tolerance bounds `given`'s own rounding; None for float32."""
        types = compute_dtypes(self.given)
        return next((name for kind, name in HALF_PRECISION.items() if kind in types), None)

    def predict(self, inputs: np.ndarray) -> np.ndarray | dict[str, np.ndarray]:
        """Returns the outputs of `given` for a batch of any size: an array, or a dict by name.

        Args:
            inputs: float32 array (images, height, width, channels).
        """
        outputs = model_outputs.predict(self.given, inputs)
        if isinstance(outputs, list):  # of a model without names: those of its layers
            outputs = dict(zip(self.graph.output, outputs, strict=True))
        return outputs

    def resolve_output_type(self, requested: str | None) -> tuple[str, str | None]:
        """Returns what a file's outputs are, and the activation to add to `graph` for it.

        Args:
            requested: str, see `ModelMetadata.output_type`; None for the model's own.

        Raises:
            ValueError: where `graph` cannot give it.
        """
        own = self.metadata.output_type
        wanted = own if requested is None else requested
        classes = self.graph.output_shape[-1] if self.task.name in OUTPUT_TYPES else None
        possible = {own}
        if self.graph_output_type == LOGITS and classes is not None:
            is_single = self.task.name == CLASSIFICATION and classes > 1
            possible |= {LOGITS, PROBABILITIES if is_single else SIGMOID}
        if wanted not in possible:
            raise ValueError(
                f"`output_type` must be among {sorted(possible)} for model {self.given.name!r}, whose "
                f"outputs are {own}. Received: output_type={wanted!r}"
            )
        if wanted == self.graph_output_type:
            return wanted, None
        return wanted, SOFTMAX if wanted == PROBABILITIES else SIGMOID


def source_model(
    model: Any,
    metadata: ModelMetadata | PreprocessConfig,
    name: str | None = None,
    task: str | Task | None = None,
) -> SourceModel:
    """Returns a model as an export begins with it.

    Args:
        model: built `keras.Model` with one image input: functional, `Sequential`, with nested models,
            subclassed, of mixed precision.

        metadata: `ModelMetadata`, or a `PreprocessConfig` alone: then what is known of the model itself
            is taken (`get_metadata`), and what its outputs are is read from its end.

        name: str, the model's name in file names. Default: that of the metadata.

        task: str or `Task`. Default: that of the metadata.

    Raises:
        ValueError: for a model of another kind, or outputs that cannot be told.
    """
    preprocess = metadata if isinstance(metadata, PreprocessConfig) else metadata.preprocess
    known = metadata if isinstance(metadata, ModelMetadata) else get_metadata(model)
    size = preprocess.image_size
    flat = flatten(model, (size, size, preprocess.channels))
    task_name = task if isinstance(task, str) or task is None else task.name
    task_name = task_name or (known.task if known else None)
    if known is None or (task_name != known.task and task_name in OUTPUT_TYPES):
        known = describe(flat, preprocess, task_name)
    elif task_name != known.task:
        known = dataclasses.replace(known, task=task_name, output_type=LOGITS)
    known = dataclasses.replace(
        known, name=name or known.name, preprocess=preprocess, sha256=weights_digest(model)
    )
    if not SCOPE_NAME.fullmatch(flat.name):  # of TensorFlow's graphs
        flat = keras.Model(flat.inputs[0], flat.output, name="model")
    resolved = task_of(known) if isinstance(task, str) or task is None else task
    model_outputs.check_image_size(flat, preprocess)
    if known.task not in OUTPUT_TYPES:
        graph = model_outputs.with_named_outputs(flat)
        return SourceModel(given=model, graph=graph, metadata=known, head=None, task=resolved)
    _check_class_names(known, outputs.check_scores_model(flat))
    graph, head = flat, None
    if known.output_type != LOGITS and outputs.final_activation(flat) in (SOFTMAX, SIGMOID):
        graph, head = outputs.without_activation(flat), outputs.final_activation(flat)
    return SourceModel(given=model, graph=graph, metadata=known, head=head, task=resolved)


def checked_operator(source: SourceModel, embed_postprocess: bool) -> PostprocessOperator | None:
    """Returns the post-processing operator for the end of a file.

    Args:
        source: `SourceModel`.

        embed_postprocess: bool, whether there shall be one.

    Returns:
        `PostprocessOperator`; None without `embed_postprocess`.

    Raises:
        ValueError: for a task without such an operator.
    """
    operator = source.task.postprocess_operator() if embed_postprocess else None
    if embed_postprocess and operator is None:
        raise ValueError(
            "`embed_postprocess` (--embed-postprocess) must come with a detector. "
            f"Received: {source.metadata.name}, task {source.task.name!r}"
        )
    return operator


def _check_class_names(metadata: ModelMetadata, scores: int) -> None:
    """Raises ValueError for more or fewer names than a model with so many scores has classes."""
    names = metadata.class_names
    classes = metadata.count_classes(scores)
    if names is not None and len(names) != classes:
        raise ValueError(
            f"`class_names` (--labels) must name {classes} classes, as the model has {scores} "
            f"score(s). Received: {len(names)} names"
        )


def describe(
    flat: Any,
    preprocess: PreprocessConfig,
    task: str | None = None,
    output_type: str | None = None,
    has_names: bool = False,
) -> ModelMetadata:
    """Returns metadata of a model that has none: what its outputs are is read from its graph.

    Args:
        flat: `keras.Model` that `flatten` returned.

        preprocess: `PreprocessConfig`.

        task: str, where it is known. Default: a classifier's, as the outputs say.

        output_type: str, where it is known. Default: as the outputs say.

        has_names: bool, whether names of its classes are known: then a single number is a class score.

    Raises:
        ValueError: for a model that is no classifier, or where its outputs do not say what they are.
    """
    name = flat.name.removesuffix("_graph")
    if task is not None and task not in OUTPUT_TYPES:
        return ModelMetadata(name=name, preprocess=preprocess, task=task)
    classes = outputs.check_scores_model(flat)
    ending = outputs.final_activation(flat)
    if output_type is None and ending == outputs.LINEAR and (has_names or task == MULTILABEL):
        output_type = LOGITS
    if output_type == LOGITS and ending in (SOFTMAX, SIGMOID):
        raise ValueError(
            f"`outputs` (--outputs) of {name!r} must not be {LOGITS!r}: its graph ends in a {ending}. "
            f"Received: outputs={LOGITS!r}"
        )
    known = outputs.declared(task, output_type, classes)
    if known is None:

        def sample_outputs() -> np.ndarray:
            batch = image_batch.read(sample_images(), preprocess, "images")
            return model_outputs.predict(flat, batch.inputs)

        found, output_type = outputs.describe_outputs(flat, sample_outputs, classes)
        known = (found if output_type != LOGITS else task or found), output_type
    return ModelMetadata(name=name, preprocess=preprocess, task=known[0], output_type=known[1])

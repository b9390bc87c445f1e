"""Frozen features of a dataset, computed once and cached, and the classifier that is fitted to them."""

import dataclasses
import functools
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.classification.linear_probe import LinearClassifier
from newnet_tf.classification.multilabel_result import MultilabelResult
from newnet_tf.classification.result import ClassificationResult
from newnet_tf.data.datasets.base import Split
from newnet_tf.data.host_loader import Sample, iter_samples
from newnet_tf.data.images import SkippedImage
from newnet_tf.data.preprocess import preprocess_image
from newnet_tf.deploy.fingerprint import graph_digest
from newnet_tf.evaluation.loop import evaluate_samples
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.model_file import weights_digest
from newnet_tf.utils.io import atomic_write
from newnet_tf.utils.lazy import keras

CLASSIFIER = "classifier"
FORMAT = 2


@dataclass(frozen=True, eq=False)
class ModelOutputs:
    """The outputs of a model for the images of a split.

    Args:
        names: tuple of str, names of the n images.

        labels: int array of shape (n,), their classes; or (n, classes) of 0 and 1.

        values: float array of shape (n, width), features or class probabilities.

        skipped: tuple of `SkippedImage`, images that could not be read; they are not among the n.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    values: np.ndarray
    skipped: tuple[SkippedImage, ...] = ()

    def result(self) -> ClassificationResult | MultilabelResult:
        """Returns the top-1 or multi-label result; `values` must be class probabilities."""
        if self.labels.ndim == 2:
            is_class = self.labels.astype(bool)
            return MultilabelResult(self.names, is_class, self.values, self.skipped)
        topk = self.values.argmax(axis=1)[:, None]
        return ClassificationResult(self.names, self.labels, topk, (1,), self.skipped)

    def select(self, names: Sequence[str]) -> "ModelOutputs":
        """Returns the outputs for some of the images, in the order of `names`."""
        rows = {name: number for number, name in enumerate(self.names)}
        chosen = [rows[name] for name in names]
        return ModelOutputs(tuple(names), self.labels[chosen], self.values[chosen], self.skipped)


def feature_extractor(model):
    """Returns the part of a model before its layer `classifier`.

    Args:
        model: Keras model with a layer `classifier`.

    Returns:
        Keras model from images to features of shape (n, depth).

    Raises:
        ValueError: if the model's scores are not a linear function of pooled features.
    """
    layer = _classifier(model)
    shape = tuple(layer.input.shape)
    is_pooled = len(shape) == 2 or (len(shape) == 4 and shape[1:3] == (1, 1))
    if not is_pooled or model.output_shape[-1] != layer.output.shape[-1]:
        raise ValueError(
            "`model` must end in pooled features and a linear layer `classifier`. "
            f"Received: {model.name!r}, whose `classifier` takes shape {shape}"
        )
    features = keras.layers.Flatten(name="features")(layer.input)
    return keras.Model(model.inputs[0], features, name=f"{model.name}_features")


def set_classifier(model, linear: LinearClassifier) -> None:
    """Sets the weights of the layer `classifier` to those of a linear classifier.

    Args:
        model: Keras model with a layer `classifier`; it is changed.

        linear: `LinearClassifier` of the features of `feature_extractor(model)`.

    Raises:
        ValueError: if the shapes differ.
    """
    layer = _classifier(model)
    kernel, bias = layer.get_weights()
    if linear.kernel.size != kernel.size or linear.bias.shape != bias.shape:
        raise ValueError(
            f"`linear` must be of shape {kernel.shape}. Received: {linear.kernel.shape}"
        )
    layer.set_weights([linear.kernel.reshape(kernel.shape), linear.bias])


def compute_outputs(
    model,
    split: Split,
    preprocess: PreprocessConfig,
    batch_size: int = 32,
    description: str = "Evaluating",
) -> ModelOutputs:
    """Runs a model over a split, in order; shows progress on stderr.

    Args:
        model: Keras model with one output of shape (n, width).

        split: `Split`.

        preprocess: `PreprocessConfig` of the model.

        batch_size: int, images a call. Default: 32.

        description: str, of the progress bar.

    Returns:
        `ModelOutputs`.

    Raises:
        ValueError: if no image can be read.
    """
    return evaluate_samples(
        lambda images: np.asarray(model.predict_on_batch(np.stack(images)), np.float32),
        iter_samples(split),
        split.size,
        functools.partial(preprocess_image, preprocess=preprocess),
        _OutputCollector(),
        batch_size,
        description,
    )


def cached_outputs(
    extractor,
    split: Split,
    preprocess: PreprocessConfig,
    file: str | os.PathLike,
    batch_size: int = 32,
) -> tuple[ModelOutputs, bool]:
    """Returns the features of a split, from a file if they were computed before.

    The file is used if it was computed with the same weights, graph and preprocessing, from the same
    images: by name, and for files by size and time of change too.

    Args:
        extractor: Keras model, from `feature_extractor`.

        split: `Split`.

        preprocess: `PreprocessConfig` of the model.

        file: path of the `.npz` file.

        batch_size: int, images a call. Default: 32.

    Returns:
        (`ModelOutputs`, bool: whether they come from the file).
    """
    file = Path(file)
    key = _key(extractor, preprocess, [sample_stamp(sample) for sample in iter_samples(split)])
    outputs = _read(file, key)
    if outputs is not None:
        return outputs, True
    description = f"Features of {split.size} images"
    outputs = compute_outputs(extractor, split, preprocess, batch_size, description)
    skipped = [[image.path, image.reason] for image in outputs.skipped]
    with atomic_write(file) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            key=key,
            names=np.array(outputs.names),
            labels=outputs.labels,
            values=outputs.values,
            skipped=np.array(skipped, dtype=str).reshape(-1, 2),
        )
    return outputs, False


class _OutputCollector:
    """Collects outputs as they are, see `evaluation.loop.Evaluator`."""

    def __init__(self):
        self._names: list[str] = []
        self._labels: list[int | np.ndarray] = []
        self._values: list[np.ndarray] = []

    def update(self, samples: Sequence[Sample], outputs: object) -> None:
        self._values.append(np.asarray(outputs))
        self._names.extend(sample.name for sample in samples)
        self._labels.extend(sample.label for sample in samples)

    def result(self, skipped: tuple[SkippedImage, ...] = ()) -> ModelOutputs:
        values = np.concatenate(self._values)
        return ModelOutputs(tuple(self._names), np.array(self._labels), values, skipped)


def _classifier(model):
    try:
        return model.get_layer(CLASSIFIER)
    except ValueError as error:
        raise ValueError(
            f"`model` must have a layer `{CLASSIFIER}`, as the zoo's models have. "
            f"Received: {model.name!r}"
        ) from error


def sample_stamp(sample: Sample) -> list:
    """Returns what tells an image and its label from others, as JSON values.

    Args:
        sample: `Sample`; of a file, size and time of change count too.
    """
    label = sample.label
    if isinstance(label, Mapping):
        label = {name: np.asarray(values).tolist() for name, values in label.items()}
    else:
        label = np.asarray(label).tolist()
    if isinstance(sample.source, (str, os.PathLike)) and os.path.isfile(sample.source):
        state = os.stat(sample.source)
        return [sample.name, label, state.st_size, state.st_mtime_ns]
    return [sample.name, label]


def _key(extractor, preprocess: PreprocessConfig, images: list) -> str:
    content = {
        "format": FORMAT,
        "weights": weights_digest(extractor),
        "graph": graph_digest(extractor),
        "preprocess": dataclasses.asdict(preprocess),
        "images": images,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read(file: Path, key: str) -> ModelOutputs | None:
    """Returns what a file holds under `key`; None for another key or a damaged file."""
    try:
        with np.load(file) as arrays:
            if str(arrays["key"]) != key:
                return None
            skipped = tuple(SkippedImage(str(path), str(why)) for path, why in arrays["skipped"])
            names = tuple(str(name) for name in arrays["names"])
            return ModelOutputs(names, arrays["labels"], arrays["values"], skipped)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None

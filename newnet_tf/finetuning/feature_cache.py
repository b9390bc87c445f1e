"""A network's frozen features, computed once, and a linear classifier of them as its last layer."""

import dataclasses
import functools
import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.classification.linear_probe import Linear
from newnet_tf.data.datasets.base import Split
from newnet_tf.data.host_loader import Sample, each_batch, iter_samples
from newnet_tf.data.images import SkippedImage
from newnet_tf.data.preprocess import preprocess_image
from newnet_tf.deploy import fingerprint
from newnet_tf.evaluation.loop import Result
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import keras
from newnet_tf.weights.reader import beside

CLASSIFIER = "classifier"
FORMAT = 1


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network gave for the images of a split.

    Args:
        names: tuple of str, the images. labels: int array (n,).
        values: float32 array (n, width), features or scores.
        bad: tuple of `SkippedImage`, images that could not be read; they are nowhere else.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    values: np.ndarray
    bad: tuple[SkippedImage, ...]

    def result(self) -> Result:
        """Returns the top-1 result, for values that are scores."""
        return Result(self.names, self.labels, self.values.argmax(axis=1)[:, None], (1,), self.bad)

    def named(self, names: Sequence[str]) -> "Outputs":
        """Returns those for some of the images, in that order."""
        place = {name: number for number, name in enumerate(self.names)}
        rows = [place[name] for name in names]
        return Outputs(tuple(names), self.labels[rows], self.values[rows], self.bad)


def feature_extractor(model):
    """Returns the part of a network before its layer `classifier`, as features of shape (n, depth).

    Raises:
        ValueError: for a network whose scores are not a linear function of pooled features.
    """
    layer = _classifier(model)
    shape = tuple(layer.input.shape)
    fits = len(shape) == 2 or (len(shape) == 4 and shape[1:3] == (1, 1))
    if not fits or model.output_shape[-1] != layer.output.shape[-1]:
        raise ValueError(
            "`model` must end in pooled features and a linear layer `classifier`. "
            f"Received: {model.name!r}, whose `classifier` takes shape {shape}"
        )
    flat = keras.layers.Flatten(name="features")(layer.input)
    return keras.Model(model.inputs[0], flat, name=f"{model.name}_features")


def set_classifier(model, linear: Linear) -> None:
    """Makes a linear classifier of `feature_extractor`'s features the last layer of the network, exactly."""
    layer = _classifier(model)
    kernel, bias = layer.get_weights()
    if linear.kernel.size != kernel.size or linear.bias.shape != bias.shape:
        raise ValueError(
            f"`linear` must be of shape {kernel.shape}. Received: {linear.kernel.shape}"
        )
    layer.set_weights([linear.kernel.reshape(kernel.shape), linear.bias])


def outputs(
    model,
    split: Split,
    preprocess: PreprocessConfig,
    batch_size: int = 32,
    title: str = "Predicting",
) -> Outputs:
    """Runs a model over a split, in order; shows progress on stderr.

    Args:
        model: Keras model of one output (n, width). split: `Split`. preprocess: `PreprocessConfig`.
        batch_size: int. title: str, of the progress bar.

    Raises:
        ValueError: where no image can be read.
    """
    names, labels, values = [], [], []

    def run(found, images):
        values.append(np.asarray(model.predict_on_batch(np.stack(images)), np.float32))
        names.extend(sample.name for sample in found)
        labels.extend(sample.label for sample in found)

    prepare = functools.partial(preprocess_image, preprocess=preprocess)
    bad = each_batch(run, iter_samples(split), split.size, prepare, batch_size, title)
    if not names:
        raise ValueError(f"there must be a readable image. Received: {bad[0].reason}")
    return Outputs(tuple(names), np.array(labels), np.concatenate(values), bad)


def cached(
    embed, split: Split, preprocess: PreprocessConfig, file: str | os.PathLike, batch_size: int = 32
) -> tuple[Outputs, bool]:
    """Returns `outputs` of an embedder, computed only where they do not lie in `file` already.

    What lies there counts if it came from the same weights, graph, preprocessing and images (by
    name; those that are files, by size and time of change too).

    Returns:
        (`Outputs`, whether they were found).
    """
    file = Path(file)
    key = _key(embed, preprocess, [_stamp(sample) for sample in iter_samples(split)])
    found = _read(file, key)
    if found is not None:
        return found, True
    made = outputs(embed, split, preprocess, batch_size, f"Features of {split.size} images")
    with beside(file) as part, part.open("wb") as opened:
        np.savez(
            opened,
            key=key,
            names=np.array(made.names),
            labels=made.labels,
            values=made.values,
            bad=np.array([[b.path, b.reason] for b in made.bad], dtype=str).reshape(-1, 2),
        )
    return made, False


def _classifier(model):
    try:
        return model.get_layer(CLASSIFIER)
    except ValueError as error:
        raise ValueError(
            f"`model` must have a layer `{CLASSIFIER}`, as the zoo's networks have. "
            f"Received: {model.name!r}"
        ) from error


def _stamp(sample: Sample) -> list:
    if isinstance(sample.source, (str, os.PathLike)) and os.path.isfile(sample.source):
        state = os.stat(sample.source)
        return [sample.name, sample.label, state.st_size, state.st_mtime_ns]
    return [sample.name, sample.label]


def _key(embed, preprocess: PreprocessConfig, names: list) -> str:
    parts = {
        "format": FORMAT,
        "weights": fingerprint.weights_digest(embed),
        "graph": fingerprint.graph_digest(embed),
        "preprocess": dataclasses.asdict(preprocess),
        "images": names,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read(file: Path, key: str) -> Outputs | None:
    """Returns what lies in a file under `key`; a damaged file is no reason to stop."""
    try:
        with np.load(file) as held:
            if str(held["key"]) != key:
                return None
            bad = tuple(SkippedImage(str(path), str(reason)) for path, reason in held["bad"])
            names = tuple(str(name) for name in held["names"])
            return Outputs(names, held["labels"], held["values"], bad)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None

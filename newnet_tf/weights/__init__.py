"""From a tag or a checkpoint file to a model's variables, and back to a file.

`read`, `load` and `save` are what the rest of the package calls. Behind them: `reader` reads files into
arrays (with `kinds`, `archive`, `hdf5`, `shards`, `frozen_graph`, and `pytorch`, which needs no
torch), `places` finds the model's tensors in a file, `match` pairs tensors and variables by name,
`assign` fills the variables, strictly both ways, `fetch` downloads the file of a tag. Importing this
module imports none of them.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from newnet_tf.models.config import Card, CheckpointFormat

if TYPE_CHECKING:
    from newnet_tf.weights import assign, reader

SUFFIXES = (
    ".safetensors",
    ".pth",
    ".pt",
    ".pth.tar",
    ".bin",
    ".ckpt",
    ".index.json",
    ".npz",
    ".weights.h5",
    ".keras",
    ".h5",
    ".hdf5",
    ".pb",
)  # by which a name is known to be a file; which kind of file it is, its content says
WRITABLE = (".weights.h5", ".keras", ".safetensors", ".npz")
CLASSIFIER = "classifier"


class CheckpointError(ValueError):
    """A checkpoint that cannot be downloaded, read, trusted or assigned."""

    @classmethod
    def about(cls, path: os.PathLike, expected: str, problem: str) -> "CheckpointError":
        """Returns the error for a file.

        Args:
            path: path of the file.

            expected: str, what the file must be.

            problem: str, what is wrong with it.
        """
        path = Path(path)
        return cls(f"{path.name!r} must be {expected}; {problem}. Received: {path}")


@dataclass(frozen=True)
class LoadTarget:
    """The model that a checkpoint must fit.

    Args:
        card: `Card` of the model.

        checkpoint_formats: tuple of `CheckpointFormat`, formats that load, besides our own.

        head: tuple of str, names of the layers that only the head has.

        build: callable classes -> the Keras model with its top, randomly initialized.

        classifiers: mapping from the name of each layer whose channels depend on the number of classes
            to the number of its predictions: of a detector the anchors of a cell. Default: the layer
            `classifier`, with one prediction.

        background: int, columns of a prediction that are no class. Default: 0.
    """

    card: Card
    checkpoint_formats: tuple[CheckpointFormat, ...]
    head: tuple[str, ...]
    build: Callable
    classifiers: Mapping[str, int] = field(default_factory=lambda: {CLASSIFIER: 1})
    background: int = 0


def suffix(path: str | os.PathLike) -> str | None:
    """Returns the checkpoint suffix that `path` ends in, or None."""
    name = os.fspath(path).lower()
    return next((known for known in SUFFIXES if name.endswith(known)), None)


def is_file(weights: str | os.PathLike) -> bool:
    """Whether `weights` is a file and not a tag: a path object, a known suffix, a separator."""
    if isinstance(weights, os.PathLike):
        return True
    separators = {"/", os.sep, os.altsep or "/"}
    return isinstance(weights, str) and (
        suffix(weights) is not None or any(s in weights for s in separators)
    )


def read(weights: str | os.PathLike, target: LoadTarget) -> "reader.Checkpoint":
    """Reads a checkpoint file, or the file of a tag (downloaded if need be).

    Args:
        weights: str or path, a tag of the card (`"imagenet"`, `"nav_in1k"`) or a checkpoint file.

        target: `LoadTarget` of the model.

    Returns:
        `newnet_tf.weights.reader.Checkpoint`, which `load`, `class_count` and `input_channels` take.

    Raises:
        CheckpointError: for a file that is missing, damaged or hostile; for a tag that no source
            provides.
    """
    from newnet_tf.weights import fetch, reader

    if is_file(weights):
        return reader.read(weights)
    return reader.read(fetch.download(target, target.card.select(weights)))


def class_count(
    checkpoint: "reader.Checkpoint", target: LoadTarget, state_dict: str | None = None
) -> int | None:
    """Returns the number of classes of a checkpoint's classifier.

    Args:
        checkpoint: `newnet_tf.weights.reader.Checkpoint`, see `read`.

        target: `LoadTarget` of the model that the checkpoint is of.

        state_dict: str, as in `load`. Default: found by the tensors' names.

    Returns:
        int >= 1; None for a checkpoint without the model's classifier.

    Raises:
        CheckpointError: for a classifier of no class, or of too many.

    Example:
        >>> target = newnet_tf.models.registry.resolve("resnet18")[0].target()
        >>> newnet_tf.weights.class_count(newnet_tf.weights.read("five.pth", target), target)
        5
    """
    from newnet_tf.weights import assign

    return assign.classes_in(checkpoint, target, state_dict)


def input_channels(
    checkpoint: "reader.Checkpoint", target: LoadTarget, state_dict: str | None = None
) -> int | None:
    """Returns the number of channels of the images that a checkpoint's first convolution takes.

    Args:
        checkpoint: `newnet_tf.weights.reader.Checkpoint`, see `read`.

        target: `LoadTarget` of the model that the checkpoint is of.

        state_dict: str, as in `load`. Default: found by the tensors' names.

    Returns:
        int, 3 for color images, 1 for gray ones; None where the file has no such convolution.
    """
    from newnet_tf.weights import assign

    return assign.channels_in(checkpoint, target, state_dict)


def load(
    model,
    weights: "str | os.PathLike | reader.Checkpoint",
    target: LoadTarget,
    others: Iterable[Callable[[], LoadTarget]] = (),
    state_dict: str | None = None,
    new_classifier: bool = True,
) -> "assign.Report":
    """Loads a model's weights from a tag (downloaded if need be) or a checkpoint file.

    Args:
        model: `keras.Model` of `target`, with or without top, of any number of classes.

        weights: str or path, a tag of the card (`"imagenet"`, `"nav_in1k"`) or a checkpoint file; or
            what `read` returned.

        target: `LoadTarget` of the model.

        others: iterable of callables returning the `LoadTarget`s of other models. They are called only
            where the checkpoint does not fit, to name the model that it fits. Default: none.

        state_dict: str, where in the file the weights are: keys of dictionaries and prefixes, such as
            `"model_ema"`. Default: found by the tensors' names; averaged weights before others.

        new_classifier: bool, whether the model may have another number of classes than the weights,
            and then a newly initialized classifier. Default: True.

    Returns:
        `newnet_tf.weights.assign.Report`: format, tensors assigned and skipped, layers newly
        initialized.

    Raises:
        CheckpointError: for a file that is missing, damaged, hostile, or of another model; for a tag
            that no source provides.
    """
    from newnet_tf.weights import assign, reader

    checkpoint = weights if isinstance(weights, reader.Checkpoint) else read(weights, target)
    return assign.assign_weights(
        model, checkpoint, target, others, new_classifier=new_classifier, state_dict=state_dict
    )


def save(model, path: str | os.PathLike, metadata: Mapping[str, str] | None = None) -> Path:
    """Writes the weights of a model; `load` reads each of these files exactly.

    Args:
        model: `keras.Model`.

        path: path of the file. Its suffix chooses the format: `.weights.h5` and `.keras` are written
            by Keras itself, `.safetensors` and `.npz` hold `layer/variable` in Keras' layout.

        metadata: mapping of str to str, for the header of a `.safetensors` file. Default: none.

    Returns:
        `path`.

    Raises:
        CheckpointError: for another suffix.

    Example:
        >>> newnet_tf.weights.save(model, "model.safetensors")
    """
    from newnet_tf.weights import reader

    return reader.save(model, Path(path).expanduser(), metadata or {})

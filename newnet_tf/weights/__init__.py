"""From a tag or a checkpoint file to a model's variables, and back to a file.

`load` and `save` are what the rest of the package calls. Behind them: `reader` reads files into arrays
(with `archive`, `hdf5`, and `pickles`, which needs no torch), `match` pairs tensors and variables by
name, `assign` fills the variables, strictly both ways, `fetch` downloads the file of a tag. Importing
this module imports none of them.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from newnet_tf.models.config import Card, CheckpointFormat

if TYPE_CHECKING:
    from newnet_tf.weights import assign

SUFFIXES = (".safetensors", ".pth", ".pt", ".npz", ".weights.h5", ".keras", ".h5")
WRITABLE = (".weights.h5", ".keras", ".safetensors", ".npz")


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
    """

    card: Card
    checkpoint_formats: tuple[CheckpointFormat, ...]
    head: tuple[str, ...]
    build: Callable


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


def load(
    model,
    weights: str | os.PathLike,
    target: LoadTarget,
    others: Iterable[Callable[[], LoadTarget]] = (),
) -> "assign.Report":
    """Loads a model's weights from a tag (downloaded if need be) or a checkpoint file.

    Args:
        model: `keras.Model` of `target`, with or without top, of any number of classes.

        weights: str or path, a tag of the card (`"imagenet"`, `"nav_in1k"`) or a checkpoint file.

        target: `LoadTarget` of the model.

        others: iterable of callables returning the `LoadTarget`s of other models. They are called only
            where the checkpoint does not fit, to name the model that it fits. Default: none.

    Returns:
        `newnet_tf.weights.assign.Report`: format, tensors assigned and skipped, layers newly
        initialized.

    Raises:
        CheckpointError: for a file that is missing, damaged, hostile, or of another model; for a tag
            that no source provides.
    """
    from newnet_tf.weights import assign, fetch, reader

    if is_file(weights):
        path = Path(weights).expanduser()
    else:
        path = fetch.download(target, target.card.select(weights))
    return assign.assign_weights(model, reader.read(path), target, others=others)


def save(model, path: str | os.PathLike) -> Path:
    """Writes the weights of a model; `load` reads each of these files exactly.

    Args:
        model: `keras.Model`.

        path: path of the file. Its suffix chooses the format: `.weights.h5` and `.keras` are written
            by Keras itself, `.safetensors` and `.npz` hold `layer/variable` in Keras' layout.

    Returns:
        `path`.

    Raises:
        CheckpointError: for another suffix.

    Example:
        >>> newnet_tf.weights.save(model, "model.safetensors")
    """
    from newnet_tf.weights import reader

    return reader.save(model, Path(path).expanduser())

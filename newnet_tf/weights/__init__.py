"""From a tag or a checkpoint file to a model's variables, and back to a file.

`load` and `save` are what the rest of the package calls. Behind them: `checkpoint` reads files into
arrays (with `archive`, `hdf5`, and `pickles`, which needs no torch), `convert` fills a model's
variables, strictly both ways (`match` pairs names), `fetch` turns a tag into a local file. Importing
this module imports none of them.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.models.config import Card, CheckpointFormat

SUFFIXES = (".safetensors", ".pth", ".pt", ".npz", ".weights.h5", ".keras", ".h5")
WRITABLE = (".weights.h5", ".keras", ".safetensors", ".npz")


class CheckpointError(ValueError):
    """A checkpoint that cannot be had, read, trusted or fitted."""

    @classmethod
    def about(cls, path: os.PathLike, expected: str, found: str) -> "CheckpointError":
        """Returns the error for a file: its name, what it must be, what is wrong with it."""
        path = Path(path)
        return cls(f"{path.name!r} must be {expected}; {found}. Received: {path}")


@dataclass(frozen=True)
class Target:
    """The network that a checkpoint must fit.

    Args:
        card: `Card` of the variant.
        namings: the kinds of checkpoint it reads, beside our own naming.
        head: names of the layers that only the top has.
        build: callable classes -> the full Keras model, without weights.
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
    """Whether `weights` means a file and not a tag: a path object, a known suffix, a separator."""
    if isinstance(weights, os.PathLike):
        return True
    separators = {"/", os.sep, os.altsep or "/"}
    return isinstance(weights, str) and (
        suffix(weights) is not None or any(s in weights for s in separators)
    )


def load(
    model,
    weights: str | os.PathLike,
    target: Target,
    others: Iterable[Callable[[], Target]] = (),
):
    """Fills `model` from a tag (fetched and converted if need be) or from a checkpoint file.

    Args:
        model: Keras model of `target`'s network, with or without top, of any number of classes.
        weights: a tag of the card (`"imagenet"`, `"nav_in1k"`), or the path of a checkpoint.
        target: `Target` of the network.
        others: callables returning the `Target`s of other networks, asked only when the
            checkpoint does not fit, to name the one it would fit.

    Returns:
        `convert.Report`: which naming the file has, what was used, skipped and left fresh.

    Raises:
        CheckpointError: for a file that is missing, damaged, hostile, or of another network; for a
            tag that no source gives.
    """
    from newnet_tf.weights import assign, fetch, reader

    if is_file(weights):
        path = Path(weights).expanduser()
    else:
        path = fetch.obtain(target, target.card.select(weights))
    return assign.fill(model, reader.read(path), target, others=others)


def save(model, path: str | os.PathLike) -> Path:
    """Writes the weights of `model`; `load` reads each of these files back exactly.

    Args:
        model: a Keras model.
        path: where to; the suffix says how: `.weights.h5` and `.keras` by Keras itself,
            `.safetensors` and `.npz` as `layer/variable` in Keras layout.

    Returns:
        `path`. The file is written beside and renamed, so that it is never half there.
    """
    from newnet_tf.weights import reader

    return reader.save(model, Path(path).expanduser())

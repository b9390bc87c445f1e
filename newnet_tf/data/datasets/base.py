"""Labeled images for training and evaluation: one small type, whatever they lie in.

A `Dataset` has named splits; a `Split` gives its images in batches of what is needed to read them
(a path, a position in memory, encoded bytes), so that files are opened and decoded where the work is
parallel. `opened.load_dataset` makes one from a name or a path.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

TRAIN, VALIDATION, TEST, ALL = "train", "validation", "test", "all"
EVALUATION = (VALIDATION, TEST, ALL)
GATHERED = 1024  # images listed at a time


class DatasetError(ValueError):
    """Data that cannot be opened: the message says what was expected, what came, what to do."""


@dataclass(frozen=True, eq=False)
class Split:
    """Labeled images that can be read again and again, in order or shuffled by a seed.

    Args:
        size: int, how many images.
        batches: callable (batch, *, seed=None, shards=1, index=0, start=0, even=False) ->
            `tf.data.Dataset` of (handles, labels int32, names, positions int64), see `batches`.
        load: callable, a handle's tensor -> string scalar (an encoded image) or uint8 tensor
            (height, width, 3). Runs in `tf.data`; it may raise.
        reread: callable, a handle's NumPy value -> what `images.read_image` takes. For images that
            `load` or TensorFlow's decoders refuse.

    The keyword arguments of `batches`: `seed`, None for the given order; this worker's `index` among
    `shards`; `start`, batches to leave out; `even`, whether all workers must get the same number of
    whole batches (training) rather than every image (evaluation). `positions` count through the
    whole order, over all workers, so that what is drawn by position does not depend on their number.
    """

    size: int
    batches: Callable
    load: Callable
    reread: Callable

    def steps(self, batch: int, shards: int = 1, even: bool = True) -> int:
        """Returns how many batches one worker of `shards` gets (the most that one gets, if uneven)."""
        if even:
            return self.size // shards // batch
        return math.ceil(math.ceil(self.size / shards) / batch)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Where labeled images come from.

    Args:
        name: str, for tables and messages, e.g. `"imagenet"`.
        class_names: one str for each class, in the order of the labels.
        splits: mapping of name to `Split`.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def split(self, name: str | None = None) -> Split:
        """Returns the split `name`; None means what evaluation uses: validation, test or all.

        Raises:
            ValueError: for an unknown name.
        """
        chosen = next((n for n in EVALUATION if n in self.splits), None) if name is None else name
        if chosen not in self.splits:
            raise ValueError(
                f"`split` of {self.name} must be among {tuple(self.splits)}. Received: {name!r}"
            )
        return self.splits[chosen]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {split.size}" for name, split in self.splits.items())
        return f"Source({self.name!r}, {self.classes} classes, {{{sizes}}})"


def listed_split(
    handles: Sequence, labels: Sequence[int], names: Sequence[str], load: Callable, reread: Callable
) -> Split:
    """Makes a split of images that can be reached in any order.

    Args:
        handles: array of one int or str for each image. labels: int for each. names: str for each.
        load, reread: as in `Split`.
    """
    import tensorflow as tf

    size = len(labels)
    if not size:
        raise DatasetError("a split must hold at least one image. Received: none")
    handles = tf.constant(handles)
    labels = tf.constant(np.asarray(labels, np.int32))
    names = handles if handles.dtype == tf.string else tf.constant(list(names))

    def batches(batch, *, seed=None, shards=1, index=0, start=0, even=False):
        check_share(batch, shards, index, start)
        order = np.arange(size) if seed is None else np.random.default_rng(seed).permutation(size)
        positions = np.arange(size)
        if even:
            positions = positions[: size // shards // batch * batch * shards]
        positions = positions[index::shards][start * batch :]
        pairs = tf.data.Dataset.from_tensor_slices((order[positions], positions)).batch(batch)

        def look_up(chosen, positions):
            found = [tf.gather(column, chosen) for column in (handles, labels, names)]
            return (*found, positions)

        return pairs.map(look_up)

    return Split(size, batches, load, reread)


def file_split(paths: Sequence, labels: Sequence[int]) -> Split:
    """Makes a split of image files."""
    import tensorflow as tf

    paths = [str(path) for path in paths]
    return listed_split(paths, labels, paths, tf.io.read_file, lambda path: path.decode())


def memory_split(images: Sequence, labels: Sequence[int], names: Sequence[str]) -> Split:
    """Makes a split of images in memory.

    Args:
        images: uint8 array (n, height, width, 3), or a list of encoded images as bytes.
        labels: int for each. names: str for each, to call bad ones by.
    """
    import tensorflow as tf

    held = tf.constant(images)

    def load(position):
        return tf.gather(held, position)

    return listed_split(
        np.arange(len(images)), labels, names, load, lambda position: images[int(position)]
    )


def gathered(split: Split, count: int | None = None, seed: int | None = None):
    """Lists what is needed to read a split's images: paths, positions, or encoded images.

    Args:
        split: `Split`. count: int, how many from the start; default: all.
        seed: int, of their order; None for the given one.

    Returns:
        (handles, labels, names): arrays, an element for each image.
    """
    count = split.size if count is None else count
    batches = split.batches(min(count, GATHERED), seed=seed)
    parts = [batch[:3] for batch in batches.take(-(-count // GATHERED)).as_numpy_iterator()]
    return tuple(np.concatenate(column)[:count] for column in zip(*parts, strict=True))


def held_split(split: Split, handles, labels, names) -> Split:
    """Makes a split of some images of another, as `gathered` listed them."""
    import tensorflow as tf

    held = tf.constant(handles)
    return listed_split(
        np.arange(len(labels)),
        labels,
        names,
        lambda position: split.load(tf.gather(held, position)),
        lambda position: split.reread(handles[int(position)]),
    )


def stratified_split(
    labels: Sequence[int], share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Divides images into two parts, each class by itself.

    Args:
        labels: int for each image. share: float in (0, 1), the second part of each class, rounded
            (at least one image stays in the first part; a class of one has none in the second).
        seed: int.

    Returns:
        (first, second): sorted positions in `labels`.
    """
    if not 0 < share < 1:
        raise ValueError(f"`holdout` must lie between 0 and 1. Received: {share!r}")
    labels, random = np.asarray(labels), np.random.default_rng(seed)
    second = []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        count = min(len(members) - 1, max(1, round(share * len(members))))
        second.append(members[:count])
    second = np.sort(np.concatenate(second))
    return np.setdiff1d(np.arange(len(labels)), second), second


def check_share(batch: int, shards: int, index: int, start: int) -> None:
    """Raises ValueError for a share of the data that cannot be."""
    if batch < 1 or start < 0 or not 0 <= index < shards:
        raise ValueError(
            "`batch` must be positive, `start` not negative, `index` lie in 0 to `shards` - 1. "
            f"Received: batch={batch}, start={start}, shards={shards}, index={index}"
        )

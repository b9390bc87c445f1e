"""Labeled images for training and evaluation, wherever they are stored.

A `Dataset` has named splits. A `Split` gives its images in batches of what is needed to read them: a
path, a position in memory, or encoded bytes. Files are opened and decoded later, where the work runs
in parallel. `factory.load_dataset` makes a `Dataset` from a name or a path.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from newnet_tf.data.boxes import BoxRemark, summarize_remarks
from newnet_tf.data.datasets.class_counts import count_labels, count_table
from newnet_tf.data.datasets.shards import shard_positions
from newnet_tf.data.image_files import SkippedImage, summarize_skipped
from newnet_tf.data.label_arrays import first_rows, image_count

TRAIN, VALIDATION, TEST, ALL = "train", "validation", "test", "all"
EVALUATION = (VALIDATION, TEST, ALL)
# Names of tasks.
CLASSIFICATION, MULTILABEL = "classification", "multilabel_classification"
DETECTION = "detection"
TEXT_DETECTION = "text_detection"
OBJECTS = {DETECTION: "boxes", TEXT_DETECTION: "words"}
LIST_BATCH = 1024  # images that are listed at a time


class DatasetError(ValueError):
    """Data that cannot be opened: the message says what was expected, what came, what to do."""


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Labeled images that can be read again and again, in order or shuffled by a seed.

    Args:
        size: int, number of images.

        batches: callable `(batch_size, *, seed=None, num_shards=1, shard_index=0, start=0,
            even=False)` that returns a `tf.data.Dataset` of `(keys, labels int32, names, positions
            int64)`. A label is the number of the class, or for several classes an image a row of 0
            and 1, one for each class, or for detection a mapping of padded arrays (see
            `data.boxes`, for text `data.words`). `seed` None keeps the order. `start` is the number of
            batches to leave out. `even` gives all shards the same number of whole batches (training)
            instead of every image (evaluation). Positions count through the whole order, over all
            shards, so that what is drawn by position does not depend on their number.

        load: callable, tensor of a key -> string scalar (an encoded image) or uint8 tensor (height,
            width, 3). It runs in `tf.data`, and may raise.

        image_source: callable, NumPy value of a key -> what `images.read_image` takes. It is used
            for images that `load` or TensorFlow's decoders refuse.

        labels: int array of all labels in order, or for detection a mapping of padded arrays; None if
            they are not known before reading.
    """

    size: int
    batches: Callable
    load: Callable
    image_source: Callable
    labels: np.ndarray | Mapping[str, np.ndarray] | None = None

    def steps(self, batch_size: int, num_shards: int = 1, even: bool = True) -> int:
        """Returns how many batches a shard has (the most that one has, if they are not even)."""
        if even:
            return self.size // num_shards // batch_size
        return math.ceil(math.ceil(self.size / num_shards) / batch_size)

    def class_counts(self, classes: int) -> np.ndarray:
        """Returns how many images each class has, or for detection how many boxes.

        It reads the whole split if `labels` is None.

        Args:
            classes: int, number of classes.

        Returns:
            int array (classes,).
        """
        return count_labels(self.all_labels(), classes)

    def all_labels(self) -> list:
        """Returns the labels in one or more batches; it reads the whole split if it has to."""
        if self.labels is not None:
            return [self.labels]
        return [batch[1] for batch in self.batches(LIST_BATCH).as_numpy_iterator()]

    def __repr__(self) -> str:
        return f"Split({self.size:,} images)"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labeled images in named splits.

    Args:
        name: str, for tables and messages, e.g. `"imagenet"`.

        class_names: tuple of str, in the order of the labels.

        splits: mapping of name to `Split`; usual names are `"train"`, `"validation"`, `"test"` and
            `"all"`.

        task: str, what the labels are for: `"classification"`, one class an image,
            `"multilabel_classification"`, any number of classes an image, `"detection"`, boxes with
            a class each, or `"text_detection"`, words. Default: `"classification"`.

        skipped: tuple of `SkippedImage`, files that were left out when the data was listed, with the
            reason. Images that turn out to be unreadable are counted where they are read.

        remarks: tuple of `BoxRemark`, boxes that were changed or left out, and why.

    Example:
        >>> dataset = load_dataset("photos/flowers")
        >>> dataset
        Dataset('flowers', 5 classes, train: 1,600 images, validation: 400 images)
        >>> dataset.split("validation").size, dataset.class_names[0]
        (400, 'daisy')
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    task: str = CLASSIFICATION
    skipped: tuple[SkippedImage, ...] = ()
    remarks: tuple[BoxRemark, ...] = ()

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def split(self, name: str | None = None) -> Split:
        """Returns a split.

        Args:
            name: str, among the keys of `splits`. Default: None, the split that evaluation uses:
                `"validation"`, else `"test"`, else `"all"`.

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
        sizes = "".join(f", {name}: {split.size:,} images" for name, split in self.splits.items())
        task = "" if self.task == CLASSIFICATION else f" {self.task},"
        count = len(self.skipped)
        skipped = f", {count:,} file{'s' * (count > 1)} left out" if count else ""
        return f"Dataset({self.name!r},{task} {self.classes} classes{sizes}{skipped})"

    def class_table(self) -> list[dict[str, object]]:
        """Returns a table's lines: how many images each class has in each split.

        For detection, two columns a split: boxes or words, and images with such a one.
        """
        return count_table(self.class_names, self.splits, OBJECTS.get(self.task))

    def skipped_summary(self) -> str:
        """Returns a line for each kind of file that was left out, and of box; "" if there is none."""
        parts = (summarize_skipped(self.skipped), summarize_remarks(self.remarks))
        return "\n".join(part for part in parts if part)


def listed_split(
    keys: Sequence,
    labels: Sequence[int] | Mapping[str, np.ndarray],
    names: Sequence[str],
    load: Callable,
    image_source: Callable,
) -> Split:
    """Returns a split of images that can be read in any order.

    Args:
        keys: array of one int or str for each image.

        labels: int for each image, or a row of 0 and 1; for detection a mapping of padded arrays.

        names: str for each image.

        load, image_source: as in `Split`.
    """
    import tensorflow as tf

    is_mapping = isinstance(labels, Mapping)
    label_arrays = dict(labels) if is_mapping else np.asarray(labels, np.int32)
    size = image_count(label_arrays) if is_mapping else len(label_arrays)
    if not size:
        raise DatasetError("a split must hold at least one image. Received: none")
    keys = tf.constant(keys)
    labels = tf.nest.map_structure(tf.constant, label_arrays)
    names = keys if keys.dtype == tf.string else tf.constant(list(names))

    def batches(batch_size, *, seed=None, num_shards=1, shard_index=0, start=0, even=False):
        chosen = shard_positions(
            size,
            batch_size,
            seed=seed,
            num_shards=num_shards,
            shard_index=shard_index,
            start=start,
            even=even,
        )
        pairs = tf.data.Dataset.from_tensor_slices(chosen).batch(batch_size)

        def look_up(chosen, positions):
            columns = tf.nest.map_structure(lambda c: tf.gather(c, chosen), (keys, labels, names))
            return (*columns, positions)

        return pairs.map(look_up)

    return Split(size, batches, load, image_source, label_arrays)


def file_split(paths: Sequence, labels: Sequence | Mapping[str, np.ndarray]) -> Split:
    """Returns a split of image files, whose names may be any bytes."""
    import tensorflow as tf

    paths = [os.fsencode(path) for path in paths]
    return listed_split(paths, labels, paths, tf.io.read_file, os.fsdecode)


def memory_split(images: Sequence, labels: Sequence, names: Sequence[str]) -> Split:
    """Returns a split of images in memory.

    Args:
        images: uint8 array (n, height, width, 3), or a list of encoded images as bytes.

        labels: int for each image.

        names: str for each image, to name unreadable ones by.
    """
    import tensorflow as tf

    tensor = tf.constant(images)

    def load(position):
        return tf.gather(tensor, position)

    return listed_split(
        np.arange(len(images)), labels, names, load, lambda position: images[int(position)]
    )


def list_samples(
    split: Split, count: int | None = None, seed: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists what is needed to read the images of a split: paths, positions, or encoded images.

    Args:
        split: `Split`.

        count: int, how many from the start. Default: None, all.

        seed: int, of their order. Default: None, the order of the split.

    Returns:
        (keys, labels, names): arrays, an element for each image; labels of boxes are a mapping of
        them.
    """
    count = split.size if count is None else count
    batches = split.batches(min(count, LIST_BATCH), seed=seed)
    parts = [batch[:3] for batch in batches.take(-(-count // LIST_BATCH)).as_numpy_iterator()]
    return tuple(first_rows(column, count) for column in zip(*parts, strict=True))


def take(
    split: Split,
    keys: np.ndarray,
    labels: np.ndarray | Mapping[str, np.ndarray],
    names: np.ndarray,
) -> Split:
    """Returns a split of some images of another.

    Args:
        split: `Split`.

        keys, labels, names: arrays of the chosen images, from `list_samples`.
    """
    import tensorflow as tf

    tensor = tf.constant(keys)
    return listed_split(
        np.arange(len(keys)),
        labels,
        names,
        lambda position: split.load(tf.gather(tensor, position)),
        lambda position: split.image_source(keys[int(position)]),
    )

"""`ImageLoader`: the batches of a training run over a `Dataset`, read with `tf.data`."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from newnet_tf.data.augment.config import Augmentation
from newnet_tf.data.datasets.base import EVALUATION, TRAIN, Dataset, Split, list_samples, take
from newnet_tf.models.config import RGB, PreprocessConfig
from newnet_tf.utils.lazy import keras

USUAL = PreprocessConfig()
RESIZING = ("resize_mode", "antialias", "half_pixel_centers")


class ImageLoader:
    """Batches of images to train on, `train(epoch, start)`, and to evaluate on, `test()`.

    The trainer uses nothing but the attributes and methods named here, so that any other object
    which has them can take its place (see `ArrayLoader`).

    Args:
        dataset: `Dataset` with a split `"train"` and one to evaluate on: `"validation"`, else
            `"test"`, else `"all"`.

        preprocess: `PreprocessConfig` of the model.

        augmentation: `Augmentation` of the training images. Default: `Augmentation()`.

        batch_size: int, training images a step, over all shards. Default: 128.

        seed: int, decides the order of the images and their augmentation. Default: 0.

        max_samples: int or None, train on this many images only, drawn by `seed`. Default: None,
            all of them.

        eval_batch_size: int, evaluation images a batch. Default: 128.

        num_shards: int, how many processes train together. Each gets an equal share of every
            training batch, and its part of the evaluation images. Default: 1.

        shard_index: int in 0 to `num_shards - 1`, which of these processes this is.

    Attributes:
        classes: int, number of classes.

        class_names: tuple of str.

        batch_size, steps_per_epoch, num_train_samples, num_eval_samples: int, counted over all shards.

        eval_split: str, the split to evaluate on.

        fingerprint: dict, what decides the batches, except augmentation, batch size and seed.

    Raises:
        ValueError: for a dataset without both splits, fewer images than a batch, or a batch size
            that is not a multiple of `num_shards`.

    Example:
        >>> loader = ImageLoader(load_dataset("photos/"), card.preprocess, batch_size=64)
        >>> images, targets = next(iter(loader.train(epoch=0)))
        >>> images.shape, targets.shape
        ((64, 224, 224, 3), (64, 5))
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocess: PreprocessConfig,
        *,
        augmentation: Augmentation | None = None,
        batch_size: int = 128,
        seed: int = 0,
        max_samples: int | None = None,
        eval_batch_size: int = 128,
        num_shards: int = 1,
        shard_index: int = 0,
    ):
        eval_split = next((name for name in EVALUATION if name in dataset.splits), None)
        if TRAIN not in dataset.splits or eval_split is None:
            raise ValueError(
                f"data must have images to train on and others to test on. Received: {dataset!r}"
            )
        if max_samples is not None:
            subset = sample_split(dataset.split(TRAIN), max_samples, seed)
            dataset = dataclasses.replace(dataset, splits={**dataset.splits, TRAIN: subset})
        self.dataset, self.preprocess, self.eval_split = dataset, preprocess, eval_split
        self.augmentation = augmentation or Augmentation()
        self.classes, self.class_names, self.seed = dataset.classes, dataset.class_names, seed
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.num_shards, self.shard_index = num_shards, shard_index
        if batch_size % num_shards:
            raise ValueError(
                f"`batch_size` must be a multiple of the number of workers ({num_shards}), which "
                f"share it equally. Received: batch_size={batch_size}"
            )
        train = dataset.split(TRAIN)
        self.num_train_samples = train.size
        self.steps_per_epoch = train.steps(batch_size)
        if self.steps_per_epoch < 1:
            raise ValueError(
                f"`batch_size` must be at most the number of training images ({train.size} in "
                f"{dataset.name}). Received: batch_size={batch_size}"
            )

    @property
    def num_eval_samples(self) -> int:
        """Number of images to evaluate on."""
        return self.dataset.split(self.eval_split).size

    @property
    def class_counts(self) -> np.ndarray:
        """Number of training images of each class, int array (classes,)."""
        return self.dataset.split(TRAIN).class_counts(self.classes)

    @property
    def fingerprint(self) -> dict[str, object]:
        """What decides the batches, except augmentation, batch size and seed."""
        preprocess = self.preprocess
        order = preprocess.channel_order
        others = {name: getattr(preprocess, name) for name in RESIZING}
        return {
            "dataset": self.dataset.name,
            "classes": self.classes,
            "train": self.dataset.split(TRAIN).size,
            self.eval_split: self.num_eval_samples,
            "image_size": preprocess.image_size,
            "crop_pct": preprocess.crop_pct,
            "interpolation": preprocess.interpolation,
            "mean": preprocess.mean,
            "std": preprocess.std,
            **({} if order == RGB else {"channel_order": order}),
            **{name: value for name, value in others.items() if value != getattr(USUAL, name)},
        }

    def train(self, epoch: int, start: int = 0) -> Iterable:
        """Returns the training batches of an epoch.

        Args:
            epoch: int, from 0.

            start: int, the first step; the steps before it are left out. Default: 0.

        Returns:
            Iterable of (images, targets): float32 (batch, size, size, 3), normalized, and float32
            (batch, classes), class probabilities, or for several classes an image 0 to 1 for each.
        """
        from newnet_tf.data.pipeline import train_input_pipeline

        batches = _backend_batches(
            train_input_pipeline(
                self.dataset,
                self.preprocess,
                self.augmentation,
                batch_size=self.batch_size // self.num_shards,
                seed=self.seed,
                epoch=epoch,
                start=start,
                num_shards=self.num_shards,
                shard_index=self.shard_index,
            )
        )
        if self.num_shards == 1:
            return batches
        return repeat_last(batches, self.steps_per_epoch - start)

    def test(self) -> Iterable:
        """Returns the evaluation images once, in order: batches of (images, labels)."""
        from newnet_tf.data.pipeline import eval_input_pipeline

        return _backend_batches(
            eval_input_pipeline(
                self.dataset,
                self.preprocess,
                batch_size=self.eval_batch_size,
                split=self.eval_split,
                num_shards=self.num_shards,
                shard_index=self.shard_index,
            )
        )


def sample_split(split: Split, count: int, seed: int) -> Split:
    """Returns `count` images of a split, drawn at random; the same ones for the same seed.

    What is needed to read them is in memory: paths, positions, or encoded images.

    Args:
        split: `Split`.

        count: int, in 1 to the size of the split.

        seed: int.

    Raises:
        ValueError: for another count.
    """
    if not isinstance(count, int) or not 1 <= count <= split.size:
        raise ValueError(
            f"`max_samples` must lie in 1 to the number of images ({split.size}). "
            f"Received: {count!r}"
        )
    return take(split, *list_samples(split, count, seed))


def repeat_last(batches: Iterable, count: int) -> Iterator:
    """Yields `count` batches; the last one is repeated if there are fewer.

    A batch of which no image can be read is left out. Workers take their steps together: one that
    had fewer batches than the others would leave them waiting.

    Raises:
        ValueError: if there is no batch at all.
    """
    done, last = 0, None
    for last in itertools.islice(batches, count):
        yield last
        done += 1
    if last is None and count:
        raise ValueError("there must be a readable image to train on. Received: none")
    yield from itertools.repeat(last, count - done)


def _backend_batches(dataset) -> Iterable:
    """Returns batches as Keras' backend takes them: TensorFlow's tensors as they are."""
    return dataset if keras.backend.backend() == "tensorflow" else dataset.as_numpy_iterator()

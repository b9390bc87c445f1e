"""What a run trains and is tested on: a `Dataset`, prepared as the recipe says."""

import itertools
from collections.abc import Iterable, Iterator

from newnet_tf.data.datasets.base import EVALUATION, TRAIN, Dataset, Split, gathered, held_split
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.lazy import keras


class ImageLoader:
    """The batches of a run: `train(epoch, start)` and `test()`.

    The loop asks for no more than this, so that data of another kind can take its place.

    Args:
        source: `Dataset` with a split `train` and one to evaluate on.
        preprocess: `cards.Preprocess` of the network.
        recipe: `Recipe`, for batch, augmentation and seed.
        limit: int or None, train on this many images only, drawn by the recipe's seed.
        test_batch: int, images an evaluation batch.
        num_shards, shard_index: int, number of processes that train together, and which one this is: it gets
            an equal share of each batch, and a part of the test images. `batch`, `steps` and
            `tests` are those of all.

    Raises:
        ValueError: for a source without both splits, fewer images than a batch, or a batch that
            the workers cannot share equally.
    """

    def __init__(
        self,
        source: Dataset,
        preprocess: PreprocessConfig,
        recipe: Recipe,
        limit: int | None = None,
        test_batch: int = 128,
        num_shards: int = 1,
        shard_index: int = 0,
    ):
        self.tested = next((n for n in EVALUATION if n in source.splits), None)
        if TRAIN not in source.splits or self.tested is None:
            raise ValueError(
                f"data must have images to train on and others to test on. Received: {source!r}"
            )
        if limit is not None:
            few = limited(source.split(TRAIN), limit, recipe.seed)
            source = Dataset(source.name, source.class_names, {**source.splits, TRAIN: few})
        self.source, self.preprocess, self.recipe = source, preprocess, recipe
        self.classes, self.batch, self.test_batch = source.classes, recipe.batch_size, test_batch
        self.workers, self.index = num_shards, shard_index
        if recipe.batch_size % num_shards:
            raise ValueError(
                f"`batch` must be a multiple of the workers ({num_shards}), who share it equally. "
                f"Received: batch={recipe.batch_size}"
            )
        self.steps = source.split(TRAIN).steps(recipe.batch_size)
        if self.steps < 1:
            raise ValueError(
                f"`batch` must be at most the images to train on ({source.split(TRAIN).size} of "
                f"{source.name}). Received: batch={recipe.batch_size}"
            )

    @property
    def tests(self) -> int:
        """Number of images to test on."""
        return self.source.split(self.tested).size

    @property
    def fingerprint(self) -> dict[str, object]:
        """What decides which batches come, but for the recipe."""
        record = self.preprocess
        return {
            "source": self.source.name,
            "classes": self.classes,
            "train": self.source.split(TRAIN).size,
            self.tested: self.tests,
            "size": record.image_size,
            "crop": record.crop_pct,
            "interpolation": record.interpolation,
            "mean": record.mean,
            "std": record.std,
        }

    def train(self, epoch: int, start: int = 0) -> Iterable:
        """Returns an epoch's batches from `start` on: (images, targets)."""
        from newnet_tf.data.pipeline import train_input_pipeline

        batches = _fed(
            train_input_pipeline(
                self.source,
                self.preprocess,
                self.recipe.augmentation,
                batch_size=self.batch // self.workers,
                seed=self.recipe.seed,
                epoch=epoch,
                start=start,
                num_shards=self.workers,
                shard_index=self.index,
            )
        )
        return batches if self.workers == 1 else in_number(batches, self.steps - start)

    def test(self) -> Iterable:
        """Returns the test images once, in order: (images, labels)."""
        from newnet_tf.data.pipeline import eval_input_pipeline

        return _fed(
            eval_input_pipeline(
                self.source,
                self.preprocess,
                batch_size=self.test_batch,
                split=self.tested,
                num_shards=self.workers,
                shard_index=self.index,
            )
        )


def limited(split: Split, count: int, seed: int) -> Split:
    """Returns `count` images of a split, drawn at random by a seed, the same ones every time.

    What is needed to read them is held in memory: paths, positions, or encoded images.

    Args:
        split: `Split`. count: int. seed: int.

    Raises:
        ValueError: for a count outside of 1 to the split's size.
    """
    if not isinstance(count, int) or not 1 <= count <= split.size:
        raise ValueError(
            f"`limit` must lie in 1 to the number of images ({split.size}). Received: {count!r}"
        )
    return held_split(split, *gathered(split, count, seed))


def in_number(batches: Iterable, count: int) -> Iterator:
    """Gives `count` batches, the last one again where one was left out as unreadable altogether.

    Workers take their steps together: one that ran out of batches before the others would leave
    them waiting.
    """
    given, last = 0, None
    for last in itertools.islice(batches, count):
        yield last
        given += 1
    if last is None and count:
        raise ValueError("there must be a readable image to train on. Received: none")
    yield from itertools.repeat(last, count - given)


def _fed(dataset) -> Iterable:
    """Returns batches as Keras' backend takes them: TensorFlow's tensors as they are."""
    return dataset if keras.backend.backend() == "tensorflow" else dataset.as_numpy_iterator()

"""`DetectionLoader`: the batches of a detector's training run, read with Pillow in threads.

What is random depends on the seed, the epoch and the image's position in the epoch alone, not on the
order in which threads finish. An epoch can be repeated exactly, from any step.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from newnet_tf.data.batch_reader import BatchReader
from newnet_tf.data.boxes import CLASSES, Label, pad_labels
from newnet_tf.data.datasets.base import DETECTION, EVALUATION, TRAIN, Dataset
from newnet_tf.data.image_files import SkippedImage
from newnet_tf.data.image_loader import repeat_last, sample_split
from newnet_tf.data.preprocess import resize_image
from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.training.augment import BoxAugmentation
from newnet_tf.detection.training.examples import TrainingExamples, replaced, stacked
from newnet_tf.models.config import RGB, PreprocessConfig

CACHE_BYTES = 2**30  # of decoded images in memory


class DetectionLoader:
    """Batches of images with boxes: matched with anchors to train on, whole labels to evaluate on.

    It has the attributes and methods of `ImageLoader` that the trainer uses.

    Args:
        dataset: `Dataset` of the task `"detection"` with a split `"train"` and one to evaluate on:
            `"validation"`, else `"test"`, else `"all"`.

        preprocess: `PreprocessConfig` of the model; its `resize_mode` must be `"stretch"`.

        config: `DetectionConfig` of the model.

        augmentation: `BoxAugmentation` of the training images. Default: `BoxAugmentation()`.

        batch_size: int, training images a step. Default: 32.

        seed: int, decides the order of the images and their augmentation. Default: 0.

        eval_batch_size: int, evaluation images a batch. Default: 32.

        max_samples: int or None, train on this many images only, drawn by `seed`. Default: None, all
            of them.

        cache_bytes: int, the most bytes of decoded images that are kept in memory, so that a further
            epoch need not decode them. Default: 1 GiB.

        num_shards: int, how many processes train together. Each gets an equal share of every training
            batch, and its part of the evaluation images. Default: 1.

        shard_index: int in 0 to `num_shards - 1`, which of these processes this is. Default: 0.

    Attributes:
        classes: int, number of classes.

        class_names: tuple of str.

        batch_size, steps_per_epoch, num_train_samples, num_eval_samples: int, counted over all shards.

        eval_split: str, the split to evaluate on.

        fingerprint: dict, what decides the batches, except augmentation, batch size and seed.

        class_counts: int array (classes,), training boxes of each class.

        skipped: tuple of `SkippedImage`, images that could not be read so far.

    Raises:
        ValueError: for a dataset of another task or without both splits, fewer images than a batch, a
            batch size that is not a multiple of `num_shards`, or a `preprocess` or `config` that does
            not fit.

    Example:
        >>> loader = DetectionLoader(load_dataset("VOC2007"), preprocess, config, batch_size=16)
        >>> images, targets = next(loader.train(epoch=0))
        >>> images.shape, targets["boxes"].shape, targets["classes"].shape
        ((16, 320, 320, 3), (16, 2034, 4), (16, 2034))
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocess: PreprocessConfig,
        config: DetectionConfig,
        *,
        augmentation: BoxAugmentation | None = None,
        batch_size: int = 32,
        seed: int = 0,
        eval_batch_size: int = 32,
        max_samples: int | None = None,
        cache_bytes: int = CACHE_BYTES,
        num_shards: int = 1,
        shard_index: int = 0,
    ):
        eval_split = next((name for name in EVALUATION if name in dataset.splits), None)
        if dataset.task != DETECTION or TRAIN not in dataset.splits or eval_split is None:
            raise ValueError(
                "data must have images with boxes to train on and others to test on. "
                f"Received: {dataset!r}"
            )
        _check_config(dataset, preprocess, config)
        if max_samples is not None:
            subset = sample_split(dataset.split(TRAIN), max_samples, seed)
            dataset = dataclasses.replace(dataset, splits={**dataset.splits, TRAIN: subset})
        self.dataset, self.preprocess, self.config = dataset, preprocess, config
        self.augmentation = augmentation or BoxAugmentation()
        self.classes, self.class_names, self.seed = dataset.classes, dataset.class_names, seed
        self.batch_size, self.eval_batch_size, self.eval_split = (
            batch_size,
            eval_batch_size,
            eval_split,
        )
        for name in ("batch_size", "eval_batch_size"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be a positive int. Received: {name}={getattr(self, name)!r}"
                )
        train = dataset.split(TRAIN)
        self.num_shards, self.shard_index = num_shards, shard_index
        if batch_size % num_shards:
            raise ValueError(
                f"`batch_size` must be a multiple of the number of workers ({num_shards}), which "
                f"share it equally. Received: batch_size={batch_size}"
            )
        self.num_train_samples, self.steps_per_epoch = train.size, train.steps(batch_size)
        if self.steps_per_epoch < 1:
            raise ValueError(
                f"`batch_size` must be at most the number of training images ({train.size} in "
                f"{dataset.name}). Received: batch_size={batch_size}"
            )
        self._reader = BatchReader(preprocess, cache_bytes)
        self._examples = TrainingExamples(self._reader, config, self.augmentation, seed)

    @property
    def num_eval_samples(self) -> int:
        """Number of images to evaluate on."""
        return self.dataset.split(self.eval_split).size

    @property
    def class_counts(self) -> np.ndarray:
        """Number of training boxes of each class, int array (classes,)."""
        return self.dataset.split(TRAIN).class_counts(self.classes)

    @property
    def skipped(self) -> tuple[SkippedImage, ...]:
        """Images that could not be read so far, sorted by path."""
        return self._reader.skipped

    @property
    def fingerprint(self) -> dict[str, object]:
        """What decides the batches, except augmentation, batch size and seed."""
        preprocess, order = self.preprocess, self.preprocess.channel_order
        return {
            "dataset": self.dataset.name,
            "loader": "detection",
            "classes": self.classes,
            "train": self.num_train_samples,
            self.eval_split: self.num_eval_samples,
            "image_size": preprocess.image_size,
            "interpolation": preprocess.interpolation,
            "mean": preprocess.mean,
            "std": preprocess.std,
            "feature_sizes": list(self.config.feature_sizes),
            "style": self.config.style,
            **({} if order == RGB else {"channel_order": order}),
            **({} if preprocess.antialias else {"antialias": False}),
        }

    def train(self, epoch: int, start: int = 0) -> Iterator[tuple[np.ndarray, Label]]:
        """Yields the training batches of an epoch.

        An image that cannot be read is replaced by another one of its batch, and named once.

        Args:
            epoch: int, from 0.

            start: int, the first step; the steps before it are left out. Default: 0.

        Yields:
            (images, targets): float32 (batch, size, size, 3), normalized, and what
            `detection.matching.match` gives for each image: `{"boxes": float32 (batch, anchors, 4),
            "classes": int32 (batch, anchors)}`.
        """
        order = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])
        split = self.dataset.split(TRAIN)
        listed = split.batches(
            self.batch_size // self.num_shards,
            seed=order,
            num_shards=self.num_shards,
            shard_index=self.shard_index,
            start=start,
            even=True,
        )
        batches = replaced(self._examples.batches(listed, split, epoch))
        if self.num_shards == 1:
            return batches
        return repeat_last(batches, self.steps_per_epoch - start)

    def view(self, number: int, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray, Label]]:
        """Yields an augmented view of each training image once, in order; shards do not count here.

        Args:
            number: int, from 0, decides the augmentation together with the seed.

            start: int, the first image, a multiple of the batch size. Default: 0.

        Yields:
            (positions, images, targets): int64 (batch,), the images' positions in the split, without
            those that cannot be read, and images and targets as in `train`.
        """
        split = self.dataset.split(TRAIN)
        listed = split.batches(self.batch_size, start=start // self.batch_size)
        first = start
        for images, results in self._examples.batches(listed, split, number):
            readable = [i for i, target in enumerate(results) if target is not None]
            if readable:
                targets = stacked([results[i] for i in readable])
                yield first + np.array(readable), images[readable], targets
            first += len(results)

    def test(self) -> Iterator[tuple[np.ndarray, Label]]:
        """Yields the evaluation images once, in order; those that cannot be read are left out.

        Yields:
            (images, labels): float32 (batch, size, size, 3), normalized, and a mapping of padded
            arrays (see `data.boxes`), boxes in pixels of the original images, with `"image_sizes"`,
            int32 (batch, 2), height and width of these.
        """
        split = self.dataset.split(self.eval_split)
        width = 1 if split.labels is None else split.labels[CLASSES].shape[1]
        listed = split.batches(
            self.eval_batch_size, num_shards=self.num_shards, shard_index=self.shard_index
        )

        def resize(image):
            return resize_image(image, self.preprocess), image.shape[:2]

        def prepare(kept, label, _, out):
            pixels, size = kept
            self._reader.normalize(pixels, out)
            return label, size

        for images, results in self._reader.batches(listed, split, "test", resize, prepare):
            readable = [i for i, result in enumerate(results) if result is not None]
            if readable:
                labels, sizes = zip(*(results[i] for i in readable), strict=True)
                label = pad_labels(labels, width)
                yield images[readable], {**label, "image_sizes": np.array(sizes, np.int32)}


def _check_config(dataset: Dataset, preprocess: PreprocessConfig, config: DetectionConfig) -> None:
    if dataset.classes != config.classes:
        raise ValueError(
            f"`config` must be of the data's {dataset.classes} classes. "
            f"Received: classes={config.classes}"
        )
    sizes: Mapping[str, int] = {"preprocess": preprocess.image_size, "config": config.image_size}
    if preprocess.resize_mode != "stretch" or len(set(sizes.values())) > 1:
        raise ValueError(
            '`preprocess` must have resize_mode="stretch" and the image size of `config`. '
            f"Received: resize_mode={preprocess.resize_mode!r}, image sizes {sizes}"
        )
    if preprocess.channels != 3:
        raise ValueError(f"`preprocess` must be of 3 channels. Received: {preprocess.channels}")

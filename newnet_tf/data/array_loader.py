"""`ArrayLoader`: the batches of a training run over small images in memory, with NumPy alone.

Keras trains on JAX and PyTorch as well, where TensorFlow, which `ImageLoader` needs, may be missing.
Of an `Augmentation` this does what CIFAR is trained with.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from newnet_tf.data.augment.config import NONE, Augmentation
from newnet_tf.data.augment.mixup import mix_arrays
from newnet_tf.data.preprocess import normalize
from newnet_tf.models.config import RGB, PreprocessConfig

READ_AHEAD = 8  # batches that are prepared before they are needed
UNSUPPORTED = ("brightness", "contrast", "saturation", "pca_std", "randaugment_ops", "erasing_prob")


class ArrayLoader:
    """Batches of images in memory; has the attributes and methods of `ImageLoader`.

    What is drawn at random depends on the seed, the epoch and the step alone. It is not what
    `ImageLoader` draws, so a run must be resumed with the kind of loader that it began with.

    Args:
        name: str, of the data.

        classes: int, number of classes.

        train: pair of images, uint8 (n, size, size, 3), and labels, int (n,).

        test: pair of images and labels, as `train`.

        preprocess: `PreprocessConfig` of the model, for its image size, mean and standard
            deviation. Nothing is resized.

        augmentation: `Augmentation` of the training images. It may crop (`"random"` or
            `"center"`), flip, mix (MixUp, CutMix) and smooth labels. Default: none.

        batch_size: int, training images a step. Default: 128.

        seed: int, decides the order of the images and their augmentation. Default: 0.

        max_samples: int or None, train on this many images only, drawn by `seed`. Default: None,
            all of them.

        eval_batch_size: int, test images a batch. Default: 500.

        threads: int, how many threads prepare batches. Default: 2.

    Raises:
        ValueError: for images of another shape or type, labels outside of the classes, fewer
            images than a batch, or an augmentation that is not supported.

    Example:
        >>> class_names, splits = archive_arrays("cifar-10-binary.tar.gz")
        >>> loader = ArrayLoader("cifar10", 10, splits["train"], splits["test"], card.preprocess)
    """

    def __init__(
        self,
        name: str,
        classes: int,
        train: tuple[np.ndarray, np.ndarray],
        test: tuple[np.ndarray, np.ndarray],
        preprocess: PreprocessConfig,
        *,
        augmentation: Augmentation = NONE,
        batch_size: int = 128,
        seed: int = 0,
        max_samples: int | None = None,
        eval_batch_size: int = 500,
        threads: int = 2,
    ):
        _check_augmentation(augmentation)
        splits = {"train": train, "test": test}
        for split, (pixels, labels) in splits.items():
            _check_arrays(split, pixels, labels, preprocess.image_size, classes)
        if max_samples is not None:
            if not 1 <= max_samples <= len(train[1]):
                raise ValueError(
                    f"`max_samples` must lie in 1 to the number of images ({len(train[1])}). "
                    f"Received: {max_samples!r}"
                )
            subset = np.random.default_rng(seed).permutation(len(train[1]))[:max_samples]
            splits["train"] = train[0][subset], train[1][subset]
        self.name, self.classes, self.preprocess = name, classes, preprocess
        self.augmentation, self.seed, self.threads = augmentation, seed, threads
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.class_names = tuple(map(str, range(classes)))
        self.eval_split, self.num_eval_samples = "test", len(test[1])
        self._splits = splits
        self.num_train_samples = len(splits["train"][1])
        self.steps_per_epoch = self.num_train_samples // batch_size
        if self.steps_per_epoch < 1:
            raise ValueError(
                "`batch_size` must be at most the number of training images "
                f"({self.num_train_samples} in {name}). Received: batch_size={batch_size}"
            )

    @property
    def class_counts(self) -> np.ndarray:
        """Number of training images of each class, int array (classes,)."""
        return np.bincount(self._splits["train"][1], minlength=self.classes)

    @property
    def fingerprint(self) -> Mapping[str, object]:
        """What decides the batches, except augmentation, batch size and seed."""
        order = self.preprocess.channel_order
        return {
            "dataset": self.name,
            "loader": "arrays",
            "classes": self.classes,
            "train": self.num_train_samples,
            "test": self.num_eval_samples,
            "image_size": self.preprocess.image_size,
            "mean": self.preprocess.mean,
            "std": self.preprocess.std,
            **({} if order == RGB else {"channel_order": order}),
        }

    def train(self, epoch: int, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the training batches of an epoch.

        Args:
            epoch: int, from 0.

            start: int, the first step; the steps before it are left out. Default: 0.

        Yields:
            (images, targets): float32 (batch, size, size, 3), normalized, and float32 (batch,
            classes).
        """
        order = np.random.default_rng((self.seed, epoch)).permutation(self.num_train_samples)

        def batch(step: int):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            random = np.random.default_rng((self.seed, epoch, step))
            pixels, labels = (array[chosen] for array in self._splits["train"])
            return augment_arrays(
                pixels, labels, self.classes, self.augmentation, self.preprocess, random
            )

        with ThreadPoolExecutor(self.threads) as pool:
            waiting = deque()
            for step in range(start, self.steps_per_epoch):
                waiting.append(pool.submit(batch, step))
                if len(waiting) > READ_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def test(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the test images once, in order: batches of (images, labels)."""
        pixels, labels = self._splits["test"]
        for first in range(0, self.num_eval_samples, self.eval_batch_size):
            batch = slice(first, first + self.eval_batch_size)
            yield normalize(pixels[batch], self.preprocess), labels[batch]


def augment_arrays(
    pixels: np.ndarray,
    labels: np.ndarray,
    classes: int,
    augmentation: Augmentation,
    preprocess: PreprocessConfig,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Augments a batch of images in memory.

    Args:
        pixels: uint8 (n, size, size, 3).

        labels: int (n,).

        classes: int, number of classes.

        augmentation: `Augmentation`.

        preprocess: `PreprocessConfig`, for mean and standard deviation.

        random: NumPy `Generator`.

    Returns:
        (images, targets): float32 (n, size, size, 3), normalized, and float32 (n, classes).
    """
    count, size = len(labels), pixels.shape[1]
    if augmentation.crop == "random":
        padding = augmentation.padding
        padded = np.pad(pixels, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        top, left = random.integers(0, 2 * padding + 1, (2, count, 1))
        rows, columns = top + np.arange(size), left + np.arange(size)
        pixels = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None]]
    is_flipped = random.random(count) < augmentation.hflip_prob
    pixels = np.where(is_flipped[:, None, None, None], pixels[:, :, ::-1], pixels)
    smoothing = np.float32(augmentation.label_smoothing)
    targets = np.eye(classes, dtype=np.float32)[labels] * (1 - smoothing) + smoothing / classes
    images = normalize(pixels, preprocess)
    if augmentation.mixes:
        images, targets = mix_arrays(
            images,
            targets,
            random,
            augmentation.mixup_alpha,
            augmentation.cutmix_alpha,
            augmentation.mix_prob,
        )
    return images, targets


def _check_augmentation(augmentation: Augmentation) -> None:
    """Raises ValueError for what `ArrayLoader` does not support."""
    unsupported = {
        name: getattr(augmentation, name)
        for name in UNSUPPORTED
        if getattr(augmentation, name) != getattr(NONE, name)
    }
    if augmentation.crop == "random_resized" or unsupported:
        raise ValueError(
            "arrays can be cropped ('random', 'center'), flipped and mixed; for more use "
            f"`ImageLoader` (TensorFlow). Received: crop={augmentation.crop!r}, {unsupported}"
        )


def _check_arrays(
    split: str, pixels: np.ndarray, labels: Sequence[int], size: int, classes: int
) -> None:
    """Raises ValueError for arrays that are not labeled images of this size."""
    shape = (len(labels), size, size, 3)
    if pixels.dtype != np.uint8 or pixels.shape != shape or not len(labels):
        raise ValueError(
            f"images to {split} on must be uint8 {shape}, a label for each. "
            f"Received: {pixels.dtype} {pixels.shape}"
        )
    if not 0 <= np.min(labels) <= np.max(labels) < classes:
        raise ValueError(
            f"labels must lie in 0 to {classes - 1}. Received: {np.min(labels)} to {np.max(labels)}"
        )

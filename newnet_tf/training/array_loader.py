"""`ArrayLoader`: small images in memory as a run's data, in NumPy alone, for machines without TensorFlow.

Keras trains on JAX and PyTorch as well; `ImageLoader` reads with `tf.data` and needs TensorFlow for that.
Of an `Augmentation` this does what CIFAR is trained with.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from newnet_tf.data.augment.config import NONE, Augmentation
from newnet_tf.data.preprocess import normalize
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.training.recipes import Recipe

AHEAD = 8  # batches made before they are asked for


class ArrayLoader:
    """The batches of a run over images in memory; takes the place of `ImageLoader`.

    What is drawn at random depends on the recipe's seed, the epoch and the step alone. It is drawn
    otherwise than by `ImageLoader`, so a run goes on with the kind of data that it began with.

    Args:
        name: str, of the data.
        classes: int, number of classes.
        train, test: images, uint8 (n, size, size, 3), and labels, int (n,).
        preprocess: `cards.Preprocess` of the network, for size and colors; nothing is resized.
        recipe: `Recipe`. Its augmentation may crop (`"random"`, `"center"`), flip, mix (MixUp,
            CutMix) and smooth labels.
        limit: int or None, train on this many images only, drawn by the recipe's seed.
        test_batch: int, images an evaluation batch.
        threads: int, how many make batches.

    Raises:
        ValueError: for images of another shape or type, labels outside of the classes, fewer
            images than a batch, or an augmentation that is not done here.

    Example:
        >>> names, found = archive_arrays("cifar-10-binary.tar.gz")
        >>> data = Arrays("cifar10", 10, found["train"], found["test"], card.preprocess, recipe)
    """

    def __init__(
        self,
        name: str,
        classes: int,
        train: tuple[np.ndarray, np.ndarray],
        test: tuple[np.ndarray, np.ndarray],
        preprocess: PreprocessConfig,
        recipe: Recipe,
        limit: int | None = None,
        test_batch: int = 500,
        threads: int = 2,
    ):
        self.name, self.classes, self.preprocess, self.recipe = name, classes, preprocess, recipe
        _check_augmentation(recipe.augmentation)
        parts = {"train": train, "test": test}
        for part, (pixels, labels) in parts.items():
            _check(part, pixels, labels, preprocess.image_size, classes)
        self._parts = parts
        if limit is not None:
            if not 1 <= limit <= len(train[1]):
                raise ValueError(
                    f"`limit` must lie in 1 to the number of images ({len(train[1])}). "
                    f"Received: {limit!r}"
                )
            few = np.random.default_rng(recipe.seed).permutation(len(train[1]))[:limit]
            self._parts["train"] = train[0][few], train[1][few]
        self.batch, self.test_batch, self.threads = recipe.batch_size, test_batch, threads
        self.tests = len(test[1])
        self.steps = len(self._parts["train"][1]) // recipe.batch_size
        if self.steps < 1:
            raise ValueError(
                f"`batch` must be at most the images to train on "
                f"({len(self._parts['train'][1])} of {name}). Received: batch={recipe.batch_size}"
            )

    @property
    def fingerprint(self) -> Mapping[str, object]:
        """What decides which batches come, but for the recipe."""
        return {
            "source": self.name,
            "reader": "arrays",
            "classes": self.classes,
            "train": len(self._parts["train"][1]),
            "test": self.tests,
            "size": self.preprocess.image_size,
            "mean": self.preprocess.mean,
            "std": self.preprocess.std,
        }

    def train(self, epoch: int, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Gives an epoch's batches from `start` on: (images, targets), float32."""
        order = np.random.default_rng((self.recipe.seed, epoch)).permutation(
            len(self._parts["train"][1])
        )

        def make(step: int):
            chosen = order[step * self.batch : (step + 1) * self.batch]
            random = np.random.default_rng((self.recipe.seed, epoch, step))
            pixels, labels = (part[chosen] for part in self._parts["train"])
            return augmented(
                pixels, labels, self.classes, self.recipe.augmentation, self.preprocess, random
            )

        with ThreadPoolExecutor(self.threads) as pool:
            waiting = deque()
            for step in range(start, self.steps):
                waiting.append(pool.submit(make, step))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def test(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Gives the test images once, in order: (images, labels)."""
        pixels, labels = self._parts["test"]
        for first in range(0, self.tests, self.test_batch):
            part = slice(first, first + self.test_batch)
            yield normalize(pixels[part], self.preprocess), labels[part]


def augmented(
    pixels: np.ndarray,
    labels: np.ndarray,
    classes: int,
    augmentation: Augmentation,
    preprocess: PreprocessConfig,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Augments a batch.

    Args:
        images: uint8 (n, size, size, 3). labels: int (n,). classes: int.
        augmentation: `Augmentation`. preprocess: `cards.Preprocess`. random: NumPy `Generator`.

    Returns:
        (images, targets): float32 (n, size, size, 3), normalized, and float32 (n, classes).
    """
    count, size = len(labels), pixels.shape[1]
    if augmentation.crop == "random":
        around = augmentation.padding
        padded = np.pad(pixels, ((0, 0), (around, around), (around, around), (0, 0)))
        top, left = random.integers(0, 2 * around + 1, (2, count, 1))
        rows, columns = top + np.arange(size), left + np.arange(size)
        pixels = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None]]
    flipped = random.random(count) < augmentation.hflip_prob
    pixels = np.where(flipped[:, None, None, None], pixels[:, :, ::-1], pixels)
    smoothing = np.float32(augmentation.label_smoothing)
    targets = np.eye(classes, dtype=np.float32)[labels] * (1 - smoothing) + smoothing / classes
    images = normalize(pixels, preprocess)
    if augmentation.mixes:
        images, targets = mixed(images, targets, augmentation, random)
    return images, targets


def mixed(
    images: np.ndarray,
    targets: np.ndarray,
    augmentation: Augmentation,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Mixes each image with the one at the mirrored place, as `data.mixing.mix` does.

    Args:
        images: float32 (n, height, width, 3). targets: float32 (n, classes).
        augmentation: `Augmentation`, for `mixup`, `cutmix`, `mixing`. random: NumPy `Generator`.

    Returns:
        (images, targets). A target's weight is the exact part of its image's pixels that is left.
    """
    count, height, width = images.shape[:3]
    is_mixed, toss, down, across = random.random((4, count))
    both = augmentation.mixup_alpha and augmentation.cutmix_alpha
    is_cut = toss < (0.5 if both else float(augmentation.cutmix_alpha > 0))
    is_mixed = is_mixed < augmentation.mix_prob
    weights = np.ones((count, height, width), np.float32)
    if augmentation.cutmix_alpha:
        edge = np.sqrt(1 - random.beta(augmentation.cutmix_alpha, augmentation.cutmix_alpha, count))
        inside = [_between(place, edge, side) for place, side in ((down, height), (across, width))]
        pasted = inside[0][:, :, None] & inside[1][:, None] & (is_cut & is_mixed)[:, None, None]
        weights[pasted] = 0
    if augmentation.mixup_alpha:
        share = random.beta(augmentation.mixup_alpha, augmentation.mixup_alpha, count).astype(
            np.float32
        )
        weights *= np.where(is_mixed & ~is_cut, share, 1)[:, None, None].astype(np.float32)
    kept = weights.mean((1, 2), dtype=np.float64).astype(np.float32)[:, None]
    weights = weights[..., None]
    images = images[::-1] + weights * (images - images[::-1])
    return images, targets[::-1] + kept * (targets - targets[::-1])


def _between(place: np.ndarray, edge: np.ndarray, side: int) -> np.ndarray:
    """Returns which of an axis' pixels a box covers, bool (n, side), clipped to the image."""
    middle, half = np.floor(place * side), np.floor(edge * side) / 2
    first, last = (np.clip(np.floor(middle + d * half), 0, side) for d in (-1, 1))
    pixels = np.arange(side)
    return (pixels >= first[:, None]) & (pixels < last[:, None])


def _check_augmentation(augmentation: Augmentation) -> None:
    """Raises ValueError for what is not done here."""
    wanted = {
        name: getattr(augmentation, name)
        for name in (
            "brightness",
            "contrast",
            "saturation",
            "pca_std",
            "randaugment_ops",
            "erasing_prob",
        )
        if getattr(augmentation, name) != getattr(NONE, name)
    }
    if augmentation.crop == "random_resized" or wanted:
        raise ValueError(
            "arrays are cropped ('random', 'center'), flipped and mixed; for more use `ImageLoader` "
            f"(TensorFlow). Received: crop={augmentation.crop!r}, {wanted}"
        )


def _check(part: str, pixels: np.ndarray, labels: Sequence[int], size: int, classes: int) -> None:
    """Raises ValueError for arrays that are no labeled images of this size."""
    shape = (len(labels), size, size, 3)
    if pixels.dtype != np.uint8 or pixels.shape != shape or not len(labels):
        raise ValueError(
            f"images to {part} on must be uint8 {shape}, a label for each. "
            f"Received: {pixels.dtype} {pixels.shape}"
        )
    if not 0 <= np.min(labels) <= np.max(labels) < classes:
        raise ValueError(
            f"labels must lie in 0 to {classes - 1}. Received: {np.min(labels)} to {np.max(labels)}"
        )

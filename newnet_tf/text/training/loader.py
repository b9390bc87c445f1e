"""`TextLoader`: the batches of a text detector's training run, drawn and read in threads.

What is random depends on the seed, the epoch and the image's position in the epoch alone, not on the
order in which threads finish. An epoch can be repeated exactly, from any step.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from newnet_tf.data.datasets.base import EVALUATION, TRAIN, Dataset
from newnet_tf.data.image_files import ImageError, SkippedImage
from newnet_tf.models.config import LETTERBOX, RGB, PreprocessConfig
from newnet_tf.text.config import TextConfig
from newnet_tf.text.score_maps import draw_maps
from newnet_tf.text.synthesis.config import SynthesisConfig, describe
from newnet_tf.text.synthesis.render import TextSynthesizer
from newnet_tf.text.training.augment import TextAugmentation
from newnet_tf.text.training.evaluation_images import (
    ahead,
    evaluation_batches,
    read_evaluation,
    synthetic_evaluation,
)
from newnet_tf.text.training.loader_checks import check_dataset, check_numbers, check_teacher
from newnet_tf.text.training.real_images import SPLIT, TARGETS, TEACHER, RealImages
from newnet_tf.text.training.teacher import TeacherMaps

CACHE_BYTES = 2**30  # of decoded images in memory
SYNTHETIC_EVALUATION = 64  # images to evaluate on, without real ones
KINDS = "synthetic", "real", "unlabeled"
Targets = dict[str, np.ndarray]


class TextLoader:
    """Batches of images of text: score maps to train on, words to evaluate on.

    It mixes synthetic images, real images with words, and real images of which a large detector's score
    maps are known, and has the attributes and methods of `ImageLoader` that the trainer uses.

    Args:
        preprocess: `PreprocessConfig` of the model. Training images are normalized as it says;
            evaluation images are also resized so.

        config: `TextConfig` of the model, of which the stride is used.

        dataset: `Dataset` of the task `"text_detection"`, with a split `"train"` and one to evaluate
            on. Default: None, all images are synthetic.

        synthesis: `SynthesisConfig`; its `image_size` is replaced by `image_size`. Default:
            `SynthesisConfig()`.

        augmentation: `TextAugmentation` of the real images. Default: `TextAugmentation()`.

        image_size: int, height and width of the training images in pixels, a multiple of 32. Default:
            320.

        real_fraction: float in [0, 1], share of the training images that come from `dataset`. Default:
            0.5.

        unlabeled: sequence of paths of images whose maps are in `teacher`. Default: ().

        unlabeled_fraction: float in [0, 1], share of these. Default: 0.2.

        targets: str, maps of the images of `dataset`: `"split"` (default), each word split evenly into
            characters; `"pseudo"`, split where the maps in `teacher` have valleys, and weighted by the
            confidence; `"teacher"`, the maps in `teacher` themselves.

        teacher: `TeacherMaps`, or the path of their folder. Default: None.

        batch_size: int, training images a step. Default: 16.

        steps_per_epoch: int. Default: 200.

        seed: int, decides all that is random. Default: 0.

        eval_batch_size: int, evaluation images a batch; 1 with `resize_mode="fit"`. Default: 8.

        eval_samples: int, evaluation images at most. Default: None, all of the split; 64 synthetic
            ones without a `dataset`.

        cache_bytes: int, the most bytes of decoded images that are kept in memory. Default: 1 GiB.

    Attributes:
        classes: int, 1.

        class_names: `("text",)`.

        batch_size, steps_per_epoch, num_train_samples, num_eval_samples: int.

        fingerprint: dict, what decides the batches, except augmentation, batch size and seed.

        skipped: tuple of `SkippedImage`, images that could not be read so far.

    Raises:
        ValueError: for an argument outside of the above, or maps that are missing.

    Example:
        >>> loader = TextLoader(PreprocessConfig(image_size=640, resize_mode="letterbox"),
        ...                     TextConfig(image_size=640), load_dataset("icdar2015"))
        >>> images, targets = next(loader.train(epoch=0))
        >>> images.shape, targets["region"].shape
        ((16, 320, 320, 3), (16, 160, 160, 1))
    """

    classes, class_names = 1, ("text",)

    def __init__(
        self,
        preprocess: PreprocessConfig,
        config: TextConfig,
        dataset: Dataset | None = None,
        *,
        synthesis: SynthesisConfig | None = None,
        augmentation: TextAugmentation | None = None,
        image_size: int = 320,
        real_fraction: float = 0.5,
        unlabeled: Sequence[str | os.PathLike] = (),
        unlabeled_fraction: float = 0.2,
        targets: str = SPLIT,
        teacher: TeacherMaps | str | os.PathLike | None = None,
        batch_size: int = 16,
        steps_per_epoch: int = 200,
        seed: int = 0,
        eval_batch_size: int = 8,
        eval_samples: int | None = None,
        cache_bytes: int = CACHE_BYTES,
    ):
        counts = {
            "image_size": image_size,
            "batch_size": batch_size,
            "steps_per_epoch": steps_per_epoch,
            "eval_batch_size": eval_batch_size,
            "eval_samples": 1 if eval_samples is None else eval_samples,
        }
        fractions = {
            "real_fraction": real_fraction if dataset is not None else 0.0,
            "unlabeled_fraction": unlabeled_fraction if len(unlabeled) else 0.0,
        }
        check_numbers(counts, fractions)
        if targets not in TARGETS:
            raise ValueError(f"`targets` must be among {TARGETS}. Received: targets={targets!r}")
        needs_maps = len(unlabeled) > 0 or (targets != SPLIT and dataset is not None)
        check_teacher(teacher, needs_maps)
        check_dataset(dataset, preprocess)
        if teacher is not None and not isinstance(teacher, TeacherMaps):
            teacher = TeacherMaps(teacher)
        self.preprocess, self.config, self.dataset = preprocess, config, dataset
        self.image_size, self.stride, self.seed = image_size, config.stride, seed
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        self.eval_batch_size = eval_batch_size if preprocess.resize_mode == LETTERBOX else 1
        self.augmentation = augmentation or TextAugmentation()
        self.synthesis = dataclasses.replace(synthesis or SynthesisConfig(), image_size=image_size)
        self._synthesizer = TextSynthesizer(self.synthesis)
        shares = list(fractions.values())
        self._shares = np.array([max(0.0, 1 - sum(shares)), *shares])
        self._shares /= self._shares.sum()
        fill = tuple(round(255 * mean) for mean in preprocess.rgb_mean)
        sizes = {"size": image_size, "stride": config.stride, "fill": fill}
        self._real = self._unlabeled = None
        if dataset is not None:
            labeled = dataset.split(TRAIN)
            self._real = RealImages.of_split(
                labeled, targets, teacher, self.augmentation, cache_bytes, **sizes
            )
        if len(unlabeled):
            self._unlabeled = RealImages.of_files(
                unlabeled, TEACHER, teacher, self.augmentation, cache_bytes, **sizes
            )
        size = dataset.split(self.eval_split).size if dataset else SYNTHETIC_EVALUATION
        self._eval_count = min(size, eval_samples or size) if dataset else eval_samples or size
        self._skipped: dict[str, SkippedImage] = {}
        self._scale = np.tile(np.asarray(preprocess.scale, np.float32), image_size)
        self._offset = np.tile(np.asarray(preprocess.offset, np.float32), image_size)

    @property
    def eval_split(self) -> str | None:
        """The split to evaluate on; None without a dataset."""
        if self.dataset is None:
            return None
        return next(name for name in EVALUATION if name in self.dataset.splits)

    @property
    def num_train_samples(self) -> int:
        """Number of training images an epoch."""
        return self.batch_size * self.steps_per_epoch

    @property
    def num_eval_samples(self) -> int:
        """Number of images to evaluate on."""
        return self._eval_count

    @property
    def skipped(self) -> tuple[SkippedImage, ...]:
        """Images that could not be read so far, sorted by path."""
        parts = [part.skipped for part in (self._real, self._unlabeled) if part is not None]
        found = {image.path: image for part in parts for image in part}
        return tuple(image for _, image in sorted({**found, **self._skipped}.items()))

    @property
    def fingerprint(self) -> dict[str, object]:
        """What decides the batches, except augmentation, batch size and seed."""
        preprocess = self.preprocess
        return {
            "dataset": "synthetic text" if self.dataset is None else self.dataset.name,
            "loader": "text_detection",
            "train": self.num_train_samples,
            self.eval_split or "synthetic": self.num_eval_samples,
            "shares": [round(float(share), 6) for share in self._shares],
            "targets": None if self._real is None else self._real.targets,
            "real": 0 if self._real is None else len(self._real),
            "unlabeled": 0 if self._unlabeled is None else len(self._unlabeled),
            "train_size": self.image_size,
            "image_size": preprocess.image_size,
            "resize_mode": preprocess.resize_mode,
            "mean": preprocess.mean,
            "std": preprocess.std,
            "channel_order": preprocess.channel_order,
            "stride": self.stride,
            "synthesis": describe(self.synthesis, self._synthesizer.fonts),
        }

    def train(self, epoch: int, start: int = 0) -> Iterator[tuple[np.ndarray, Targets]]:
        """Yields the training batches of an epoch.

        An image that cannot be read is replaced by a synthetic one, and named once.

        Args:
            epoch: int, from 0.

            start: int, the first step; the steps before it are left out. Default: 0.

        Yields:
            (images, targets): float32 (batch, size, size, 3), normalized, and `{"region", "affinity",
            "weight": float32 (batch, size // stride, size // stride, 1)}`, a weight of 0 for cells
            without part in the loss.
        """
        size, cells = self.image_size, self.image_size // self.stride

        def submit(step):
            images = np.empty((self.batch_size, size, size, 3), np.float32)
            maps = np.empty((3, self.batch_size, cells, cells, 1), np.float32)
            first = step * self.batch_size
            futures = [
                pool.submit(self._write, epoch, first + i, images[i], maps[:, i, ..., 0])
                for i in range(self.batch_size)
            ]
            return images, maps, futures

        with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
            try:
                for images, maps, futures in ahead(range(start, self.steps_per_epoch), submit):
                    for future in futures:
                        future.result()
                    region, affinity, weight = maps
                    yield images, {"region": region, "affinity": affinity, "weight": weight}
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def test(self) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yields the evaluation images once, in order; those that cannot be read are left out.

        Yields:
            (images, labels): float32 (batch, height, width, 3), normalized, and a mapping of padded
            arrays (see `data.words`), polygons in pixels of the original images, with `"image_sizes"`,
            int32 (batch, 2), height and width of these.
        """
        if self.dataset is None:
            drawn = dataclasses.replace(self.synthesis, image_size=self.preprocess.image_size)
            source = synthetic_evaluation(drawn, self.preprocess, self._eval_count)
        else:
            split = self.dataset.split(self.eval_split)
            source = read_evaluation(split, self.preprocess, self._eval_count, self._skip)
        yield from evaluation_batches(source, self.eval_batch_size)

    def _write(self, epoch: int, position: int, out: np.ndarray, maps: np.ndarray) -> None:
        """Writes a training image and its region, affinity and weight."""
        random = np.random.default_rng((self.seed, epoch, position))
        kind = KINDS[random.choice(3, p=self._shares)]
        pixels = None
        if kind != KINDS[0]:
            images = self._real if kind == KINDS[1] else self._unlabeled
            pixels = images.draw(random, maps)
        if pixels is None:
            drawn = self._synthesizer.draw(random)
            pixels, size = drawn.image, self.image_size
            maps[:2] = draw_maps(drawn.characters, drawn.word_index, size, self.stride)
            maps[2] = 1.0
        rows = out.reshape(len(out), -1)
        pixels = pixels if self.preprocess.channel_order == RGB else pixels[..., ::-1]
        rows[:] = pixels.reshape(rows.shape)
        rows *= self._scale
        rows += self._offset

    def _skip(self, name: str, error: ImageError) -> None:
        self._skipped[name] = SkippedImage(name, str(error))

"""Training examples of a detector: augmented pixels, and their boxes matched with anchors."""

from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from newnet_tf.data.batch_reader import BatchReader
from newnet_tf.data.boxes import BOXES, CLASSES, CROWD, DIFFICULT, Label
from newnet_tf.data.datasets.base import TRAIN, Split
from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.training.augment import BoxAugmentation
from newnet_tf.detection.training.matching import match

LEAST_SIDE = 2  # images are kept with a short side of this times the model's input, or more
MIN_BOX = 1.0  # pixels of the input: a box with a shorter side is ignored


class TrainingExamples:
    """Augments images and matches their boxes.

    What is random depends on the seed, the epoch and the image's position alone.

    Args:
        reader: `BatchReader` of the training images.

        config: `DetectionConfig` of the model.

        augmentation: `BoxAugmentation`.

        seed: int.
    """

    def __init__(
        self,
        reader: BatchReader,
        config: DetectionConfig,
        augmentation: BoxAugmentation,
        seed: int,
    ):
        self._reader, self._preprocess = reader, reader.preprocess
        self._config, self._augmentation, self._seed = config, augmentation, seed
        self._fill = tuple(round(255 * mean) for mean in reader.preprocess.rgb_mean)

    def batches(self, listed, split: Split, epoch: int) -> Iterator[tuple[np.ndarray, list]]:
        """Yields the batches of an epoch.

        Args:
            listed: as in `BatchReader.batches`.

            split: `Split` that they are of.

            epoch: int, decides the augmentation together with seed and position.

        Yields:
            (float32 (batch, size, size, 3), list of what `matching.match` gives for each image, None
            for one that could not be read).
        """

        def prepare(kept, label, position, out):
            random = np.random.default_rng((self._seed, epoch, int(position)))
            return self._augment(kept, label, random, out)

        return self._reader.batches(listed, split, TRAIN, self._shrink, prepare)

    def _shrink(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reduces a large image, so that its short side is twice the model's input or longer."""
        factor = min(image.shape[:2]) // (LEAST_SIDE * self._preprocess.image_size)
        if factor < 2:
            return image, np.ones(4, np.float32)
        reduced = np.asarray(Image.fromarray(image).reduce(factor))
        return reduced, np.full(4, 1 / factor, np.float32)

    def _augment(self, kept, label: Label, random, out: np.ndarray) -> Label:
        """Writes a training image to `out`; returns its targets."""
        pixels, scale = kept
        size = self._preprocess.image_size
        label = {**label, BOXES: label[BOXES] * scale}
        pixels, label = self._augmentation.apply(
            pixels,
            label,
            size,
            random,
            fill=self._fill,
            interpolation=self._preprocess.interpolation,
            antialias=self._preprocess.antialias,
        )
        boxes = label[BOXES]
        is_tiny = ((boxes[:, 2:] - boxes[:, :2]) < MIN_BOX).any(axis=1)
        ignore = label[DIFFICULT] | label[CROWD] | is_tiny
        self._reader.normalize(pixels, out)
        return match(boxes / size, label[CLASSES], ignore, self._config, label[CROWD])


def replaced(batches: Iterable[tuple[np.ndarray, list]]) -> Iterator[tuple[np.ndarray, Label]]:
    """Yields batches in which an image that could not be read is replaced by the next readable one.

    A batch without any is left out.

    Args:
        batches: of `TrainingExamples.batches`.

    Yields:
        (images, mapping of arrays with a batch axis).
    """
    for images, results in batches:
        readable = [i for i, target in enumerate(results) if target is not None]
        if not readable:
            continue
        for i in set(range(len(results))) - set(readable):
            other = next((k for k in readable if k > i), readable[0])
            images[i], results[i] = images[other], results[other]
        yield images, stacked(results)


def stacked(targets: list[Label]) -> Label:
    """Returns the targets of several images as one mapping of arrays with a batch axis."""
    return {name: np.stack([target[name] for target in targets]) for name in targets[0]}

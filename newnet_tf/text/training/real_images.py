"""Real images to train a text detector on: a random part of one of them, and its score maps."""

import os
import threading
from collections.abc import Mapping, Sequence

import numpy as np

from newnet_tf.data.datasets.base import Split, list_samples
from newnet_tf.data.image_files import ImageError, SkippedImage, display_name
from newnet_tf.data.images import read_image
from newnet_tf.data.label_arrays import split_labels
from newnet_tf.data.words import IGNORE, POLYGONS, TEXT, make_words
from newnet_tf.text.homography import has_area
from newnet_tf.text.score_maps import draw_maps
from newnet_tf.text.training.augment import (
    TextAugmentation,
    crop_text,
    paint_weights,
    to_crop,
    word_states,
)
from newnet_tf.text.training.pseudo_boxes import pseudo_characters, split_word, word_length
from newnet_tf.text.training.teacher import ScoreMaps, TeacherMaps, warp_map
from newnet_tf.utils.progress import note

TARGETS = SPLIT, PSEUDO, TEACHER = "split", "pseudo", "teacher"


class RealImages:
    """Real images with words, or with the score maps of a large detector.

    Args:
        sources: what `read_image` takes, for each image.

        names: str for each image.

        labels: mapping for each image, see `data.words`.

        targets: str, among `TARGETS`; see `TextLoader`.

        teacher: `TeacherMaps`; None with `"split"`.

        augmentation: `TextAugmentation`.

        cache_bytes: int, the most bytes of decoded images that are kept.

        size: int, height and width of a training image.

        stride: int, pixels a cell of the maps.

        fill: (red, green, blue), outside of an image.

    Raises:
        ValueError: for images without maps in `teacher`, which `targets` needs.
    """

    def __init__(
        self,
        sources: Sequence[object],
        names: Sequence[str],
        labels: Sequence[Mapping],
        targets: str,
        teacher: TeacherMaps | None,
        augmentation: TextAugmentation,
        cache_bytes: int,
        *,
        size: int,
        stride: int,
        fill: tuple[int, int, int],
    ):
        self.targets, self.augmentation = targets, augmentation
        self._sources, self._names, self._labels = sources, names, labels
        self._teacher = None if targets == SPLIT else teacher
        self._size, self._stride, self._fill = size, stride, fill
        self._cache: dict[int, np.ndarray] = {}
        self._maps: dict[int, ScoreMaps] = {}
        self._characters: dict[int, tuple] = {}
        self._left, self._lock = cache_bytes, threading.Lock()
        self._skipped: dict[str, str] = {}
        if self._teacher is not None:
            missing = [n for n, s in zip(names, sources, strict=True) if not _has_maps(teacher, s)]
            if missing:
                raise ValueError(
                    f"`teacher` must hold the score maps of every image (`cache_maps`). Received: "
                    f"{teacher.folder} without those of {len(missing)}, {missing[0]} among them"
                )

    @classmethod
    def of_split(cls, split: Split, *arguments, **sizes) -> "RealImages":
        """Returns the images of a split of a dataset of words; other arguments as of the class."""
        keys, labels, names = list_samples(split)
        sources = [split.image_source(key) for key in keys]
        return cls(
            sources, [display_name(n) for n in names], split_labels(labels), *arguments, **sizes
        )

    @classmethod
    def of_files(cls, paths: Sequence[str | os.PathLike], *arguments, **sizes) -> "RealImages":
        """Returns images without words; other arguments as of the class."""
        paths = [os.fspath(path) for path in paths]
        return cls(paths, paths, [make_words(())] * len(paths), *arguments, **sizes)

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def skipped(self) -> tuple[SkippedImage, ...]:
        """Images that could not be read so far, sorted by path."""
        return tuple(SkippedImage(name, self._skipped[name]) for name in sorted(self._skipped))

    def draw(self, random: np.random.Generator, maps: np.ndarray) -> np.ndarray | None:
        """Draws a part of an image.

        Args:
            random: NumPy `Generator`, which decides image and part.

            maps: float32 array (3, cells, cells); region, affinity and weight are written to it.

        Returns:
            uint8 array (size, size, 3), or None if the image cannot be read.
        """
        index = int(random.integers(len(self)))
        image = self._read(index)
        if image is None:
            return None
        label, size = self._labels[index], self._size
        readable = label[POLYGONS][~label[IGNORE]]
        matrix = self.augmentation.choose_crop(image.shape[:2], readable, size, random)
        if self.targets == TEACHER:
            teacher = self._teacher_maps(index)
            for out, values in zip(maps, (teacher.region, teacher.affinity), strict=False):
                out[:] = warp_map(values, teacher.scale, matrix, size, self._stride)
            maps[2] = 1.0
        else:
            self._draw_words(index, matrix, maps)
        pixels = crop_text(image, matrix, size, self._fill)
        return self.augmentation.change_pixels(pixels, random)

    def _draw_words(self, index: int, matrix: np.ndarray, maps: np.ndarray) -> None:
        """Writes the maps of an image's words."""
        label, size, stride = self._labels[index], self._size, self._stride
        quads, owners, confidence = self._word_characters(index)
        polygons = to_crop(label[POLYGONS].astype(float), matrix)
        whole, unclear = word_states(polygons, size, self.augmentation.min_height)
        drawn = whole & ~label[IGNORE] & has_area(polygons)
        left_out = unclear | (label[IGNORE] & (whole | unclear)) | (whole & ~drawn)
        chosen = drawn[owners]
        maps[:2] = draw_maps(to_crop(quads[chosen], matrix), owners[chosen], size, stride)
        values = np.where(left_out, 0.0, confidence)
        changed = left_out | (drawn & (confidence < 1))
        maps[2] = paint_weights(polygons[changed], values[changed], size, stride)

    def _word_characters(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns (characters, word index, confidence of each word) in pixels of the image."""
        if index not in self._characters:
            label = self._labels[index]
            maps = self._teacher_maps(index) if self.targets == PSEUDO else None
            quads, owners = [np.zeros((0, 4, 2))], []
            confidence = np.ones(len(label[IGNORE]))
            for i in np.flatnonzero(has_area(label[POLYGONS]) & ~label[IGNORE]):
                polygon = label[POLYGONS][i].astype(float)
                length = word_length(polygon, label[TEXT][i])
                if maps is None:
                    found = split_word(polygon, length)
                else:
                    found, confidence[i] = pseudo_characters(
                        polygon, length, maps.region, maps.scale
                    )
                quads.append(found)
                owners += [i] * len(found)
            self._characters[index] = np.concatenate(quads), np.array(owners, int), confidence
        return self._characters[index]

    def _teacher_maps(self, index: int) -> ScoreMaps:
        maps = self._maps.get(index)
        if maps is None:
            maps = self._teacher.find(self._sources[index])
            self._keep(self._maps, index, maps, maps.region.nbytes + maps.affinity.nbytes)
        return maps

    def _read(self, index: int) -> np.ndarray | None:
        image, name = self._cache.get(index), self._names[index]
        if image is None and name not in self._skipped:
            try:
                image = read_image(self._sources[index])
            except ImageError as error:
                with self._lock:
                    is_new = name not in self._skipped
                    self._skipped[name] = str(error)
                if is_new:
                    note(f"skipped: {error}")
                return None
            self._keep(self._cache, index, image, image.nbytes)
        return image

    def _keep(self, cache: dict, index: int, value: object, size: int) -> None:
        """Keeps an image or maps, if there is room."""
        with self._lock:
            if index not in cache and size <= self._left:
                cache[index] = value
                self._left -= size


def _has_maps(teacher: TeacherMaps, source: object) -> bool:
    return isinstance(source, str | os.PathLike) and teacher.holds(source)

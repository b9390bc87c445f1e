"""Batches of images that threads read and prepare with Pillow and NumPy, decoded once."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from newnet_tf.data.datasets.base import Split
from newnet_tf.data.image_files import SkippedImage, display_name
from newnet_tf.data.images import ImageError, read_image
from newnet_tf.data.label_arrays import split_labels
from newnet_tf.models.config import RGB, PreprocessConfig
from newnet_tf.utils.progress import note

READ_AHEAD = 3  # batches


class BatchReader:
    """Reads what `Split.batches` lists, in order, and keeps decoded images in memory.

    Args:
        preprocess: `PreprocessConfig` of the model.

        cache_bytes: int, the most bytes of decoded images that are kept.

    Attributes:
        skipped: tuple of `SkippedImage`, images that could not be read so far, sorted by path. Each is
            named on stderr once.
    """

    def __init__(self, preprocess: PreprocessConfig, cache_bytes: int):
        self.preprocess = preprocess
        self._cache, self._left = {}, cache_bytes
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()
        row = preprocess.image_size
        self._scale = np.tile(np.asarray(preprocess.scale, np.float32), row)
        self._offset = np.tile(np.asarray(preprocess.offset, np.float32), row)

    @property
    def skipped(self) -> tuple[SkippedImage, ...]:
        """Images that could not be read so far, sorted by path."""
        return tuple(SkippedImage(name, self._reasons[name]) for name in sorted(self._reasons))

    def batches(
        self, listed, split: Split, kind: str, keep: Callable, prepare: Callable
    ) -> Iterator[tuple[np.ndarray, list]]:
        """Reads batches.

        Args:
            listed: `tf.data.Dataset` of (keys, labels, names, positions), from `Split.batches`; labels
                are mappings of padded arrays.

            split: `Split` that they are of.

            kind: str, tells what `keep` returns for one purpose from that for another.

            keep: callable, uint8 array (height, width, 3) -> tuple that is kept in memory, an array
                first.

            prepare: callable, (kept tuple, label, position, float32 array (size, size, channels) to
                write the image to) -> anything but None.

        Yields:
            (float32 (batch, size, size, channels), list of what `prepare` returned, None for an image
            that could not be read).
        """

        def read(key, label, name, position, out):
            shown = display_name(name)
            where = (kind, shown, None if isinstance(key, bytes) else int(key))
            kept = self._cache.get(where)
            if kept is None:
                try:
                    kept = keep(read_image(split.image_source(key)))
                except ImageError as error:
                    self._skip(shown, str(error))
                    return None
                self._keep(where, kept)
            return prepare(kept, label, position, out)

        def submit(batch):
            keys, labels, names, positions = batch
            images = np.zeros((len(keys), *self.preprocess.shape), np.float32)
            rows = zip(keys, split_labels(labels), names, positions, images, strict=True)
            return images, [pool.submit(read, *row) for row in rows]

        with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
            waiting: deque = deque()
            try:
                for batch in listed.as_numpy_iterator():
                    waiting.append(submit(batch))
                    if len(waiting) > READ_AHEAD:
                        images, futures = waiting.popleft()
                        yield images, [future.result() for future in futures]
                while waiting:
                    images, futures = waiting.popleft()
                    yield images, [future.result() for future in futures]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def normalize(self, pixels: np.ndarray, out: np.ndarray) -> None:
        """Writes what `preprocess.normalize` returns, row by row, which is several times as fast."""
        pixels = pixels if self.preprocess.channel_order == RGB else pixels[..., ::-1]
        rows = out.reshape(len(out), -1)
        rows[:] = pixels.reshape(rows.shape)
        rows *= self._scale
        rows += self._offset

    def _keep(self, where: tuple, kept: tuple) -> None:
        """Keeps an image, if there is room for it."""
        size = kept[0].nbytes
        with self._lock:
            if where not in self._cache and size <= self._left:
                self._cache[where] = kept
                self._left -= size

    def _skip(self, name: str, reason: str) -> None:
        with self._lock:
            if name in self._reasons:
                return
            self._reasons[name] = reason
        note(f"skipped: {reason if name in reason else f'{name}: {reason}'}")

"""Batches of images from encoded bytes, in `tf.data`; a bad file does not stop them.

TensorFlow decodes what looks like a whole JPEG or PNG file. Everything else goes to Pillow, which
reads more formats and says what is wrong: an image that it cannot read is left out, counted and
named. A file that looks whole and is not fails in TensorFlow; it is then missing in its batch, and is
named as well. EXIF orientation is applied to every image, as phones and browsers do.
"""

import functools
import os
import sys
import threading
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from newnet_tf.data.crops import EncodedImage, open_image, open_jpeg
from newnet_tf.data.datasets.base import Split
from newnet_tf.data.image_files import display_name
from newnet_tf.data.images import ImageError, SkippedImage, read_image
from newnet_tf.data.orientation import PNG, decode_png

no_autograph = tf.autograph.experimental.do_not_convert  # there is no Python to convert here
READ_AHEAD = 2  # batches that are read at once, so that no thread waits for a batch's last image
TAIL = 64  # bytes at the end of a file, among which a whole file has its end mark
REFUSED = (
    "a file that TensorFlow's decoders read. Received: one that only Pillow reads; save it anew"
)
DECODED = (tf.uint8, tf.bool)
JPEG_END, PNG_END = (0xFF, 0xD9), (ord("N"), ord("D"))


class SkippedImages:
    """Images that could not be read, each counted once.

    Args:
        echo: bool, whether to name each on stderr when it is met. Default: False.

    Attributes:
        images: tuple of `SkippedImage`, sorted by path.
    """

    def __init__(self, echo: bool = False):
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()
        self._echo = echo

    def add(self, name: str, reason: str) -> None:
        """Adds an image; the second time changes nothing."""
        with self._lock:
            if name in self._reasons:
                return
            self._reasons[name] = reason
        if self._echo:
            print(f"skipped: {reason}", file=sys.stderr, flush=True)

    @property
    def images(self) -> tuple[SkippedImage, ...]:
        """The images so far, sorted by path."""
        with self._lock:
            return tuple(SkippedImage(name, self._reasons[name]) for name in sorted(self._reasons))

    def __len__(self) -> int:
        return len(self._reasons)

    def __str__(self) -> str:
        if not self._reasons:
            return "no image skipped"
        lines = "".join(f"\n  {image.reason}" for image in self.images)
        return f"{len(self._reasons)} images skipped:{lines}"


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def read_batches(
    listed: tf.data.Dataset,
    split: Split,
    process_image: Callable,
    batch_size: int,
    skipped: SkippedImages,
    workers: int,
    keep_batch_size: bool = False,
) -> tf.data.Dataset:
    """Reads what `Split.batches` lists, `READ_AHEAD` batches at a time, each by itself.

    Args:
        listed: dataset of (keys, labels, names, positions).

        split: `Split` that it came from.

        process_image: callable, (`crops.EncodedImage`, position) -> float32 (size, size, 3).

        batch_size: int, images a batch.

        skipped: `SkippedImages`, to which unreadable images are added.

        workers: int, threads.

        keep_batch_size: bool, whether other images of the batch replace the unreadable ones, so
            that it has `batch_size` images. Otherwise unreadable images are left out, and batches
            may be smaller. A batch without a readable image is left out. Default: False.

    Returns:
        Dataset of (images, labels, names, positions).
    """

    def read_on_host(key, name):
        try:
            return read_image(split.image_source(key)), True
        except ImageError as error:
            _add(skipped, name, str(error))
            return np.zeros((1, 1, 3), np.uint8), False

    @no_autograph
    def read(key, label, name, position):
        data = split.load(key)
        if data.dtype == tf.uint8:
            image, is_readable = open_image(data), tf.constant(True)
        else:
            image, is_readable = _open_encoded(
                data, lambda: tuple(tf.numpy_function(read_on_host, (key, name), DECODED))
            )
        return process_image(image, position), label, name, position, is_readable

    def explain_missing(keys, names, positions, read_positions):
        missing = ~np.isin(positions, read_positions)
        for key, name in zip(keys[missing], names[missing], strict=True):
            if read_on_host(key, name)[1]:
                _add(skipped, name, f"an image must be {REFUSED}")
        return np.int64(0)

    @no_autograph
    def read_batch(keys, labels, names, positions):
        samples = tf.data.Dataset.from_tensor_slices((keys, labels, names, positions))
        samples = samples.map(read, num_parallel_calls=workers, deterministic=True)
        samples = samples.ignore_errors().batch(batch_size)
        empty = tuple(tf.zeros((0, *spec.shape[1:]), spec.dtype) for spec in samples.element_spec)
        samples = samples.concatenate(tf.data.Dataset.from_tensors(empty)).take(1)

        @no_autograph
        def complete(images, labels, read_names, read_positions, is_readable):
            explained = tf.cond(
                tf.equal(tf.size(read_positions), tf.size(positions)),
                lambda: tf.constant(0, tf.int64),
                lambda: tf.numpy_function(
                    explain_missing, (keys, names, positions, read_positions), tf.int64
                ),
            )
            with tf.control_dependencies([explained]):
                columns = (images, labels, read_names, read_positions)
                is_full = tf.reduce_all(is_readable)
                is_full &= tf.equal(tf.size(read_positions), tf.size(positions))
            if keep_batch_size:
                choose = functools.partial(_replacements, read_positions, is_readable, positions)
            else:
                choose = functools.partial(_readable, is_readable)
            return tf.cond(
                is_full,
                lambda: columns,
                lambda: tuple(tf.gather(column, choose()) for column in columns),
            )

        return samples.map(complete)

    batches = listed.interleave(
        read_batch,
        cycle_length=READ_AHEAD,
        block_length=1,
        num_parallel_calls=READ_AHEAD,
        deterministic=True,
    )
    return batches.filter(no_autograph(lambda *columns: tf.size(columns[1]) > 0))


def options(workers: int) -> tf.data.Options:
    """Returns the options of a pipeline: threads of its own, fixed order, one thread an operation."""
    chosen = tf.data.Options()
    chosen.deterministic = True
    chosen.threading.private_threadpool_size = workers
    chosen.threading.max_intra_op_parallelism = 1
    chosen.autotune.enabled = False
    policy = tf.data.experimental.AutoShardPolicy.OFF
    chosen.experimental_distribute.auto_shard_policy = policy
    return chosen


def _open_encoded(data, read_on_host: Callable) -> tuple[EncodedImage, object]:
    """Opens encoded bytes; returns (`EncodedImage`, whether they are an image).

    Args:
        data: string scalar. read_on_host: callable -> (uint8 pixels, bool), for what does not begin
            and end as a JPEG or PNG file does.
    """
    tail = tf.strings.substr(data, tf.maximum(tf.strings.length(data) - TAIL, 0), TAIL)
    tail = tf.io.decode_raw(tail, tf.uint8)

    def ends(mark):
        return tf.reduce_any(tf.equal(tail[:-1], mark[0]) & tf.equal(tail[1:], mark[1]))

    def decode_other():
        is_png = tf.equal(tf.strings.substr(data, 0, 4), PNG) & ends(PNG_END)
        return tf.cond(is_png, lambda: (decode_png(data), tf.constant(True)), read_on_host)

    return open_jpeg(data, tf.io.is_jpeg(data) & ends(JPEG_END), decode_other)


def _readable(is_readable):
    """Returns the places of the readable images."""
    return tf.where(is_readable)[:, 0]


def _replacements(read_positions, is_readable, positions):
    """Returns for each of `positions` the last readable image up to it, else the first one."""
    places = _readable(is_readable)
    positions = positions[: tf.size(positions) * tf.cast(tf.size(places) > 0, tf.int32)]
    before = tf.searchsorted(tf.gather(read_positions, places), positions, side="right") - 1
    return tf.gather(places, tf.maximum(before, 0))


def _add(skipped: SkippedImages, name: bytes, reason: str) -> None:
    text = display_name(name)
    skipped.add(text, reason if text in reason else f"{text}: {reason}")

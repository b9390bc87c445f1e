"""Batches of images that no bad file can stop.

TensorFlow decodes what looks like a whole JPEG or PNG file. Everything else goes to Pillow, which
knows more kinds and says what is wrong: what it cannot read is left out, counted and named. What
looks whole and is not fails in TensorFlow; its place in the order is then found empty, and it is
named as well.
"""

import functools
import os
import sys
import threading
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from newnet_tf.data.crops import opened, opened_jpeg
from newnet_tf.data.datasets.base import Split
from newnet_tf.data.images import ImageError, SkippedImage, read_image

plainly = tf.autograph.experimental.do_not_convert  # nothing here is Python to be converted
AHEAD = 2  # batches that are read at once, so that no thread waits for a batch's last image
ENDING = 64  # bytes at the end of a file, among which a whole one has its end mark
REFUSED = (
    "a file that TensorFlow's decoders read. Received: one that only Pillow reads; save it anew"
)
READ = (tf.uint8, tf.bool)
JPEG_END, PNG_END = (0xFF, 0xD9), (ord("N"), ord("D"))


class SkippedImages:
    """Images that could not be read, each counted once.

    Args:
        echo: bool, whether to name each on stderr as it is met. Default: False.
    """

    def __init__(self, echo: bool = False):
        self._found: dict[str, str] = {}
        self._lock = threading.Lock()
        self._echo = echo

    def add(self, name: str, reason: str) -> None:
        """Notes an image; a second time changes nothing."""
        with self._lock:
            if name in self._found:
                return
            self._found[name] = reason
        if self._echo:
            print(f"skipped: {reason}", file=sys.stderr, flush=True)

    @property
    def bad(self) -> tuple[SkippedImage, ...]:
        """The images so far, by name."""
        with self._lock:
            return tuple(SkippedImage(name, self._found[name]) for name in sorted(self._found))

    def __len__(self) -> int:
        return len(self._found)

    def __str__(self) -> str:
        if not self._found:
            return "no image skipped"
        lines = "".join(f"\n  {bad.reason}" for bad in self.bad)
        return f"{len(self._found)} images skipped:{lines}"


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def read_batches(
    raw: tf.data.Dataset,
    split: Split,
    process_image: Callable,
    batch: int,
    bad: SkippedImages,
    workers: int,
    whole: bool = False,
) -> tf.data.Dataset:
    """Reads what `Split.batches` lists, `AHEAD` batches at a time, each by itself.

    Args:
        raw: dataset of (handles, labels, names, positions). split: `Split` that it came from.
        image: callable, (`crops.Opened`, position) -> float32 (size, size, 3).
        batch: int. bad: `SkippedImages`, where the unreadable are noted.
        workers: int, threads.
        whole: bool, whether batches are of `batch` images, neighbors standing in for the
            unreadable; else the unreadable are left out and batches may be smaller. A batch of
            unreadable ones alone is left out.

    Returns:
        Dataset of (images, labels, names, positions).
    """

    def reread(handle, name):
        try:
            return read_image(split.reread(handle), exif=False), True
        except ImageError as error:
            _note(bad, name, str(error))
            return np.zeros((1, 1, 3), np.uint8), False

    @plainly
    def one(handle, label, name, position):
        data = split.load(handle)
        if data.dtype == tf.uint8:
            image, is_good = opened(data), tf.constant(True)
        else:
            image, is_good = _encoded(
                data, lambda: tuple(tf.numpy_function(reread, (handle, name), READ))
            )
        return process_image(image, position), label, name, position, is_good

    def refused(handles, names, positions, read):
        missing = ~np.isin(positions, read)
        for handle, name in zip(handles[missing], names[missing], strict=True):
            if reread(handle, name)[1]:
                _note(bad, name, f"an image must be {REFUSED}")
        return np.int64(0)

    @plainly
    def read_one(handles, labels, names, positions):
        listed = tf.data.Dataset.from_tensor_slices((handles, labels, names, positions))
        read = listed.map(one, num_parallel_calls=workers, deterministic=True)
        read = read.ignore_errors().batch(batch)
        none = tuple(tf.zeros((0, *part.shape[1:]), part.dtype) for part in read.element_spec)
        read = read.concatenate(tf.data.Dataset.from_tensors(none)).take(1)

        @plainly
        def complete(images, labels, called, read, good):
            named = tf.cond(
                tf.equal(tf.size(read), tf.size(positions)),
                lambda: tf.constant(0, tf.int64),
                lambda: tf.numpy_function(refused, (handles, names, positions, read), tf.int64),
            )
            with tf.control_dependencies([named]):
                columns = (images, labels, called, read)
                is_full = tf.reduce_all(good) & tf.equal(tf.size(read), tf.size(positions))
            chosen = functools.partial(_replacements, read, good, positions) if whole else (
                lambda: tf.where(good)[:, 0]
            )  # fmt: skip
            return tf.cond(
                is_full,
                lambda: columns,
                lambda: tuple(tf.gather(column, chosen()) for column in columns),
            )

        return read.map(complete)

    batches = raw.interleave(
        read_one, cycle_length=AHEAD, block_length=1, num_parallel_calls=AHEAD, deterministic=True
    )
    return batches.filter(plainly(lambda *columns: tf.size(columns[1]) > 0))


def _encoded(data, by_pillow: Callable):
    """Opens encoded bytes: (`crops.Opened`, whether they are an image).

    Args:
        data: string scalar. by_pillow: callable -> (uint8 pixels, bool), for what does not begin and
            end as a JPEG or PNG file does.
    """
    ending = tf.strings.substr(data, tf.maximum(tf.strings.length(data) - ENDING, 0), ENDING)
    ending = tf.io.decode_raw(ending, tf.uint8)

    def ends(mark):
        return tf.reduce_any(tf.equal(ending[:-1], mark[0]) & tf.equal(ending[1:], mark[1]))

    def of_others():
        is_png = tf.equal(tf.strings.substr(data, 0, 4), b"\x89PNG") & ends(PNG_END)
        return tf.cond(
            is_png, lambda: (tf.io.decode_png(data, channels=3), tf.constant(True)), by_pillow
        )

    return opened_jpeg(data, tf.io.is_jpeg(data) & ends(JPEG_END), of_others)


def _replacements(read, good, positions):
    """Returns for each of `positions` the last good image read up to it, or the first one."""
    places = tf.where(good)[:, 0]
    positions = positions[: tf.size(positions) * tf.cast(tf.size(places) > 0, tf.int32)]
    before = tf.searchsorted(tf.gather(read, places), positions, side="right") - 1
    return tf.gather(places, tf.maximum(before, 0))


def _note(bad: SkippedImages, name: bytes, reason: str) -> None:
    called = name.decode(errors="replace")
    bad.add(called, reason if called in reason else f"{called}: {reason}")


def options(workers: int) -> tf.data.Options:
    """Returns the options of a pipeline: its own threads, order kept, one thread an operation."""
    chosen = tf.data.Options()
    chosen.deterministic = True
    chosen.threading.private_threadpool_size = workers
    chosen.threading.max_intra_op_parallelizm = 1
    chosen.autotune.enabled = False
    policy = tf.data.experimental.AutoShardPolicy.OFF
    chosen.experimental_distribute.auto_shard_policy = policy
    return chosen

"""Batches of pictures that no bad file can stop.

TensorFlow decodes what looks like a whole JPEG or PNG file. Everything else goes to Pillow, which
knows more kinds and says what is wrong: what it cannot read is left out, counted and named. What
looks whole and is not fails in TensorFlow; its place in the order is then found empty, and it is
named as well.
"""

import os
import sys
import threading
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from newnet_tf.data.images import BadImage, ImageError, read_image
from newnet_tf.data.sources import Split

plainly = tf.autograph.experimental.do_not_convert  # nothing here is Python to be converted
ENDING = 64  # bytes at the end of a file, among which a whole one has its end mark
REFUSED = (
    "a file that TensorFlow's decoders read. Received: one that only Pillow reads; save it anew"
)
JPEG_END, PNG_END = (0xFF, 0xD9), (ord("N"), ord("D"))


class BadPictures:
    """Pictures that could not be read, each counted once.

    Args:
        echo: bool, whether to name each on stderr as it is met. Default: False.
    """

    def __init__(self, echo: bool = False):
        self._found: dict[str, str] = {}
        self._lock = threading.Lock()
        self._echo = echo

    def add(self, name: str, reason: str) -> None:
        """Notes a picture; a second time changes nothing."""
        with self._lock:
            if name in self._found:
                return
            self._found[name] = reason
        if self._echo:
            print(f"skipped: {reason}", file=sys.stderr, flush=True)

    @property
    def bad(self) -> tuple[BadImage, ...]:
        """The pictures so far, by name."""
        with self._lock:
            return tuple(BadImage(name, self._found[name]) for name in sorted(self._found))

    def __len__(self) -> int:
        return len(self._found)

    def __str__(self) -> str:
        if not self._found:
            return "no picture skipped"
        lines = "".join(f"\n  {bad.reason}" for bad in self.bad)
        return f"{len(self._found)} pictures skipped:{lines}"


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def read_batches(
    raw: tf.data.Dataset,
    split: Split,
    picture: Callable,
    size: int,
    batch: int,
    bad: BadPictures,
    workers: int,
    whole: bool = False,
) -> tf.data.Dataset:
    """Reads what `Split.batches` lists.

    Args:
        raw: dataset of (handles, labels, names, positions). split: `Split` that it came from.
        picture: callable, (string scalar or uint8 pixels, position) -> float32 (size, size, 3).
        size, batch: int. bad: `BadPictures`, where the unreadable are noted.
        workers: int, threads.
        whole: bool, whether batches are of `batch` pictures, neighbours standing in for the
            unreadable; else the unreadable are left out and batches may be smaller.

    Returns:
        Dataset of (images, labels, names, positions).
    """
    listed = raw.unbatch().enumerate()

    def reread(handle, name):
        try:
            return read_image(split.reread(handle), exif=False)
        except ImageError as error:
            _note(bad, name, str(error))
            return np.zeros((0, 0, 3), np.uint8)

    def by_pillow(handle, name, position):
        pixels = tf.numpy_function(reread, (handle, name), tf.uint8)
        pixels = tf.ensure_shape(pixels, (None, None, 3))
        nothing = tf.zeros((size, size, 3))
        is_good = tf.size(pixels) > 0
        return tf.cond(is_good, lambda: picture(pixels, position), lambda: nothing), is_good

    @plainly
    def one(place, picked):
        handle, label, name, position = picked
        data = split.load(handle)
        if data.dtype == tf.uint8:
            image, is_good = picture(data, position), tf.constant(True)
        else:
            image, is_good = tf.cond(
                looks_whole(data),
                lambda: (picture(data, position), tf.constant(True)),
                lambda: by_pillow(handle, name, position),
            )
        return place, tf.ensure_shape(image, (size, size, 3)), label, name, position, is_good

    def missed(place, count):
        """Names the pictures that TensorFlow refused, from `place` on; -1: all that are left."""
        with tf.init_scope():
            for _, (handle, _, name, _) in listed.skip(place).take(count).as_numpy_iterator():
                if reread(handle, name).size:
                    _note(bad, name, f"a picture must be {REFUSED}")
        return np.int64(0)

    @plainly
    def look(expected, read):
        place = read[0]
        is_end = place < 0
        gap = tf.where(is_end, tf.constant(-1, tf.int64), place - expected)
        noted = tf.cond(
            tf.equal(gap, 0),
            lambda: tf.constant(0, tf.int64),
            lambda: tf.numpy_function(missed, (expected, gap), tf.int64),
        )
        with tf.control_dependencies([noted]):
            copies = tf.where(is_end, tf.constant(0, tf.int64), 1 + gap)
        return place + 1, (read, copies)

    end = (tf.constant(-1, tf.int64), tf.zeros((size, size, 3)), tf.constant(0), tf.constant(""),
           tf.constant(0, tf.int64), tf.constant(False))  # fmt: skip
    read = listed.map(one, num_parallel_calls=workers, deterministic=True).ignore_errors()
    read = read.concatenate(tf.data.Dataset.from_tensors(end)).scan(tf.constant(0, tf.int64), look)
    if whole:
        read = read.flat_map(
            plainly(lambda x, copies: tf.data.Dataset.from_tensors(x).repeat(copies))
        )
    else:
        read = read.filter(plainly(lambda x, copies: (copies > 0) & x[5]))
        read = read.map(plainly(lambda x, copies: x))
    batches = read.batch(batch, num_parallel_calls=1, deterministic=True)

    @plainly
    def complete(places, images, labels, names, positions, good):
        columns = (images, labels, names, positions)
        if not whole:
            return columns
        is_full = tf.reduce_all(good) & tf.equal(tf.size(labels), batch)
        return tf.cond(is_full, lambda: columns, lambda: _stand_in(columns, good, batch))

    if whole:
        batches = batches.filter(plainly(lambda *columns: tf.reduce_any(columns[-1])))
    return batches.map(complete, num_parallel_calls=2, deterministic=True)


def looks_whole(data):
    """Says of encoded bytes whether they begin and end as a JPEG or PNG file does."""
    length = tf.strings.length(data)
    first = tf.strings.substr(data, 0, 4)
    ending = tf.strings.substr(data, tf.maximum(length - ENDING, 0), ENDING)
    ending = tf.cast(tf.io.decode_raw(ending, tf.uint8), tf.int32)
    pairs = ending[:-1] * 256 + ending[1:]

    def has(mark):
        return tf.reduce_any(tf.equal(pairs, mark[0] * 256 + mark[1]))

    is_jpeg = tf.io.is_jpeg(data) & has(JPEG_END)
    return is_jpeg | (tf.equal(first, b"\x89PNG") & has(PNG_END))


def _stand_in(columns, good, batch: int):
    """Puts the last good picture before it (or the first one) in the place of each bad one."""
    places = tf.where(good)[:, 0]
    slots = tf.minimum(tf.range(batch, dtype=tf.int64), tf.size(good, tf.int64))
    before = tf.searchsorted(places, slots, side="right") - 1
    chosen = tf.gather(places, tf.maximum(before, 0))
    return tuple(tf.gather(column, chosen) for column in columns)


def _note(bad: BadPictures, name: bytes, reason: str) -> None:
    called = name.decode(errors="replace")
    bad.add(called, reason if called in reason else f"{called}: {reason}")


def options(workers: int) -> tf.data.Options:
    """Returns the options of a pipeline: its own threads, order kept, one thread an operation."""
    chosen = tf.data.Options()
    chosen.deterministic = True
    chosen.threading.private_threadpool_size = workers
    chosen.threading.max_intra_op_parallelism = 1
    chosen.autotune.enabled = False
    policy = tf.data.experimental.AutoShardPolicy.OFF
    chosen.experimental_distribute.auto_shard_policy = policy
    return chosen

"""Batches of pictures that no bad file can stop.

A batch is read by TensorFlow, its pictures in parallel. What fails there (a truncated file, a kind
that TensorFlow does not know, a header that promises what is not there) is tried again with Pillow,
and what fails there too is left out, counted and named. A good run pays nothing for this: it is done
batch by batch, only where something is missing.
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
TOGETHER = 2  # batches being read at a time, so that the end of one does not idle


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
    bad: BadPictures,
    workers: int,
) -> tf.data.Dataset:
    """Reads what `Split.batches` lists.

    Args:
        raw: dataset of (handles, labels, names, positions). split: `Split` that it came from.
        picture: callable, (string scalar or uint8 pixels, position) -> float32 (size, size, 3).
        size: int. bad: `BadPictures`, where the unreadable are noted. workers: int, threads.

    Returns:
        Dataset of (images, labels, names, positions, good): `good` is a bool for each; a picture that
        is not good is all zeros.
    """

    @plainly
    def one(handle, position, slot):
        return picture(split.load(handle), position), slot

    @plainly
    def read(handles, labels, names, positions):
        slots = tf.range(tf.size(labels))
        pictures = tf.data.Dataset.from_tensor_slices((handles, positions, slots))
        pictures = pictures.map(one, num_parallel_calls=workers, deterministic=True)
        found = pictures.ignore_errors().batch(tf.size(labels, tf.int64))
        nothing = (tf.zeros((0, size, size, 3)), tf.zeros((0,), tf.int32))
        found = found.concatenate(tf.data.Dataset.from_tensors(nothing)).take(1)
        return found.map(
            plainly(lambda images, at: (images, at, handles, labels, names, positions))
        )

    def reread(handle, name):
        try:
            return read_image(split.reread(handle), exif=False)
        except ImageError as error:
            called = name.decode(errors="replace")
            reason = str(error)
            bad.add(called, reason if called in reason else f"{called}: {reason}")
            return np.zeros((0, 0, 3), np.uint8)

    def again(handle, name, position):
        pixels = tf.numpy_function(reread, (handle, name), tf.uint8)
        pixels = tf.ensure_shape(pixels, (None, None, 3))
        is_good = tf.size(pixels) > 0
        image = tf.cond(
            is_good, lambda: picture(pixels, position), lambda: tf.zeros((size, size, 3))
        )
        return image, is_good

    @plainly
    def complete(images, at, handles, labels, names, positions):
        count = tf.size(labels)
        good = tf.scatter_nd(at[:, None], tf.ones_like(at), (count,)) > 0

        def with_missing():
            missing = tf.cast(tf.where(~good)[:, 0], tf.int32)
            kinds = (tf.TensorSpec((size, size, 3)), tf.TensorSpec((), tf.bool))
            wanted = [tf.gather(column, missing) for column in (handles, names, positions)]
            retried, readable = tf.map_fn(
                plainly(lambda args: again(*args)),
                wanted,
                fn_output_signature=kinds,
                parallel_iterations=1,
            )
            both = tf.dynamic_stitch([at, missing], [images, retried])
            return both, tf.dynamic_stitch([at, missing], [tf.ones_like(at, tf.bool), readable])

        images, good = tf.cond(tf.reduce_all(good), lambda: (images, good), with_missing)
        images = tf.ensure_shape(images, (None, size, size, 3))
        return images, labels, names, positions, good

    batches = raw.interleave(
        read, cycle_length=TOGETHER, block_length=1, num_parallel_calls=TOGETHER, deterministic=True
    )
    return batches.map(complete, num_parallel_calls=TOGETHER, deterministic=True)


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

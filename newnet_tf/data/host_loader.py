"""Images read on the host, some ahead in threads, prepared exactly as `preprocess.preprocess_image` does.

What is judged goes this way and not through `pipeline.eval_input_pipeline`, whose pixels differ a little: a
Keras model, a TFLite file that takes pixels and a SavedModel that prepares them itself can only answer
alike if they see the same ones.
"""

import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from newnet_tf.data.datasets.base import Split
from newnet_tf.data.images import ImageError, SkippedImage, read_image

THREADS = 8
LISTED = 64  # images listed at a time
SAMPLING = 0  # seed of a sample


@dataclass(frozen=True, eq=False)
class Sample:
    """One labeled image, not read yet.

    Args:
        name: str, to call it by. label: int, its class.
        source: what `images.read_image` takes: path, encoded bytes, uint8 array.
    """

    name: str
    label: int
    source: object


def iter_samples(split: Split, limit: int | None = None) -> Iterator[Sample]:
    """Lists the images of a split in order, or a random sample of them.

    Args:
        split: `Split`. limit: int, how many; those are drawn by a fixed seed.
    """
    left = split.size if limit is None else min(limit, split.size)
    seed = None if limit is None else SAMPLING
    for handles, labels, names, _ in split.batches(LISTED, seed=seed).as_numpy_iterator():
        for handle, label, name in zip(handles, labels, names, strict=True):
            if not left:
                return
            left -= 1
            yield Sample(name.decode(errors="replace"), int(label), split.reread(handle))


def each_batch(
    handle: Callable,
    samples: Iterable[Sample],
    total: int,
    prepare: Callable,
    batch_size: int = 32,
    title: str = "Reading",
) -> tuple[SkippedImage, ...]:
    """Reads images and hands them over in batches; shows progress on stderr.

    Args:
        handle: callable (list of `Sample`, list of arrays), called in order for each batch of
            readable images; the last may be smaller.
        images: `Sample`s. total: int, how many, for the progress bar.
        prepare: callable, uint8 array (height, width, 3) -> array. It runs in threads.
        batch_size: int. title: str, of the progress bar.

    Returns:
        The images that could not be read: they are left out, and named in one warning.
    """
    bad, ready, arrays = [], [], []
    with warnings.catch_warnings():
        # The threads' own contexts then restore nothing less strict than this.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for sample, found in shown(_read_ahead(samples, prepare, 2 * batch_size), title, total):
            if isinstance(found, SkippedImage):
                bad.append(found)
                continue
            ready.append(sample)
            arrays.append(found)
            if len(ready) == batch_size:
                handle(ready, arrays)
                ready, arrays = [], []
        if ready:
            handle(ready, arrays)
    if bad:
        lines = "".join(f"\n  {sample.reason}" for sample in bad)
        warnings.warn(f"{len(bad)} of {total} images skipped:{lines}", stacklevel=2)
    return tuple(bad)


def shown(items: Iterable, title: str, total: int | None = None) -> Iterator:
    """Iterates over `items` with a progress bar and the time left on stderr."""
    from rich.console import Console
    from rich.progress import track

    total = len(items) if total is None else total
    yield from track(items, title, total=total, console=Console(file=sys.stderr))


def _read_ahead(samples: Iterable[Sample], prepare: Callable, ahead: int) -> Iterator:
    """Yields (image, array or `SkippedImage`) in order; `ahead` of them are in work."""

    def read(sample):
        try:
            return prepare(read_image(sample.source))
        except ImageError as error:
            reason = str(error)
            named = reason if sample.name in reason else f"{sample.name}: {reason}"
            return SkippedImage(sample.name, named)

    pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))
    waiting = deque()
    try:
        for sample in samples:
            waiting.append((sample, pool.submit(read, sample)))
            if len(waiting) >= ahead:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    finally:
        pool.shutdown(cancel_futures=True)

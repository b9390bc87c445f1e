"""Images read on the host, several at once in threads, exactly as `preprocess.preprocess_image` does.

Evaluation and verification read images this way and not with `pipeline.eval_input_pipeline`, whose
pixels differ slightly: a Keras model, a TFLite file that takes pixels and a SavedModel that takes
encoded images can only be compared on the same pixels.
"""

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from newnet_tf.data.boxes import Label
from newnet_tf.data.datasets.base import Split
from newnet_tf.data.image_files import display_name
from newnet_tf.data.images import ImageError, SkippedImage, read_image
from newnet_tf.data.label_arrays import split_labels
from newnet_tf.utils.progress import progress_bar

THREADS = 8
LIST_BATCH = 64  # images that are listed at a time
SAMPLE_SEED = 0  # of a random sample of a split


@dataclass(frozen=True, eq=False)
class Sample:
    """One labeled image, not read yet.

    Args:
        name: str, for messages.

        label: int, its class; an int array of 0 and 1, one for each class; or a mapping of arrays, its
            boxes (see `data.boxes`) or words (`data.words`).

        source: what `images.read_image` takes: path, encoded bytes, uint8 array.
    """

    name: str
    label: int | np.ndarray | Label
    source: object


def iter_samples(split: Split, max_samples: int | None = None) -> Iterator[Sample]:
    """Lists the images of a split in order, or a random sample of them.

    Args:
        split: `Split`.

        max_samples: int, at most how many, drawn with a fixed seed. Default: None, all, in order.

    Yields:
        `Sample`.
    """
    left = split.size if max_samples is None else min(max_samples, split.size)
    seed = None if max_samples is None else SAMPLE_SEED
    for keys, labels, names, _ in split.batches(LIST_BATCH, seed=seed).as_numpy_iterator():
        each = split_labels(labels) if isinstance(labels, Mapping) else labels
        for key, label, name in zip(keys, each, names, strict=True):
            if not left:
                return
            left -= 1
            own = label if isinstance(label, Mapping) or label.ndim else int(label)
            yield Sample(display_name(name), own, split.image_source(key))


def each_batch(
    process: Callable[[list[Sample], list[np.ndarray]], object],
    samples: Iterable[Sample],
    total: int,
    prepare: Callable[[np.ndarray], np.ndarray],
    batch_size: int = 32,
    description: str = "Reading",
) -> tuple[SkippedImage, ...]:
    """Reads images and calls a function with each batch; shows progress on stderr.

    Args:
        process: callable (list of `Sample`, list of arrays), called in order for each batch of
            readable images.

        samples: `Sample`s.

        total: int, their number, for the progress bar.

        prepare: callable, uint8 array (height, width, 3) -> array. It runs in threads.

        batch_size: int; the last batch may be smaller. Default: 32.

        description: str, the text of the progress bar. Default: `"Reading"`.

    Returns:
        The images that could not be read. They are left out, and named in one warning.
    """
    skipped, ready, arrays = [], [], []
    with warnings.catch_warnings():
        # Threads restore the filters from before them, which are then no less strict than theirs.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        results = _read_ahead(samples, prepare, 2 * batch_size)
        for sample, result in progress_bar(results, description, total):
            if isinstance(result, SkippedImage):
                skipped.append(result)
                continue
            ready.append(sample)
            arrays.append(result)
            if len(ready) == batch_size:
                process(ready, arrays)
                ready, arrays = [], []
        if ready:
            process(ready, arrays)
    if skipped:
        lines = "".join(f"\n  {image.reason}" for image in skipped)
        warnings.warn(f"{len(skipped)} of {total} images skipped:{lines}", stacklevel=2)
    return tuple(skipped)


def _read_ahead(samples: Iterable[Sample], prepare: Callable, count: int) -> Iterator:
    """Yields (sample, array or `SkippedImage`) in order; `count` of them are read at once."""

    def read(sample):
        try:
            return prepare(read_image(sample.source))
        except ImageError as error:
            reason = str(error)
            reason = reason if sample.name in reason else f"{sample.name}: {reason}"
            return SkippedImage(sample.name, reason)

    pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))
    waiting = deque()
    try:
        for sample in samples:
            waiting.append((sample, pool.submit(read, sample)))
            if len(waiting) >= count:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)

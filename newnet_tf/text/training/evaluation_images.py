"""Evaluation images of a text detector, each read, or drawn, by a function of its own."""

import functools
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from newnet_tf.data.datasets.base import Split, list_samples
from newnet_tf.data.image_files import ImageError, display_name
from newnet_tf.data.images import read_image
from newnet_tf.data.label_arrays import split_labels
from newnet_tf.data.preprocess import preprocess_image
from newnet_tf.data.words import TEXT, make_words, pad_words
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.text.synthesis.config import SynthesisConfig
from newnet_tf.text.synthesis.render import TextSynthesizer
from newnet_tf.utils.progress import note

EVALUATION_SEED = 2**32 - 1  # of no training run
READ_AHEAD = 3  # batches


def evaluation_batches(
    source: Iterable[Callable], size: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yields batches of what functions return, called in threads; None is left out.

    Args:
        source: iterable of functions, as of `read_evaluation`.

        size: int, images a batch.

    Yields:
        (images, labels), see `TextLoader.test`.
    """
    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
        results = (future.result() for future in ahead(source, pool.submit, size * READ_AHEAD))
        found = filter(None, results)
        while batch := list(itertools.islice(found, size)):
            images, labels, sizes = zip(*batch, strict=True)
            padded = pad_words(labels)
            del padded[TEXT]
            yield np.stack(images), {**padded, "image_sizes": np.array(sizes, np.int32)}


def ahead(items: Iterable, submit: Callable, count: int = READ_AHEAD) -> Iterator:
    """Yields what `submit` returns for each item, `count` items behind."""
    waiting: deque = deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


def read_evaluation(
    split: Split, preprocess: PreprocessConfig, count: int, skip: Callable
) -> Iterator[Callable]:
    """Yields a function for each of the first images of a split.

    Args:
        split: `Split` of images with words.

        preprocess: `PreprocessConfig` of the model.

        count: int, how many images.

        skip: callable, (name, `ImageError`), for an image that cannot be read.

    Yields:
        Callable without arguments -> (image float32, normalized, label, (height, width) of the
        original), or None for an image that cannot be read.
    """
    keys, labels, names = list_samples(split, count)

    def read(key, label, name):
        try:
            pixels = read_image(split.image_source(key))
        except ImageError as error:
            skip(name, error)
            note(f"skipped: {error}")
            return None
        return preprocess_image(pixels, preprocess), label, pixels.shape[:2]

    for key, label, name in zip(keys, split_labels(labels), names, strict=True):
        yield functools.partial(read, key, label, display_name(name))


def synthetic_evaluation(
    config: SynthesisConfig, preprocess: PreprocessConfig, count: int
) -> Iterator[Callable]:
    """Yields a function for each of `count` synthetic images, the same ones each time.

    Args:
        config: `SynthesisConfig`.

        preprocess: `PreprocessConfig` of the model.

        count: int.

    Yields:
        As `read_evaluation`.
    """
    synthesizer = TextSynthesizer(config)

    def draw(index):
        drawn = synthesizer.draw(np.random.default_rng((EVALUATION_SEED, index)))
        label = make_words(drawn.polygons, text=drawn.words)
        return preprocess_image(drawn.image, preprocess), label, drawn.image.shape[:2]

    for index in range(count):
        yield functools.partial(draw, index)

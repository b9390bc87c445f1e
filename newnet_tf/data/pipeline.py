"""`train_input_pipeline` and `eval_input_pipeline`: labeled images to batches that a network takes.

All chance is drawn from (seed, epoch, the image's place in the epoch), nothing from the order in
which threads get there, so that an epoch can be had again, from any step, on any number of workers.
A bad image keeps its place: in training a neighbor of its batch stands in for it, in evaluation it
is left out. See `reading` for how it is met.
"""

import numpy as np
import tensorflow as tf

from newnet_tf.data.augment import color_ops, mixup, randaugment
from newnet_tf.data.augment.config import Augmentation
from newnet_tf.data.augment.erasing import erase
from newnet_tf.data.crops import center_crop, random_box, resized_crop
from newnet_tf.data.datasets.base import TRAIN, Dataset
from newnet_tf.data.decode import SkippedImages, cores, options, plainly, read_batches
from newnet_tf.models.config import PreprocessConfig

CROP, FLIP, RAND, JITTER, LIGHT, ERASE, MIX = (16 * purpose for purpose in range(7))
PREFETCH = 2


def train_input_pipeline(
    source: Dataset,
    preprocess: PreprocessConfig,
    augmentation: Augmentation | None = None,
    *,
    batch_size: int = 128,
    seed: int = 0,
    epoch: int = 0,
    start: int = 0,
    num_shards: int = 1,
    shard_index: int = 0,
    split: str = TRAIN,
    skipped: SkippedImages | None = None,
    workers: int | None = None,
) -> tf.data.Dataset:
    """Returns one epoch of augmented batches.

    Args:
        source: `Dataset`. preprocess: `cards.Preprocess` of the network.
        augmentation: `Augmentation`; default: ResNet's.
        batch_size: int, images a batch of this worker; the remainder of an epoch is left out.
        seed, epoch: int; both together decide order and augmentation.
        start: int, batches to leave out at the beginning, to go on where a run stopped.
        num_shards, shard_index: int, number of workers and which one this is. With sources that are lists
            (folders, tarballs) the workers' batches of a step hold the very images that one worker
            with the joint batch would see; with tensorflow-datasets each worker reads its own part.
        split: str. skipped: `SkippedImages` to note the unreadable in; default: named on stderr.
        workers: int, threads; default: the cores that this process may use.

    Returns:
        `tf.data.Dataset` of (images float32 (batch, size, size, 3), normalized; targets float32
        (batch, classes), one-hot, smoothed and mixed as the augmentation says). It has
        `source.split(split).steps(batch, shards) - start` batches.

    Raises:
        ValueError: for an argument outside of the above, or a split smaller than a batch.

    Example:
        >>> batches = train_input_pipeline(source, Preprocess(), Augmentation(cutmix=1.0), batch=64)
    """
    augmentation = augmentation or Augmentation()
    chosen = source.split(split)
    keys = np.random.SeedSequence([_whole(seed, "seed"), _whole(epoch, "epoch")])
    order, key = (int(state) >> 16 for state in keys.generate_state(2, np.uint64))
    if chosen.steps(batch_size, num_shards) < 1:
        raise ValueError(
            f"`batch_size` must be at most the split's images by worker ({chosen.size // num_shards} of "
            f"{source.name}, {split}). Received: batch_size={batch_size}"
        )
    raw = chosen.batches(
        batch_size, seed=order, shards=num_shards, index=shard_index, start=start, even=True
    )
    workers = workers or cores()
    skipped = SkippedImages(echo=True) if skipped is None else skipped

    normalized = _normalizing(preprocess)

    def process_image(image, position):
        seed_of_it = tf.stack([tf.constant(key, tf.int64), position])
        return normalized(augmented(image, seed_of_it, augmentation, preprocess))

    @plainly
    def finish(images, labels, names, positions):
        targets = mixup.smooth_targets(labels, source.classes, augmentation.label_smoothing)
        if augmentation.mixes:
            place = tf.stack([tf.constant(key + MIX, tf.int64), positions[0]])
            images, targets = mixup.mix(
                images,
                targets,
                place,
                augmentation.mixup_alpha,
                augmentation.cutmix_alpha,
                augmentation.mix_prob,
            )
        return (
            tf.ensure_shape(images, (batch_size, *images.shape[1:])),
            tf.ensure_shape(targets, (batch_size, source.classes)),
        )

    read = read_batches(raw, chosen, process_image, batch_size, skipped, workers, whole=True)
    ready = read.map(finish, num_parallel_calls=2, deterministic=True)
    return ready.prefetch(PREFETCH).with_options(options(workers))


def eval_input_pipeline(
    source: Dataset,
    preprocess: PreprocessConfig,
    *,
    batch_size: int = 64,
    split: str | None = None,
    num_shards: int = 1,
    shard_index: int = 0,
    names: bool = False,
    skipped: SkippedImages | None = None,
    workers: int | None = None,
) -> tf.data.Dataset:
    """Returns a split's images once, in order, prepared as `preprocess.preprocess_image` prepares them.

    Both differ by at most a gray level or so of 255 (see `crops.center_crop`).

    Args:
        source, preprocess, num_shards, shard_index, skipped, workers: as in `train_input_pipeline`.
        batch_size: int; the last batch may be smaller, and so are batches with unreadable images.
        split: str; default: validation, else test, else all.
        names: bool, whether to give each image's name too.

    Returns:
        `tf.data.Dataset` of (images float32 (n, size, size, 3), labels int32 (n,)), and, if asked,
        names, string (n,).
    """
    chosen = source.split(split)
    workers = workers or cores()
    skipped = SkippedImages(echo=True) if skipped is None else skipped
    raw = chosen.batches(batch_size, shards=num_shards, index=shard_index)

    normalized = _normalizing(preprocess)

    def process_image(image, position):
        return normalized(center_crop(image, preprocess))

    @plainly
    def finish(images, labels, called, positions):
        return (images, labels, called) if names else (images, labels)

    read = read_batches(raw, chosen, process_image, batch_size, skipped, workers)
    return read.map(finish).prefetch(PREFETCH).with_options(options(workers))


def augmented(image, seed, augmentation: Augmentation, preprocess: PreprocessConfig):
    """Crops and augments one image: all that is done before batching.

    Args:
        image: as in `crops.opened`. seed: int64 tensor (2,).
        augmentation: `Augmentation`. preprocess: `cards.Preprocess`, for size and fill color.

    Returns:
        float32 (size, size, 3), gray levels.
    """

    def at(purpose):
        return seed + tf.constant((purpose, 0), tf.int64)

    size = preprocess.image_size
    if augmentation.crop == "random_resized":

        def choose(shape):
            return random_box(shape, at(CROP), augmentation.scale, augmentation.ratio)

        x = resized_crop(image, choose, size, augmentation.interpolation)
    else:
        x = center_crop(image, preprocess)
        if augmentation.crop == "random":
            x = _padded_crop(x, at(CROP), augmentation.padding)
    if augmentation.hflip_prob:
        is_flipped = tf.random.stateless_uniform((), at(FLIP)) < augmentation.hflip_prob
        x = tf.cond(is_flipped, lambda: tf.reverse(x, (1,)), lambda: x)
    amounts = (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    if augmentation.randaugment_ops or any(amounts):
        x = tf.round(x)
    if augmentation.randaugment_ops:
        fill = tuple(float(round(255 * mean)) for mean in preprocess.mean)
        x = randaugment.rand_augment(
            x,
            at(RAND),
            fill,
            augmentation.randaugment_ops,
            augmentation.magnitude,
            augmentation.magnitude_std,
            augmentation.increasing,
        )
    if any(amounts):
        x = color_ops.jitter(x, at(JITTER), amounts)
    if augmentation.pca_std:
        x = color_ops.lighting(x, at(LIGHT), augmentation.pca_std)
    if augmentation.erasing_prob:
        x = erase(x, at(ERASE), augmentation.erasing_prob, preprocess, augmentation.erasing_mode)
    return tf.ensure_shape(x, (size, size, 3))


def _normalizing(preprocess: PreprocessConfig):
    """Returns a function that normalizes one image's gray levels, as `preprocess.normalize` does.

    It computes with whole images of factors, since a broadcast over three channels is slow.
    """
    shape = preprocess.shape
    scale, offset = (
        tf.constant(np.broadcast_to(np.float32(v), shape))
        for v in (preprocess.scale, preprocess.offset)
    )
    return lambda levels: levels * scale + offset


def _padded_crop(x, seed, padding: int):
    """Pads with black and crops back at a random place."""
    place = tf.random.stateless_uniform((2,), seed, 0, 2 * padding + 1, tf.int32)
    around = ((padding, padding), (padding, padding), (0, 0))
    padded = tf.pad(x, around)
    return padded[place[0] : place[0] + x.shape[0], place[1] : place[1] + x.shape[1]]


def _whole(value, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"`{name}` must be an int, not negative. Received: {name}={value!r}")
    return value

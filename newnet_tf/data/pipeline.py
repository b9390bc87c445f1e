"""`train_input_pipeline` and `eval_input_pipeline`: labeled images to batches that a model takes.

What is random depends on the seed, the epoch and the image's position in the epoch alone, not on the
order in which threads finish. An epoch can be repeated exactly, from any step, on any number of
workers. An unreadable image keeps its position: in training another image of the batch replaces it,
in evaluation it is left out (see `decode`). EXIF orientation is applied, as phones and browsers do.
"""

import numpy as np
import tensorflow as tf

from newnet_tf.data.augment import color_ops, mixup, randaugment
from newnet_tf.data.augment.config import Augmentation
from newnet_tf.data.augment.erasing import random_erasing
from newnet_tf.data.crops import center_crop, random_box, resized_crop
from newnet_tf.data.datasets.base import TRAIN, Dataset
from newnet_tf.data.decode import SkippedImages, cores, no_autograph, options, read_batches
from newnet_tf.models.config import RGB, PreprocessConfig

# Each draw has a seed of its own: the image's, plus one of these.
CROP, FLIP, RANDAUGMENT, COLOR_JITTER, PCA, ERASING, MIX = (16 * purpose for purpose in range(7))
PREFETCH = 2


def train_input_pipeline(
    dataset: Dataset,
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
        dataset: `Dataset`.

        preprocess: `PreprocessConfig` of the model.

        augmentation: `Augmentation`. Default: `Augmentation()`, ResNet's.

        batch_size: int, images a batch of this shard. The remainder of an epoch is left out.
            Default: 128.

        seed: int, not negative. Together with `epoch` it decides order and augmentation. Default: 0.

        epoch: int, from 0. Default: 0.

        start: int, batches to leave out at the beginning, to resume where a run stopped. Default: 0.

        num_shards: int, number of workers that train together. With folders and tarballs, the
            batches of all shards at a step hold the same images as one batch of `num_shards *
            batch_size` would; a set of tensorflow-datasets is divided into parts. Default: 1.

        shard_index: int in 0 to `num_shards - 1`, which worker this is. Default: 0.

        split: str, the split's name. Default: `"train"`.

        skipped: `SkippedImages`, to which unreadable images are added. Default: None, they are named
            on stderr.

        workers: int, threads. Default: None, the cores that this process may use.

    Returns:
        `tf.data.Dataset` of (images, targets): float32 (batch, size, size, 3), normalized, and
        float32 (batch, classes), one-hot, smoothed and mixed as the augmentation says. It has
        `dataset.split(split).steps(batch_size, num_shards) - start` batches.

    Raises:
        ValueError: for an argument outside of the above, or a split smaller than a batch.

    Example:
        >>> augmentation = Augmentation(cutmix_alpha=1.0)
        >>> batches = train_input_pipeline(dataset, card.preprocess, augmentation, batch_size=64)
    """
    augmentation = augmentation or Augmentation()
    chosen = dataset.split(split)
    seeds = np.random.SeedSequence([_natural(seed, "seed"), _natural(epoch, "epoch")])
    order, key = (int(state) >> 16 for state in seeds.generate_state(2, np.uint64))
    if chosen.steps(batch_size, num_shards) < 1:
        raise ValueError(
            f"`batch_size` must be at most the number of images of a shard "
            f"({chosen.size // num_shards} of {dataset.name}, {split}). "
            f"Received: batch_size={batch_size}"
        )
    listed = chosen.batches(
        batch_size,
        seed=order,
        num_shards=num_shards,
        shard_index=shard_index,
        start=start,
        even=True,
    )
    workers = workers or cores()
    skipped = SkippedImages(echo=True) if skipped is None else skipped
    normalize = _normalizer(preprocess)

    def process_image(image, position):
        image_seed = tf.stack([tf.constant(key, tf.int64), position])
        return normalize(augment_image(image, image_seed, augmentation, preprocess))

    @no_autograph
    def finish(images, labels, names, positions):
        targets = mixup.smooth_targets(labels, dataset.classes, augmentation.label_smoothing)
        if augmentation.mixes:
            batch_seed = tf.stack([tf.constant(key + MIX, tf.int64), positions[0]])
            images, targets = mixup.mix(
                images,
                targets,
                batch_seed,
                augmentation.mixup_alpha,
                augmentation.cutmix_alpha,
                augmentation.mix_prob,
            )
        return (
            tf.ensure_shape(images, (batch_size, *images.shape[1:])),
            tf.ensure_shape(targets, (batch_size, dataset.classes)),
        )

    batches = read_batches(
        listed, chosen, process_image, batch_size, skipped, workers, keep_batch_size=True
    )
    batches = batches.map(finish, num_parallel_calls=2, deterministic=True)
    return batches.prefetch(PREFETCH).with_options(options(workers))


def eval_input_pipeline(
    dataset: Dataset,
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
    """Returns the images of a split once, in order, prepared as `preprocess.preprocess_image` does.

    Pixel values of the two differ by about 1 of 255 (see `crops.center_crop`).

    Args:
        dataset, preprocess, num_shards, shard_index, skipped, workers: as in `train_input_pipeline`.

        batch_size: int. The last batch may be smaller, and so are batches with unreadable images.
            Default: 64.

        split: str, the split's name. Default: None, `"validation"`, else `"test"`, else `"all"`.

        names: bool, whether to return each image's name too. Default: False.

    Returns:
        `tf.data.Dataset` of (images, labels): float32 (n, size, size, 3), normalized, and int32 (n,);
        with `names`, also string (n,).
    """
    chosen = dataset.split(split)
    workers = workers or cores()
    skipped = SkippedImages(echo=True) if skipped is None else skipped
    listed = chosen.batches(batch_size, num_shards=num_shards, shard_index=shard_index)
    normalize = _normalizer(preprocess)

    def process_image(image, position):
        return normalize(center_crop(image, preprocess))

    @no_autograph
    def finish(images, labels, image_names, positions):
        return (images, labels, image_names) if names else (images, labels)

    batches = read_batches(listed, chosen, process_image, batch_size, skipped, workers)
    return batches.map(finish).prefetch(PREFETCH).with_options(options(workers))


def augment_image(image, seed, augmentation: Augmentation, preprocess: PreprocessConfig):
    """Crops and augments one image: all that is done before batching.

    Args:
        image: as in `crops.open_image`.

        seed: int64 tensor (2,).

        augmentation: `Augmentation`.

        preprocess: `PreprocessConfig`, for the image size and the fill color.

    Returns:
        float32 (size, size, 3), pixel values in 0-255.
    """

    def seed_of(purpose):
        return seed + tf.constant((purpose, 0), tf.int64)

    size = preprocess.image_size
    if augmentation.crop == "random_resized":

        def choose(shape):
            return random_box(shape, seed_of(CROP), augmentation.scale, augmentation.ratio)

        x = resized_crop(image, choose, size, augmentation.interpolation)
    else:
        x = center_crop(image, preprocess)
        if augmentation.crop == "random":
            x = _random_crop(x, seed_of(CROP), augmentation.padding)
    if augmentation.hflip_prob:
        is_flipped = tf.random.stateless_uniform((), seed_of(FLIP)) < augmentation.hflip_prob
        x = tf.cond(is_flipped, lambda: tf.reverse(x, (1,)), lambda: x)
    amounts = (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    if augmentation.randaugment_ops or any(amounts):
        x = tf.round(x)
    if augmentation.randaugment_ops:
        fill = tuple(float(round(255 * mean)) for mean in preprocess.rgb_mean)
        x = randaugment.rand_augment(
            x,
            seed_of(RANDAUGMENT),
            fill,
            augmentation.randaugment_ops,
            augmentation.magnitude,
            augmentation.magnitude_std,
            augmentation.increasing,
        )
    if any(amounts):
        x = color_ops.color_jitter(x, seed_of(COLOR_JITTER), amounts)
    if augmentation.pca_std:
        x = color_ops.pca_noise(x, seed_of(PCA), augmentation.pca_std)
    if augmentation.erasing_prob:
        x = random_erasing(
            x,
            seed_of(ERASING),
            augmentation.erasing_prob,
            preprocess,
            augmentation.erasing_mode,
        )
    return tf.ensure_shape(x, (size, size, 3))


def _normalizer(preprocess: PreprocessConfig):
    """Returns a function that normalizes the pixel values of one image, as `preprocess.normalize` does.

    It multiplies by images of factors, since broadcasting over three channels is slow.
    """
    shape = preprocess.shape
    scale, offset = (
        tf.constant(np.broadcast_to(np.float32(v), shape))
        for v in (preprocess.scale, preprocess.offset)
    )
    if preprocess.channel_order != RGB:
        return lambda pixels: tf.reverse(pixels, (2,)) * scale + offset
    return lambda pixels: pixels * scale + offset


def _random_crop(x, seed, padding: int):
    """Pads with black and crops at a random place, to the size it had."""
    place = tf.random.stateless_uniform((2,), seed, 0, 2 * padding + 1, tf.int32)
    padded = tf.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    return padded[place[0] : place[0] + x.shape[0], place[1] : place[1] + x.shape[1]]


def _natural(value, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"`{name}` must be an int, not negative. Received: {name}={value!r}")
    return value

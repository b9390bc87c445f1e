"""Datasets of tensorflow-datasets: ImageNet, ImageNetV2, CIFAR, any set of labeled images.

Images are read encoded, as the records hold them, so that decoding and cropping can be one step.
"""

import os
from collections.abc import Callable, Mapping

from newnet_tf.data.datasets.base import (
    CLASSIFICATION,
    DETECTION,
    TEST,
    TRAIN,
    VALIDATION,
    Dataset,
    DatasetError,
    Split,
)
from newnet_tf.data.datasets.detection import tfds_boxes
from newnet_tf.data.datasets.shards import check_shard
from newnet_tf.data.labels import imagenet_labels

NAMES = {
    "imagenet": "imagenet2012",
    "imagenet_v2": "imagenet_v2/matched-frequency",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
}
PREFIX = "tfds:"
WITH_IMAGENET_LABELS = ("imagenet2012", "imagenet_v2")
SHUFFLE_BUFFER = 4096  # encoded images: about 450 MB of ImageNet
CYCLE = 16  # record files read at a time


def builder(name: str, data_dir: str | os.PathLike | None = None):
    """Returns tensorflow-datasets' builder of a set.

    Args:
        name: str, among `NAMES`, or `tfds:` and the name in tensorflow-datasets, with or without
            its config.

        data_dir: path, where prepared sets are stored. Default: None, the environment variable
            `TFDS_DATA_DIR`, else `~/tensorflow_datasets`.

    Raises:
        DatasetError: if the package is not installed or has no such set.
    """
    try:
        import tensorflow_datasets as package
    except ImportError as error:
        raise DatasetError(
            f"{name} is read by tensorflow-datasets, which must be installed "
            f"(pip install 'newnet_tf[datasets]'). Received: {error}"
        ) from None
    package_name = NAMES.get(name, name.removeprefix(PREFIX))
    try:
        folder = None if data_dir is None else os.fspath(data_dir)
        return package.builder(package_name, data_dir=folder)
    except package.core.registered.DatasetNotFoundError:
        raise DatasetError(
            f"`{PREFIX}NAME` must name a set of tensorflow-datasets "
            f"(https://www.tensorflow.org/datasets/catalog). Received: {package_name!r}"
        ) from None


def tfds_dataset(
    name: str, data_dir: str | os.PathLike | None = None, validation_split: float = 0.2
) -> Dataset:
    """Opens a prepared set.

    Args:
        name, data_dir: as in `builder`.

        validation_split: float in (0, 1), the share that becomes the validation split, from the
            end, if the set has one split alone. Default: 0.2.

    Raises:
        DatasetError: if the set is not prepared, or is not one of labeled images or of boxes.
    """
    source = builder(name, data_dir)
    boxes = None if _is_classification(source) else tfds_boxes.find_box_feature(source)
    image, label = (boxes.image, None) if boxes else _keys(source, name)
    available = source.info.splits
    if not available:
        short = name if name in NAMES else f"{PREFIX}{source.name}"
        raise DatasetError(
            f"{name} must be prepared first: newnet data prepare {short}. "
            f"Received: {source.data_dir}, where it is not"
        )
    parts = {s: s for s in (TRAIN, VALIDATION, TEST) if s in available}
    if list(available) == [TRAIN]:
        percent = round(100 * (1 - validation_split))
        parts = {TRAIN: f"train[:{percent}%]", VALIDATION: f"train[{percent}%:]"}
    elif not parts:
        parts = {s: s for s in available}
    if source.name == "imagenet2012":
        parts.pop(TEST, None)  # it has no labels
    for split in tfds_boxes.UNLABELED.get(source.name, ()) if boxes else ():
        parts.pop(split, None)
    names = list(boxes.class_names) if boxes else source.info.features[label].names
    if source.name in WITH_IMAGENET_LABELS:
        labels = imagenet_labels()
        if names != [entry.wnid for entry in labels]:
            raise DatasetError(f"{name} must number its classes by wnid. Received: {names[:3]} ...")
        names = [entry.name for entry in labels]
    read_label = boxes.read if boxes else lambda example: tf_int32(example[label])
    splits = {split: _split(source, part, image, read_label) for split, part in parts.items()}
    task = DETECTION if boxes else CLASSIFICATION
    return Dataset(name.removeprefix(PREFIX), tuple(names), splits, task)


def tf_int32(value):
    """Casts a tensor to int32."""
    import tensorflow as tf

    return tf.cast(value, tf.int32)


def _is_classification(source) -> bool:
    """Returns whether a set is one of images with a class each."""
    try:
        _keys(source, source.name)
    except DatasetError:
        return False
    return True


def _keys(source, name: str) -> tuple[str, str]:
    import tensorflow_datasets as package

    keys, features = source.info.supervised_keys, dict(source.info.features or {})
    if keys is not None and len(keys) == 2:
        image, label = (features.get(key) for key in keys)
        is_labeled = isinstance(label, package.features.ClassLabel) and label.names
        if isinstance(image, package.features.Image) and is_labeled:
            return keys
    raise DatasetError(
        "a set must hold images, each with one of named classes, or with boxes of such. "
        f"Received: {name}, with supervised keys {keys} among {sorted(features)}"
    )


def _split(source, part: str, image: str, read_label: Callable) -> Split:
    import tensorflow as tf
    import tensorflow_datasets as package

    # The id that tensorflow-datasets adds names a record file and a position in it.
    name = "file_name" if "file_name" in source.info.features else "tfds_id"

    def batches(batch_size, *, seed=None, num_shards=1, shard_index=0, start=0, even=False):
        check_shard(batch_size, num_shards, shard_index, start)
        shard = package.even_splits(part, num_shards)[shard_index] if num_shards > 1 else part
        config = package.ReadConfig(
            shuffle_seed=seed,
            shuffle_reshuffle_each_iteration=False,
            interleave_cycle_length=CYCLE if seed is not None else 1,
            add_tfds_id=True,
            try_autocache=False,
        )
        images = source.as_dataset(
            split=shard,
            shuffle_files=seed is not None,
            decoders={image: package.decode.SkipDecoding()},
            read_config=config,
        )
        images = images.map(lambda e: (e[image], read_label(e), e[name]))
        if seed is not None:
            images = images.shuffle(SHUFFLE_BUFFER, seed, reshuffle_each_iteration=False)
        if even:
            images = images.take(_size(source, part) // num_shards // batch_size * batch_size)
        numbered = images.enumerate().skip(start * batch_size)
        if isinstance(images.element_spec[1], Mapping):
            fill = (None, (None, tfds_boxes.padding(), None))
            numbered = numbered.padded_batch(batch_size, padding_values=fill)
        else:
            numbered = numbered.batch(batch_size)
        return numbered.map(lambda i, e: (*e, i * num_shards + shard_index))

    return Split(_size(source, part), batches, tf.identity, bytes)


def _size(source, part: str) -> int:
    return source.info.splits[part].num_examples

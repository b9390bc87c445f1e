"""Data sets of tensorflow-datasets as sources: ImageNet, ImageNetV2, CIFAR, any classification set.

Images come undecoded, as they lie in the records, so that decoding and cropping can be one step.
"""

import os

from newnet_tf.data.datasets.base import (
    TEST,
    TRAIN,
    VALIDATION,
    Dataset,
    DatasetError,
    Split,
    check_share,
)
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
        name: among `NAMES`, or `tfds:` and tensorflow-datasets' own name, with or without config.
        data_dir: where prepared sets lie; default: `TFDS_DATA_DIR`, else ~/tensorflow_datasets.

    Raises:
        DatasetError: where the package is missing or knows no such set.
    """
    try:
        import tensorflow_datasets as package
    except ImportError as error:
        raise DatasetError(
            f"{name} is read by tensorflow-datasets, which must be installed "
            f"(pip install 'newnet_tf[datasets]'). Received: {error}"
        ) from None
    known = NAMES.get(name, name.removeprefix(PREFIX))
    try:
        return package.builder(known, data_dir=None if data_dir is None else os.fspath(data_dir))
    except package.core.registered.DatasetNotFoundError:
        raise DatasetError(
            f"`{PREFIX}NAME` must name a set of tensorflow-datasets "
            f"(https://www.tensorflow.org/datasets/catalog). Received: {known!r}"
        ) from None


def tfds_dataset(
    name: str, data_dir: str | os.PathLike | None = None, validation_split: float = 0.2
) -> Dataset:
    """Opens a prepared set.

    Args:
        name, data_dir: as in `builder`.
        validation_split: float, the part taken for validation (from the end) where the set has one split.

    Raises:
        DatasetError: where the set is not prepared, or is not one of labeled images.
    """
    made = builder(name, data_dir)
    image, label = _keys(made, name)
    available = made.info.splits
    if not available:
        short = name if name in NAMES else f"{PREFIX}{made.name}"
        raise DatasetError(
            f"{name} must be prepared first: newnet data prepare {short}. "
            f"Received: {made.data_dir}, where it is not"
        )
    parts = {s: s for s in (TRAIN, VALIDATION, TEST) if s in available}
    if list(available) == [TRAIN]:
        percent = round(100 * (1 - validation_split))
        parts = {TRAIN: f"train[:{percent}%]", VALIDATION: f"train[{percent}%:]"}
    elif not parts:
        parts = {s: s for s in available}
    if made.name == "imagenet2012":
        parts.pop(TEST, None)  # it has no labels
    names = made.info.features[label].names
    if made.name in WITH_IMAGENET_LABELS:
        ours = imagenet_labels()
        if names != [known.wnid for known in ours]:
            raise DatasetError(f"{name} must number its classes by wnid. Received: {names[:3]} ...")
        names = [known.name for known in ours]
    splits = {split: _split(made, part, image, label) for split, part in parts.items()}
    return Dataset(name.removeprefix(PREFIX), tuple(names), splits)


def _keys(made, name: str) -> tuple[str, str]:
    import tensorflow_datasets as package

    keys, features = made.info.supervised_keys, dict(made.info.features or {})
    if keys is not None and len(keys) == 2:
        image, label = (features.get(key) for key in keys)
        is_labeled = isinstance(label, package.features.ClassLabel) and label.names
        if isinstance(image, package.features.Image) and is_labeled:
            return keys
    raise DatasetError(
        "a set must hold images, each with one of named classes. "
        f"Received: {name}, with supervised keys {keys} among {sorted(features)}"
    )


def _split(made, part: str, image: str, label: str) -> Split:
    import tensorflow as tf
    import tensorflow_datasets as package

    # The id that tensorflow-datasets adds tells a record file and a position in it.
    called = "file_name" if "file_name" in made.info.features else "tfds_id"

    def batches(batch, *, seed=None, shards=1, index=0, start=0, even=False):
        check_share(batch, shards, index, start)
        share = package.even_splits(part, shards)[index] if shards > 1 else part
        config = package.ReadConfig(
            shuffle_seed=seed,
            shuffle_reshuffle_each_iteration=False,
            interleave_cycle_length=CYCLE if seed is not None else 1,
            add_tfds_id=True,
            try_autocache=False,
        )
        images = made.as_dataset(
            split=share,
            shuffle_files=seed is not None,
            decoders={image: package.decode.SkipDecoding()},
            read_config=config,
        )
        images = images.map(lambda e: (e[image], tf.cast(e[label], tf.int32), e[called]))
        if seed is not None:
            images = images.shuffle(SHUFFLE_BUFFER, seed, reshuffle_each_iteration=False)
        if even:
            images = images.take(_size(made, part) // shards // batch * batch)
        numbered = images.enumerate().skip(start * batch).batch(batch)
        return numbered.map(lambda i, e: (*e, i * shards + index))

    return Split(_size(made, part), batches, tf.identity, bytes)


def _size(made, part: str) -> int:
    return made.info.splits[part].num_examples

"""Cached features of a detector, so that the epochs of its first stage need not compute them again.

The graph is cut at the feature map of stride 16, through which every path goes. What lies before it is
computed once, for some augmented views of each training image and for each evaluation image. The layers
behind it are then trained on these files, by the same training loop.
"""

import dataclasses
import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from newnet_tf.data.boxes import Label, pad_labels, split_labels
from newnet_tf.data.datasets.base import TRAIN
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.deploy.fingerprint import graph_digest
from newnet_tf.detection.training.loader import DetectionLoader
from newnet_tf.finetuning.detector_parts import split_model
from newnet_tf.finetuning.feature_cache import sample_stamp
from newnet_tf.models.model_file import weights_digest
from newnet_tf.utils.io import atomic_write, write_text
from newnet_tf.utils.progress import note, progress_bar

MAX_BYTES = 4 * 2**30  # of the files
FORMAT = 1
STATE, LABELS = "state.json", "labels.npz"
SAVE_EVERY = 8  # batches, which an interrupted computation loses at most


def cached_features(
    model: Any, loader: DetectionLoader, folder: Path, views: int, epochs: int
) -> tuple[Any, "CachedFeatures"] | None:
    """Returns what trains the upper part of a detector on cached features, where that saves time.

    Args:
        model: Keras model of `SSDLite`.

        loader: `DetectionLoader` of the images.

        folder: path of the files.

        views: int, augmented views of each training image.

        epochs: int, of the training; with no more than `views` nothing is computed twice.

    Returns:
        (Keras model from features to outputs, `CachedFeatures`); None, with a note that says why, if
        the model cannot be cut, the files were larger than 4 GiB, or the disk has no room for them;
        None without a note for fewer epochs.
    """
    if not views or epochs <= views:
        return None
    parts = split_model(model)
    if parts is None:
        note(f"features are not cached: {model.name} has none that all of its outputs go through")
        return None
    features, upper = parts
    cached = CachedFeatures(loader, features, folder, views)
    size = cached.nbytes
    if size > MAX_BYTES:
        note(
            f"features are not cached: {views} views of {loader.num_train_samples} images take "
            f"{size / 2**30:.1f} GiB, more than {MAX_BYTES // 2**30}; fewer views (`cached_views`, "
            "--cached-views) take less"
        )
        return None
    existing = next(place for place in folder.absolute().parents if place.exists())
    if not folder.exists() and size > shutil.disk_usage(existing).free:
        note(f"features are not cached: {existing} has no room for {size / 2**30:.1f} GiB")
        return None
    return upper, cached


class CachedFeatures:
    """Batches of cached features, with the attributes and methods of the `DetectionLoader` it is of.

    The files are made when the first batch is asked for, resumed where that was interrupted, and used
    again for the same weights and graph before the cut, preprocessing, anchors, augmentation, seed and
    images (by name, and for files by size and time of change). Features of training images are float16,
    those of evaluation images float32, so that figures are those of the whole model.

    Args:
        loader: `DetectionLoader` of the images.

        features: Keras model of `split_model`, from images to features.

        folder: path of the files.

        views: int, augmented views of each training image. An epoch takes one of each image, the next
            epoch the next one.

    Attributes:
        epoch: int, of the batches that were asked for last; -1 before.
    """

    def __init__(self, loader: DetectionLoader, features: Any, folder: Path, views: int):
        self._loader, self._features, self._folder = loader, features, Path(folder)
        self.views, self.epoch = views, -1
        self._arrays: dict[str, np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    @property
    def fingerprint(self) -> dict[str, object]:
        """What decides the batches."""
        return self._loader.fingerprint | {"cached_views": self.views}

    @property
    def nbytes(self) -> int:
        """Size of the files, without labels of evaluation images."""
        arrays = self._layout().values()
        return sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in arrays)

    def train(self, epoch: int, start: int = 0) -> Iterator[tuple[np.ndarray, Label]]:
        """Yields the training batches of an epoch, as `DetectionLoader.train`, with features.

        Raises:
            ValueError: if no image can be read, or a feature is too large for float16.
        """
        self.epoch = epoch
        arrays, size, steps = self._open(), self.batch_size, self.steps_per_epoch
        readable = np.flatnonzero(arrays["readable"])
        if not len(readable):
            raise ValueError("there must be a readable image to train on. Received: none")
        order = np.random.default_rng((self.seed, epoch)).permutation(readable)
        order = np.resize(order, steps * size)
        first = np.random.default_rng(self.seed).integers(self.views, size=self.num_train_samples)
        for images in np.split(order, steps)[start:]:
            rows = (first[images] + epoch) % self.views, images
            targets = {
                "boxes": arrays["boxes"][rows],
                "classes": arrays["classes"][rows].astype(np.int32),
            }
            yield arrays["features"][rows].astype(np.float32), targets

    def test(self) -> Iterator[tuple[np.ndarray, Label]]:
        """Yields the evaluation batches, as `DetectionLoader.test`, with features."""
        values, size = self._open()["evaluation"], self.eval_batch_size
        with np.load(self._folder / LABELS) as file:
            labels = dict(file)
        for start in range(0, len(labels["image_sizes"]), size):
            part = slice(start, start + size)
            own = {name: rows[part] for name, rows in labels.items()}
            yield np.array(values[part])[: len(own["image_sizes"])], own

    def remove(self) -> None:
        """Removes the files."""
        self._arrays = {}
        shutil.rmtree(self._folder, ignore_errors=True)

    def _layout(self) -> dict[str, tuple[tuple[int, ...], type]]:
        """Returns shape and type of each file."""
        train, anchors = (self.views, self.num_train_samples), self.config.anchor_count
        shape = self._features.output_shape[1:]
        return {
            "features": ((*train, *shape), np.float16),
            "boxes": ((*train, anchors, 4), np.float32),
            "classes": ((*train, anchors), np.int16),
            "readable": (train[1:], np.bool_),
            "evaluation": ((self.num_eval_samples, *shape), np.float32),
        }

    def _open(self) -> dict[str, np.ndarray]:
        """Returns the arrays of the files, which are made before where they are missing."""
        if self._arrays:
            return self._arrays
        key = self._key()
        state, layout = _read_state(self._folder / STATE), self._layout()
        is_whole = all((self._folder / f"{name}.npy").exists() for name in layout)
        if state.get("key") != key or not is_whole:
            self.remove()
            self._folder.mkdir(parents=True)
            state = {"key": key, "done": 0, "complete": False}
        mode = "r+" if state["done"] or state["complete"] else "w+"
        arrays = {
            name: np.lib.format.open_memmap(self._folder / f"{name}.npy", mode, dtype, shape)
            for name, (shape, dtype) in layout.items()
        }
        if not state["complete"]:
            self._compute(arrays, state)
        self._arrays = arrays
        return arrays

    def _compute(self, arrays: Mapping[str, Any], state: dict) -> None:
        """Computes all features from where `state` says, and keeps it."""
        count, done = self.num_train_samples, state["done"]

        def save(**changes):
            for array in arrays.values():
                array.flush()
            state.update(changes)
            write_text(self._folder / STATE, json.dumps(state))

        def views():
            for view in range(done // count, self.views):
                start = done % count if view == done // count else 0
                for batch in self._loader.view(view, start):
                    yield view, *batch

        steps = math.ceil(count / self.batch_size)
        left = (self.views - done // count) * steps - done % count // self.batch_size
        bar = progress_bar(views(), f"Features of {self.views} views of {count} images", left)
        for number, (view, positions, images, targets) in enumerate(bar, 1):
            arrays["features"][view, positions] = _half(self._predict(images))
            arrays["boxes"][view, positions] = targets["boxes"]
            arrays["classes"][view, positions] = targets["classes"]
            arrays["readable"][positions] = True
            if number % SAVE_EVERY == 0:
                step = int(positions[-1]) // self.batch_size + 1
                save(done=view * count + min(count, step * self.batch_size))
        save(done=self.views * count)
        labels, sizes, row = [], [], 0
        steps = math.ceil(self.num_eval_samples / self.eval_batch_size)
        evaluation = self._loader.test()
        description = f"Features of {self.num_eval_samples} evaluation images"
        for images, label in progress_bar(evaluation, description, steps):
            arrays["evaluation"][row : row + len(images)] = self._predict(images)
            row += len(images)
            sizes.extend(label["image_sizes"])
            labels.extend(split_labels(label))
        padded = pad_labels(labels)
        with atomic_write(self._folder / LABELS) as temporary, temporary.open("wb") as stream:
            np.savez(stream, image_sizes=np.reshape(sizes, (-1, 2)).astype(np.int32), **padded)
        save(complete=True)

    def _predict(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self._features.predict_on_batch(images)).astype(np.float32)

    def _key(self) -> str:
        dataset = self.dataset
        splits = {name: dataset.split(name) for name in (TRAIN, self.eval_split)}
        content = {
            "format": FORMAT,
            "weights": weights_digest(self._features),
            "graph": graph_digest(self._features),
            "preprocess": dataclasses.asdict(self.preprocess),
            "config": self.config.to_dict(),
            "augmentation": dataclasses.asdict(self.augmentation),
            "seed": self.seed,
            "views": self.views,
            "batch_size": self.batch_size,
            "images": {
                k: [sample_stamp(s) for s in iter_samples(own)] for k, own in splits.items()
            },
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _half(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise ValueError(
            "features must be finite in float16 to be cached: `cached_views=0` (--cached-views 0) "
            f"trains without. Received: {values.min():.4g} to {values.max():.4g}"
        )
    return half


def _read_state(file: Path) -> dict:
    """Returns the state of the files; {} where there is none or it is damaged."""
    try:
        state = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}

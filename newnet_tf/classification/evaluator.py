"""Collects a classifier's predictions image by image."""

import functools
import os
from collections.abc import Callable, Sequence

import numpy as np

from newnet_tf.classification.result import ClassificationResult
from newnet_tf.data.host_loader import Sample
from newnet_tf.data.images import SkippedImage
from newnet_tf.data.preprocess import preprocess_image
from newnet_tf.evaluation.loop import evaluate_samples
from newnet_tf.models.config import PreprocessConfig

TOP = (1, 5)


class ClassificationEvaluator:
    """Collects the predicted classes of images, see `evaluation.loop.Evaluator`.

    Args:
        top: ints, the k of each top-k accuracy. Default: (1, 5).

        class_index: the model's class for each class of the data, see `class_matching.match_classes`.
            Default: the same.
    """

    def __init__(self, top: Sequence[int] = TOP, class_index: Sequence[int] | None = None):
        if not top or min(top) < 1:
            raise ValueError(f"`top` must hold positive ints. Received: top={tuple(top)}")
        self.top, self.class_index = tuple(top), class_index
        self._names: list[str] = []
        self._labels: list[int] = []
        self._topk: list[np.ndarray] = []

    def update(self, samples: Sequence[Sample], outputs: object) -> None:
        """Adds a batch: `outputs` are scores of shape (n, classes), higher is better."""
        scores = _check_scores(outputs, len(samples), max(self.top))
        index = self.class_index
        labels = [sample.label if index is None else index[sample.label] for sample in samples]
        if max(labels) >= scores.shape[1]:
            raise ValueError(
                f"labels must lie in 0 to {scores.shape[1] - 1}, as there are scores. "
                f"Received: {max(labels)}"
            )
        self._topk.append(np.argsort(-scores, axis=1, kind="stable")[:, : max(self.top)])
        self._labels.extend(labels)
        self._names.extend(sample.name for sample in samples)

    def result(self, skipped: tuple[SkippedImage, ...] = ()) -> ClassificationResult:
        """Returns the result of all batches."""
        labels, topk = np.array(self._labels), np.concatenate(self._topk)
        return ClassificationResult(tuple(self._names), labels, topk, self.top, skipped)


def evaluate_files(
    predict: Callable,
    paths: Sequence[str | os.PathLike],
    labels: Sequence[int],
    preprocess: PreprocessConfig,
    batch_size: int = 32,
    top: Sequence[int] = TOP,
) -> ClassificationResult:
    """Measures the top-k accuracy of any callable on image files; shows progress on stderr.

    Args:
        predict: callable, float32 array of shape (n, size, size, channels) with n <= `batch_size` ->
            scores of shape (n, classes), higher is better: a Keras model, a TFLite runner.

        paths: image files. Those that cannot be read are skipped, counted, and named in one warning.

        labels: one int for each path, its class.

        preprocess: `PreprocessConfig` of the model's weights.

        batch_size: int, images a call. Default: 32.

        top: ints, the k of each top-k accuracy. Default: (1, 5).

    Returns:
        A `ClassificationResult`.

    Raises:
        ValueError: for labels that do not fit, scores of another shape or not finite, or if no image
            could be read.

    Example:
        >>> paths, labels, _ = labeled_files("samples")
        >>> print(evaluate_files(model, paths, labels, card.preprocess))
    """
    paths = list(paths)
    if not paths:
        raise ValueError("`paths` must hold at least one image. Received: none")
    classes = check_labels(labels, len(paths), "paths")
    samples = (Sample(os.fspath(p), int(c), p) for p, c in zip(paths, classes, strict=True))
    return evaluate_samples(
        lambda images: predict(np.stack(images)),
        samples,
        len(paths),
        functools.partial(preprocess_image, preprocess=preprocess),
        ClassificationEvaluator(top),
        batch_size,
    )


def check_labels(labels: Sequence[int] | np.ndarray, n: int, of: str) -> np.ndarray:
    """Returns `labels` as an int array of shape (n,).

    Args:
        labels: ints of 0 or more.

        n: int, how many there must be.

        of: str, the argument that they belong to, for the error.

    Raises:
        ValueError: for another number or kind of labels.
    """
    array = np.asarray(labels)
    if array.shape != (n,) or not np.issubdtype(array.dtype, np.integer) or (array < 0).any():
        raise ValueError(
            f"`labels` must be one int >= 0 for each of `{of}` ({n}). "
            f"Received: shape={array.shape}, dtype={array.dtype}"
        )
    return array


def _check_scores(outputs: object, n: int, least: int) -> np.ndarray:
    scores = np.asarray(outputs)
    if scores.ndim != 2 or len(scores) != n or scores.shape[1] < least:
        raise ValueError(
            f"`predict` must return ({n}, classes), with at least {least} classes for `top`. "
            f"Received: shape={scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("`predict` must return finite scores. Received: NaN or infinity")
    return scores

"""Linear probe: a linear classifier of a model's frozen features."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from newnet_tf.classification.evaluator import check_labels
from newnet_tf.classification.result import ClassificationResult
from newnet_tf.utils.math import log_softmax
from newnet_tf.utils.progress import progress_bar

PENALTIES = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)
MEMORY = 10  # pairs of steps and gradients that L-BFGS keeps


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """A linear classifier of features: `features @ kernel + bias`.

    Args:
        kernel: float64 array of shape (depth, classes).

        bias: float64 array of shape (classes,).

        penalty: float, the L2 penalty that was chosen.
    """

    kernel: np.ndarray
    bias: np.ndarray
    penalty: float

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Returns logits of shape (n, classes)."""
        return features @ self.kernel + self.bias


def fit_linear(
    features: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    holdout_fraction: float = 0.2,
    seed: int = 0,
) -> LinearClassifier:
    """Fits a logistic regression to features, to convergence.

    Features are standardized. The L2 penalty is the one of `PENALTIES` with the highest accuracy on a
    seeded holdout of each class (the strongest penalty among equals); the classifier is then fitted to
    all images. Deterministic; NumPy only.

    Args:
        features: array of shape (n, depth), e.g. of a model with `pooling="avg"`.

        labels: n ints from 0.

        holdout_fraction: float in (0, 1), fraction of the images that choose the penalty. Default: 0.2.

        seed: int, of that holdout. Default: 0.

    Returns:
        A `LinearClassifier` of features as they are (not standardized).

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, or a class with fewer than
            two images.
    """
    if not 0 < holdout_fraction < 1:
        raise ValueError(
            f"`holdout_fraction` must lie in (0, 1). Received: holdout_fraction={holdout_fraction}"
        )
    features, classes = _check(features, labels)
    fit, holdout = _split(classes, holdout_fraction, seed)
    candidates = _fit_path(features[fit], classes[fit], PENALTIES)
    predicted = [linear.scores(features[holdout]).argmax(axis=1) for linear in candidates]
    correct = [int((best == classes[holdout]).sum()) for best in predicted]
    return _fit_path(features, classes, PENALTIES[: correct.index(max(correct)) + 1])[-1]


def linear_probe(
    features: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    test_features: np.ndarray,
    test_labels: Sequence[int] | np.ndarray,
    holdout_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[ClassificationResult, float]:
    """Measures the accuracy of a linear classifier of frozen features.

    The classifier is fitted by `fit_linear` to the training images; the test images choose nothing.

    Args:
        features: array of shape (n, depth), of the training images.

        labels: n ints from 0.

        test_features: array of shape (m, depth), of the test images.

        test_labels: m ints from 0.

        holdout_fraction: float in (0, 1), as in `fit_linear`. Default: 0.2.

        seed: int, as in `fit_linear`. Default: 0.

    Returns:
        (`ClassificationResult` whose paths are the positions of the test images, the L2 penalty
        chosen).

    Raises:
        ValueError: as `fit_linear`, or if depth or classes of the test images differ.

    Example:
        >>> result, penalty = linear_probe(features, labels, test_features, test_labels)
        >>> print(result)
        top-1 88.50 % (95 %: 85.01 to 91.27), n = 400
    """
    features, classes = _check(features, labels)
    test_features, test_classes = _check(test_features, test_labels)
    if features.shape[1] != test_features.shape[1] or test_classes.max() > classes.max():
        raise ValueError(
            "`test_features` and `test_labels` must have the depth and the classes of the training "
            f"images. Received: {test_features.shape}, classes to {test_classes.max()}, for "
            f"{features.shape}, classes to {classes.max()}"
        )
    linear = fit_linear(features, classes, holdout_fraction, seed)
    names = tuple(str(i) for i in range(len(test_classes)))
    topk = linear.scores(test_features).argmax(axis=1)[:, None]
    return ClassificationResult(names, test_classes, topk), linear.penalty


def _check(features, labels) -> tuple[np.ndarray, np.ndarray]:
    array = np.asarray(features, np.float64)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"`features` must be finite numbers of shape (n, depth). Received: shape={array.shape}"
        )
    return array, check_labels(labels, len(array), "features")


def _split(labels: np.ndarray, holdout_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions of training and of holdout images, both with every class."""
    generator, positions = np.random.default_rng(seed), []
    for index in range(labels.max() + 1):
        members = generator.permutation(np.flatnonzero(labels == index))
        if len(members) < 2:
            raise ValueError(
                "each class from 0 on must have at least two training images. "
                f"Received: {len(members)} of class {index}"
            )
        count = max(1, round(holdout_fraction * len(members)))
        positions += list(members[: min(count, len(members) - 1)])
    holdout = np.sort(positions)
    return np.setdiff1d(np.arange(len(labels)), holdout), holdout


def _fit_path(features, labels, penalties) -> list[LinearClassifier]:
    """Fits one classifier for each penalty, each from the weights of the one before."""
    mean, std = features.mean(axis=0), features.std(axis=0)
    std[std == 0] = 1
    x = np.c_[(features - mean) / std, np.ones(len(features))]
    truth = np.eye(labels.max() + 1)[labels]
    weights, classifiers = np.zeros((x.shape[1], truth.shape[1])), []
    for penalty in progress_bar(penalties, "Fitting"):
        weights = _fit(x, truth, penalty, weights)
        kernel = weights[:-1] / std[:, None]
        classifiers.append(LinearClassifier(kernel, weights[-1] - mean @ kernel, penalty))
    return classifiers


def _loss(x, truth, penalty, weights) -> tuple[float, np.ndarray]:
    """Returns the mean cross-entropy with L2 (not on the last row, the bias) and its gradient."""
    log_probabilities = log_softmax(x @ weights, axis=1)
    penalized = weights.copy()
    penalized[-1] = 0
    loss = -(truth * log_probabilities).sum() / len(x) + penalty / 2 * (penalized**2).sum()
    return float(loss), x.T @ (np.exp(log_probabilities) - truth) / len(x) + penalty * penalized


def _fit(x, truth, penalty, weights, tolerance=1e-5, max_steps=500) -> np.ndarray:
    """Minimizes `_loss` by L-BFGS with a backtracking line search."""
    loss, gradient = _loss(x, truth, penalty, weights)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []  # (step, change of the gradient), oldest first
    for _ in range(max_steps):
        if np.abs(gradient).max() < tolerance:
            break
        direction = -_inverse_hessian(gradient, pairs)
        slope, size = float((direction * gradient).sum()), 1.0
        if not pairs:
            size = min(1.0, 1 / math.sqrt(-slope))
        while size > 1e-10:
            new_loss, new_gradient = _loss(x, truth, penalty, weights + size * direction)
            if new_loss <= loss + 1e-4 * size * slope:
                break
            size /= 2
        else:
            break  # no further descent within the precision of float64
        step, change = size * direction, new_gradient - gradient
        weights, loss, gradient = weights + step, new_loss, new_gradient
        if (step * change).sum() > 1e-12:
            pairs = [*pairs[-MEMORY + 1 :], (step, change)]
    return weights


def _inverse_hessian(gradient, pairs) -> np.ndarray:
    """L-BFGS' two loops: the inverse Hessian's estimate from `pairs`, times the gradient."""
    result, factors = gradient.copy(), []
    for step, change in reversed(pairs):
        factor = (step * result).sum() / (step * change).sum()
        result -= factor * change
        factors.append(factor)
    if pairs:
        step, change = pairs[-1]
        result *= (step * change).sum() / (change**2).sum()
    for (step, change), factor in zip(pairs, reversed(factors), strict=True):
        result += step * (factor - (change * result).sum() / (step * change).sum())
    return result

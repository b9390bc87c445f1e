"""Linear probe: a linear classifier of a model's frozen features."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from newnet_tf.classification.evaluator import check_labels
from newnet_tf.classification.multilabel_metrics import mean_average_precision
from newnet_tf.classification.result import ClassificationResult
from newnet_tf.data.datasets.splitting import stratified_split
from newnet_tf.utils.math import log_softmax, sigmoid
from newnet_tf.utils.progress import progress_bar

PENALTIES = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)
SAFE_PENALTY = 0.1  # the strongest where a class is not in the holdout
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
    classes: int | None = None,
    class_weight: Sequence[float] | None = None,
) -> LinearClassifier:
    """Fits a logistic regression to features, to convergence.

    Features are standardized. The L2 penalty is the one of `PENALTIES` with the best metric on a seeded
    holdout of each class (the strongest penalty among equals): accuracy, or for several classes an
    image mean average precision. The classifier is then fitted to all images. A class of one image is
    not in the holdout; the penalty is then at most 0.1. Deterministic; NumPy only.

    Args:
        features: array of shape (n, depth), e.g. of a model with `pooling="avg"`.

        labels: n ints from 0; or an array (n, classes) of 0 and 1, for any number of classes an image:
            then each class has a logistic regression of its own (binary cross entropy).

        holdout_fraction: float in (0, 1), fraction of the images that choose the penalty. Default: 0.2.

        seed: int, of that holdout. Default: 0.

        classes: int, number of classes. Default: as many as the labels show.

        class_weight: sequence of float, the weight of each class' images; for several classes an image
            that of its positive labels. Default: None, 1.

    Returns:
        A `LinearClassifier` of features as they are (not standardized).

    Raises:
        ValueError: for shapes that do not fit, or values that are not finite.
    """
    if not 0 < holdout_fraction < 1:
        raise ValueError(
            f"`holdout_fraction` must lie in (0, 1). Received: holdout_fraction={holdout_fraction}"
        )
    features, truth = _check(features, labels, classes)
    weights = np.ones(truth.shape[1]) if class_weight is None else np.asarray(class_weight)
    loss = functools.partial(_sigmoid_loss if np.ndim(labels) == 2 else _softmax_loss, weights)
    labels = truth if np.ndim(labels) == 2 else truth.argmax(axis=1)
    fit, holdout = stratified_split(labels, holdout_fraction, seed)
    # A class that is not in the holdout has no say against a penalty that lets it vanish.
    is_whole = (truth[holdout].any(axis=0) >= truth.any(axis=0)).all()
    chosen = first = 0 if is_whole else PENALTIES.index(SAFE_PENALTY)
    if len(holdout):
        candidates = _fit_path(features[fit], truth[fit], PENALTIES, loss)[first:]
        figures = [_metric(labels[holdout], each.scores(features[holdout])) for each in candidates]
        chosen += figures.index(max(figures))
    return _fit_path(features, truth, PENALTIES[: chosen + 1], loss)[-1]


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
    features, truth = _check(features, labels)
    test_features, test_truth = _check(test_features, test_labels)
    classes, test_classes = truth.argmax(axis=1), test_truth.argmax(axis=1)
    if not truth.any(axis=0).all():
        missing = int(truth.any(axis=0).argmin())
        raise ValueError(f"`labels` must hold every class. Received: 0 of class {missing}")
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


def _check(features, labels, classes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features, and the labels as rows of 0 and 1."""
    array = np.asarray(features, np.float64)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"`features` must be finite numbers of shape (n, depth). Received: shape={array.shape}"
        )
    rows = np.asarray(labels)
    if rows.ndim == 2:
        if len(rows) != len(array) or not np.isin(rows, (0, 1)).all():
            raise ValueError(
                f"`labels` must be a row of 0 and 1 for each of `features` ({len(array)}). "
                f"Received: shape={rows.shape}"
            )
        return array, rows.astype(np.float64)
    numbers = check_labels(labels, len(array), "features")
    classes = int(numbers.max()) + 1 if classes is None else classes
    if numbers.max() >= classes:
        raise ValueError(f"`labels` must be below {classes}. Received: {numbers.max()}")
    return array, np.eye(classes)[numbers]


def _metric(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns what chooses the penalty, higher is better."""
    if labels.ndim == 2:
        return np.nan_to_num(mean_average_precision(labels, scores))
    return float((scores.argmax(axis=1) == labels).sum())


def _fit_path(features, truth, penalties, loss: Callable) -> list[LinearClassifier]:
    """Fits one classifier for each penalty, each from the weights of the one before."""
    mean, std = features.mean(axis=0), features.std(axis=0)
    std[std == 0] = 1
    x = np.c_[(features - mean) / std, np.ones(len(features))]
    weights, classifiers = np.zeros((x.shape[1], truth.shape[1])), []
    for penalty in progress_bar(penalties, "Fitting"):
        weights = _fit(functools.partial(loss, x, truth, penalty), weights)
        kernel = weights[:-1] / std[:, None]
        classifiers.append(LinearClassifier(kernel, weights[-1] - mean @ kernel, penalty))
    return classifiers


def _softmax_loss(class_weight, x, truth, penalty, weights) -> tuple[float, np.ndarray]:
    """Returns the mean cross entropy with L2 (not on the last row, the bias) and its gradient."""
    log_probabilities = log_softmax(x @ weights, axis=1)
    own = (truth * class_weight).sum(axis=1, keepdims=True)  # the weight of each image
    penalized = _penalized(weights)
    loss = -(own * truth * log_probabilities).sum() / len(x)
    gradient = x.T @ (own * (np.exp(log_probabilities) - truth)) / len(x)
    return float(loss + penalty / 2 * (penalized**2).sum()), gradient + penalty * penalized


def _sigmoid_loss(class_weight, x, truth, penalty, weights) -> tuple[float, np.ndarray]:
    """Returns binary cross entropy, summed over classes, with L2 as above, and its gradient."""
    logits = x @ weights
    own = np.where(truth > 0, class_weight, 1.0)  # the weight of each label
    penalized = _penalized(weights)
    loss = (own * (np.logaddexp(0, logits) - truth * logits)).sum() / len(x)
    gradient = x.T @ (own * (sigmoid(logits) - truth)) / len(x)
    return float(loss + penalty / 2 * (penalized**2).sum()), gradient + penalty * penalized


def _penalized(weights: np.ndarray) -> np.ndarray:
    kernel = weights.copy()
    kernel[-1] = 0
    return kernel


def _fit(loss_of: Callable, weights, tolerance=1e-5, max_steps=500) -> np.ndarray:
    """Minimizes a loss by L-BFGS with a backtracking line search."""
    loss, gradient = loss_of(weights)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []  # (step, change of the gradient), oldest first
    for _ in range(max_steps):
        if np.abs(gradient).max() < tolerance:
            break
        direction = -_inverse_hessian(gradient, pairs)
        slope, size = float((direction * gradient).sum()), 1.0
        if not pairs:
            size = min(1.0, 1 / math.sqrt(-slope))
        while size > 1e-10:
            new_loss, new_gradient = loss_of(weights + size * direction)
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

"""Linear probe: how good are a network's frozen features?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from newnet_tf.data.host_loader import shown
from newnet_tf.evaluation.loop import Result, class_labels

PENALTIES = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)
MEMORY = 10


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear classifier of features: `features @ kernel + bias`.

    Args:
        kernel: float64 array (depth, classes). bias: (classes,). penalty: float, the L2 chosen.
    """

    kernel: np.ndarray
    bias: np.ndarray
    penalty: float

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Returns logits of shape (n, classes)."""
        return features @ self.kernel + self.bias


def fit_linear(
    features: np.ndarray, labels: Sequence[int], holdout_fraction: float = 0.2, seed: int = 0
) -> Linear:
    """Fits a logistic regression to features, to convergence.

    Features are standardised. The L2 penalty is the one of `PENALTIES` that does best on a seeded,
    class-wise split of the images (the strongest of equals); then it is fitted to all of them.
    Deterministic; NumPy only.

    Args:
        features: array (n, depth), e.g. of a network with `pooling="avg"`. labels: n ints from 0.
        holdout_fraction: float in (0, 1), share of the images that chooses the penalty.
        seed: int, of that split.

    Returns:
        `Linear`, for features as they are (not standardised).

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, or a class with fewer than
            two images.
    """
    if not 0 < holdout_fraction < 1:
        raise ValueError(
            f"`holdout_fraction` must lie in (0, 1). Received: holdout_fraction={holdout_fraction}"
        )
    features, labels = _checked(features, labels)
    fit, judge = _split(labels, holdout_fraction, seed)
    tried = _path(features[fit], labels[fit], PENALTIES)
    found = [linear.scores(features[judge]).argmax(axis=1) for linear in tried]
    right = [int((classes == labels[judge]).sum()) for classes in found]
    return _path(features, labels, PENALTIES[: right.index(max(right)) + 1])[-1]


def linear_probe(
    features: np.ndarray,
    labels: Sequence[int],
    test_features: np.ndarray,
    test_labels: Sequence[int],
    holdout_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[Result, float]:
    """Judges frozen features by `fit_linear` on a training part; the test part is only judged.

    Args:
        features, labels, holdout_fraction, seed: as in `fit_linear`.
        test_features, test_labels: the same for the images to judge on.

    Returns:
        (`Result` with the test part's positions as paths, the L2 penalty chosen).

    Raises:
        ValueError: as `fit_linear`, or where the parts do not fit each other.

    Example:
        >>> result, penalty = linear_probe(features, labels, test_features, test_labels)
        >>> print(result)
        top-1 88.50 % (95 %: 85.01 to 91.27), n = 400
    """
    features, labels = _checked(features, labels)
    test_features, test_labels = _checked(test_features, test_labels)
    if features.shape[1] != test_features.shape[1] or test_labels.max() > labels.max():
        raise ValueError(
            "`test_features` and `test_labels` must have the depth and the classes of the training "
            f"part. Received: {test_features.shape}, classes to {test_labels.max()}, for "
            f"{features.shape}, classes to {labels.max()}"
        )
    linear = fit_linear(features, labels, holdout_fraction, seed)
    names = tuple(str(i) for i in range(len(test_labels)))
    ranked = linear.scores(test_features).argmax(axis=1)[:, None]
    return Result(names, test_labels, ranked), linear.penalty


def _checked(features, labels) -> tuple[np.ndarray, np.ndarray]:
    found = np.asarray(features, np.float64)
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise ValueError(
            f"`features` must be finite numbers of shape (n, depth). Received: shape={found.shape}"
        )
    return found, class_labels(labels, len(found), "features")


def _split(labels: np.ndarray, holdout_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions to fit on and to judge on, both holding every class."""
    generator, judge = np.random.default_rng(seed), []
    for index in range(labels.max() + 1):
        members = generator.permutation(np.flatnonzero(labels == index))
        if len(members) < 2:
            raise ValueError(
                "each class from 0 on must have at least two training images. "
                f"Received: {len(members)} of class {index}"
            )
        count = max(1, round(holdout_fraction * len(members)))
        judge += list(members[: min(count, len(members) - 1)])
    judge = np.sort(judge)
    return np.setdiff1d(np.arange(len(labels)), judge), judge


def _path(features, labels, penalties) -> list[Linear]:
    """Fits for each penalty, each from where the last ended."""
    mean, std = features.mean(axis=0), features.std(axis=0)
    std[std == 0] = 1
    x = np.c_[(features - mean) / std, np.ones(len(features))]
    truth = np.eye(labels.max() + 1)[labels]
    weights, found = np.zeros((x.shape[1], truth.shape[1])), []
    for penalty in shown(penalties, "Fitting"):
        weights = _fit(x, truth, penalty, weights)
        kernel = weights[:-1] / std[:, None]
        found.append(Linear(kernel, weights[-1] - mean @ kernel, penalty))
    return found


def _loss(x, truth, penalty, weights) -> tuple[float, np.ndarray]:
    """Returns the mean cross-entropy with L2 (not on the last row, the bias) and its gradient."""
    logits = x @ weights
    logits -= logits.max(axis=1, keepdims=True)
    log_chance = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    shrunk = weights.copy()
    shrunk[-1] = 0
    loss = -(truth * log_chance).sum() / len(x) + penalty / 2 * (shrunk**2).sum()
    return float(loss), x.T @ (np.exp(log_chance) - truth) / len(x) + penalty * shrunk


def _fit(x, truth, penalty, weights, tolerance=1e-5, most=500) -> np.ndarray:
    """Minimizes `_loss` by L-BFGS with a backtracking line search."""
    loss, gradient = _loss(x, truth, penalty, weights)
    pairs = []  # (step, change of the gradient), oldest first
    for _ in range(most):
        if np.abs(gradient).max() < tolerance:
            break
        direction = -_inverse_hessian(gradient, pairs)
        slope, size = float((direction * gradient).sum()), 1.0
        if not pairs:
            size = min(1.0, 1 / math.sqrt(-slope))
        while size > 1e-10:
            found = _loss(x, truth, penalty, weights + size * direction)
            if found[0] <= loss + 1e-4 * size * slope:
                break
            size /= 2
        else:
            break  # float64 can tell no further descent
        step, change = size * direction, found[1] - gradient
        weights, (loss, gradient) = weights + step, found
        if (step * change).sum() > 1e-12:
            pairs = [*pairs[-MEMORY + 1 :], (step, change)]
    return weights


def _inverse_hessian(gradient, pairs) -> np.ndarray:
    """L-BFGS' two loops: the inverse Hessian's estimate from `pairs`, times the gradient."""
    result, shares = gradient.copy(), []
    for step, change in reversed(pairs):
        share = (step * result).sum() / (step * change).sum()
        result -= share * change
        shares.append(share)
    if pairs:
        step, change = pairs[-1]
        result *= (step * change).sum() / (change**2).sum()
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        result += step * (share - (change * result).sum() / (step * change).sum())
    return result

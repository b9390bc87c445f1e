"""Rounding filters to 8 bits so that the sums they make move least, not each weight.

A weight rounded up can be made good by its neighbors, as far as their inputs vary together. The
weights of a filter are rounded one after another, those with the strongest inputs first, and what
each has lost is spread over those to come, by the covariance of the inputs (Frantar et al., "GPTQ:
Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023; the covariance
rather than the second moment, since a bias takes the mean). NumPy only.
"""

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import LARGEST

DAMPING = 0.01  # of the mean variance, added to each
BLOCK = 64  # weights whose losses are spread among themselves first
MOST_INPUTS = 2560  # inputs of a filter; their covariance must be inverted


def rounded(filters: np.ndarray, steps: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Returns whole numbers of steps for each weight.

    Args:
        filters: float array (groups, filters, inputs). steps: float array (groups, filters), the
            size of a step of each filter.
        covariance: float array (groups, inputs, inputs) of the inputs of each group.

    Returns:
        int8 array of the shape of `filters`, between -127 and 127.
    """
    variance = np.einsum("gii->gi", covariance)
    order = np.argsort(-variance, axis=1, kind="stable")
    groups = np.arange(len(filters))[:, None]
    left = filters.astype(np.float64).transpose(0, 2, 1)[groups, order].transpose(0, 2, 1)
    sorted_ = covariance[groups[..., None], order[:, :, None], order[:, None, :]]
    damping = DAMPING * variance.mean(1) + np.finfo(np.float32).tiny
    sorted_ = sorted_ + damping[:, None, None] * np.eye(filters.shape[2])
    # The inverse of R R' is S' S, S the inverse of R; both are upper triangular.
    spread = _inverse(np.linalg.cholesky(sorted_[:, ::-1, ::-1])[:, ::-1, ::-1])
    whole = np.zeros(left.shape, np.int8)
    for start in range(0, filters.shape[2], BLOCK):
        part = slice(start, start + BLOCK)
        losses = _round_block(left[:, :, part], steps, spread[:, part, part], whole[:, :, part])
        left[:, :, part.stop :] -= losses @ spread[:, part, part.stop :]
    back = np.argsort(order, axis=1)
    return whole.transpose(0, 2, 1)[groups, back].transpose(0, 2, 1)


def _inverse(upper: np.ndarray) -> np.ndarray:
    """Inverse of upper triangular matrices, by halves: a third of the work of any others'."""
    half = upper.shape[-1] // 2
    if half < BLOCK // 2:
        return np.linalg.inv(upper)
    found = np.zeros_like(upper)
    first, last = slice(half), slice(half, None)
    for part in (first, last):
        found[:, part, part] = _inverse(upper[:, part, part])
    between = found[:, first, first] @ upper[:, first, last]
    found[:, first, last] = -between @ found[:, last, last]
    return found


def _round_block(left, steps, spread, whole) -> np.ndarray:
    """Rounds the weights of a block in place; returns what each lost, in units of its own part."""
    losses = np.zeros_like(left)
    for i in range(left.shape[2]):
        whole[:, :, i] = np.clip(np.round(left[:, :, i] / steps), -LARGEST, LARGEST)
        lost = left[:, :, i] - whole[:, :, i] * steps
        losses[:, :, i] = lost / spread[:, i, i][:, None]
        left[:, :, i:] -= losses[:, :, i, None] * spread[:, None, i, i:]
    return losses

"""GPTQ: rounding of kernels to 8 bits with the least change of their outputs.

A weight that is rounded up can be compensated by others, as far as their inputs are correlated. The
weights of a kernel are rounded one after another, those with the largest inputs first, and the error of
each is distributed over the remaining ones by the covariance of the inputs (Frantar et al., "GPTQ:
Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023; the covariance
rather than the second moment, since a bias corrects the mean). NumPy only.
"""

import numpy as np

from newnet_tf.deploy.flatbuffer.graph import LARGEST

DAMPING = 0.01  # of the mean variance, added to each
BLOCK = 64  # weights whose errors are distributed among themselves first
MAX_INPUTS = 2560  # of a kernel; their covariance must be inverted


def round_kernels(kernels: np.ndarray, scales: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Returns the integer for each weight.

    Args:
        kernels: float array (groups, kernels, inputs).

        scales: float array (groups, kernels), the quantization scale of each kernel.

        covariance: float array (groups, inputs, inputs) of the inputs of each group.

    Returns:
        int8 array of the shape of `kernels`, between -127 and 127.
    """
    variance = np.einsum("gii->gi", covariance)
    order = np.argsort(-variance, axis=1, kind="stable")
    groups = np.arange(len(kernels))[:, None]
    rest = kernels.astype(np.float64).transpose(0, 2, 1)[groups, order].transpose(0, 2, 1)
    ordered = covariance[groups[..., None], order[:, :, None], order[:, None, :]]
    damping = DAMPING * variance.mean(1) + np.finfo(np.float32).tiny
    ordered = ordered + damping[:, None, None] * np.eye(kernels.shape[2])
    # The inverse of R R' is S' S, S the inverse of R; both are upper triangular.
    factor = _inverse(np.linalg.cholesky(ordered[:, ::-1, ::-1])[:, ::-1, ::-1])
    integers = np.zeros(rest.shape, np.int8)
    for start in range(0, kernels.shape[2], BLOCK):
        part = slice(start, start + BLOCK)
        errors = _round_block(rest[:, :, part], scales, factor[:, part, part], integers[:, :, part])
        rest[:, :, part.stop :] -= errors @ factor[:, part, part.stop :]
    back = np.argsort(order, axis=1)
    return integers.transpose(0, 2, 1)[groups, back].transpose(0, 2, 1)


def _inverse(upper: np.ndarray) -> np.ndarray:
    """Returns the inverse of upper triangular matrices by halves, a third of the general work."""
    half = upper.shape[-1] // 2
    if half < BLOCK // 2:
        return np.linalg.inv(upper)
    inverse = np.zeros_like(upper)
    first, last = slice(half), slice(half, None)
    for part in (first, last):
        inverse[:, part, part] = _inverse(upper[:, part, part])
    between = inverse[:, first, first] @ upper[:, first, last]
    inverse[:, first, last] = -between @ inverse[:, last, last]
    return inverse


def _round_block(
    rest: np.ndarray, scales: np.ndarray, factor: np.ndarray, integers: np.ndarray
) -> np.ndarray:
    """Rounds the weights of a block in place; returns their errors, in units of their own factor."""
    errors = np.zeros_like(rest)
    for i in range(rest.shape[2]):
        integers[:, :, i] = np.clip(np.round(rest[:, :, i] / scales), -LARGEST, LARGEST)
        error = rest[:, :, i] - integers[:, :, i] * scales
        errors[:, :, i] = error / factor[:, i, i][:, None]
        rest[:, :, i:] -= errors[:, :, i, None] * factor[:, None, i, i:]
    return errors

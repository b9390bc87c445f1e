"""Is a file's answer the model's answer? Judged on real images, against a named tolerance.

Needs NumPy only; the file is run by `newnet_tf.deploy.runtime`.

A network whose outputs hardly depend on the image proves nothing: an untrained one at Keras'
initial values gives the same best class for all images, before and after any damage. Such networks
are refused (`check_outputs_vary`) rather than passed.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from newnet_tf.deploy.export_config import ExportConfig
from newnet_tf.deploy.quantization.precisions import Tolerance
from newnet_tf.deploy.runtime import Runner

# Untrained networks of every family here at 32, 64 and 224 pixels, and keras.applications' MobileNets,
# EfficientNets B0 and ResNet50: spread <= 0.07, or likeness >= 0.939 (0.95 at 224). EfficientNet-Lite0
# with its weights: spread 1.0, likeness 0.0 on different images; on nine crops of one cat 0.4, 0.90.
MIN_REFERENCE_STD = 0.1
MAX_MEAN_COSINE = 0.93
MIN_PROBABILITY = 1e-30  # smaller ones are taken for this: float32 runs out below


class DegenerateOutputsError(ValueError):
    """A network whose own outputs do not vary enough from image to image to prove anything."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How a file compares with its model.

    Args:
        images: int, images compared. top1_matches: int, those with the same best class.
        cosine: float, between the outputs, each less the model's mean over images.
        largest: float, the largest difference of an output.
        max_normalized_error: float, the same in units of `reference_std`.
        reference_std: float, standard deviation of the model's outputs over images (root mean square
            over classes).
        sqnr: float, decibels of the centerd outputs over the differences.
        reasons: tuple of str, the bounds it breaks; empty if it passes.
    """

    images: int
    top1_matches: int
    cosine: float
    largest: float
    max_normalized_error: float
    reference_std: float
    sqnr: float
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.reasons

    def record(self) -> dict:
        """Returns the figures as JSON values."""
        return {**asdict(self), "reasons": list(self.reasons), "passed": self.passed}

    def __str__(self) -> str:
        return (
            f"cosine {self.cosine:.6f}, max difference {self.largest:.3g} "
            f"({self.max_normalized_error:.3g} spreads), SQNR {self.sqnr:.1f} dB, "
            f"top-1 agreement {self.top1_matches}/{self.images}"
        )


def verify(
    reference: np.ndarray,
    runner: Runner | str | os.PathLike | Callable,
    inputs: np.ndarray,
    recipe: ExportConfig,
) -> Verification:
    """Compares a file with the model that it was made from.

    Args:
        reference: array (images, classes), the model's logits for `inputs`.
        runner: path of the file, a `Runner`, or any callable from inputs to scores.
        inputs: array (images, size, size, channels), as the file takes them.
        recipe: `ExportConfig` of the file: says what its output is, and the tolerance.

    Returns:
        A `Verification`; ask its `passed`.

    Raises:
        DegenerateOutputsError: where `reference` does not vary from image to image.
        ValueError: where shapes disagree.
    """
    check_outputs_vary(reference)
    run = Runner(runner) if isinstance(runner, (str, os.PathLike)) else runner
    return compare(reference, run(inputs), recipe.tolerance, recipe.output_type)


def check_outputs_vary(reference: np.ndarray) -> None:
    """Raises `DegenerateOutputsError` unless logits vary from image to image.

    Two things are asked of them. Their spread, the standard deviation over images, must be at
    least 0.1: below that no image moves any odds by more than a tenth. And the images' logits
    must not all be alike: the mean cosine between two images' logits, each less its own mean over
    classes, must be at most 0.93.

    Args:
        reference: array (images, classes).
    """
    reference = _matrix(reference)
    if len(reference) < 2:
        raise DegenerateOutputsError(
            "`images` must be two or more, of different things. Received: "
            f"{len(reference)} image(s)"
        )
    if not np.isfinite(reference).all():
        raise DegenerateOutputsError("the model's logits must be finite. Received: NaN or infinity")
    centerd = reference - (reference.mean(1, keepdims=True) if reference.shape[1] > 1 else 0)
    spread = _rms(centerd - centerd.mean(0))
    unit = centerd / np.maximum(np.linalg.norm(centerd, axis=1, keepdims=True), 1e-30)
    n = len(unit)
    likeness = (np.square(unit.sum(0)).sum() - np.square(unit).sum()) / (n * (n - 1))
    if spread < MIN_REFERENCE_STD or likeness > MAX_MEAN_COSINE:
        raise DegenerateOutputsError(
            "the model's own logits must vary from image to image, or agreement proves nothing: "
            f"spread >= {MIN_REFERENCE_STD}, mean cosine between images <= {MAX_MEAN_COSINE}. Is it "
            "trained, and are the images of different things? An untrained network is exported "
            f"with `verify=False`, for timing. Received: spread {spread:.4g}, cosine {likeness:.3f}"
        )


def compare(
    reference: np.ndarray, outputs: np.ndarray, tolerance: Tolerance, output_type: str = "logits"
) -> Verification:
    """Compares scores with the model's logits, without judging whether those prove anything.

    Args:
        reference: array (images, classes), the model's logits.
        outputs: array of the same shape: logits, or probabilities where `output_type` says so.
        tolerance: `Tolerance`. output_type: `"logits"` or `"probabilities"`, which are compared by their
            logarithms: those are logits but for a constant.
    """
    reference, outputs = _matrix(reference), _matrix(outputs)
    if reference.shape != outputs.shape:
        raise ValueError(
            "`reference` and the file's outputs must have the same shape. Received: "
            f"{reference.shape} and {outputs.shape}"
        )
    if output_type == "probabilities":
        reference, outputs = _log_softmax(reference), np.log(np.maximum(outputs, MIN_PROBABILITY))
        reference = np.maximum(reference, np.log(MIN_PROBABILITY))
    signal, error = reference - reference.mean(0), outputs - reference
    spread, largest = _rms(signal), float(np.abs(error).max())
    noisy = signal + error
    norms = np.linalg.norm(signal) * np.linalg.norm(noisy)
    figures = {
        "images": len(reference),
        "agreed": int((reference.argmax(1) == outputs.argmax(1)).sum()),
        "cosine": float((signal * noisy).sum() / norms) if norms else 0.0,
        "largest": largest,
        "difference": largest / spread if spread else float("inf"),
        "spread": spread,
        "sqnr": float(20 * np.log10(spread / max(_rms(error), 1e-30))) if spread else -np.inf,
    }
    return Verification(reasons=_reasons(figures, tolerance), **figures)


def _reasons(figures: dict, tolerance: Tolerance) -> tuple[str, ...]:
    """Names the bounds that `figures` break; a NaN breaks them."""
    flips = figures["images"] - figures["agreed"]
    allowed = tolerance.allowed_flips(figures["images"])
    reasons = []
    if not figures["cosine"] >= tolerance.cosine:
        reasons.append(f"cosine {figures['cosine']:.6f} < {tolerance.cosine}")
    if not figures["difference"] <= tolerance.max_normalized_error:
        bound = f"{tolerance.max_normalized_error} spreads"
        reasons.append(f"max difference {figures['difference']:.4g} > {bound}")
    if flips > allowed:
        reasons.append(f"best class changed in {flips} of {figures['images']} > {allowed}")
    return tuple(reasons)


def _matrix(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(
            f"scores must be of shape (images, classes). Received: shape={values.shape}"
        )
    return values


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))

"""Verification: are an exported file's outputs those of the model? On real images, within a tolerance.

Needs NumPy only; the file is run by `newnet_tf.deploy.runtime`.

A model whose outputs hardly depend on the image proves nothing: an untrained one at Keras' initial
values predicts the same class for all images, before and after any damage. Such models are refused
(`check_outputs_vary`) rather than passed.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from newnet_tf.deploy.export_config import ExportConfig
from newnet_tf.deploy.quantization.precisions import PRECISIONS, Tolerance
from newnet_tf.deploy.runtime import Outputs, Runner
from newnet_tf.models.config.metadata import CLASSIFICATION, LOGITS, OUTPUT_TYPES
from newnet_tf.task import get_task, task_of
from newnet_tf.utils.math import as_logits, rms, score_matrix

if TYPE_CHECKING:
    from newnet_tf.task import Task

# Untrained models of every family here at 32, 64 and 224 pixels, and keras.applications' MobileNets,
# EfficientNets B0 and ResNet50: standard deviation <= 0.07, or mean cosine >= 0.939 (0.95 at 224).
# EfficientNet-Lite0 with its weights: 1.0 and 0.0 on different images; on nine crops of one cat 0.4
# and 0.90.
MIN_REFERENCE_STD = 0.1
MAX_MEAN_COSINE = 0.93
MIN_RELATIVE_STD = 1e-4  # of the outputs of other tasks, by their root mean square
RAW_FIGURES = ("cosine", "max_normalized_error")  # which results after post-processing do not have
SUMMARY = {
    "cosine": "cosine {:.6f}",
    "max_error": "max error {:.3g}",
    "max_normalized_error": "max normalized error {:.3g}",
    "sqnr": "SQNR {:.1f} dB",
}


class DegenerateOutputsError(ValueError):
    """A model whose own outputs do not vary enough from image to image to prove anything."""


def _figure(name: str, text: str) -> property:
    return property(lambda self: self.figures[name], doc=text)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How a file's outputs compare with its model's.

    The figures are those of the task's `fidelity`; those of classification are attributes as well.

    Args:
        figures: mapping of figure name to number.

        reasons: tuple of str, the bounds that the figures exceed; empty if the file passes.
    """

    figures: Mapping[str, float] = field(hash=False)
    reasons: tuple[str, ...]

    images = _figure("images", "int, images compared.")
    top1_matches = _figure("top1_matches", "int, images with the same top-1 prediction.")
    cosine = _figure(
        "cosine", "float, between the outputs, each less the model's mean over images."
    )
    max_error = _figure("max_error", "float, the largest difference of an output.")
    max_normalized_error = _figure(
        "max_normalized_error", "float, the largest difference in units of `reference_std`."
    )
    reference_std = _figure(
        "reference_std",
        "float, standard deviation of the model's outputs over images (root mean square over classes).",
    )
    sqnr = _figure("sqnr", "float, signal-to-quantization-noise ratio of the outputs in decibels.")

    @property
    def passed(self) -> bool:
        """Whether all figures are within the tolerance."""
        return not self.reasons

    def to_dict(self) -> dict:
        """Returns the figures as JSON values."""
        return {**self.figures, "reasons": list(self.reasons), "passed": self.passed}

    def __str__(self) -> str:
        figures = self.figures
        parts = [form.format(figures[name]) for name, form in SUMMARY.items() if name in figures]
        if "top1_matches" in figures:
            parts.append(f"top-1 agreement {figures['top1_matches']}/{figures['images']}")
        other = [
            f"{name} {value:.4g}"
            for name, value in figures.items()
            if name not in (*SUMMARY, "images", "top1_matches", "reference_std")
        ]
        return ", ".join(parts + other)


def verify(
    reference: Outputs,
    runner: Runner | str | os.PathLike | Callable,
    inputs: np.ndarray,
    config: ExportConfig,
    task: "str | Task | None" = None,
    reference_type: str = LOGITS,
) -> Verification:
    """Compares a file with the model that it was made from.

    Args:
        reference: the model's outputs for `inputs`: array (images, classes), or a dict of arrays by
            output name.

        runner: path of the file, a `Runner`, or any callable from inputs to outputs.

        inputs: array (images, height, width, channels), as the file takes them.

        config: `ExportConfig` of the file: says what its outputs are, and the tolerance.

        task: str, `Task` or None. Default: the task that `config` names.

        reference_type: str, what class scores in `reference` are, see `ModelMetadata.output_type`.
            Default: `"logits"`.

    Returns:
        A `Verification`; ask its `passed`.

    Raises:
        DegenerateOutputsError: where `reference` does not vary from image to image.

        ValueError: where names or shapes differ.
    """
    task = task_of(config.metadata) if task is None else get_task(task)
    check_task_outputs(reference, task, reference_type)
    run = Runner(runner) if isinstance(runner, str | os.PathLike) else runner
    outputs = run(inputs)
    return compare_outputs(
        reference, outputs, config.precision, config.output_type, task, reference_type
    )


def check_task_outputs(reference: Outputs, task: "Task", output_type: str = LOGITS) -> None:
    """Raises `DegenerateOutputsError` unless a model's outputs vary from image to image.

    Class scores must pass `check_outputs_vary`. Of another task, each output must be finite, and its
    standard deviation over images at least 0.0001 of its root mean square.

    Args:
        reference: array, or dict of arrays by output name, for two or more images.

        task: `Task`.

        output_type: str, what class scores are, see `ModelMetadata`. Default: `"logits"`.
    """
    if task.name in OUTPUT_TYPES and not isinstance(reference, Mapping):
        check_outputs_vary(as_logits(reference, output_type))
        return
    outputs = reference if isinstance(reference, Mapping) else {"output": reference}
    for name, values in outputs.items():
        values = np.asarray(values, np.float64).reshape(len(values), -1)
        _check_finite(values)
        size, std = rms(values), rms(values - values.mean(0))
        if not std > MIN_RELATIVE_STD * size:
            raise DegenerateOutputsError(
                f"the model's output {name!r} must vary from image to image, or agreement proves "
                "nothing. Is it trained, and are the images of different things? An untrained model "
                f"is exported with `verify=False`, for timing. Received: standard deviation {std:.4g}, "
                f"root mean square {size:.4g}"
            )


def check_outputs_vary(reference: np.ndarray) -> None:
    """Raises `DegenerateOutputsError` unless logits vary from image to image.

    Their standard deviation over images must be at least 0.1: below that, no image changes any odds
    by more than a tenth. And the mean cosine between two images' logits, each less its own mean over
    classes, must be at most 0.93.

    Args:
        reference: array (images, classes).
    """
    reference = score_matrix(reference)
    _check_finite(reference)
    centered = reference - (reference.mean(1, keepdims=True) if reference.shape[1] > 1 else 0)
    std = rms(centered - centered.mean(0))
    unit = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-30)
    count = len(unit)
    mean_cosine = (np.square(unit.sum(0)).sum() - np.square(unit).sum()) / (count * (count - 1))
    if std < MIN_REFERENCE_STD or (reference.shape[1] > 1 and mean_cosine > MAX_MEAN_COSINE):
        raise DegenerateOutputsError(
            "the model's own logits must vary from image to image, or agreement proves nothing: "
            f"standard deviation >= {MIN_REFERENCE_STD}, mean cosine between images <= "
            f"{MAX_MEAN_COSINE}. Is it trained, and are the images of different things? An untrained "
            "model is exported with `verify=False`, for timing. "
            f"Received: standard deviation {std:.4g}, cosine {mean_cosine:.3f}"
        )


def compare(
    reference: Outputs,
    outputs: Outputs,
    tolerance: Tolerance | Mapping[str, tuple[float | None, float | None]],
    output_type: str = LOGITS,
    task: "str | Task" = CLASSIFICATION,
    reference_type: str = LOGITS,
) -> Verification:
    """Compares outputs with the model's, whether or not those vary.

    Args:
        reference: the model's outputs: array (images, classes) of logits, or a dict of arrays.

        outputs: the same of a file.

        tolerance: `Tolerance` of classification, or a mapping of figure name to (least, most), each
            None for no bound.

        output_type: str, what class scores in `outputs` are, see `ModelMetadata`. Default: `"logits"`.

        task: str or `Task`. Default: `"classification"`.

        reference_type: str, the same of `reference`. Default: `"logits"`.

    Raises:
        ValueError: where names or shapes differ.
    """
    figures = get_task(task).fidelity(reference, outputs, output_type, reference_type)
    if isinstance(tolerance, Tolerance):
        reasons = tolerance.violations(figures)
    else:
        reasons = _violations(figures, tolerance)
    return Verification(figures=figures, reasons=reasons)


def compare_outputs(
    reference: Outputs,
    outputs: Outputs,
    precision: str,
    output_type: str,
    task: "Task",
    reference_type: str = LOGITS,
) -> Verification:
    """Compares outputs within the tolerance of a precision: the task's, else that of `PRECISIONS`."""
    bounds = task.tolerance(precision)
    if bounds is not None and isinstance(outputs, Mapping) and set(outputs) != set(reference):
        bounds = {name: bound for name, bound in bounds.items() if name not in RAW_FIGURES}
    tolerance = PRECISIONS[precision].tolerance if bounds is None else bounds
    return compare(reference, outputs, tolerance, output_type, task, reference_type)


def _violations(
    figures: Mapping[str, float], bounds: Mapping[str, tuple[float | None, float | None]]
) -> tuple[str, ...]:
    """Names the bounds that figures exceed; a NaN exceeds them."""
    reasons = []
    for name, (least, most) in bounds.items():
        value = figures[name]
        if least is not None and not value >= least:
            reasons.append(f"{name} {value:.6g} < {least}")
        if most is not None and not value <= most:
            reasons.append(f"{name} {value:.6g} > {most}")
    return tuple(reasons)


def _check_finite(values: np.ndarray) -> None:
    if len(values) < 2:
        raise DegenerateOutputsError(
            f"`images` must be two or more, of different things. Received: {len(values)} image(s)"
        )
    if not np.isfinite(values).all():
        raise DegenerateOutputsError(
            "the model's outputs must be finite. Received: NaN or infinity"
        )

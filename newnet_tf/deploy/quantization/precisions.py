"""Precisions: named ways to store and compute a TFLite file, and the tolerance of its outputs.

Standard library only. How the tolerances were chosen: EfficientNet-Lite 0, 1, 2 and MobileNetV1 x0.75
with their ImageNet weights, on 150 ImageNet images and on subsets of 4 to 50, calibrated on 100
others. The worst figures of correct files, as 1 - cosine / max normalized error / share of changed
top-1 predictions:

    fp32 1e-11 / 2e-5 / 0     fp16 3e-5 / 0.06 / 0     int8-full 0.022 / 2.4 / 0.12 (MobileNetV1)

The mildest figures of faulty int8-full files on the two networks tried, as 1 - cosine: mirrored
images 0.038 and 0.053, pixels in 0-1 0.10 and 0.058, another network's mean and std 0.085 and 0.062,
swapped channels 0.12 and 0.10; in float32, another batch-norm epsilon 0.027. Each bound lies between.
Faults milder than int8's own error, such as (x - 127.5) / 127.5 for (x - 127) / 128, only fp32 shows.

For the other precisions, and for int8-full since its biases are corrected, `quantization.csv` holds the
worst figures of 400 seeded choices of 4 to 50 out of 400 images (`worst_cosine`, `worst_difference`;
tools/measure_quantization.py). The bounds of litert-*, and of int8-dynamic and int8-weights without
calibration images, whose biases are not corrected, lie between those of MobileNetV1 and the faults
above; that of int16x8, at most 0.0012 off, well below.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far a classifier's scores may lie from the model's, over the images of a verification.

    Args:
        cosine: float, the least cosine between the two sets of outputs, each less the model's mean
            over images.

        max_normalized_error: float, the most that a logit may differ, in units of the standard
            deviation of the model's logits over images.

        max_top1_changes: float, the share of images whose top-1 prediction may change. Unless it is
            0, one always may.
    """

    cosine: float
    max_normalized_error: float
    max_top1_changes: float

    def allowed_top1_changes(self, images: int) -> int:
        """Returns how many of so many images may change their top-1 prediction."""
        return max(1, int(self.max_top1_changes * images)) if self.max_top1_changes else 0

    def violations(self, figures: Mapping[str, float]) -> tuple[str, ...]:
        """Returns the bounds that figures exceed, in words. A NaN exceeds them.

        Args:
            figures: of a task's `fidelity`. Without `top1_matches` that bound does not apply.
        """
        reasons = []
        cosine, error = figures["cosine"], figures["max_normalized_error"]
        if not cosine >= self.cosine:
            reasons.append(f"cosine {cosine:.6f} < {self.cosine}")
        if not error <= self.max_normalized_error:
            reasons.append(f"max normalized error {error:.4g} > {self.max_normalized_error}")
        if "top1_matches" in figures:
            images = int(figures["images"])
            changes, allowed = images - figures["top1_matches"], self.allowed_top1_changes(images)
            if changes > allowed:
                reasons.append(f"top-1 prediction changed in {changes} of {images} > {allowed}")
        return tuple(reasons)


@dataclass(frozen=True, kw_only=True)
class Precision:
    """A named way to store and compute.

    Args:
        summary: str, what is quantized.

        weight_bytes: int, bytes of a weight.

        tolerance: `Tolerance`.

        calibrated: bool, whether it needs calibration images, to measure activation ranges on.

        corrected: bool, whether kernels are rounded, and biases corrected, with calibration images;
            without `calibrated`, only where such are given.

        delegated: bool, whether XNNPACK takes it.

        package: str, a package other than TensorFlow that it needs, "" for none.
    """

    summary: str
    weight_bytes: int
    tolerance: Tolerance
    calibrated: bool = False
    corrected: bool = False
    delegated: bool = True
    package: str = ""


PRECISIONS = {
    "fp32": Precision(
        summary="float32 throughout",
        weight_bytes=4,
        tolerance=Tolerance(cosine=0.99999, max_normalized_error=0.001, max_top1_changes=0),
    ),
    "fp16": Precision(
        summary="float16 weights, computed in float32",
        weight_bytes=2,
        tolerance=Tolerance(cosine=0.9995, max_normalized_error=0.2, max_top1_changes=0.02),
    ),
    "int8-dynamic": Precision(
        summary="int8 weights, activations quantized at run time; depthwise kernels float32",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.97, max_normalized_error=2.0, max_top1_changes=0.15),
        corrected=True,
    ),
    "int8-weights": Precision(
        summary="int8 weights, float32 once the file is loaded; depthwise kernels float32",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.97, max_normalized_error=2.0, max_top1_changes=0.15),
        corrected=True,
    ),
    "int8-full": Precision(
        summary="int8 weights and activations, calibrated with images",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.97, max_normalized_error=3.0, max_top1_changes=0.2),
        calibrated=True,
        corrected=True,
    ),
    "int16x8": Precision(
        summary="int8 weights corrected as int8-full's, int16 activations; fast on accelerators only",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.99, max_normalized_error=3.0, max_top1_changes=0.1),
        calibrated=True,
        corrected=True,
        delegated=False,
    ),
    "litert-dynamic": Precision(
        summary="litert-quantizer's int8-dynamic",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.97, max_normalized_error=3.0, max_top1_changes=0.2),
        package="litert-quantizer",
    ),
    "litert-static": Precision(
        summary="litert-quantizer's int8-full, min-max ranges",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.965, max_normalized_error=3.0, max_top1_changes=0.2),
        calibrated=True,
        package="litert-quantizer",
    ),
}
# Every runtime takes these, and XNNPACK takes each in one partition.
DEFAULT_PRECISIONS = ("fp32", "fp16", "int8-dynamic", "int8-full")


def needs_calibration(precisions: Iterable[str]) -> tuple[str, ...]:
    """Returns those of `precisions` that need calibration images."""
    return tuple(name for name in precisions if PRECISIONS[name].calibrated)


def uses_calibration_images(precision: str) -> bool:
    """Returns whether calibration images, where given, change the file of a precision."""
    return PRECISIONS[precision].calibrated or PRECISIONS[precision].corrected

"""Choice of the layers that stay float32, from a sensitivity analysis."""

from collections.abc import Sequence
from dataclasses import dataclass

from newnet_tf.deploy.quantization.sensitivity import (
    LayerSensitivity,
    SensitivityAnalysis,
    most_sensitive,
)
from newnet_tf.utils.progress import note


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Layers that stay float32, and why.

    Args:
        exclude_layers: tuple of str, the most sensitive first.

        summary: str, what they gain, measured; "" where nothing was measured.
    """

    exclude_layers: tuple[str, ...]
    summary: str = ""


def select_count(layers: Sequence[LayerSensitivity], count: int, model: str) -> Selection:
    """Selects the `count` most sensitive layers.

    Args:
        layers: of `SensitivityAnalysis.measure_layers`.

        count: int.

        model: str, the model's name in errors.

    Raises:
        ValueError: for more layers than there are.
    """
    if count > len(layers):
        raise ValueError(
            f"`exclude_layers` must be at most {len(layers)}, the layers of {model}. "
            f"Received: {count}"
        )
    names = tuple(layer.name for layer in most_sensitive(layers, count))
    return Selection(exclude_layers=names)


def select_within_drop(
    analysis: SensitivityAnalysis, layers: Sequence[LayerSensitivity], max_accuracy_drop: float
) -> Selection:
    """Selects as few of the most sensitive layers as keep the loss of top-1 within a bound.

    Args:
        analysis: `SensitivityAnalysis` with labels.

        layers: of its `measure_layers`.

        max_accuracy_drop: float, percentage points of top-1.

    Raises:
        ValueError: where half of the layers do not suffice.
    """
    ranked, least = most_sensitive(layers, len(layers)), None
    for count in range(len(ranked) // 2 + 1):
        names = tuple(layer.name for layer in ranked[:count])
        drop = analysis.accuracy_drop(names)
        note(f"{count} layers float32: top-1 loses {drop:.2f} points")
        if drop <= max_accuracy_drop:
            return Selection(
                exclude_layers=names,
                summary=f"top-1 loses {drop:.2f} points on {analysis.image_count} images with "
                f"{count} of {len(ranked)} layers float32{': ' if names else ''}{', '.join(names)}",
            )
        least = drop if least is None else min(least, drop)
    raise ValueError(
        f"`max_accuracy_drop` must be within reach with half of the {len(ranked)} layers float32; "
        f"nothing was written. Received: {max_accuracy_drop}, where the least loss was "
        f"{least:.2f} points"
    )


def propose(analysis: SensitivityAnalysis, layers: Sequence[LayerSensitivity]) -> Selection:
    """Proposes the layers that have half of the error, and measures what they gain.

    Args:
        analysis: `SensitivityAnalysis`.

        layers: of its `measure_layers`.
    """
    names = tuple(layer.name for layer in most_sensitive(layers))
    before, after = analysis.evaluate()[0], analysis.evaluate(names)[0]
    share = sum(layer.share for layer in layers if layer.name in names)
    return Selection(
        exclude_layers=names,
        summary=f"Proposal: --exclude-layers {','.join(names)}, which make {share:.0%} of the error. "
        f"Measured on {analysis.image_count} images: SQNR {before.sqnr:.1f} dB with all layers in "
        f"int8, {after.sqnr:.1f} dB with these in float32; top-1 agreement with float "
        f"{before.top1_matches} and {after.top1_matches}.",
    )

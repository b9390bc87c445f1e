"""`QuantizeResult`: what `newnet_tf.quantize` returns."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newnet_tf.deploy import ExportResult
    from newnet_tf.deploy.quantization.sensitivity import LayerSensitivity


@dataclass(frozen=True, kw_only=True)
class QuantizeResult:
    """What `quantize` found and wrote.

    Args:
        model: str, the model's name.

        file: `ExportResult`, None where only the analysis was asked for.

        layers: tuple of `LayerSensitivity`, in the model's order; empty without an analysis.

        exclude_layers: tuple of str, layers that stay float32, or are proposed for it.

        summary: str, what they gain; "" where nothing was measured.

        table, chart: paths of the CSV and PNG files of all layers, None without `sensitivity`.
    """

    model: str
    file: "ExportResult | None"
    layers: "tuple[LayerSensitivity, ...]"
    exclude_layers: tuple[str, ...]
    summary: str = ""
    table: Path | None = None
    chart: Path | None = None

    def rows(self) -> list[dict[str, str]]:
        """Returns the layers as rows of a table, in the model's order."""
        return [row(layer, layer.name in self.exclude_layers) for layer in self.layers]

    def __str__(self) -> str:
        lines = [self.summary] if self.summary else []
        lines += [f"{self.file}"] if self.file else []
        lines += [f"{self.table}, {self.chart}"] if self.table else []
        return "\n".join(lines)


def row(layer: "LayerSensitivity", is_float: bool) -> dict[str, str]:
    """Returns a layer as a row of a table."""
    figures, top1 = layer.verification, layer.top1_gain
    return {
        "layer": layer.name,
        "SQNR dB": f"{figures.sqnr:.1f}",
        "share": f"{layer.share:.1%}",
        "agreement": f"{100 * figures.top1_matches / figures.images:.1f}",
        "top-1": "" if top1 is None else f"{100 * top1 / figures.images:+.1f}",
        "float": "yes" if is_float else "",
    }

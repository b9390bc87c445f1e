"""What finetuning of a detector returns: the model, its average precision, and the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newnet_tf.data.datasets.base import Dataset, Split
from newnet_tf.data.image_files import SkippedImage, summarize_skipped
from newnet_tf.detection.evaluation.result import DetectionResult
from newnet_tf.models.config.metadata import HasMetadata, ModelMetadata
from newnet_tf.training.run import FitResult
from newnet_tf.utils import tables

NUMBERS = ("mAP", "mAP50", "mAP75", "AR100", "images", "MB", "against Keras", "epochs", "seconds")


@dataclass(frozen=True, eq=False)
class DetectorFile:
    """A file that was exported from the detector.

    Args:
        file: `Path`.

        result: `DetectionResult` of the file on the test images.

        difference: float, its mAP50 less the Keras model's, in points of percent.

        verification: what verification of the outputs found; prints readably.
    """

    file: Path
    result: DetectionResult
    difference: float
    verification: Any

    def row(self) -> dict[str, str]:
        """Returns a line of the table of files."""
        return {
            "file": self.file.name,
            "MB": f"{self.file.stat().st_size / 1e6:.2f}",
            "mAP50": f"{self.result.metrics['mAP50']:.2f}",
            "against Keras": f"{self.difference:+.2f}",
            "verified": str(self.verification),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class DetectorFinetuneResult(HasMetadata):
    """A finetuned detector and how it was made.

    The figures are measured by the evaluation loop on the test images, the dataset's validation (else
    test) split, which choose nothing: the model is that of the last epoch. Columns `test_*` of
    `history` are measured on the same images while training.

    Args:
        model: `keras.Model`. `newnet_tf.evaluate`, `predict`, `detect` and `export` know its
            preprocessing, class names and anchors.

        metadata: `ModelMetadata` of the model.

        dataset: `Dataset`.

        output_dir: `Path` of the folder with all files.

        train, test: `Split`s of the dataset.

        fits: mapping from the name of a stage (`"head"`, `"all layers"`) to its `FitResult`.

        result: `DetectionResult` of the model on the test images.

        settings: str, the recipe, augmentation and further arguments of the run.

        seed: int.

        skipped: tuple of `SkippedImage`. Default: none.

        model_file, report: `Path`s. Default: None, not written.

        exports: tuple of `DetectorFile`. Default: none.
    """

    model: Any
    metadata: ModelMetadata
    dataset: Dataset
    output_dir: Path
    train: Split
    test: Split
    fits: Mapping[str, FitResult]
    result: DetectionResult
    settings: str
    seed: int
    skipped: tuple[SkippedImage, ...] = ()
    model_file: Path | None = None
    report: Path | None = None
    exports: tuple[DetectorFile, ...] = ()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.metadata.name

    @property
    def metrics(self) -> dict[str, float]:
        """Figures on the test images in percent: `mAP`, `mAP50`, `mAP75`, `AR100`, ..."""
        return self.result.metrics

    @property
    def history(self) -> list[dict]:
        """One row of figures for each epoch of all stages, epochs counted through."""
        rows: list[dict] = []
        for fitted in self.fits.values():
            done = len(rows)
            rows += [{**row, "epoch": done + row["epoch"]} for row in fitted.history]
        return rows

    @property
    def files(self) -> tuple[Path, ...]:
        """The model, the report and the exported files."""
        written = (self.model_file, self.report, *(export.file for export in self.exports))
        return tuple(file for file in written if file is not None)

    def stage_table(self) -> list[dict[str, object]]:
        """Returns a table's lines: the figures after the last epoch of each stage."""
        return [
            {
                "stage": stage,
                "epochs": len(fitted.history),
                "mAP": f"{fitted.history[-1]['test_mAP']:.2f}",
                "mAP50": f"{fitted.history[-1]['test_mAP50']:.2f}",
                "images": fitted.num_eval_samples,
                "seconds": f"{sum(row['seconds'] for row in fitted.history):.0f}",
            }
            for stage, fitted in self.fits.items()
        ]

    def __str__(self) -> str:
        lines = [f"{self.name} on {self.dataset.name}, {self.dataset.classes} classes", ""]
        lines.append(tables.table(self.stage_table(), right=NUMBERS))
        lines += ["", str(self.result)]
        if self.skipped:
            lines += ["", summarize_skipped(self.skipped)]
        if self.exports:
            rows: Sequence[dict] = [export.row() for export in self.exports]
            lines += ["", tables.table(rows, right=NUMBERS)]
        if self.model_file:
            lines += ["", f"model: {self.model_file}   report: {self.report}"]
        return "\n".join(lines)

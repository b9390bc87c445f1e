"""What finetuning returns: the model, the accuracy after each stage, and the files."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newnet_tf.classification.result import ClassificationResult
from newnet_tf.data.datasets.base import Dataset, Split
from newnet_tf.data.images import SkippedImage
from newnet_tf.evaluation.paired import PairedComparison
from newnet_tf.finetuning.feature_cache import ModelOutputs
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils import tables

LINEAR_PROBE, ALL_LAYERS = "linear probe", "all layers"  # names of the stages


@dataclass(frozen=True, eq=False)
class StageResult:
    """The model after a stage, on the test images.

    Args:
        name: `"linear probe"` (a classifier of frozen features) or `"all layers"`.

        outputs: `ModelOutputs`, class probabilities for the test images.

        seconds: float, duration of the stage.

        note: str, its settings in words.
    """

    name: str
    outputs: ModelOutputs
    seconds: float
    note: str = ""

    @property
    def result(self) -> ClassificationResult:
        """Its `ClassificationResult` on the test images."""
        return self.outputs.result()


@dataclass(frozen=True, eq=False)
class ExportedFile:
    """A file that was exported from the model.

    Args:
        file: `Path`.

        result: `ClassificationResult` of the file on the test images.

        comparison: `PairedComparison` of the Keras model (first) and the file (second).

        verification: what verification of the outputs found; prints readably.
    """

    file: Path
    result: ClassificationResult
    comparison: PairedComparison
    verification: Any

    def row(self) -> dict[str, str]:
        """Returns a line of the table of files."""
        return {
            "file": self.file.name,
            "MB": f"{self.file.stat().st_size / 1e6:.2f}",
            "top-1": f"{self.result.accuracy():.2f}",
            "against Keras": f"{self.comparison.difference:+.2f}",
            "agreement": f"{self.comparison.agreement:.2f} %",
            "verified": str(self.verification),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class FinetuneResult:
    """A finetuned model and how it was made.

    All accuracies are measured by the evaluation loop (`evaluation.loop`) on the test images, the
    dataset's validation (else test) split, which choose nothing. The columns `test_*` of `history` come
    from the `tf.data` pipeline of training and may differ by an image.

    Args:
        model: `keras.Model` with a softmax, the kept stage's. `newnet_tf.evaluate`, `predict` and
            `export` know its preprocessing and class names.

        name: str, the model's name.

        weights: str, tag or file name of the pretrained weights.

        dataset: `Dataset`.

        preprocess: `PreprocessConfig` of the model.

        output_dir: `Path` of the folder with all files.

        train, test: `Split`s of the dataset.

        holdout: `Split`, training images that only decide which stage is kept; None without them.

        stages: tuple of `StageResult`: the linear probe, and the training of all layers, if done.

        kept_stage: str, name of the stage whose model is kept.

        comparison: `PairedComparison` of the linear probe (first) and all layers (second) on the
            holdout; None without them.

        history: tuple of mappings, one for each epoch of the second stage, as in `history.csv`.

        recipe: `Recipe` of the second stage; None without it.

        settings: str, the other settings of the second stage in words.

        l2_penalty: float, of the linear probe.

        seed: int, of the split, the order and the augmentation.

        skipped: tuple of `SkippedImage`, images that could not be read.

        exports: tuple of `ExportedFile`.

        model_file: `Path` of the `.keras` file; None before it is written.

        report: `Path` of the report, an HTML page; None before it is written.

    Example:
        >>> result = newnet_tf.finetune("efficientnet_lite0", "flowers/", epochs=4)
        >>> print(result)
        >>> result.metrics["top1"], result.kept_stage, result.files
    """

    model: Any
    name: str
    weights: str
    dataset: Dataset
    preprocess: PreprocessConfig
    output_dir: Path
    train: Split
    test: Split
    stages: tuple[StageResult, ...]
    kept_stage: str = LINEAR_PROBE
    holdout: Split | None = None
    comparison: PairedComparison | None = None
    history: tuple[Mapping[str, float], ...] = ()
    recipe: Recipe | None = None
    settings: str = ""
    l2_penalty: float = 0.0
    seed: int = 0
    skipped: tuple[SkippedImage, ...] = ()
    exports: tuple[ExportedFile, ...] = ()
    model_file: Path | None = None
    report: Path | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """One str for each class."""
        return self.dataset.class_names

    @property
    def final(self) -> StageResult:
        """The stage whose model is kept."""
        return next(stage for stage in self.stages if stage.name == self.kept_stage)

    @property
    def result(self) -> ClassificationResult:
        """The kept model's `ClassificationResult` on the test images."""
        splits = self.dataset.splits.items()
        return dataclasses.replace(
            self.final.result,
            model=self.name,
            weights=self.weights,
            precision="fp32",
            dataset=self.dataset.name,
            split=next(name for name, split in splits if split is self.test),
            class_names=self.class_names,
        )

    @property
    def metrics(self) -> dict[str, float]:
        """Accuracy of the kept model on the test images in percent, `{"top1": ...}`."""
        return self.result.metrics

    @property
    def files(self) -> tuple[Path, ...]:
        """The model, the report and the exported files."""
        written = (self.model_file, self.report, *(export.file for export in self.exports))
        return tuple(file for file in written if file is not None)

    @property
    def verdict(self) -> str:
        """A sentence on which stage is better on the holdout; "" without a holdout."""
        if self.comparison is None:
            return ""
        difference, (low, high) = self.comparison.difference, self.comparison.interval
        is_probe = self.kept_stage == LINEAR_PROBE
        return (
            f"Training all layers came out {'worse' if is_probe else 'no worse'} than the linear probe "
            f"on {self.comparison.n} held-out training images ({difference:+.2f} points, 95 %: "
            f"{low:+.2f} to {high:+.2f}): the model of the {'first' if is_probe else 'second'} stage "
            "is kept."
        )

    def stage_table(self) -> list[dict[str, object]]:
        """Returns a table's lines: the accuracy after each stage."""
        return [
            {
                "stage": stage.name,
                "top-1": f"{stage.result.accuracy():.2f}",
                "95 % interval": "{:.2f} to {:.2f}".format(*stage.result.interval()),
                "n": stage.result.n,
                "seconds": f"{stage.seconds:.0f}",
            }
            for stage in self.stages
        ]

    def __str__(self) -> str:
        lines = [f"{self.name} on {self.dataset.name}, {self.dataset.classes} classes", ""]
        lines.append(tables.table(self.stage_table(), right=("top-1", "n", "seconds")))
        if self.verdict:
            lines += ["", self.verdict]
        if self.exports:
            rows: Sequence[dict] = [export.row() for export in self.exports]
            lines += ["", tables.table(rows, right=("MB", "top-1", "against Keras"))]
        if self.model_file:
            lines += ["", f"model: {self.model_file}   report: {self.report}"]
        return "\n".join(lines)

"""What finetuning returns: the model, the accuracy after each stage, and the files."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newnet_tf.classification.multilabel_result import MultilabelComparison, MultilabelResult
from newnet_tf.classification.result import ClassificationResult
from newnet_tf.data.datasets.base import Dataset, Split
from newnet_tf.data.image_files import SkippedImage, summarize_skipped
from newnet_tf.evaluation.paired import PairedComparison
from newnet_tf.finetuning.feature_cache import ModelOutputs
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import MULTILABEL, PROBABILITIES, SIGMOID, ModelMetadata
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils import tables

Accuracy = ClassificationResult | MultilabelResult
Comparison = PairedComparison | MultilabelComparison
NUMBERS = ("top-1", "mAP", "micro-F1", "n", "seconds")
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
    def result(self) -> Accuracy:
        """Its `ClassificationResult` or `MultilabelResult` on the test images."""
        return self.outputs.result()

    def row(self) -> dict[str, object]:
        """Returns a line of the table of stages."""
        result = self.result
        if isinstance(result, MultilabelResult):
            row = {
                "mAP": f"{result.metrics['mAP']:.2f}",
                "micro-F1": f"{result.metrics['micro_f1']:.2f}",
            }
        else:
            row = {
                "top-1": f"{result.accuracy():.2f}",
                "95 % interval": "{:.2f} to {:.2f}".format(*result.interval()),
            }
        return {"stage": self.name, **row, "n": result.n, "seconds": f"{self.seconds:.0f}"}


@dataclass(frozen=True, eq=False)
class ExportedFile:
    """A file that was exported from the model.

    Args:
        file: `Path`.

        result: `ClassificationResult` or `MultilabelResult` of the file on the test images.

        comparison: `PairedComparison` or `MultilabelComparison` of the Keras model (first) and the file
            (second).

        verification: what verification of the outputs found; prints readably.
    """

    file: Path
    result: Accuracy
    comparison: Comparison
    verification: Any

    def row(self) -> dict[str, str]:
        """Returns a line of the table of files."""
        name, value = next(iter(self.result.metrics.items()))
        return {
            "file": self.file.name,
            "MB": f"{self.file.stat().st_size / 1e6:.2f}",
            {"top1": "top-1"}.get(name, name): f"{value:.2f}",
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

        comparison: `PairedComparison` or `MultilabelComparison` of the linear probe (first) and all
            layers (second) on the holdout; None without them.

        failure: str, why the second stage ended without a model; "" if it did not.

        history: tuple of mappings, one for each epoch of the second stage, as in `history.csv`. With
            early stopping its `test_*` columns are figures of the holdout.

        recipe: `Recipe` of the second stage; None without it.

        settings: str, the other settings of the second stage in words.

        l2_penalty: float, of the linear probe.

        seed: int, of the split, the order and the augmentation.

        skipped: tuple of `SkippedImage`, files that are no images, and images that could not be read.

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
    comparison: Comparison | None = None
    failure: str = ""
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
    def metadata(self) -> ModelMetadata:
        """What is known of `model`, as its file holds it."""
        is_multilabel = self.dataset.task == MULTILABEL
        return ModelMetadata(
            name=self.name,
            preprocess=self.preprocess,
            task=self.dataset.task,
            class_names=tuple(self.class_names),
            output_type=SIGMOID if is_multilabel else PROBABILITIES,
            weights=f"{self.weights}, {self.kept_stage}",
            dataset=self.dataset.name,
        )

    @property
    def final(self) -> StageResult:
        """The stage whose model is kept."""
        return next(stage for stage in self.stages if stage.name == self.kept_stage)

    @property
    def result(self) -> Accuracy:
        """The kept model's `ClassificationResult` or `MultilabelResult` on the test images."""
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
        """Figures of the kept model on the test images in percent, such as `{"top1": ...}`."""
        return self.result.metrics

    @property
    def files(self) -> tuple[Path, ...]:
        """The model, the report and the exported files."""
        written = (self.model_file, self.report, *(export.file for export in self.exports))
        return tuple(file for file in written if file is not None)

    @property
    def verdict(self) -> str:
        """A sentence on which stage is kept and why; "" if there is one stage alone."""
        if self.failure:
            return (
                f"Training all layers ended without a model ({self.failure}): that of the first stage "
                "is kept."
            )
        if len(self.stages) == 1:
            return ""
        if self.comparison is None:
            return (
                "There are no held-out training images that could decide: the model of the second "
                "stage is kept."
            )
        is_probe = self.kept_stage == LINEAR_PROBE
        between = ""
        if isinstance(self.comparison, PairedComparison):
            between = ", 95 %: {:+.2f} to {:+.2f}".format(*self.comparison.interval)
        return (
            f"Training all layers came out {'worse' if is_probe else 'no worse'} than the linear probe "
            f"on {self.comparison.n} held-out training images ({self.comparison.difference:+.2f} points"
            f"{between}): the model of the {'first' if is_probe else 'second'} stage is kept."
        )

    def stage_table(self) -> list[dict[str, object]]:
        """Returns a table's lines: the accuracy after each stage, and which stage is kept."""
        return [
            {**stage.row(), "kept": "yes" if stage.name == self.kept_stage else "no"}
            for stage in self.stages
        ]

    def __str__(self) -> str:
        lines = [f"{self.name} on {self.dataset.name}, {self.dataset.classes} classes", ""]
        lines.append(tables.table(self.stage_table(), right=NUMBERS))
        if self.verdict:
            lines += ["", self.verdict]
        if self.skipped:
            lines += ["", summarize_skipped(self.skipped)]
        if self.exports:
            rows: Sequence[dict] = [export.row() for export in self.exports]
            lines += ["", tables.table(rows, right=("MB", "top-1", "mAP", "against Keras"))]
        if self.model_file:
            lines += ["", f"model: {self.model_file}   report: {self.report}"]
        return "\n".join(lines)

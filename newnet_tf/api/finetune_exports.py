"""TFLite files of a finetuned model, and the table of a classifier's accuracies."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from newnet_tf.api.evaluate import evaluate_split
from newnet_tf.api.export import export
from newnet_tf.classification.multilabel_result import MultilabelResult, compare_multilabel
from newnet_tf.deploy.converter import ExportError
from newnet_tf.deploy.quantization.precisions import uses_calibration_images
from newnet_tf.evaluation.paired import compare
from newnet_tf.evaluation.result_table import save_result
from newnet_tf.finetuning import run_files
from newnet_tf.finetuning.detector_result import DetectorFinetuneResult
from newnet_tf.finetuning.result import ExportedFile, FinetuneResult
from newnet_tf.inference.loading import load_predictor

CALIBRATION_IMAGES = VERIFICATION_IMAGES = 100


def export_precisions(
    result: FinetuneResult | DetectorFinetuneResult, precisions: Sequence[str]
) -> tuple[list, list[ExportError]]:
    """Exports TFLite files, calibrated on training images and verified on test images.

    Returns:
        The results of `export`, and the errors of files that were refused.
    """
    calibration_images = None
    if any(map(uses_calibration_images, precisions)):
        calibration_images = run_files.readable_sources(result, result.train, CALIBRATION_IMAGES)
    validation_images = run_files.readable_sources(result, result.test, VERIFICATION_IMAGES)

    def export_some(some: Sequence[str]) -> list:
        return export(
            result.model,
            result.output_dir,
            precisions=some,
            calibration_images=calibration_images,
            validation_images=validation_images,
        )

    exported, failures = [], []
    try:
        exported = export_some(precisions)
    except ExportError as error:  # then none was written
        failures.append(error)
        for precision in precisions if len(precisions) > 1 else ():
            with contextlib.suppress(ExportError):
                exported += export_some([precision])
    return exported, failures


def export_files(
    result: FinetuneResult, precisions: Sequence[str]
) -> tuple[tuple[ExportedFile, ...], list[ExportError]]:
    """Exports TFLite files of a classifier and evaluates them on the test images.

    Returns:
        The files, and the errors of those that were refused.
    """
    exported, failures = export_precisions(result, precisions)
    files = []
    for tflite in exported:
        accuracy = evaluate_split(load_predictor(tflite), result.test)
        is_multilabel = isinstance(accuracy, MultilabelResult)
        comparison = (compare_multilabel if is_multilabel else compare)(result.result, accuracy)
        verification = getattr(tflite, "verification", None)
        files.append(ExportedFile(Path(tflite), accuracy, comparison, verification))
    return tuple(files), failures


def save_stages(result: FinetuneResult) -> Path:
    """Writes the accuracies of all stages into `results/accuracy.csv`; returns its path."""
    for stage in result.stages:
        path = save_result(
            stage.result,
            result.name,
            f"{result.dataset.name}, finetuned",
            weights=f"{result.weights}, {stage.name}",
            note=stage.note,
        )
    return path

"""The files of a finetuning run: split, model, predictions, report."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from newnet_tf.data.datasets.base import Split
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.finetuning import report
from newnet_tf.finetuning.detector_result import DetectorFinetuneResult
from newnet_tf.finetuning.result import FinetuneResult
from newnet_tf.models.model_file import save_model
from newnet_tf.utils.io import write_csv
from newnet_tf.visualization import html_page

PREDICTIONS = ("file", "class", "predicted", "probability", "probability_of_class")


def write_files(result: FinetuneResult) -> FinetuneResult:
    """Writes `split.csv`, the model with its metadata, and `predictions.csv`.

    Args:
        result: `FinetuneResult`.

    Returns:
        The same with `model_file`.
    """
    write_split(result)
    _write_predictions(result)
    file = result.output_dir / f"{result.name}.keras"
    save_model(result.model, file, result.metadata)
    return dataclasses.replace(result, model_file=file)


def write_report(result: FinetuneResult) -> FinetuneResult:
    """Writes `report.html`; returns the result with `report`."""
    path = html_page.write(
        result.output_dir / "report.html",
        f"{result.name} on {result.dataset.name}",
        report.sections(result),
    )
    return dataclasses.replace(result, report=Path(path))


def write_split(result: FinetuneResult) -> None:
    """Writes `split.csv`: which image is in which split (train, holdout, test)."""
    held_out = {sample.name for sample in iter_samples(result.holdout)} if result.holdout else set()
    rows = [
        (
            "holdout" if sample.name in held_out else name,
            _class_name(sample.label, result.class_names),
            sample.name,
        )
        for name, split in (("train", result.train), ("test", result.test))
        for sample in iter_samples(split)
    ]
    write_csv(result.output_dir / "split.csv", ("split", "class", "file"), rows)


def readable_sources(
    result: FinetuneResult | DetectorFinetuneResult, split: Split, count: int
) -> list:
    """Returns a seeded sample of the images of a split that can be read, as `read_image` takes them.

    Args:
        result: `FinetuneResult` or `DetectorFinetuneResult`.

        split: one of its `Split`s.

        count: int, size of the sample; images that cannot be read are then left out.
    """
    skipped = {image.path for image in result.skipped}
    samples = iter_samples(split, count)
    return [sample.source for sample in samples if sample.name not in skipped]


def _write_predictions(result: FinetuneResult) -> None:
    names, outputs = result.class_names, result.final.outputs
    if outputs.labels.ndim == 2:
        rows = [
            (
                name,
                _class_name(label, names),
                _class_name(values > 0.5, names),
                *(f"{value:.4f}" for value in values),
            )
            for name, label, values in zip(
                outputs.names, outputs.labels, outputs.values, strict=True
            )
        ]
        write_csv(result.output_dir / "predictions.csv", (*PREDICTIONS[:3], *names), rows)
        return
    best = outputs.values.argmax(axis=1)
    rows = [
        (name, names[label], names[predicted], f"{values[predicted]:.4f}", f"{values[label]:.4f}")
        for name, label, predicted, values in zip(
            outputs.names, outputs.labels, best, outputs.values, strict=True
        )
    ]
    write_csv(result.output_dir / "predictions.csv", PREDICTIONS, rows)


def _class_name(label: int | np.ndarray, names: Sequence[str]) -> str:
    """Returns the name of a class, or those of several, separated by semicolons."""
    if np.ndim(label) == 0:
        return names[label]
    return ";".join(names[i] for i in np.flatnonzero(label))

"""The files of a finetuning run: split, model, predictions, report."""

import dataclasses
from pathlib import Path

from newnet_tf.data import sidecar
from newnet_tf.data.datasets.base import Split
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.finetuning import report
from newnet_tf.finetuning.result import FinetuneResult
from newnet_tf.utils.io import write_csv
from newnet_tf.visualization import html_page

PREDICTIONS = ("file", "class", "predicted", "probability", "probability_of_class")


def write_files(result: FinetuneResult) -> FinetuneResult:
    """Writes `split.csv`, the model with labels and preprocessing, and `predictions.csv`.

    Args:
        result: `FinetuneResult`.

    Returns:
        The same with `model_file`.
    """
    write_split(result)
    _write_predictions(result)
    file = sidecar.save(
        result.model, result.output_dir, result.name, result.preprocess, result.class_names
    )
    return dataclasses.replace(result, model_file=Path(file))


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
    names = result.class_names
    held_out = {sample.name for sample in iter_samples(result.holdout)} if result.holdout else set()
    rows = [
        ("holdout" if sample.name in held_out else name, names[sample.label], sample.name)
        for name, split in (("train", result.train), ("test", result.test))
        for sample in iter_samples(split)
    ]
    write_csv(result.output_dir / "split.csv", ("split", "class", "file"), rows)


def readable_sources(result: FinetuneResult, split: Split, count: int) -> list:
    """Returns a seeded sample of the images of a split that can be read, as `read_image` takes them.

    Args:
        result: `FinetuneResult`.

        split: one of its `Split`s.

        count: int, size of the sample; images that cannot be read are then left out.
    """
    skipped = {image.path for image in result.skipped}
    samples = iter_samples(split, count)
    return [sample.source for sample in samples if sample.name not in skipped]


def _write_predictions(result: FinetuneResult) -> None:
    names, outputs = result.class_names, result.final.outputs
    best = outputs.values.argmax(axis=1)
    rows = [
        (name, names[label], names[predicted], f"{values[predicted]:.4f}", f"{values[label]:.4f}")
        for name, label, predicted, values in zip(
            outputs.names, outputs.labels, best, outputs.values, strict=True
        )
    ]
    write_csv(result.output_dir / "predictions.csv", PREDICTIONS, rows)

"""The files of a finetuning run but for its page: split, model, predictions, files for phones."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from newnet_tf import inference
from newnet_tf.cli import evaluate
from newnet_tf.deploy.quantization.precisions import uses_calibration_images
from newnet_tf.visualization import html_page

CALIBRATION, VERIFIED = 100, 100


def write_split(run) -> None:
    """Says which image of a `finetune.Run` is in which part."""
    from newnet_tf.data.host_loader import iter_samples

    names = run.source.class_names
    aside = {sample.name for sample in iter_samples(run.aside)} if run.aside else set()
    rows = [
        ("aside" if sample.name in aside else part, names[sample.label], sample.name)
        for part, split in (("train", run.train), ("test", run.test))
        for sample in iter_samples(split)
    ]
    _write_csv(run.folder / "split.csv", ("part", "class", "file"), rows)


def write_results(run) -> None:
    """Writes the model and its predictions on the test part."""
    from newnet_tf.data import sidecar

    names, final = run.source.class_names, run.final
    sidecar.save(run.model, run.folder, run.network, run.preprocess, names)
    best = final.values.argmax(axis=1)
    rows = [
        (name, names[label], names[taken], f"{values[taken]:.4f}", f"{values[label]:.4f}")
        for name, label, taken, values in zip(
            final.names, final.labels, best, final.values, strict=True
        )
    ]
    header = ("file", "class", "predicted", "probability", "probability_of_class")
    _write_csv(run.folder / "predictions.csv", header, rows)


def export(run, precisions: Sequence[str]) -> None:
    """Writes TFLite files, calibrated on training images, and judges them on the test part."""
    from newnet_tf.deploy import export_tflite
    from newnet_tf.evaluation.loop import compare

    index, own = range(run.source.classes), run.final.result()
    takes = any(map(uses_calibration_images, precisions))
    for result in export_tflite(
        run.model,
        run.preprocess,
        run.folder,
        name=run.network,
        precisions=precisions,
        calibration_images=_readable(run, run.train, CALIBRATION) if takes else None,
        samples=_readable(run, run.test, VERIFIED),
    ):
        predictor = inference.load(str(result.file), None, None)
        found = evaluate.judged(predictor, run.test, index)
        paired = compare(own, found)
        run.files.append(
            {
                "file": result.file.name,
                "MB": f"{result.file.stat().st_size / 1e6:.2f}",
                "top-1": f"{found.accuracy():.2f}",
                "against Keras": f"{paired.difference:+.2f}",
                "agrees": f"{paired.agreement:.2f} %",
                "verified": str(result.verification),
            }
        )


def _readable(run, split, count: int) -> list:
    """Returns a seeded sample of readable images."""
    from newnet_tf.data.host_loader import iter_samples

    bad = {sample.path for sample in run.bad}
    return [p.source for p in iter_samples(split, limit=count) if p.name not in bad]


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    html_page.save(path, text.getvalue().encode())

"""`newnet_tf.demo`: classify, detect, export, verify, benchmark and report in one run."""

import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from newnet_tf import results
from newnet_tf.api.arguments import check_file, check_output_folder, check_positive
from newnet_tf.api.detect import DEFAULT_MODEL, detect
from newnet_tf.api.export import export
from newnet_tf.api.predict import predict
from newnet_tf.data.sample_images import sample_images
from newnet_tf.deploy.quantization.precisions import DEFAULT_PRECISIONS
from newnet_tf.models import registry
from newnet_tf.profiling.untrained_models import export_untrained
from newnet_tf.utils import tables
from newnet_tf.utils.progress import note
from newnet_tf.visualization import html_page

FOLDER = Path("build/demo")  # default folder
TRAINED = "efficientnet_lite0"
DETECTOR: str | None = DEFAULT_MODEL
UNTRAINED = ("newnet_small", "rexnet_100", "rexnet_lite_100")
UNTRAINED_PRECISIONS = DETECTOR_PRECISIONS = ("fp32", "int8-full")
IMAGE, PERSON = "chelsea.png", "astronaut.png"
NUMBERS = ("MB", "median ms", "IQR ms", "ratio")


@dataclass(frozen=True)
class DemoResult:
    """What the demo found and wrote. It prints readably.

    Args:
        report: path of the HTML page.

        files: path of the folder of the exported files.

        image: path of the image that was classified.

        top: tuple of (class name, probability), the Keras model's top-5 predictions.

        predictions: tuple of dictionaries, the top-1 prediction of each exported file.

        detections: tuple of str, what the detector finds in another image.

        drawn: path of that image with its boxes; None without a detector.

        latencies: tuple of dictionaries, size and latency of each file.

        seconds: float, how long the demo took.
    """

    report: Path
    files: Path
    image: Path
    top: tuple[tuple[str, float], ...]
    predictions: tuple[dict, ...]
    detections: tuple[str, ...]
    drawn: Path | None
    latencies: tuple[dict, ...]
    seconds: float

    def __str__(self) -> str:
        lines = [f"{TRAINED} classifies {self.image.name} as:"]
        for name, probability in self.top:
            bar = "█" * round(40 * probability)
            lines.append(f"  {100 * probability:5.1f} %  {bar:40}  {name}")
        lines += [
            f"\nPredictions of each file for {self.image.name}",
            tables.table(self.predictions),
        ]
        if self.drawn:
            lines += [f"\n{DETECTOR} finds in {PERSON}", *(f"  {text}" for text in self.detections)]
            lines += [f"  drawn: {self.drawn}"]
        lines += ["\nSize and latency on this CPU, one thread, runs in turn"]
        lines += [tables.table(self.latencies, right=NUMBERS)]
        lines += [f"\nreport: {self.report}   files: {self.files}/   ({self.seconds:.0f} s)"]
        return "\n".join(lines)


def demo(
    output: str | os.PathLike = FOLDER,
    *,
    image: str | os.PathLike | None = None,
    runs: int = 40,
    force: bool = False,
) -> DemoResult:
    """Classifies an image, detects people, exports and verifies both models, and benchmarks them.

    Untrained models are benchmarked next to them.

    Args:
        output: path of the folder for the report and the files. Default: `build/demo`.

        image: path of the image to classify. Default: scikit-image's cat.

        runs: int, timed runs of each file. Default: 40.

        force: bool, whether to export files of an unchanged config again. Default: False.

    Returns:
        A `DemoResult`.

    Raises:
        ValueError: if scikit-image is not installed.

    Example:
        >>> print(newnet_tf.demo())
    """
    start = time.monotonic()
    check_positive(runs=runs)
    check_file("image", image)
    check_output_folder(output)
    path = Path(image) if image else next(p for p in sample_images() if p.name == IMAGE)
    files = Path(output) / "models"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        top = _classify(TRAINED, path)
        note(f"{TRAINED} classifies {path.name} as {top[0][0]} ({100 * top[0][1]:.1f} %)")
        exported = export(TRAINED, files, precisions=DEFAULT_PRECISIONS, force=force)
        drawn, detections, detectors = _detect(Path(output), files, force)
        untrained = export_untrained(UNTRAINED, UNTRAINED_PRECISIONS, files, force)
        latencies = _benchmark([*exported, *detectors], untrained, runs)
        predictions = [_prediction(result, path) for result in exported]
    rows = _rows(latencies, [*exported, *detectors])
    report = Path(output) / "report.html"
    found = html_page.image(drawn, ", ".join(detections)) if drawn else ""
    _write_report(report, path, top, predictions, found, rows, latencies)
    return DemoResult(
        report=report,
        files=files,
        image=path,
        top=tuple(top),
        predictions=tuple(predictions),
        detections=tuple(detections),
        drawn=drawn,
        latencies=tuple(rows),
        seconds=time.monotonic() - start,
    )


def _classify(model: str, image: Path) -> list[tuple[str, float]]:
    """Returns names and probabilities of the top-5 predictions."""
    [result] = predict(model, image)
    return [(prediction.label, prediction.score) for prediction in result.predictions]


def _detect(output: Path, files: Path, force: bool) -> tuple[Path | None, list[str], list]:
    """Detects people in an image and exports the detector.

    Returns:
        Path of the image with its boxes, the detections in words, results of the export; None and
        empty lists where the demo has no detector.
    """
    if DETECTOR is None:
        return None, [], []
    image = next(path for path in sample_images() if path.name == PERSON)
    found = detect(image, DETECTOR, output=output)
    texts = [str(prediction) for prediction in found[0].predictions]
    note(f"{DETECTOR} finds in {image.name}: {', '.join(texts) or 'nothing'}")
    exported = export(DETECTOR, files, precisions=DETECTOR_PRECISIONS, force=force)
    return found.files[0], texts, list(exported)


def _benchmark(exported, untrained, runs: int):
    from newnet_tf.profiling.latency import benchmark_files

    files = {f"{r.config.model} {r.config.precision}": r.file for r in exported}
    files |= {f"{name} {precision}": file for (name, precision), file in untrained.items()}
    return benchmark_files(files, runs=runs, baseline=f"{TRAINED} fp32")


def _prediction(result, image: Path) -> dict:
    name, probability = _classify(str(result.file), image)[0]
    verification = result.verification
    return {
        "file": result.file.name,
        "top-1 prediction": name,
        "probability": f"{100 * probability:.1f} %",
        "same top-1 as Keras": f"{verification.top1_matches} of {verification.images} images",
        "cosine": f"{verification.cosine:.5f}",
        "XNNPACK runs": str(result.delegation),
    }


def _rows(latencies, exported) -> list[dict]:
    verified = {(r.config.model, r.config.precision): r.verification for r in exported}
    rows = []
    for latency in latencies:
        verification = verified.get((latency.model, latency.precision))
        status = f"verified on {verification.images} images" if verification else ""
        rows.append(
            {
                "model": latency.model,
                "precision": latency.precision,
                "MB": f"{latency.size_mb:.2f}",
                "median ms": f"{latency.median_ms:.2f}",
                "IQR ms": f"{latency.iqr_ms:.2f}",
                "ratio": f"{latency.ratio:.2f}",
                "status": status or "timing only: untrained",
            }
        )
    return rows


def _write_report(path: Path, image: Path, top, predictions, found: str, rows, latencies) -> None:
    from newnet_tf.visualization import charts

    card = registry.model_card(TRAINED)
    points = [
        {
            "model": latency.model,
            "precision": latency.precision,
            "megabytes": latency.size_mb,
            "milliseconds": latency.median_ms,
        }
        for latency in latencies
    ]
    weights = card.weights[0]
    bars = charts.svg(charts.top_predictions(top))
    scatter = charts.svg(charts.size_and_latency(points))
    sections = [
        "<h1>From a checkpoint to a phone</h1>",
        (
            f'<p class="lead">{card.title} with its {weights.dataset} weights ({weights.license}), '
            "loaded from a PyTorch checkpoint, exported to TFLite in four precisions, verified "
            "against the Keras model and timed on this CPU, next to models that have no weights "
            "here.</p>"
        ),
        "<h2>Predictions</h2>",
        html_page.prediction(image, bars, f"{card.title} in Keras, top 5 of 1,000 classes."),
        "<h2>Predictions of each exported file</h2>",
        html_page.table(predictions),
        (
            "<p class=\"small\">Cosine: between the file's logits and the Keras model's over real "
            "images, each less its mean. A file outside its precision's tolerance is not "
            "written.</p>"
        ),
        *(["<h2>Object detection</h2>", found] if found else []),
        "<h2>Size and latency</h2>",
        html_page.plot(scatter, "File size against latency of every file"),
        html_page.table(rows, NUMBERS),
        (
            '<p class="small">Median of runs in turn, one thread, and the interquartile range (IQR); '
            f"ratio: median over runs to {TRAINED} fp32. Files marked <em>timing only</em> have "
            "random weights: no public ImageNet weights could be loaded for them here.</p>"
        ),
        (
            f'<p class="small">{results.machine()}; {results.versions()}. Written by '
            "<code>newnet demo</code>.</p>"
        ),
    ]
    html_page.write(path, "newnet_tf: from a checkpoint to a phone", sections)

"""The report of a finetuning run: accuracy, curves, confusion matrix, worst mistakes, settings."""

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from newnet_tf import results
from newnet_tf.classification.multilabel_result import MultilabelResult
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.data.image_files import summarize_skipped
from newnet_tf.data.images import read_image
from newnet_tf.finetuning.feature_cache import ModelOutputs
from newnet_tf.finetuning.result import NUMBERS as STAGE_NUMBERS, FinetuneResult
from newnet_tf.training import curves
from newnet_tf.visualization import charts, html_page

CLASS_NUMBERS = ("n", "AP", "precision", "recall")
MISTAKES = 24
MAX_CLASSES = 40  # of the confusion matrix; with more only the table is shown
THUMBNAIL = 220
FIGURE = (
    '<figure style="margin: 0; width: 11rem"><img style="width: 11rem; height: 11rem; object-fit: '
    'cover; border-radius: .4rem" alt="{alt}" src="data:image/jpeg;base64,{data}"><figcaption '
    'class="small">{alt}</figcaption></figure>'
)
ACCURACY_NOTE = (
    '<p class="small">All accuracies on this page are measured on the test images, decoded as for '
    "prediction; the test images choose nothing.</p>"
)
CURVES_NOTE = (
    '<p class="small">The test curves are measured by the training pipeline (decoded by tf.data), '
    "whose pixels differ by a level here and there: their last error can differ by an image from "
    "the accuracy above.</p>"
)
HOLDOUT_NOTE = (
    '<p class="small">The test curves are figures of the held-out training images, by which the run '
    "stopped early.</p>"
)


def sections(result: FinetuneResult) -> list[str]:
    """Returns the sections of the page as HTML, for `html_page.write`.

    Args:
        result: `FinetuneResult`.
    """
    parts = [
        _head(result),
        "<h2>Accuracy on the test images</h2>",
        html_page.table(result.stage_table(), STAGE_NUMBERS),
        ACCURACY_NOTE,
    ]
    if result.history:
        figure = curves.draw(result.history, result.name, result.dataset.task)
        plot = html_page.plot(charts.svg(figure), "Loss and error by epoch")
        has_stopping = result.recipe is not None and result.recipe.early_stopping is not None
        parts += ["<h2>Training</h2>", plot, HOLDOUT_NOTE if has_stopping else CURVES_NOTE]
    if isinstance(result.result, MultilabelResult):
        parts += ["<h2>Classes</h2>", html_page.table(result.result.class_table(), CLASS_NUMBERS)]
    else:
        parts += ["<h2>Confusion</h2>", *_confusion(result)]
    parts += ["<h2>Worst mistakes</h2>", _mistakes(result)]
    if result.exports:
        columns = ("MB", "top-1", "mAP", "against Keras")
        rows = [export.row() for export in result.exports]
        parts += ["<h2>Exported files</h2>", html_page.table(rows, columns)]
    return [*parts, "<h2>Settings</h2>", _settings(result)]


def _head(result: FinetuneResult) -> str:
    name, data = html.escape(result.name), html.escape(result.dataset.name)
    final = result.result
    if isinstance(final, MultilabelResult):
        figures = final.metrics
        figure = f"mAP <b>{figures['mAP']:.2f} %</b>, micro-F1 {figures['micro_f1']:.2f} %."
    else:
        low, high = final.interval()
        figure = f"Top-1 <b>{final.accuracy():.2f} %</b> (95 %: {low:.2f} to {high:.2f})."
    verdict = f"<p>{html.escape(result.verdict)}</p>" if result.verdict else ""
    return (
        f"<h1>{name} on {data}</h1><p class='lead'>{result.dataset.classes} classes, "
        f"{result.train.size} training images, {final.n} test images. {figure}</p>{verdict}"
    )


def _confusion(result: FinetuneResult) -> list[str]:
    names, final = result.class_names, result.result
    table = html_page.table(final.class_table(), ("n", "top-1", "low", "high"))
    if len(names) > MAX_CLASSES:
        return [table]
    figure = charts.confusion_matrix(final.confusion(len(names)), names)
    plot = html_page.plot(charts.svg(figure), "Confusion matrix: rows are the true classes")
    return [f'<div style="max-width: {16 + 3 * len(names)}rem">{plot}</div>', table]


def _mistakes(result: FinetuneResult) -> str:
    """The test images whose labels the model gives the lowest probability."""
    outputs, find = result.final.outputs, _wrong_classes
    if isinstance(result.result, MultilabelResult):
        find = _wrong_labels
    wrong, loss, captions = find(outputs, result.class_names)
    worst = wrong[np.argsort(-loss[wrong], kind="stable")][:MISTAKES]
    if not len(worst):
        return "<p>None: every test image was classified correctly.</p>"
    wanted = {outputs.names[i] for i in worst}
    sources = {s.name: s.source for s in iter_samples(result.test) if s.name in wanted}
    figures = [
        FIGURE.format(alt=html.escape(captions(i)), data=thumbnail(sources[outputs.names[i]]))
        for i in worst
    ]
    grid = '<div style="display: flex; flex-wrap: wrap; gap: .8rem">'
    count = f"<p>{len(wrong)} of {len(loss)} were wrong; the {len(worst)} worst:</p>"
    return f"{count}{grid}{''.join(figures)}</div>"


def _wrong_classes(outputs: ModelOutputs, names: Sequence[str]):
    """Returns (wrong images, how wrong each image is, captions) of one class an image."""
    best = outputs.values.argmax(axis=1)

    def caption(i: int) -> str:
        probability = 100 * outputs.values[i, best[i]]
        return f"{names[outputs.labels[i]]}, predicted as {names[best[i]]} ({probability:.0f} %)"

    of_class = outputs.values[np.arange(len(best)), outputs.labels]
    return np.flatnonzero(best != outputs.labels), -of_class, caption


def _wrong_labels(outputs: ModelOutputs, names: Sequence[str]):
    """Returns the same of any number of classes an image."""
    labels, predicted = outputs.labels.astype(bool), outputs.values > 0.5

    def listed(chosen: np.ndarray) -> str:
        return ", ".join(names[k] for k in np.flatnonzero(chosen)) or "none"

    def caption(i: int) -> str:
        return f"{listed(labels[i])}; predicted: {listed(predicted[i])}"

    distance = np.abs(labels - outputs.values).max(axis=1)
    return np.flatnonzero((labels != predicted).any(axis=1)), distance, caption


def thumbnail(source: Any) -> str:
    """Returns a small JPEG file of an image in base64; `source` is what `read_image` takes."""
    image, buffer = Image.fromarray(read_image(source)), io.BytesIO()
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()


def _settings(result: FinetuneResult) -> str:
    rows = [
        {"setting": "weights", "value": result.weights},
        {"setting": "preprocessing", "value": str(result.preprocess)},
        {"setting": "split", "value": f"seed {result.seed}, by class; see split.csv"},
        {"setting": "linear probe", "value": f"L2 {result.l2_penalty:g}"},
    ]
    if result.recipe:
        rows.append({"setting": "all layers", "value": f"{result.recipe}; {result.settings}"})
    skipped = summarize_skipped(result.skipped).splitlines()
    rows += [{"setting": "left out", "value": line} for line in skipped]
    rows.append({"setting": "machine", "value": f"{results.machine()}; {results.versions()}"})
    return html_page.table(rows)

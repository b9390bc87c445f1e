"""The report of a finetuning run: accuracy, curves, confusion matrix, worst mistakes, settings."""

import base64
import html
import io
from typing import Any

import numpy as np
from PIL import Image

from newnet_tf import results
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.data.images import read_image
from newnet_tf.finetuning.result import FinetuneResult
from newnet_tf.training import curves
from newnet_tf.visualization import charts, html_page

NUMBERS = ("top-1", "n", "seconds")
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


def sections(result: FinetuneResult) -> list[str]:
    """Returns the sections of the page as HTML, for `html_page.write`.

    Args:
        result: `FinetuneResult`.
    """
    parts = [
        _head(result),
        "<h2>Accuracy on the test images</h2>",
        html_page.table(result.stage_table(), NUMBERS),
        ACCURACY_NOTE,
    ]
    if result.history:
        figure = curves.draw(result.history, result.name)
        plot = html_page.plot(charts.svg(figure), "Loss and error by epoch")
        parts += ["<h2>Training</h2>", plot, CURVES_NOTE]
    parts += ["<h2>Confusion</h2>", *_confusion(result)]
    parts += ["<h2>Worst mistakes</h2>", _mistakes(result)]
    if result.exports:
        columns = ("MB", "top-1", "against Keras")
        rows = [export.row() for export in result.exports]
        parts += ["<h2>Exported files</h2>", html_page.table(rows, columns)]
    return [*parts, "<h2>Settings</h2>", _settings(result)]


def _head(result: FinetuneResult) -> str:
    name, data = html.escape(result.name), html.escape(result.dataset.name)
    final = result.result
    low, high = final.interval()
    verdict = f"<p>{html.escape(result.verdict)}</p>" if result.verdict else ""
    return (
        f"<h1>{name} on {data}</h1><p class='lead'>{result.dataset.classes} classes, "
        f"{result.train.size} training images, {final.n} test images. Top-1 <b>{final.accuracy():.2f} %"
        f"</b> (95 %: {low:.2f} to {high:.2f}).</p>{verdict}"
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
    """The wrong predictions that gave the true class the lowest probability."""
    outputs, names = result.final.outputs, result.class_names
    best = outputs.values.argmax(axis=1)
    of_class = outputs.values[np.arange(len(best)), outputs.labels]
    wrong = np.flatnonzero(best != outputs.labels)
    worst = wrong[np.argsort(of_class[wrong], kind="stable")][:MISTAKES]
    if not len(worst):
        return "<p>None: every test image was classified correctly.</p>"
    wanted = {outputs.names[i] for i in worst}
    sources = {s.name: s.source for s in iter_samples(result.test) if s.name in wanted}
    figures = [
        FIGURE.format(
            alt=html.escape(
                f"{names[outputs.labels[i]]}, predicted as {names[best[i]]} "
                f"({100 * outputs.values[i, best[i]]:.0f} %)"
            ),
            data=_thumbnail(sources[outputs.names[i]]),
        )
        for i in worst
    ]
    grid = '<div style="display: flex; flex-wrap: wrap; gap: .8rem">'
    count = f"<p>{len(wrong)} of {len(best)} were wrong; the {len(worst)} worst:</p>"
    return f"{count}{grid}{''.join(figures)}</div>"


def _thumbnail(source: Any) -> str:
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
    rows += [{"setting": "skipped", "value": image.reason} for image in result.skipped]
    rows.append({"setting": "machine", "value": f"{results.machine()}; {results.versions()}"})
    return html_page.table(rows)

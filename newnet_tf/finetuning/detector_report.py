"""The report of a detector's finetuning run: average precision, curves, worst images, settings."""

import base64
import html

import numpy as np

from newnet_tf import results
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.data.image_files import summarize_skipped
from newnet_tf.data.images import read_image
from newnet_tf.detection.drawing import draw_label, draw_predictions
from newnet_tf.detection.evaluation.average_precision import match_detections
from newnet_tf.detection.evaluation.result import DetectionResult
from newnet_tf.detection.postprocess import Detections, as_predictions
from newnet_tf.finetuning.detector import FOLDERS
from newnet_tf.finetuning.detector_charts import precision_recall
from newnet_tf.finetuning.detector_drawings import MOST, SCORE_THRESHOLD, drawings
from newnet_tf.finetuning.detector_result import NUMBERS, DetectorFinetuneResult
from newnet_tf.finetuning.report import thumbnail
from newnet_tf.training import curves
from newnet_tf.visualization import charts, html_page

STAGES = {folder: stage for stage, folder in FOLDERS.items()}
WORST = 12  # images
CLASS_NUMBERS = ("n", "AP", "AP50", "AP75", "AR100")
CURVES_NOTE = "<p>At an IoU of 0.5, the class with the lowest average precision first.</p>"
FIGURE = (
    '<figure style="margin: 0; width: 28rem"><div style="display: flex; gap: .3rem">{images}</div>'
    '<figcaption class="small">{caption}</figcaption></figure>'
)
STRIP = (
    '<figure style="margin: 0 0 .6rem"><figcaption class="small">{caption}</figcaption>'
    '<img style="max-width: 100%; border-radius: .4rem" alt="detections, {caption}" '
    'src="data:image/png;base64,{data}"></figure>'
)
IMAGE = (
    '<img style="width: 50%; border-radius: .4rem" alt="{alt}" src="data:image/jpeg;base64,{data}">'
)


def sections(result: DetectorFinetuneResult) -> list[str]:
    """Returns the sections of the page as HTML, for `html_page.write`.

    Args:
        result: `DetectorFinetuneResult`.
    """
    found = result.result
    figure = curves.draw(result.history, result.name, result.metadata.task)
    parts = [
        _head(result),
        "<h2>Average precision on the test images</h2>",
        html_page.table(result.stage_table(), NUMBERS),
        "<h2>Training</h2>",
        html_page.plot(charts.svg(figure), "Loss and mean average precision by epoch"),
        *_drawings(result),
        "<h2>Precision and recall</h2>",
        CURVES_NOTE,
        html_page.plot(
            charts.svg(precision_recall(found.precision_recall, result.class_names)),
            "Precision over recall, the mean and each class",
        ),
        "<h2>Classes</h2>",
        html_page.table(found.class_table(), CLASS_NUMBERS),
        "<h2>Worst images</h2>",
        _worst(result),
    ]
    if result.exports:
        parts += [
            "<h2>Exported files</h2>",
            html_page.table([export.row() for export in result.exports], NUMBERS),
        ]
    return [*parts, "<h2>Settings</h2>", _settings(result)]


def count_errors(result: DetectionResult) -> np.ndarray:
    """Returns how many boxes of each image are missed, and how many detections are wrong.

    Args:
        result: `DetectionResult`; detections with a score below 0.3 do not count.

    Returns:
        int array (images, 2).
    """
    confident = list(map(_confident, result.detections))
    errors = np.zeros((result.n, 2), int)
    for matches in match_detections(result.truths, confident, result.classes):
        errors[:, 0] += matches.positives
        np.subtract.at(errors[:, 0], matches.image[matches.hits], 1)
        np.add.at(errors[:, 1], matches.image[matches.misses], 1)
    return errors


def _head(result: DetectorFinetuneResult) -> str:
    name, data = html.escape(result.name), html.escape(result.dataset.name)
    figures = result.metrics
    return (
        f"<h1>{name} on {data}</h1><p class='lead'>{result.dataset.classes} classes, "
        f"{result.train.size} training images, {result.result.n} test images with "
        f"{result.result.boxes} boxes. mAP50 <b>{figures['mAP50']:.1f} %</b>, mAP "
        f"{figures['mAP']:.1f} %.</p>"
    )


def _drawings(result: DetectorFinetuneResult) -> list[str]:
    """The same test images after several epochs, with what was detected in them."""
    rows = [
        STRIP.format(
            caption=f"{STAGES.get(stage, stage)}, epoch {epoch}",
            data=base64.b64encode(path.read_bytes()).decode(),
        )
        for stage, epoch, path in drawings(result.output_dir)
    ]
    if not rows:
        return []
    text = (
        f"<p>The same test images, with the best {MOST} detections of a score of {SCORE_THRESHOLD} or "
        "more in each:</p>"
    )
    return ["<h2>Detections while training</h2>", text, *rows]


def _worst(result: DetectorFinetuneResult) -> str:
    """The test images with the most errors, true boxes on the left, detections on the right."""
    found = result.result
    errors = count_errors(found)
    total = errors.sum(axis=1)
    worst = [i for i in np.argsort(-total, kind="stable")[:WORST] if total[i]]
    if not worst:
        return "<p>None: every box was found, and nothing else.</p>"
    wanted = {found.paths[i] for i in worst}
    sources = {s.name: s.source for s in iter_samples(result.test) if s.name in wanted}
    names = result.class_names
    figures = []
    for i in worst:
        pixels = read_image(sources[found.paths[i]])
        drawn = (
            draw_label(pixels, found.truths[i], names),
            draw_predictions(pixels, as_predictions(_confident(found.detections[i]), names)),
        )
        images = "".join(
            IMAGE.format(alt=alt, data=thumbnail(image))
            for alt, image in zip(("true boxes", "detections"), drawn, strict=True)
        )
        name = found.paths[i].rpartition("/")[2]
        caption = f"{html.escape(name)}: {errors[i, 0]} missed, {errors[i, 1]} wrong"
        figures.append(FIGURE.format(images=images, caption=caption))
    missed, wrong = errors.sum(axis=0)
    count = (
        f"<p>At a score of {SCORE_THRESHOLD}: {missed} boxes missed, {wrong} detections wrong. True "
        "boxes on the left, detections on the right:</p>"
    )
    grid = '<div style="display: flex; flex-wrap: wrap; gap: .8rem">'
    return f"{count}{grid}{''.join(figures)}</div>"


def _confident(detections: Detections) -> Detections:
    """Returns the detections whose score is the threshold or higher."""
    kept = detections.scores >= SCORE_THRESHOLD
    return Detections(*(values[kept] for values in detections))


def _settings(result: DetectorFinetuneResult) -> str:
    rows = [
        {"setting": "weights", "value": result.metadata.weights},
        {"setting": "preprocessing", "value": str(result.preprocess)},
        {"setting": "recipe", "value": result.settings},
    ]
    rows += [
        {"setting": "left out", "value": line}
        for line in summarize_skipped(result.skipped).splitlines()
    ]
    rows.append({"setting": "machine", "value": f"{results.machine()}; {results.versions()}"})
    return html_page.table(rows)

"""The page of a finetuning run: accuracy, curves, confusion matrix, worst mistakes, what was done."""

import base64
import html
import io

from newnet_tf import results
from newnet_tf.cli import evaluate
from newnet_tf.training import curves
from newnet_tf.visualization import charts, html_page

NUMBERS = ("top-1", "n", "seconds")
MISTAKES = 24
MOST_CLASSES = 40  # more are listed, not drawn
THUMBNAIL = 220
FIGURE = (
    '<figure style="margin: 0; width: 11rem"><img style="width: 11rem; height: 11rem; object-fit: '
    'cover; border-radius: .4rem" alt="{alt}" src="data:image/jpeg;base64,{data}"><figcaption '
    'class="small">{alt}</figcaption></figure>'
)


def sections(run) -> list[str]:
    """Returns the page's parts as HTML, for `pages.write`; `run` is a `finetune.Run`."""
    parts = [
        _head(run),
        "<h2>Accuracy on the test part</h2>",
        html_page.table(_stages(run), NUMBERS),
    ]
    if run.outcome:
        drawn = curves.draw(run.outcome.history, run.network)
        parts += ["<h2>Training</h2>", html_page.plot(charts.svg(drawn), "Loss and error by epoch")]
    parts += ["<h2>What is taken for what</h2>", *_confusion(run)]
    parts += ["<h2>Worst mistakes</h2>", _gallery(run)]
    if run.files:
        columns = ("MB", "top-1", "against Keras")
        parts += ["<h2>Files for phones</h2>", html_page.table(run.files, columns)]
    return [*parts, "<h2>What was done</h2>", _settings(run)]


def _head(run) -> str:
    name, data = html.escape(run.network), html.escape(run.source.name)
    last = run.final.result()
    low, high = last.interval()
    verdict = f"<p>{html.escape(run.verdict)}</p>" if run.verdict else ""
    return (
        f"<h1>{name} on {data}</h1><p class='lead'>{run.source.classes} classes, {run.train.size} "
        f"images to learn from, {last.n} to judge on. Top-1 <b>{last.accuracy():.2f} %</b> (95 %: "
        f"{low:.2f} to {high:.2f}).</p>{verdict}"
    )


def _stages(run) -> list[dict]:
    return [
        {
            "stage": stage,
            "top-1": f"{result.accuracy():.2f}",
            "95 % interval": "{:.2f} to {:.2f}".format(*result.interval()),
            "n": result.n,
            "seconds": f"{run.seconds[stage]:.0f}",
        }
        for stage, result in run.stages.items()
    ]


def _confusion(run) -> list[str]:
    names = run.source.class_names
    rows = evaluate.class_rows(run.final.result(), names)
    table = html_page.table(rows, ("n", "top-1", "low", "high"))
    if len(names) > MOST_CLASSES:
        return [table]
    counts = run.final.result().confusion(len(names))
    drawn = charts.svg(charts.confusion(counts, names))
    shown = html_page.plot(drawn, "Confusion matrix: rows are the true classes")
    return [f'<div style="max-width: {16 + 3 * len(names)}rem">{shown}</div>', table]


def _gallery(run) -> str:
    """The wrong answers that gave the true class the least probability."""
    import numpy as np

    from newnet_tf.data.host_loader import iter_samples

    final, names = run.final, run.source.class_names
    best = final.values.argmax(axis=1)
    right = final.values[np.arange(len(best)), final.labels]
    wrong = np.flatnonzero(best != final.labels)
    worst = wrong[np.argsort(right[wrong], kind="stable")][:MISTAKES]
    if not len(worst):
        return "<p>None: every image of the test part was right.</p>"
    wanted = {final.names[i] for i in worst}
    held = {p.name: p.source for p in iter_samples(run.test) if p.name in wanted}
    figures = [
        FIGURE.format(
            alt=html.escape(
                f"{names[final.labels[i]]}, taken for {names[best[i]]} "
                f"({100 * final.values[i, best[i]]:.0f} %)"
            ),
            data=_thumbnail(held[final.names[i]]),
        )
        for i in worst
    ]
    grid = '<div style="display: flex; flex-wrap: wrap; gap: .8rem">'
    listed = f"<p>{len(wrong)} of {len(best)} were wrong; the {len(worst)} furthest off:</p>"
    return f"{listed}{grid}{''.join(figures)}</div>"


def _thumbnail(source) -> str:
    from PIL import Image

    from newnet_tf.data.images import read_image

    sample, buffer = Image.fromarray(read_image(source)), io.BytesIO()
    sample.thumbnail((THUMBNAIL, THUMBNAIL))
    sample.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()


def _settings(run) -> str:
    rows = [
        {"what": "weights", "value": run.tag},
        {"what": "preprocessing", "value": str(run.preprocess)},
        {"what": "split", "value": f"seed {run.seed}, by class; see split.csv"},
        {"what": "classifier of frozen features", "value": f"L2 {run.penalty:g}"},
    ]
    if run.recipe:
        rows.append({"what": "all layers", "value": f"{run.recipe}; {run.how}"})
    rows += [{"what": "skipped", "value": sample.reason} for sample in run.bad]
    rows.append({"what": "machine", "value": f"{results.machine()}; {results.versions()}"})
    return html_page.table(rows)

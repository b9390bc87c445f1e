"""`newnet_tf.make_report`: reported accuracy against measured cost, on one page."""

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.profiling import comparison
from newnet_tf.profiling.comparison import COST_AXES, DEFAULT_BASELINE, GROUPS, ComparedModel
from newnet_tf.utils.io import write_bytes
from newnet_tf.utils.progress import note
from newnet_tf.visualization import html_page

FOLDER = Path("build/report")  # default folder
TITLE = "Accuracy against cost"
REPORTED = (
    "<strong>Every accuracy here is reported</strong>, as the talk prints it for ImageNet's "
    "validation set; none was measured here. Costs were counted and timed here."
)
UNTRAINED = (
    "{names} were not trained here: they are reconstructions from the talk, and their accuracy is the "
    "talk's."
)
EXPLANATION = (
    "Up is more accurate, left is cheaper. One model <em>beats</em> another if it costs no more, is "
    "reported to be at least as accurate, and is not equal to it. No model beats those on the "
    "<em>Pareto front</em>, the dashed line; all models below it are beaten."
)
COUNTED = (
    "Accuracy: reported. Parameters and multiply-adds: counted on our models (convolutions and dense "
    "layers, one image of the model's own size)."
)
TIMED = (
    "Times: TFLite files with random weights, run in turn; relative: the median over runs of the time "
    "divided by that of {baseline} ({base}) in the same round, which is stable where single times are "
    "not. {threads}. Fallback ops: operators that XNNPACK does not run, fp32 / int8."
)
WIDTH, HEIGHT, NAME_SIZE = 8.6, 6.4, 8.5  # of one chart, in inches; of names in it, in points


@dataclass(frozen=True)
class ReportResult:
    """A report that was written. It prints as the paths of its files.

    Args:
        page: path of the HTML page, which includes the charts.

        charts: tuple of paths, the charts as PNG and SVG files.
    """

    page: Path
    charts: tuple[Path, ...]

    def __str__(self) -> str:
        return "\n".join(f"{path}" for path in (*self.charts, self.page))


def make_report(
    output: str | os.PathLike = FOLDER, *, threads: int = 1, baseline: str = DEFAULT_BASELINE
) -> ReportResult:
    """Plots reported accuracy against measured cost, with the Pareto fronts, on one page.

    It draws the cards' reported accuracy against the tables in `newnet_tf/results` and measures
    nothing itself; `benchmark(tables=["light", "heavy"], save_results=True)` fills the tables.

    Args:
        output: path of the folder for the page and its charts. Default: `build/report`.

        threads: int, the number of threads that the latencies were measured with. Default: 1.

        baseline: str, the model that ratios of latencies refer to. Default: `"keras:EfficientNetB0"`.

    Returns:
        A `ReportResult`.

    Raises:
        ValueError: if the tables of results have no row of the talk's models, or none with these
            threads and this baseline.

    Example:
        >>> print(newnet_tf.make_report().page)
        build/report/report.html
    """
    folder = Path(output)
    models = comparison.compared_models(threads, baseline)
    milliseconds = comparison.baseline_times(threads, baseline)
    charts = {}
    for key, axis in COST_AXES.items():
        charts[key] = [m for m in models if key in m.costs and not m.twin]
        missing = [m.name for m in models if key not in m.costs]
        if missing:
            note(f"{axis.title}: not measured, left out: {', '.join(missing)}")
    charts = {key: shown for key, shown in charts.items() if shown}
    if not charts:
        raise ValueError(
            "the tables of results must hold a model of the talk's. Received: none in cost.csv or "
            "latency.csv"
        )
    labels = {key: _x_label(key, threads, baseline, milliseconds) for key in charts}
    images = {key: _draw({key: charts[key]}, labels) for key in charts}
    paths = []
    for name, encoded in {**images, "overview": _draw(charts, labels)}.items():
        stem = "overview" if name == "overview" else f"accuracy_{name}"
        for kind, data in encoded.items():
            paths.append(folder / f"{stem}.{kind}")
            write_bytes(paths[-1], data)
    sections = [
        *_opening(models, charts),
        '<div class="grid">',
        *(_chart(key, charts[key], models, images[key]["svg"]) for key in charts),
        "</div>",
        *_all_models(models, charts, threads, baseline, milliseconds),
    ]
    page = html_page.write(folder / "report.html", TITLE, sections, wide=True)
    return ReportResult(page, tuple(paths))


def _draw(
    charts: Mapping[str, Sequence[ComparedModel]], labels: Mapping[str, str]
) -> dict[str, bytes]:
    """Returns a figure of one or several charts, as {"png": ..., "svg": ...}."""
    from newnet_tf.visualization import charts as drawing

    note(f"drawing {', '.join(COST_AXES[key].title for key in charts)}")
    columns = min(2, len(charts))
    rows = -(-len(charts) // columns)
    figure = drawing.figure(WIDTH * columns, HEIGHT * rows)
    drawing.legend(figure, 10)
    drawn = []
    for number, (key, models) in enumerate(charts.items(), 1):
        axes = figure.add_subplot(rows, columns, number)
        axes.set_title(COST_AXES[key].title, loc="left", fontweight="bold")
        axes.set_xlabel(labels[key])
        axes.set_ylabel("reported top-1 accuracy on ImageNet (%)")
        front = comparison.front(models, key)
        points = [
            drawing.Point(m.name, m.group, m.costs[key], m.accuracy, m in front) for m in models
        ]
        drawing.accuracy_vs_cost(axes, points)
        drawn.append((axes, points))
    for axes, points in drawn:
        drawing.name_points(axes, points, NAME_SIZE)
    return {"png": drawing.png(figure), "svg": drawing.svg(figure)}


def _x_label(key: str, threads: int, baseline: str, milliseconds: Mapping[str, float]) -> str:
    axis = COST_AXES[key]
    if not axis.precision:
        return f"{axis.noun} ({axis.unit}), counted on our models"
    base = milliseconds.get(axis.precision)
    unit = f"1 is {baseline}" + (f", {base:.1f} ms here" if base else "")
    return f"{axis.noun} on this CPU, {_threads(threads)} ({unit})"


def _opening(
    models: Sequence[ComparedModel], charts: Mapping[str, Sequence[ComparedModel]]
) -> list[str]:
    groups = [m.group for m in models if not m.twin]
    counts = [f"{groups.count(group)} {word}" for group, word in GROUPS.items()]
    new = [m for m in models if m.group == "new"]
    rows = [
        {
            "model": m.name,
            **{COST_AXES[key].title: _standing(m, charts[key], key) for key in charts},
        }
        for m in new
    ]
    untrained = html.escape(_enumerate([m.name for m in new]))
    return [
        f"<h1>{html.escape(TITLE)}</h1>",
        f'<p class="lead">The models of the DEVIEW 2019 talk: {_enumerate(counts)}.</p>',
        f"<p>{REPORTED}</p><p>{UNTRAINED.format(names=untrained)}</p><p>{EXPLANATION}</p>",
        "<h2>How many models the new ones beat</h2>",
        html_page.table(rows),
    ]


def _standing(model: ComparedModel, models: Sequence[ComparedModel], key: str) -> str:
    """Says how many models a model beats, and which beat it."""
    if key not in model.costs:
        return "not measured"
    beaten = len(comparison.dominated_by(model, models, key))
    better = comparison.dominating(model, models, key)
    by = f"beaten by {_enumerate([m.name for m in better])}" if better else "beaten by none"
    return f"{beaten} of {len(models) - 1}; {by}"


def _chart(
    key: str, shown: Sequence[ComparedModel], models: Sequence[ComparedModel], svg: bytes
) -> str:
    axis, front = COST_AXES[key], [m.name for m in comparison.front(shown, key)]
    missing = [m.name for m in models if key not in m.costs]
    lines = [
        (
            f"{len(front)} of {len(shown)} models are on the front, cheapest first: "
            f"{_enumerate(front)}."
        )
    ]
    for model in (m for m in shown if m.group == "new"):
        lines += [_caption(model, shown, key), _price(model, shown, key)]
    lines += [f"Not measured, so not drawn: {_enumerate(missing)}."] if missing else []
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    alt = f"Reported accuracy against {axis.noun}, a marker for each of {len(shown)} models"
    return f"<section><h2>{axis.title}</h2>{html_page.plot(svg, alt)}<ul>{items}</ul></section>"


def _caption(model: ComparedModel, models: Sequence[ComparedModel], key: str) -> str:
    """Says how many models of each group a model beats, and which beat it."""
    beaten = comparison.dominated_by(model, models, key)
    better = comparison.dominating(model, models, key)
    parts = []
    for group, word in GROUPS.items():
        total = sum(m.group == group for m in models)
        if group != "new" and total:
            parts.append(f"{sum(m.group == group for m in beaten)} of {total} {word} models")
    start = f"{model.name} needs no more {COST_AXES[key].noun} and is at least as accurate as "
    end = f"{_enumerate([m.name for m in better])} beat{'s' * (len(better) == 1)} it."
    return f"{start}{_enumerate(parts)}; {end if better else 'none beats it.'}"


def _price(model: ComparedModel, models: Sequence[ComparedModel], key: str) -> str:
    """Says what the accuracy of `model` costs with the models of other groups."""
    parts = []
    for group, word in GROUPS.items():
        if group == "new" or not any(m.group == group for m in models):
            continue
        accurate = [m for m in models if m.group == group and m.accuracy >= model.accuracy]
        if accurate:
            best = min(accurate, key=lambda m: m.costs[key])
            times = f"{best.costs[key] / model.costs[key]:.1f} times as much"
            parts.append(f"the cheapest {word} model, {best.name}, needs {times}")
        else:
            parts.append(f"no {word} model reaches it")
    return f"For the accuracy of {model.name}: {_enumerate(parts)}."


def _all_models(
    models: Sequence[ComparedModel],
    charts: Mapping[str, Sequence[ComparedModel]],
    threads: int,
    baseline: str,
    milliseconds: Mapping[str, float],
) -> list[str]:
    """The table of all models, and how its figures were measured."""
    fronts = {key: comparison.front(shown, key) for key, shown in charts.items()}
    rows = [
        _row(m, [COST_AXES[key].title for key, front in fronts.items() if m in front])
        for m in models
    ]
    stamps = [row for m in models for row in m.times.values()]
    machines = {f"{row['machine']}, {row['versions']}, {row['date']}" for row in stamps}
    twins = [f"{m.name} ({m.twin})" for m in models if m.twin]
    base = _enumerate([f"{ms:.1f} ms in {precision}" for precision, ms in milliseconds.items()])
    timed = TIMED.format(baseline=baseline, base=base or "not timed", threads=_threads(threads))
    notes = [COUNTED, timed]
    notes += [f"Timed on: {'; '.join(sorted(machines))}."] if machines else []
    notes += [f"One marker for two models, in parentheses: {_enumerate(twins)}."] if twins else []
    return [
        "<h2>All models</h2>",
        html_page.table(rows, list(rows[0])[2:-1]),
        *(f'<p class="small">{html.escape(text)}</p>' for text in notes),
    ]


def _row(model: ComparedModel, fronts: Sequence[str]) -> dict[str, str]:
    costs, times = model.costs, model.times

    def number(key: str, form: str) -> str:
        return format(costs[key], form) if key in costs else "-"

    row = {
        "model": model.name,
        "group": GROUPS[model.group],
        "reported top-1 (%)": f"{model.accuracy:.2f}",
        "multiply-adds (1e9)": number("macs", ".3f"),
        "parameters (1e6)": number("params", ".2f"),
    }
    timed = []
    for key, axis in COST_AXES.items():
        if axis.precision:
            latency = times.get(axis.precision)
            timed.append(latency["fallback_ops"] if latency else "-")
            row[f"{key} relative"] = number(key, ".2f")
            row[f"{key} ms"] = f"{float(latency['median_ms']):.1f}" if latency else "-"
    row["fallback ops"] = " / ".join(timed)
    row["on the front of"] = ", ".join(fronts) or "-"
    return row


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _enumerate(words: Sequence[str]) -> str:
    """Returns words as in a sentence: a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

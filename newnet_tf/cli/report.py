"""`newnet report`: the talk's argument in one look, claimed accuracy against what networks cost."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from newnet_tf.cli import common
from newnet_tf.cli.benchmark import BASELINE
from newnet_tf.profiling import comparison
from newnet_tf.profiling.comparison import AXES, GROUPS, Network
from newnet_tf.visualization import html_page

TITLE = "Accuracy against cost: the talk's argument in one look"
CLAIMS = (
    "<strong>Every accuracy here is a claim</strong>, as the talk prints it for ImageNet's "
    "validation set; none was measured here. Costs were counted and timed here."
)
RECONSTRUCTED = (
    "Nobody has trained {names} here: they are reconstructions from what the talk says, and how high "
    "they stand is the talk's word."
)
READING = (
    "Up is more accurate, left is cheaper. One network <em>beats</em> another where it costs no more, "
    "claims no less, and is not its equal. Nothing beats the networks on the <em>Pareto front</em>, "
    "the dashed line; everything below it is beaten."
)
COUNTED = (
    "Accuracy: claimed. Parameters and multiply-adds: counted on our networks (convolutions and "
    "linear layers, one image of the network's own size)."
)
TIMED = (
    "Times: TFLite files of random weights, run in turn; relative is the median over rounds of the "
    "time by that of {baseline} ({base}) moments before or after, and holds where single times do not. "
    "{threads}. Outside: operators that XNNPACK leaves to slower kernels, fp32 / int8."
)
WIDTH, HEIGHT, NAME_SIZE = 8.6, 6.4, 8.5  # of one chart, in inches; of names in it, in points


def arguments_report(parser):
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("build/report"))
    parser.add_argument(
        "--threads", type=int, default=1, help="whose latencies are drawn; default: 1"
    )
    parser.add_argument(
        "--baseline", default=BASELINE, help=f"that times are relative to; default: {BASELINE}"
    )
    parser.epilog = (
        "Draws what the cards claim against what newnet_tf/results holds; it measures nothing.\n"
        "Before it: newnet benchmark --table light,heavy"
    )


def run_report(arguments):
    threads, baseline = arguments.threads, arguments.baseline
    found = comparison.networks(threads, baseline)
    milliseconds = comparison.baseline_times(threads, baseline)
    charts = {}
    for key, axis in AXES.items():
        charts[key] = [n for n in found if key in n.costs and not n.twin]
        missing = [n.name for n in found if key not in n.costs]
        if missing:
            common.note(f"{axis.title}: not measured, left out: {', '.join(missing)}")
    charts = {key: shown for key, shown in charts.items() if shown}
    if not charts:
        raise ValueError(
            "the tables of results must hold a network of the talk's. Received: none in cost.csv "
            "or latency.csv"
        )
    labels = {key: _x_label(key, threads, baseline, milliseconds) for key in charts}
    drawn = {key: _draw({key: charts[key]}, labels) for key in charts}
    for name, figure in {**drawn, "overview": _draw(charts, labels)}.items():
        stem = "overview" if name == "overview" else f"accuracy_{name}"
        for kind, data in figure.items():
            print(html_page.save(arguments.output_dir / f"{stem}.{kind}", data))
    sections = [
        *_opening(found, charts),
        '<div class="grid">',
        *(_chart(key, charts[key], found, drawn[key]["svg"]) for key in charts),
        "</div>",
        *_everything(found, charts, threads, baseline, milliseconds),
    ]
    print(html_page.write(arguments.output_dir / "report.html", TITLE, sections, wide=True))


def _draw(charts: Mapping[str, Sequence[Network]], labels: Mapping[str, str]) -> dict[str, bytes]:
    """Returns a figure of one chart or several, as {"png": ..., "svg": ...}."""
    from newnet_tf.visualization import charts as drawing

    common.note(f"drawing {', '.join(AXES[key].title for key in charts)}")
    columns = min(2, len(charts))
    lines = -(-len(charts) // columns)
    figure = drawing.figure(WIDTH * columns, HEIGHT * lines)
    drawing.legend(figure, 10)
    finished = []
    for number, (key, shown) in enumerate(charts.items(), 1):
        axes = figure.add_subplot(lines, columns, number)
        axes.set_title(AXES[key].title, loc="left", fontweight="bold")
        axes.set_xlabel(labels[key])
        axes.set_ylabel("claimed top-1 accuracy on ImageNet (%)")
        front = comparison.front(shown, key)
        points = [
            drawing.Point(n.name, n.group, n.costs[key], n.accuracy, n in front) for n in shown
        ]
        drawing.tradeoff(axes, points)
        finished.append((axes, points))
    for axes, points in finished:
        drawing.name_points(axes, points, NAME_SIZE)
    return {"png": drawing.png(figure), "svg": drawing.svg(figure)}


def _x_label(key: str, threads: int, baseline: str, milliseconds: Mapping[str, float]) -> str:
    axis = AXES[key]
    if not axis.precision:
        return f"{axis.noun} ({axis.unit}), counted on our networks"
    own = milliseconds.get(axis.precision)
    one = f"1 is {baseline}" + (f", {own:.1f} ms here" if own else "")
    return f"{axis.noun} on this CPU, {_threads(threads)} ({one})"


def _opening(found: Sequence[Network], charts: Mapping[str, Sequence[Network]]) -> list[str]:
    drawn = [n.group for n in found if not n.twin]
    counts = [f"{drawn.count(group)} {word}" for group, word in GROUPS.items()]
    new = [n for n in found if n.group == "new"]
    rows = [
        {
            "network": n.name,
            **{AXES[key].title: _standing(n, charts[key], key) for key in charts},
        }
        for n in new
    ]
    untrained = html.escape(_joined([n.name for n in new]))
    return [
        f"<h1>{html.escape(TITLE)}</h1>",
        f'<p class="lead">The networks of the DEVIEW 2019 talk: {_joined(counts)}.</p>',
        f"<p>{CLAIMS}</p><p>{RECONSTRUCTED.format(names=untrained)}</p><p>{READING}</p>",
        "<h2>How many networks the new ones beat</h2>",
        html_page.table(rows),
    ]


def _standing(network: Network, shown: Sequence[Network], key: str) -> str:
    """Says how many a network beats and how many beat it."""
    if key not in network.costs:
        return "not measured"
    beaten = len(comparison.beaten_by(network, shown, key))
    above = comparison.beating(network, shown, key)
    by = f"beaten by {_joined([n.name for n in above])}" if above else "beaten by none"
    return f"{beaten} of {len(shown) - 1}; {by}"


def _chart(key: str, shown: Sequence[Network], found: Sequence[Network], svg: bytes) -> str:
    axis, front = AXES[key], [n.name for n in comparison.front(shown, key)]
    missing = [n.name for n in found if key not in n.costs]
    lines = [
        f"{len(front)} of {len(shown)} networks are on the front, cheapest first: {_joined(front)}."
    ]
    for network in (n for n in shown if n.group == "new"):
        lines += [_caption(network, shown, key), _price(network, shown, key)]
    lines += [f"Not measured, so not drawn: {_joined(missing)}."] if missing else []
    words = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    alt = f"Claimed accuracy against {axis.noun}, a marker for each of {len(shown)} networks"
    return f"<section><h2>{axis.title}</h2>{html_page.plot(svg, alt)}<ul>{words}</ul></section>"


def _caption(network: Network, shown: Sequence[Network], key: str) -> str:
    """Says in words which part of each group a network beats, and what beats it."""
    beaten, above = (f(network, shown, key) for f in (comparison.beaten_by, comparison.beating))
    parts = []
    for group, word in GROUPS.items():
        total = sum(n.group == group for n in shown)
        if group != "new" and total:
            parts.append(f"{sum(n.group == group for n in beaten)} of {total} {word} networks")
    claim = f"{network.name} needs no more {AXES[key].noun} and claims no less accuracy than "
    rest = f"{_joined([n.name for n in above])} beat{'s' * (len(above) == 1)} it."
    return f"{claim}{_joined(parts)}; {rest if above else 'none beats it.'}"


def _price(network: Network, shown: Sequence[Network], key: str) -> str:
    """Says in words what the accuracy of `network` costs with the networks of other groups."""
    parts = []
    for group, word in GROUPS.items():
        able = [n for n in shown if n.group == group and n.accuracy >= network.accuracy]
        if group == "new" or not any(n.group == group for n in shown):
            continue
        if able:
            best = min(able, key=lambda n: n.costs[key])
            times = f"{best.costs[key] / network.costs[key]:.1f} times as much"
            parts.append(f"the cheapest {word} network, {best.name}, needs {times}")
        else:
            parts.append(f"no {word} network claims it")
    return f"For the accuracy of {network.name}: {_joined(parts)}."


def _everything(
    found: Sequence[Network],
    charts: Mapping[str, Sequence[Network]],
    threads: int,
    baseline: str,
    milliseconds: Mapping[str, float],
) -> list[str]:
    """The table of all networks, and how its figures were obtained."""
    fronts = {key: comparison.front(shown, key) for key, shown in charts.items()}
    rows = [_line(n, [AXES[k].title for k, front in fronts.items() if n in front]) for n in found]
    stamps = [row for n in found for row in n.times.values()]
    taken = {f"{row['machine']}, {row['versions']}, {row['date']}" for row in stamps}
    twins = [f"{n.name} ({n.twin})" for n in found if n.twin]
    base = _joined([f"{ms:.1f} ms in {precision}" for precision, ms in milliseconds.items()])
    timed = TIMED.format(baseline=baseline, base=base or "not timed", threads=_threads(threads))
    notes = [COUNTED, timed]
    notes += [f"Timed on: {'; '.join(sorted(taken))}."] if taken else []
    notes += [f"One marker stands for two, named behind: {_joined(twins)}."] if twins else []
    return [
        "<h2>All networks</h2>",
        html_page.table(rows, list(rows[0])[2:-1]),
        *(f'<p class="small">{html.escape(note)}</p>' for note in notes),
    ]


def _line(network: Network, fronts: Sequence[str]) -> dict[str, str]:
    costs, times = network.costs, network.times

    def number(key: str, form: str) -> str:
        return format(costs[key], form) if key in costs else "-"

    line = {
        "network": network.name,
        "group": GROUPS[network.group],
        "claimed top-1 (%)": f"{network.accuracy:.2f}",
        "multiply-adds (1e9)": number("macs", ".3f"),
        "parameters (1e6)": number("params", ".2f"),
    }
    for key, axis in AXES.items():
        if axis.precision:
            row = times.get(axis.precision)
            line[f"{key} relative"] = number(key, ".2f")
            line[f"{key} ms"] = f"{float(row['median_ms']):.1f}" if row else "-"
    timed = [times.get(axis.precision) for axis in AXES.values() if axis.precision]
    line["outside"] = " / ".join(row["outside"] if row else "-" for row in timed)
    line["on the front of"] = ", ".join(fronts) or "-"
    return line


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _joined(words: Sequence[str]) -> str:
    """Returns words as in a sentence: a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

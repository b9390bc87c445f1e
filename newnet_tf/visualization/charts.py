"""Drawings of the commands: bars of answers, size against latency, accuracy against cost."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from newnet_tf.visualization import label_placement
from newnet_tf.visualization.label_placement import FAINT, INK, Label

COLORS = {"fp32": "#4269d0", "fp16": "#97bbf5", "int8-dynamic": "#f2a93b", "int8-full": "#d1495b"}
GRID = "#e3e8ee"
FRONT = {"color": INK, "lw": 1.1, "ls": (0, (4, 2))}


@dataclass(frozen=True, kw_only=True)
class Group:
    """How the points of a group look, and what the legend calls them."""

    title: str
    color: str
    marker: str
    size: float = 48


GROUPS = {
    "new": Group(title="the new model", color="#c8102e", marker="*", size=190),
    "light": Group(title="light", color="#1f6fd0", marker="o"),
    "nas": Group(title="found by search (NAS)", color="#12805c", marker="s"),
    "heavy": Group(title="heavy", color="#6b7280", marker="D"),
}


@dataclass(frozen=True)
class Point:
    """One network in a chart: what it costs, how good it is."""

    name: str
    group: str
    cost: float
    accuracy: float
    on_front: bool


def figure(width: float, height: float):
    """Returns an empty figure of so many inches.

    Raises:
        RuntimeError: where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeError(
            f"drawing needs matplotlib: pip install 'newnet_tf[demo]'. Received: {error}"
        ) from error
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def svg(drawn) -> bytes:
    """Returns a figure as SVG, the same bytes for the same figure."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "newnet_tf"}):
        return _saved(drawn, "svg", metadata={"Date": None})


def png(drawn, dpi: int = 120) -> bytes:
    """Returns a figure as PNG of few colors, which keeps it small."""
    from PIL import Image

    with Image.open(io.BytesIO(_saved(drawn, "png", dpi=dpi))) as image:
        few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def bars(top: Sequence[tuple[str, float]]):
    """Returns a figure of the best classes and their probabilities."""
    drawn = figure(5.2, 2.4)
    axes = drawn.subplots()
    names = [name.replace("_", " ") for name, _ in top][::-1]
    values = [100 * value for _, value in top][::-1]
    axes.barh(names, values, color=COLORS["fp32"], height=0.62)
    for i, value in enumerate(values):
        axes.text(value + 1, i, f"{value:.1f} %", va="center", color=INK, fontsize=9)
    axes.set_xlim(0, max(values) * 1.22)
    axes.set_xticks([])
    _plain(axes)
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)
    return drawn


def size_and_latency(rows: Sequence[Mapping[str, object]]):
    """Returns a figure of file size against latency, a marker a file, its model's name beside.

    Args:
        rows: mappings with `model`, `precision`, `megabytes`, `milliseconds`.
    """
    drawn = figure(9, 4.6)
    axes = drawn.subplots()
    for precision, color in COLORS.items():
        points = [r for r in rows if r["precision"] == precision]
        if points:
            x = [r["milliseconds"] for r in points]
            y = [r["megabytes"] for r in points]
            axes.scatter(x, y, s=70, color=color, label=precision, zorder=3)
    axes.set_xlim(0, 1.22 * max(r["milliseconds"] for r in rows))
    axes.set_ylim(0, 1.18 * max(r["megabytes"] for r in rows))
    axes.set_xlabel("median latency of one image on this CPU, one thread (ms)")
    axes.set_ylabel("file size (MB)")
    axes.legend(frameon=False, loc="lower right")
    _plain(axes)
    label_placement.write(
        axes, [Label(r["milliseconds"], r["megabytes"], r["model"]) for r in rows]
    )
    return drawn


def sensitivity(layers: Sequence[tuple[str, float]], kept: Sequence[str]):
    """Returns a figure of what each layer alone costs in int8, a bar a layer in the network's order.

    Args:
        layers: (name, SQNR of the logits in dB). kept: names of those to keep float32.
    """
    drawn = figure(7, 1.2 + 0.17 * len(layers))
    axes = drawn.subplots()
    colors = [COLORS["int8-full"] if name in kept else COLORS["fp16"] for name, _ in layers]
    places = range(len(layers))
    axes.barh(places, [value for _, value in layers], color=colors, height=0.7, zorder=3)
    axes.set_yticks(places, [name for name, _ in layers], fontsize=7)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.set_xlabel("SQNR of the logits with this layer alone in int8 (dB); less is worse")
    _plain(axes)
    return drawn


def confusion(counts, names: Sequence[str]):
    """Returns a figure of a confusion matrix, shaded by the share of each true class.

    Args:
        counts: int array (classes, classes), rows are true classes. names: str for each.
    """
    side = 2.4 + 0.42 * len(names)
    drawn = figure(side + 0.8, side)
    axes = drawn.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*counts.nonzero(), strict=True):
        dark = shares[row, column] > 0.5
        axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=8,
                  color="white" if dark else INK)  # fmt: skip
    labels_of = [name.replace("_", " ") for name in names]
    axes.set_xticks(range(len(names)), labels_of, rotation=90)
    axes.set_yticks(range(len(names)), labels_of)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true class")
    axes.tick_params(length=0, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return drawn


def tradeoff(axes, points: Sequence[Point]) -> None:
    """Draws accuracy against cost: a marker a network, the Pareto front as stairs.

    Args:
        axes: empty axes. points: one or more, of `GROUPS`.
    """
    axes.set_xscale("log")
    for point in points:
        group = GROUPS[point.group]
        axes.scatter(
            point.cost,
            point.accuracy,
            s=group.size,
            c=group.color,
            marker=group.marker,
            edgecolors=INK if point.on_front else "white",
            linewidths=1.4 if point.on_front else 0.6,
            zorder=4 if point.on_front else 3,
        )
    _frame(axes, points)
    _plain(axes)
    axes.plot(*zip(*_stairs(axes, points), strict=True), zorder=2, **FRONT)


def name_points(axes, points: Sequence[Point], size: float) -> None:
    """Writes the points' names into a drawing that is finished but for them, in `size` points."""
    named = [Label(p.cost, p.accuracy, p.name, GROUPS[p.group].color, p.on_front) for p in points]
    label_placement.write(axes, named, size, _stairs(axes, points))


def legend(drawn, size: float) -> None:
    """Says above a figure how `GROUPS` and the front look."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=g.color, marker=g.marker, ms=g.size**0.5, ls="", label=g.title)
        for g in GROUPS.values()
    ]
    handles += [Line2D([], [], label="Pareto front", **FRONT)]
    drawn.legend(handles=handles, loc="outside upper center", ncols=5, frameon=False, fontsize=size)


def _stairs(axes, points: Sequence[Point]) -> list[tuple[float, float]]:
    """Corners of the Pareto front, from its cheapest point to the frame: below it all is beaten."""
    front = sorted({(p.cost, p.accuracy) for p in points if p.on_front})
    corners = [front[0]]
    for cost, accuracy in front[1:]:
        corners += [(cost, corners[-1][1]), (cost, accuracy)]
    return [*corners, (axes.get_xlim()[1], front[-1][1])]


def _frame(axes, points: Sequence[Point]) -> None:
    """Leaves room around the points, and writes plain numbers on the logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = min(p.cost for p in points), max(p.cost for p in points)
    room = (high / low) ** 0.07 if high > low else 1.5
    axes.set_xlim(low / room**2, high * room)
    accuracies = [p.accuracy for p in points]
    margin = 0.06 * (max(accuracies) - min(accuracies)) or 1
    axes.set_ylim(min(accuracies) - margin, max(accuracies) + margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _plain(axes) -> None:
    axes.grid(color=GRID, zorder=0)
    axes.tick_params(which="both", colors=FAINT, labelcolor=INK, length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _saved(drawn, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    drawn.savefig(buffer, format=kind, **options)
    return buffer.getvalue()

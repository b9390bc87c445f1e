"""Charts of the commands: top-5 predictions, size against latency, accuracy against cost, and more."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from newnet_tf.utils.palette import FAINT, GRID, INK, PRECISIONS
from newnet_tf.visualization import label_placement
from newnet_tf.visualization.label_placement import Label

FRONT = {"color": INK, "lw": 1.1, "ls": (0, (4, 2))}


@dataclass(frozen=True, kw_only=True)
class Group:
    """The legend's text, color and marker of a group of points."""

    title: str
    color: str
    marker: str
    size: float = 48


GROUPS = {
    "new": Group(title="the new model", color="#c8102e", marker="*", size=190),
    "light": Group(title="light", color="#1f6fd0", marker="o"),
    "nas": Group(title="architecture search (NAS)", color="#12805c", marker="s"),
    "heavy": Group(title="heavy", color="#6b7280", marker="D"),
}


@dataclass(frozen=True)
class Point:
    """One model in a chart of accuracy against cost; `group` is a key of `GROUPS`."""

    name: str
    group: str
    cost: float
    accuracy: float
    on_front: bool


def figure(width: float, height: float):
    """Returns an empty matplotlib figure.

    Args:
        width: float, inches.

        height: float, inches.

    Raises:
        RuntimeError: if matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeError(
            f"charts need matplotlib: pip install 'newnet_tf[demo]'. Received: {error}"
        ) from error
    empty = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(empty)
    return empty


def svg(figure) -> bytes:
    """Returns a figure as SVG. Equal figures give equal bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "newnet_tf"}):
        return _encode(figure, "svg", metadata={"Date": None})


def png(figure, dpi: int = 120) -> bytes:
    """Returns a figure as PNG with 128 colors, for a small file."""
    from PIL import Image

    with Image.open(io.BytesIO(_encode(figure, "png", dpi=dpi))) as image:
        reduced = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    reduced.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def top_predictions(predictions: Sequence[tuple[str, float]]):
    """Returns a bar chart of class names and their probabilities, the first at the top."""
    chart = figure(5.2, 2.4)
    axes = chart.subplots()
    names = [name.replace("_", " ") for name, _ in predictions][::-1]
    values = [100 * value for _, value in predictions][::-1]
    axes.barh(names, values, color=PRECISIONS["fp32"], height=0.62)
    for i, value in enumerate(values):
        axes.text(value + 1, i, f"{value:.1f} %", va="center", color=INK, fontsize=9)
    axes.set_xlim(0, max(values) * 1.22)
    axes.set_xticks([])
    _style(axes)
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)
    return chart


def size_and_latency(rows: Sequence[Mapping[str, object]]):
    """Returns a chart of file size against latency: a marker for each file, with its model's name.

    Args:
        rows: mappings with `model`, `precision`, `megabytes`, `milliseconds`.
    """
    chart = figure(9, 4.6)
    axes = chart.subplots()
    for precision, color in PRECISIONS.items():
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
    _style(axes)
    label_placement.write(
        axes, [Label(r["milliseconds"], r["megabytes"], r["model"]) for r in rows]
    )
    return chart


def layer_sensitivity(layers: Sequence[tuple[str, float]], excluded: Sequence[str]):
    """Returns a bar chart of the int8 sensitivity of each layer, in the model's order.

    Args:
        layers: (name, SQNR of the logits in dB with this layer alone in int8).

        excluded: names of the layers that stay float32; they have another color.
    """
    chart = figure(7, 1.2 + 0.17 * len(layers))
    axes = chart.subplots()
    colors = [PRECISIONS["int8-full" if name in excluded else "fp16"] for name, _ in layers]
    rows = range(len(layers))
    axes.barh(rows, [value for _, value in layers], color=colors, height=0.7, zorder=3)
    axes.set_yticks(rows, [name for name, _ in layers], fontsize=7)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.set_xlabel("SQNR of the logits with this layer alone in int8 (dB); lower is worse")
    _style(axes)
    return chart


def confusion_matrix(counts, class_names: Sequence[str]):
    """Returns a chart of a confusion matrix, shaded by the share of each true class.

    Args:
        counts: int array of shape (classes, classes); rows are true classes.

        class_names: str for each class.
    """
    inches = 2.4 + 0.42 * len(class_names)
    chart = figure(inches + 0.8, inches)
    axes = chart.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*counts.nonzero(), strict=True):
        is_dark = shares[row, column] > 0.5
        axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=8,
                  color="white" if is_dark else INK)  # fmt: skip
    names = [name.replace("_", " ") for name in class_names]
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true class")
    axes.tick_params(length=0, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return chart


def accuracy_vs_cost(axes, points: Sequence[Point]) -> None:
    """Draws accuracy against cost: a marker for each model, and the Pareto front as steps.

    Args:
        axes: empty matplotlib axes.

        points: `Point`s, at least one.
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
    _set_limits(axes, points)
    _style(axes)
    axes.plot(*zip(*_front_steps(axes, points), strict=True), zorder=2, **FRONT)


def name_points(axes, points: Sequence[Point], font_size: float) -> None:
    """Writes the names of the points into a chart. Call it last: it needs the final layout."""
    labels = [Label(p.cost, p.accuracy, p.name, GROUPS[p.group].color, p.on_front) for p in points]
    label_placement.write(axes, labels, font_size, _front_steps(axes, points))


def legend(figure, font_size: float) -> None:
    """Adds a legend of `GROUPS` and of the Pareto front above a figure."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=g.color, marker=g.marker, ms=g.size**0.5, ls="", label=g.title)
        for g in GROUPS.values()
    ]
    handles += [Line2D([], [], label="Pareto front", **FRONT)]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=5, frameon=False, fontsize=font_size
    )


def _front_steps(axes, points: Sequence[Point]) -> list[tuple[float, float]]:
    """Returns the corners of the Pareto front, from its cheapest point to the right of the chart."""
    front = sorted({(p.cost, p.accuracy) for p in points if p.on_front})
    corners = [front[0]]
    for cost, accuracy in front[1:]:
        corners += [(cost, corners[-1][1]), (cost, accuracy)]
    return [*corners, (axes.get_xlim()[1], front[-1][1])]


def _set_limits(axes, points: Sequence[Point]) -> None:
    """Adds a margin around the points, and plain numbers on the logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = min(p.cost for p in points), max(p.cost for p in points)
    factor = (high / low) ** 0.07 if high > low else 1.5
    axes.set_xlim(low / factor**2, high * factor)
    accuracies = [p.accuracy for p in points]
    margin = 0.06 * (max(accuracies) - min(accuracies)) or 1
    axes.set_ylim(min(accuracies) - margin, max(accuracies) + margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _style(axes) -> None:
    axes.grid(color=GRID, zorder=0)
    axes.tick_params(which="both", colors=FAINT, labelcolor=INK, length=0)
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)


def _encode(figure, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()

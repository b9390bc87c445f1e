"""The drawing of `newnet profile`: a bar a network, divided by what its time goes to."""

from collections.abc import Mapping, Sequence

from newnet_tf.visualization import charts
from newnet_tf.visualization.label_placement import FAINT, INK

# Types of operator -> (name in the legend, color). Blue and gray: they multiply and add.
WITH_MACS = {
    "CONV_2D 1x1": ("1x1 convolution", "#2f4b8f"),
    "CONV_2D": ("convolution", "#5f83c9"),
    "CONV_2D 1x1 grouped": ("grouped 1x1 convolution", "#8fb0e3"),
    "CONV_2D grouped": ("grouped convolution", "#8fb0e3"),
    "DEPTHWISE_CONV_2D": ("depthwise convolution", "#bcd2f2"),
    "FULLY_CONNECTED": ("dense", "#7d8ba0"),
}
WITHOUT_MACS = {
    "LOGISTIC": ("sigmoid", "#b5223f"),
    "MUL": ("multiply", "#e2574c"),
    "ADD": ("add", "#f08a4b"),
    "CONCATENATION": ("concatenate", "#f2b134"),
    "TRANSPOSE": ("transpose", "#d9d04f"),
    "STRIDED_SLICE": ("slice", "#9fbf4b"),
    "PAD": ("pad", "#4f9d69"),
    "RESHAPE": ("reshape", "#2f7f7a"),
    "AVERAGE_POOL_2D": ("average pool", "#8d5fb0"),
    "MAX_POOL_2D": ("max pool", "#b58fd0"),
    "MEAN": ("mean", "#6b4a8c"),
}
OTHER = ("other", "#c9ced6")
RIGHT = 1.33  # where a chart ends: 1 is the end of its bars, figures follow
WRITTEN = 0.055  # a share this large has its figure in the bar


def shares(rows: Sequence[Mapping[str, object]], models: Sequence[str]):
    """Returns a figure: for each precision a chart, in it a bar for each network.

    Args:
        rows: rows of the table `operators`, as strings or numbers.
        models: names in the order of the bars, from above.
    """
    precisions = list(dict.fromkeys(f"{row['precision']}" for row in rows))
    names = 0.3 + 0.095 * max(len(model) for model in models)  # inches
    drawn = charts.figure(names + 5.2 * len(precisions), 1.75 + 0.55 * len(models))
    all_axes = drawn.subplots(1, len(precisions), sharey=True, squeeze=False)[0]
    kinds = {}
    for axes, precision in zip(all_axes, precisions, strict=True):
        for place, model in enumerate(models):
            own = [r for r in rows if (r["model"], f"{r['precision']}") == (model, precision)]
            if own:
                kinds |= _bar(axes, place, own)
        axes.set_title(precision, loc="left", color=INK, fontsize=11, fontweight="bold")
        _finish(axes, models)
    ranks = [kind for kind, _ in (*WITH_MACS.values(), *WITHOUT_MACS.values(), OTHER)]
    entries = sorted(kinds.items(), key=lambda entry: ranks.index(entry[0]))
    drawn.legend(
        [handle for _, handle in entries],
        [kind for kind, _ in entries],
        loc="outside lower center",
        ncols=min(len(entries), 4 * len(precisions)),
        frameon=False,
        fontsize=9,
    )
    return drawn


def _bar(axes, place: int, rows: Sequence[Mapping[str, object]]) -> dict:
    """Draws one network's bar; returns {what is in it: its patch}."""
    total = sum(float(row["ms"]) for row in rows)
    parts, left, handles = {}, 0.0, {}
    for row in rows:
        name = f"{row['operator']}"
        kind = WITH_MACS.get(name) or WITHOUT_MACS.get(name, OTHER)
        parts[kind] = parts.get(kind, 0) + float(row["ms"]) / total
    order = [*WITH_MACS.values(), *WITHOUT_MACS.values(), OTHER]
    multiplied = sum(part for kind, part in parts.items() if kind in WITH_MACS.values())
    for kind in sorted(parts, key=order.index):
        label, color = kind
        [handles[label]] = axes.barh(
            place, parts[kind], left=left, color=color, height=0.62, edgecolor="white", lw=0.6
        )
        if parts[kind] >= WRITTEN:
            middle = left + parts[kind] / 2
            axes.text(
                middle,
                place,
                f"{parts[kind]:.0%}",
                ha="center",
                va="center",
                fontsize=8.5,
                color=readable(color),
            )
        left += parts[kind]
    axes.text(
        1.015,
        place,
        f"{total:.1f} ms\n{1 - multiplied:.0%} without MACs",
        va="center",
        fontsize=8.5,
        color=INK,
        linespacing=1.25,
    )
    return handles


def readable(color: str) -> str:
    """White on dark colors, ink on light ones."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 140 else INK


def _finish(axes, models: Sequence[str]) -> None:
    axes.set_xlim(0, RIGHT)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_yticks(range(len(models)), models)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    axes.set_xlabel("share of the operators' time", color=FAINT, x=0.5 / RIGHT, fontsize=9)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=0)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)

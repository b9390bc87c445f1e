"""The chart of `newnet profile --plot`: a bar for each model, divided by type of operator."""

from collections.abc import Mapping, Sequence

from newnet_tf.utils.palette import FAINT, INK, text_on
from newnet_tf.visualization import charts

# Type of operator -> (name in the legend, color). Blue and gray: operators with multiply-adds.
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
STYLES = (*WITH_MACS.values(), *WITHOUT_MACS.values(), OTHER)
RIGHT = 1.33  # right limit of the axis: bars end at 1, totals stand behind them
MIN_LABELED = 0.055  # smallest share with a percentage inside the bar


def style(operator: str) -> tuple[str, str]:
    """Returns the legend's name and the color of a type of operator."""
    return WITH_MACS.get(operator) or WITHOUT_MACS.get(operator, OTHER)


def op_breakdown(rows: Sequence[Mapping[str, object]], models: Sequence[str]):
    """Returns a figure: a chart for each precision, with a bar for each model.

    Args:
        rows: rows of the table `operators`, as strings or numbers.

        models: names of the models, from top to bottom.
    """
    precisions = list(dict.fromkeys(f"{row['precision']}" for row in rows))
    names = 0.3 + 0.095 * max(len(model) for model in models)  # inches
    figure = charts.figure(names + 5.2 * len(precisions), 1.75 + 0.55 * len(models))
    all_axes = figure.subplots(1, len(precisions), sharey=True, squeeze=False)[0]
    handles = {}
    for axes, precision in zip(all_axes, precisions, strict=True):
        for place, model in enumerate(models):
            bar = [r for r in rows if (r["model"], f"{r['precision']}") == (model, precision)]
            if bar:
                handles |= _bar(axes, place, bar)
        axes.set_title(precision, loc="left", color=INK, fontsize=11, fontweight="bold")
        _style(axes, models)
    order = [name for name, _ in STYLES]
    entries = sorted(handles.items(), key=lambda entry: order.index(entry[0]))
    figure.legend(
        [handle for _, handle in entries],
        [name for name, _ in entries],
        loc="outside lower center",
        ncols=min(len(entries), 4 * len(precisions)),
        frameon=False,
        fontsize=9,
    )
    return figure


def _bar(axes, place: int, rows: Sequence[Mapping[str, object]]) -> dict:
    """Draws the bar of one model; returns {name in the legend: patch}."""
    total = sum(float(row["ms"]) for row in rows) or 1.0
    shares, left, handles = {}, 0.0, {}
    for row in rows:
        entry = style(f"{row['operator']}")
        shares[entry] = shares.get(entry, 0) + float(row["ms"]) / total
    with_macs = sum(share for entry, share in shares.items() if entry in WITH_MACS.values())
    for entry in sorted(shares, key=STYLES.index):
        name, color = entry
        [handles[name]] = axes.barh(
            place, shares[entry], left=left, color=color, height=0.62, edgecolor="white", lw=0.6
        )
        if shares[entry] >= MIN_LABELED:
            axes.text(
                left + shares[entry] / 2,
                place,
                f"{shares[entry]:.0%}",
                ha="center",
                va="center",
                fontsize=8.5,
                color=text_on(color),
            )
        left += shares[entry]
    axes.text(
        1.015,
        place,
        f"{total:.1f} ms\n{1 - with_macs:.0%} without MACs",
        va="center",
        fontsize=8.5,
        color=INK,
        linespacing=1.25,
    )
    return handles


def _style(axes, models: Sequence[str]) -> None:
    axes.set_xlim(0, RIGHT)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_yticks(range(len(models)), models)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    axes.set_xlabel("share of the operators' time", color=FAINT, x=0.5 / RIGHT, fontsize=9)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=0)
    for edge in ("top", "right", "bottom", "left"):
        axes.spines[edge].set_visible(False)

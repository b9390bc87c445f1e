"""The talk's tables of compared models: reported figures, counted figures, and why they differ."""

from collections.abc import Iterable

from newnet_tf.models.config import Card, ReportedResults

TABLES = {
    "new": "DEVIEW 2019 talk, table of the new model",
    "heavy": "DEVIEW 2019 talk, table of heavy models",
    "light": "DEVIEW 2019 talk, table of light models",
    "nas": "DEVIEW 2019 talk, table of NAS models",
}
TOLERANCE = 0.01  # relative; a larger discrepancy has a reason
NUMBERS = (
    "top-1 err",
    "top-5 err",
    "params (M)",
    "ours",
    "off by",
    "MACs (G)",
    "ours (G)",
    "off by (G)",
)


def rows(cards: Iterable[Card], table: str) -> list[dict[str, str]]:
    """Returns one of the talk's tables: a row for each model of the zoo, the largest error first.

    Args:
        cards: `Card`s of the zoo.

        table: a key of `TABLES`.
    """
    return [_row(card) for card in members(cards, table)]


def members(cards: Iterable[Card], table: str) -> list[Card]:
    """Returns the cards of the models in one of the talk's tables, the largest error first."""
    cards = [c for c in cards if c.reported and c.reported.source.startswith(TABLES[table])]
    return sorted(cards, key=lambda c: (-c.reported.top1_error, c.name))


def cost(card: Card) -> dict[str, str] | None:
    """Returns the counted cost of a model, a row of the table `cost`; None if there is none.

    Of a detector it is that of `detection_cost`, with as many classes as reported figures have.
    """
    measured = card.measured
    return next(iter([*measured.get("detection_cost", []), *measured.get("cost", [])]), None)


def _row(card: Card) -> dict[str, str]:
    reported, counted = card.reported, cost(card)
    params = int(counted["params"]) / 1e6 if counted else None
    macs = int(counted["macs"]) / 1e9 if counted else None
    weights = card.weights[0] if card.default_weights else None
    return {
        "network": card.name,
        "top-1 err": f"{reported.top1_error:g}",
        "top-5 err": f"{reported.top5_error:g}" if reported.top5_error else "-",
        "params (M)": f"{reported.params}",
        "ours": f"{params:.2f}" if params else "-",
        "off by": _deviation(reported.params, params),
        "MACs (G)": f"{reported.macs}",
        "ours (G)": f"{macs:.3f}" if macs else "-",
        "off by (G)": _deviation(reported.macs, macs),
        "ImageNet weights": f"{weights.sources[0].place}, {weights.license}" if weights else "-",
        "why it differs": _reason(reported, params, macs),
    }


def _deviation(reported: float, counted: float | None) -> str:
    return f"{100 * (counted / reported - 1):+.1f} %" if counted else "-"


def _reason(reported: ReportedResults, params: float | None, macs: float | None) -> str:
    """Returns the card's reason, or "rounding" where the printed digits explain the discrepancy."""
    pairs = [(reported.params, params), (reported.macs, macs)]
    off = [(r, c) for r, c in pairs if r and c and abs(c / r - 1) > TOLERANCE]
    if reported.discrepancy or not off:
        return reported.discrepancy
    return "rounding" if all(_rounds_to(counted, printed) for printed, counted in off) else ""


def _rounds_to(counted: float, printed: float) -> bool:
    digits = len(f"{printed}".partition(".")[2])
    return abs(counted - printed) <= 0.5 * 10**-digits

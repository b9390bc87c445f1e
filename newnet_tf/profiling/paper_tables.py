"""The talk's tables of compared models, reproduced: what it prints, what we count, and why."""

from collections.abc import Iterable

from newnet_tf.models.config import Card, HubFile, ReportedResults

TABLES = {
    "new": "DEVIEW 2019 talk, table of the new model",
    "heavy": "DEVIEW 2019 talk, table of heavy models",
    "light": "DEVIEW 2019 talk, table of light models",
    "nas": "DEVIEW 2019 talk, table of NAS models",
}
TOLERATED = 0.01  # a share; what is off by more has a reason
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
    """Returns one of the talk's tables, a row a network that we have, in order of its errors.

    Args:
        cards: all cards. table: a key of `TABLES`.
    """
    return [_row(card) for card in members(cards, table)]


def members(cards: Iterable[Card], table: str) -> list[Card]:
    """Returns the cards of the networks in one of the talk's tables, in order of their errors."""
    found = [c for c in cards if c.reported and c.reported.source.startswith(TABLES[table])]
    return sorted(found, key=lambda c: (-c.reported.top1_error, c.name))


def cost(card: Card) -> dict[str, str] | None:
    """Returns the measured cost of a network, None before it was measured."""
    return next(iter(card.measured.get("cost", [])), None)


def _row(card: Card) -> dict[str, str]:
    claim, measured = card.reported, cost(card)
    params = int(measured["params"]) / 1e6 if measured else None
    macs = int(measured["macs"]) / 1e9 if measured else None
    weights = card.weights[0] if card.default_weights else None
    return {
        "network": card.name,
        "top-1 err": f"{claim.top1_error:g}",
        "top-5 err": f"{claim.top5_error:g}" if claim.top5_error else "-",
        "params (M)": f"{claim.params}",
        "ours": f"{params:.2f}" if params else "-",
        "off by": _deviation(claim.params, params),
        "MACs (G)": f"{claim.macs}",
        "ours (G)": f"{macs:.3f}" if macs else "-",
        "off by (G)": _deviation(claim.macs, macs),
        "ImageNet weights": f"{_place(weights.sources[0])}, {weights.license}" if weights else "-",
        "why it differs": _reason(claim, params, macs),
    }


def _deviation(claimed: float, ours: float | None) -> str:
    return f"{100 * (ours / claimed - 1):+.1f} %" if ours else "-"


def _reason(claim: ReportedResults, params: float | None, macs: float | None) -> str:
    """The claim's own words; or that printing fewer digits explains all that is off by over 1 %."""
    pairs = [(claim.params, params), (claim.macs, macs)]
    off = [(c, ours) for c, ours in pairs if c and ours and abs(ours / c - 1) > TOLERATED]
    if claim.discrepancy or not off:
        return claim.discrepancy
    return "rounding" if all(_rounds_to(ours, c) for c, ours in off) else ""


def _rounds_to(ours: float, printed: float) -> bool:
    digits = len(f"{printed}".partition(".")[2])
    return abs(ours - printed) <= 0.5 * 10**-digits


def _place(source) -> str:
    return f"hub {source.repo}" if isinstance(source, HubFile) else f"pip {source.distribution}"

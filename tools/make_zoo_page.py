"""Writes `docs/zoo.md`: the talk's tables reproduced, and every model of the zoo.

    python tools/make_zoo_page.py

A test checks that the committed file is fresh.
"""

from pathlib import Path

from newnet_tf.models import registry
from newnet_tf.profiling import paper_tables

PAGE = Path(__file__).resolve().parents[1] / "docs" / "zoo.md"
TITLES = {
    "new": "The talk's own network",
    "heavy": "Heavy models",
    "light": "Light models",
    "nas": "Models found by architecture search",
}
INTRODUCTION = """# The zoo

Written by `tools/make_zoo_page.py`; `newnet list --table heavy` prints the same. The figures are those
that the DEVIEW 2019 talk reports; *ours* is counted on the Keras model (convolutions and linear layers,
one image, native size) and equals the reference implementation's count wherever one exists. All errors
are reported ones: none was measured here on ImageNet's validation set.
"""


def page() -> str:
    """Returns the text of the page."""
    cards = [registry.model_card(name) for name in registry.list_models(task="classification")]
    parts = [INTRODUCTION]
    for table, title in TITLES.items():
        parts += [f"## {title}\n", markdown(paper_tables.rows(cards, table))]
    parts += [f"## All {len(cards)} models\n", markdown([_summary(card) for card in cards])]
    return "\n".join(parts)


def _summary(card) -> dict[str, str]:
    cost = paper_tables.cost(card)
    return {
        "name": f"`{card.name}`",
        "model": card.title,
        "input": f"{card.preprocess.image_size}",
        "params (M)": f"{int(cost['params']) / 1e6:.2f}" if cost else "-",
        "MACs (M)": f"{int(cost['macs']) / 1e6:,.1f}" if cost else "-",
        "weights": ", ".join(w.tag for w in card.weights) or "-",
        "notes": card.notes,
    }


def markdown(rows) -> str:
    """Returns rows, mappings of the same columns, as a table."""
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([row[c] for c in columns] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")

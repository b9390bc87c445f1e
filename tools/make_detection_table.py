"""Writes the table of detectors in `docs/detection.md`, between two comments there.

    python tools/make_detection_table.py

It comes from `newnet_tf/results/detection_cost.csv` (`python tools/measure.py detection_cost`) and
`latency.csv` (`newnet benchmark --save-results`).
"""

import re
from pathlib import Path

from newnet_tf import results
from newnet_tf.api.model_summary import latencies
from newnet_tf.models import registry
from tools.make_zoo_page import markdown

PAGE = Path(__file__).resolve().parents[1] / "docs" / "detection.md"
BEGIN, END = "<!-- detectors -->", "<!-- end of detectors -->"


def table() -> str:
    """Returns the table: counted and reported figures with COCO's classes, latency."""
    times: dict[str, list[dict[str, str]]] = {}
    for row in results.read("latency"):
        times.setdefault(row["model"], []).append(row)
    rows = results.read("detection_cost")
    rows.sort(key=lambda row: int(row["macs"]))
    return markdown([_row(row, latencies(times.get(row["model"], []))) for row in rows])


def _row(row: dict[str, str], times: dict[str, dict[str, str]]) -> dict[str, str]:
    params, macs = int(row["params"]) / 1e6, int(row["macs"]) / 1e9
    milliseconds = {
        f"{precision} (ms)": f"{float(times[precision]['median_ms']):.1f}"
        if precision in times
        else "-"
        for precision in ("fp32", "int8")
    }
    return {
        "detector": f"`{row['model']}`",
        "params (M)": f"{params:.2f}{_reported(row['reported_params_M'])}",
        "MACs (G)": f"{macs:.3f}{_reported(row['reported_macs_G'])}",
        "anchors": row["anchors"],
        "reported AP (COCO)": row["reported_ap"] or "-",
        **milliseconds,
        "weights": ", ".join(w.tag for w in registry.model_card(row["model"]).weights) or "-",
    }


def _reported(figure: str) -> str:
    return f" ({figure})" if figure else ""


def page() -> str:
    """Returns the text of the page with a fresh table."""
    text = PAGE.read_text(encoding="utf-8")
    between = re.compile(f"(?s){re.escape(BEGIN)}.*?{re.escape(END)}")
    if not between.search(text):
        raise ValueError(f"{PAGE} must hold the comments {BEGIN} and {END}. Received: neither")
    return between.sub(lambda _: f"{BEGIN}\n{table()}{END}", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")

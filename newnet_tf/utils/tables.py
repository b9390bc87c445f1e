"""Plain tables and JSON for the terminal."""

import csv
import io
import json
from collections.abc import Mapping, Sequence


def table(rows: Sequence[Mapping[str, object]], right: Sequence[str] = ()) -> str:
    """Returns rows as aligned text under a header; columns in `right` are right-aligned."""
    if not rows:
        return "(none)"
    columns = list(rows[0])
    cells = [columns] + [[_cell(row.get(c)) for c in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = [
        "  ".join(
            text.rjust(width) if column in right else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def to_json(value: object) -> str:
    """Returns `value` as indented JSON."""
    return json.dumps(value, indent=2, default=str)


def to_csv(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Returns rows as CSV with a header, lines ending in a newline.

    Args:
        rows: sequence of mappings with the keys `columns`.

        columns: sequence of str, in order; the header, also of a table without rows.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cell(value: object) -> str:
    return "" if value is None else f"{value}"

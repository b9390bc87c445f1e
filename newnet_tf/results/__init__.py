"""Tables of measured figures: CSV files beside this module, written by machine and shipped.

Only `newnet_tf.evaluation`, `newnet_tf.profiling` and the maintainers' tools write them; everything
else reads. Standard library only.
"""

import csv
import datetime
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
STAMP = ("machine", "versions", "date")


def read(table: str, folder: str | os.PathLike | None = None) -> list[dict[str, str]]:
    """Returns the rows of `table` (e.g. `"latency"`) as dictionaries of strings; [] if none yet."""
    path = Path(folder or HERE) / f"{table}.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def about(model: str) -> dict[str, list[dict[str, str]]]:
    """Returns every measured row about `model`, by table."""
    tables = {path.stem: read(path.stem) for path in sorted(HERE.glob("*.csv"))}
    rows = {name: [r for r in table if r.get("model") == model] for name, table in tables.items()}
    return {name: found for name, found in rows.items() if found}


def record(
    table: str,
    rows: Iterable[Mapping[str, object]],
    keys: Sequence[str] = ("model",),
    folder: str | os.PathLike | None = None,
    stamp: Mapping[str, str] | None = None,
) -> Path:
    """Merges `rows` into a table and stamps them with machine, versions and date.

    Args:
        table: str, the table's name; the file is `<table>.csv`.
        rows: mappings; a column that one lacks is left empty there.
        keys: columns that identify a row: an old row with equal keys is replaced.
        folder: where the table lives; default: the package's own results.
        stamp: machine and versions where the figures were measured, if not here and now.

    Returns:
        Path of the file, written beside and renamed, so that it is never half there.
    """
    stamped = {"machine": machine(), "versions": versions(), "date": f"{datetime.date.today()}"}
    stamped |= stamp or {}
    fresh = [{k: _text(v) for k, v in row.items()} | stamped for row in rows]
    if not fresh:
        raise ValueError(f"`rows` must hold at least one row for table {table!r}. Received: none")
    replaced = {tuple(row[k] for k in keys) for row in fresh}
    kept = [r for r in read(table, folder) if tuple(r.get(k) for k in keys) not in replaced]
    merged = sorted(kept + fresh, key=lambda row: [row.get(k) or "" for k in keys])
    named = dict.fromkeys(column for row in [*fresh, *kept] for column in row)
    columns = [c for c in named if c not in STAMP] + list(STAMP)
    path = Path(folder or HERE) / f"{table}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{table}.")
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows({c: row.get(c, "") for c in columns} for row in merged)
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return path


def machine() -> str:
    """Returns the processor's name and core count, e.g. `"Xeon E5 (2 cores)"`."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return f"{name} ({os.cpu_count()} cores)"


def versions() -> str:
    """Returns the versions that a figure depends on, e.g. `"tensorflow 2.21.0, keras 3.15.1"`."""
    found, others = [], [name for name in ("jax", "torch") if name in sys.modules]
    for name in ("tensorflow", "tensorflow_cpu", "keras", "ai_edge_litert", "numpy", *others):
        try:
            found.append(f"{name.replace('_cpu', '')} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(dict.fromkeys(found))


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else f"{value}"

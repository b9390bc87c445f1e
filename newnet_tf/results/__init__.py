"""Tables of measurements: CSV files in this folder, written by commands and tools, part of the package.

Only `newnet_tf.evaluation`, `newnet_tf.profiling`, `newnet_tf.data.pipeline_benchmark` and the tools
write them; everything else reads. Standard library only. Every table ends in the columns `machine`,
`versions` and `date`.

| table | one row for each | columns |
|---|---|---|
| `accuracy` | model, weights, precision, dataset | top-1 and top-5 accuracy (%), 95 % interval |
| `activation` | model, calibration images, activation | latency and accuracy with another activation |
| `calibration_methods` | model, `calibration_method`, corrections | SQNR and agreement of int8 |
| `cifar` | run | CIFAR-10 accuracy, cost, settings and diagnosis of the curves |
| `cifar_curves` | run, epoch | learning rate, losses and errors |
| `cifar_tuning` | trial | learning rate, weight decay, test error |
| `compatibility` | model | outcome of each test of `tests/test_every_network.py` |
| `cost` | model | `params`, `non_trainable_params`, `macs` at `image_size` |
| `data` | input pipeline, `batch_size`, workers | images a second, and relative to a plain decode |
| `detection` | model, weights, precision, data | mAP, mAP50, ... (%), difficult ignored, counted |
| `detection_cost` | detector | `params`, `macs` with COCO's classes at `image_size`, reported figures |
| `export_matrix` | family, `precision` | whether its cheapest model exports, and how |
| `latency` | model, precision, threads | `median_ms`, `iqr_ms`, `min_ms`, `ratio` to the baseline |
| `operators` | model, precision, threads, operator | time and multiply-adds; `total_ms` of the model |
| `parity` | model, `checkpoint_format`, backend | difference from the reference, float64 and 32 |
| `quantization` | model, precision, dataset | accuracy before and after, agreement, SQNR |
| `runtimes` | model, file, runtime | difference from Keras, `top1_matches` |
| `text` | text detector, weights, precision, data | ICDAR's H-mean, precision, recall (%), counts |
| `transfer` | model, settings | `reported_top1` and accuracy of linear probe and finetuning |

`partitions` are the parts of the graph that XNNPACK runs, `fallback_ops` the operators that it does
not run.
"""

import csv
import datetime
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from newnet_tf.utils import io

HERE = Path(__file__).parent
STAMP = ("machine", "versions", "date")


def read(table: str, folder: str | os.PathLike | None = None) -> list[dict[str, str]]:
    """Reads a table.

    Args:
        table: str, e.g. `"latency"`.

        folder: path or None, folder of the CSV file. Default: None, the package's own results.

    Returns:
        list of {column: value}, one for each row; `[]` if there is no such table.
    """
    path = Path(folder or HERE) / f"{table}.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def about(model: str) -> dict[str, list[dict[str, str]]]:
    """Returns all measurements of a model, {table: rows}.

    Args:
        model: str, its name.
    """
    tables = {path.stem: read(path.stem) for path in sorted(HERE.glob("*.csv"))}
    rows = {name: [r for r in table if r.get("model") == model] for name, table in tables.items()}
    return {name: own_rows for name, own_rows in rows.items() if own_rows}


def record(
    table: str,
    rows: Iterable[Mapping[str, object]],
    keys: Sequence[str] = ("model",),
    folder: str | os.PathLike | None = None,
    stamp: Mapping[str, str] | None = None,
) -> Path:
    """Merges rows into a table and stamps them with machine, versions and date.

    Args:
        table: str, the table's name; the file is `<table>.csv`.

        rows: iterable of mappings, at least one; a column that a row lacks is left empty.

        keys: sequence of str, columns that identify a row: an old row with equal keys is replaced.
            Default: ("model",).

        folder: path or None, folder of the CSV file. Default: None, the package's own results.

        stamp: mapping or None, machine and versions of measurements from another machine. Default:
            None, this machine.

    Returns:
        Path of the file. It is written whole or not at all.

    Raises:
        ValueError: for no rows.
    """
    stamped = {"machine": machine(), "versions": versions(), "date": f"{datetime.date.today()}"}
    stamped |= stamp or {}
    new = [{k: _text(v) for k, v in row.items()} | stamped for row in rows]
    if not new:
        raise ValueError(f"`rows` must hold at least one row for table {table!r}. Received: none")
    replaced = {tuple(row[k] for k in keys) for row in new}
    old = [r for r in read(table, folder) if tuple(r.get(k) for k in keys) not in replaced]
    merged = sorted(old + new, key=lambda row: [row.get(k) or "" for k in keys])
    known = dict.fromkeys(column for row in [*new, *old] for column in row)
    columns = [c for c in known if c not in STAMP] + list(STAMP)
    path = Path(folder or HERE) / f"{table}.csv"
    io.write_csv(path, columns, merged)
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
    """Returns the versions that a measurement depends on, e.g. `"tensorflow 2.21.0, keras 3.15.1"`."""
    parts, others = [], [name for name in ("jax", "torch") if name in sys.modules]
    for name in ("tensorflow", "tensorflow_cpu", "keras", "ai_edge_litert", "numpy", *others):
        try:
            parts.append(f"{name.replace('_cpu', '')} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(dict.fromkeys(parts))


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else f"{value}"

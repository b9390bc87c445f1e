"""Tries every precision on one model of each family; writes `newnet_tf/results/export_matrix.csv`.

    python -m tools.measure_export_matrix [--only 'vgg*']

The model is the family's cheapest, with seeded random weights and batch norms calibrated on noise: the
table says whether a file can be made and run, and in how many partitions of XNNPACK, not how accurate
it is. A row is written as soon as it is known, and what is in the table is not tried again, so that an
interrupted run resumes. The cheapest families come first.
"""

import argparse
import fnmatch
import tempfile
from pathlib import Path

import keras
import numpy as np

from newnet_tf import results
from newnet_tf.deploy import PRECISIONS, ExportError, ModelFileError, Runner, random_inputs
from newnet_tf.models import registry
from newnet_tf.profiling.untrained_models import export_untrained

TABLE, KEYS = "export_matrix", ("family", "precision")
INTEGERS = ("int8", "uint8")


def representatives() -> dict[str, str]:
    """Returns {family: its cheapest model}, the cheapest first."""
    macs = {row["model"]: int(row["macs"]) for row in results.read("cost")}
    names: dict[str, str] = {}
    for name in sorted(registry.list_models(task="classification"), key=macs.__getitem__):
        names.setdefault(registry.resolve(name)[0].family.module.rpartition(".")[2], name)
    return names


def kinds() -> list[str]:
    """Returns all kinds of files: the precisions, and full int8 with integers in and out."""
    return [*PRECISIONS, *(f"int8-full.{dtype}" for dtype in INTEGERS)]


def run_file(file: Path) -> dict:
    """Runs a file; returns the columns of its row."""
    runner = Runner(file)
    is_finite = bool(np.isfinite(runner(random_inputs(runner))).all())
    delegation = runner.delegation()
    return {
        "result": "works" if is_finite else "outputs are not finite",
        "partitions": delegation.partitions,
        "fallback_ops": len(delegation.fallback_ops),
        "size_mb": f"{file.stat().st_size / 1e6:.2f}",
    }


def try_kind(name: str, kind: str, folder: Path) -> dict:
    """Exports and runs one file; an error is a result."""
    precision, _, dtype = kind.partition(".")
    try:
        files = export_untrained([name], [precision], folder, io_dtype=dtype or "float32")
        return run_file(files[name, precision])
    except (ExportError, ModelFileError, ValueError) as error:
        return {"result": f"{error}".replace("\n", " ")}


def export_together(name: str, missing: list[str], folder: Path) -> None:
    """Exports all files from one graph if none fails; else each is tried by itself."""
    precisions = list(dict.fromkeys(kind.partition(".")[0] for kind in missing))
    try:
        export_untrained([name], precisions, folder)
    except (ExportError, ModelFileError, ValueError) as error:
        print(f"{name}: not all together: {error}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="*", help="pattern of families")
    arguments = parser.parse_args()
    known = {(row["family"], row["precision"]) for row in results.read(TABLE)}
    for family, name in representatives().items():
        missing = [kind for kind in kinds() if (family, kind) not in known]
        if not missing or not fnmatch.fnmatch(family, arguments.only):
            continue
        with tempfile.TemporaryDirectory(prefix="newnet-") as folder:
            export_together(name, missing, Path(folder))
            for kind in missing:
                row = {"family": family, "model": name, "precision": kind}
                row |= try_kind(name, kind, Path(folder))
                print(row, flush=True)
                results.record(TABLE, [row], KEYS)
        keras.backend.clear_session(free_memory=True)


if __name__ == "__main__":
    main()

"""Tries every recipe on one network of each family; writes `newnet_tf/results/recipes.csv`.

    python -m tools.measure_recipes [--only 'vgg*']

The network is the family's cheapest, with seeded random weights and statistics that keep its maps
alive: what comes out says whether a recipe can be made and run, in how many pieces of XNNPACK's, not
how well it answers. A row is written as soon as it is known, and what is in the table is not tried
again, so that an ended run goes on where it was. The cheapest families come first.
"""

import argparse
import fnmatch
import tempfile
from pathlib import Path

import keras
import numpy as np

from newnet_tf import results
from newnet_tf.cli import benchmark
from newnet_tf.deploy import PRECISIONS, ExportError, ModelFileError, Runner
from newnet_tf.models import registry
from newnet_tf.profiling import latency

TABLE, KEYS = "recipes", ("family", "recipe")
INTEGERS = ("int8", "uint8")


def representatives() -> dict[str, str]:
    """Returns {family: its cheapest network}, the cheapest first."""
    macs = {row["model"]: int(row["macs"]) for row in results.read("cost")}
    found = {}
    for name in sorted(registry.list_models(), key=macs.__getitem__):
        found.setdefault(registry.resolve(name)[0].family.module.rpartition(".")[2], name)
    return found


def wanted() -> list[str]:
    """Names of all recipes: the precisions, and full int8 with integers in and out."""
    return [*PRECISIONS, *(f"int8-full.{io}" for io in INTEGERS)]


def outcome(file: Path) -> dict:
    """What a file is, found by running it."""
    runner = Runner(file)
    image = latency.noise(runner, np.random.default_rng(0))
    finite = bool(np.isfinite(runner(image)).all())
    found = runner.delegation()
    return {
        "result": "works" if finite else "answers are not finite",
        "partitions": found.partitions,
        "outside": len(found.fallback_ops),
        "size_mb": f"{file.stat().st_size / 1e6:.2f}",
    }


def tried(name: str, precision: str, folder: Path) -> dict:
    """Makes one file and says what came of it; a refusal is a result."""
    kind, _, io = precision.partition(".")
    try:
        files = benchmark.untrained_files(
            [name], [kind], folder, force=False, io_dtype=io or "float32"
        )
        return outcome(files[name, kind])
    except (ExportError, ModelFileError, ValueError) as error:
        return {"result": f"{error}".replace("\n", " ")}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="*", help="pattern of families")
    arguments = parser.parse_args()
    known = {(row["family"], row["recipe"]) for row in results.read(TABLE)}
    for family, name in representatives().items():
        left = [recipe for recipe in wanted() if (family, recipe) not in known]
        if not left or not fnmatch.fnmatch(family, arguments.only):
            continue
        with tempfile.TemporaryDirectory(prefix="newnet-") as folder:
            together(name, left, Path(folder))
            for recipe in left:
                row = {"family": family, "network": name, "recipe": recipe}
                row |= tried(name, recipe, Path(folder))
                print(row, flush=True)
                results.record(TABLE, [row], KEYS)
        keras.backend.clear_session(free_memory=True)


def together(name: str, left: list[str], folder: Path) -> None:
    """Makes all files of one export of the graph if none fails; else each is tried alone."""
    precisions = list(dict.fromkeys(recipe.partition(".")[0] for recipe in left))
    try:
        benchmark.untrained_files([name], precisions, folder, force=False)
    except (ExportError, ModelFileError, ValueError) as error:
        print(f"{name}: not all together: {error}", flush=True)


if __name__ == "__main__":
    main()

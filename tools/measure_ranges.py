"""Measures ways to choose ranges, and what each correction gains; writes `ranges.csv`.

    python -m tools.measure_ranges --samples DIR [--mobilenet FILE] [--squeezenet FILE] [--only NAME]
    python -m tools.measure_ranges --cifar TARBALL --runs runs/cifar

Networks, weights and pictures are those of `tools.measure_quantisation`. Each network is calibrated
once and quantised in every way; SQNR and agreement are those of the logits with the float network's on
all pictures that were not calibrated on. A network that is in the table is not measured again.
"""

import argparse

import keras

from newnet_tf import results
from newnet_tf.deploy import recipes
from newnet_tf.deploy.calibrated import CORRECTIONS
from newnet_tf.deploy.sensitivity import Sensitivity
from tools import measure_quantisation as quantisation

TABLE, KEYS = "ranges", ("model", "ranges", "corrections")
NOTHING = "none"
WAYS = [
    *((ranges, CORRECTIONS) for ranges in recipes.RANGES),
    *((recipes.BEST, (correction,)) for correction in CORRECTIONS),
    (recipes.UNCLIPPED, ()),
]


def measure(judged: quantisation.Judged) -> None:
    """Writes the rows of one network."""
    study = Sensitivity(
        judged.build(), judged.record, judged.calibration, judged.paths, judged.labels
    )
    for ranges, corrections in WAYS:
        found, won = study.judge(ranges=ranges, corrections=corrections)
        row = {
            "model": judged.name,
            "ranges": ranges,
            "corrections": "+".join(corrections) or NOTHING,
            "data": judged.data,
            "sqnr_db": f"{found.sqnr:.2f}",
            "agreement": f"{100 * found.agreed / found.pictures:.2f}",
            "difference": f"{100 * won / found.pictures:+.2f}",
            "largest": f"{found.difference:.2f}",
            "left_out": len(study.left_out),
        }
        print(row, flush=True)
        results.record(TABLE, [row], KEYS)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    quantisation.add_networks(parser)
    arguments = parser.parse_args()
    known = {row["model"] for row in results.read(TABLE)}
    for judged in quantisation.networks(arguments):
        if judged.name not in known:
            measure(judged)
            keras.backend.clear_session(free_memory=True)


if __name__ == "__main__":
    main()

"""Measures ways to choose ranges, and what each correction gains; writes `ranges.csv`.

    python -m tools.measure_ranges --samples DIR [--mobilenet FILE] [--squeezenet FILE] [--only NAME]
    python -m tools.measure_ranges --cifar TARBALL --runs runs/cifar

Networks, weights and images are those of `tools.measure_quantization`. Each network is calibrated
once and quantized in every way, and once more with its channels equalized; SQNR and agreement are those
of the logits with the float network's on all images that were not calibrated on. A network that is in
the table is not measured again (`--fresh` does).
"""

import argparse
from unittest import mock

import keras

from newnet_tf import results
from newnet_tf.deploy import converter, export_config
from newnet_tf.deploy.quantization.quantizer import CORRECTIONS
from newnet_tf.deploy.quantization.sensitivity import Sensitivity
from tools import measure_quantization as quantization
from tools.equalization import EqualizedGraph

TABLE, KEYS = "ranges", ("model", "ranges", "corrections")
NOTHING, EQUALIZED = "none", "equalization"
WAYS = [
    *((ranges, CORRECTIONS) for ranges in export_config.RANGES),
    *((export_config.BEST, (correction,)) for correction in CORRECTIONS),
    (export_config.UNCLIPPED, ()),
    (export_config.BEST, (EQUALIZED, *CORRECTIONS)),
]


def measure(judged: quantization.EvalResult) -> None:
    """Writes the rows of one network."""
    for kind in (converter.CalibratedGraph, EqualizedGraph):
        with mock.patch.object(converter, "CalibratedGraph", kind):
            study = Sensitivity(
                judged.build(), judged.record, judged.calibration, judged.paths, judged.labels
            )
        for ranges, corrections in WAYS:
            if (EQUALIZED in corrections) != (kind is EqualizedGraph):
                continue
            known = [name for name in corrections if name != EQUALIZED]
            found, won = study.judge(calibration_method=ranges, corrections=known)
            row = {
                "model": judged.name,
                "ranges": ranges,
                "corrections": "+".join(corrections) or NOTHING,
                "data": judged.data,
                "sqnr_db": f"{found.sqnr:.2f}",
                "agreement": f"{100 * found.top1_matches / found.images:.2f}",
                "difference": f"{100 * won / found.images:+.2f}",
                "largest": f"{found.max_normalized_error:.2f}",
                "left_out": len(study.left_out),
            }
            print(row, flush=True)
            results.record(TABLE, [row], KEYS)
        keras.backend.clear_session(free_memory=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    quantization.add_networks(parser)
    parser.add_argument("--fresh", action="store_true", help="measure anew what is in the table")
    arguments = parser.parse_args()
    known = set() if arguments.fresh else {row["model"] for row in results.read(TABLE)}
    for judged in quantization.networks(arguments):
        if judged.name not in known:
            measure(judged)


if __name__ == "__main__":
    main()

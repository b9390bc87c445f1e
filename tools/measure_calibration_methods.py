"""Measures calibration methods, and what each correction gains; writes `calibration_methods.csv`.

    python -m tools.measure_calibration_methods --samples DIR [--mobilenet FILE] [--squeezenet FILE]
        [--only MODEL]
    python -m tools.measure_calibration_methods --cifar TARBALL --trained runs/cifar

Models, weights and images are those of `tools.measure_quantization`. Each model is calibrated once and
quantized by every method, and once more with its channels equalized. SQNR and agreement are those of
the logits with the float model's on all images that do not calibrate. A model that is in the table is
not measured again (`--force` does).
"""

import argparse
from unittest import mock

import keras

from newnet_tf import results
from newnet_tf.deploy import converter
from newnet_tf.deploy.export_options import CALIBRATION_METHODS, DEFAULT_CALIBRATION_METHOD, MIN_MAX
from newnet_tf.deploy.quantization.quantizer import CORRECTIONS
from newnet_tf.deploy.quantization.sensitivity import SensitivityAnalysis
from tools import measure_quantization as quantization
from tools.equalization import EqualizedGraph

TABLE, KEYS = "calibration_methods", ("model", "calibration_method", "corrections")
NONE, EQUALIZED = "none", "equalization"
VARIANTS = [
    *((method, CORRECTIONS) for method in CALIBRATION_METHODS),
    *((DEFAULT_CALIBRATION_METHOD, (correction,)) for correction in CORRECTIONS),
    (MIN_MAX, ()),
    (DEFAULT_CALIBRATION_METHOD, (EQUALIZED, *CORRECTIONS)),
]


def measure(evaluated: quantization.EvaluatedModel) -> None:
    """Writes the rows of one model."""
    for graph_class in (converter.CalibratedGraph, EqualizedGraph):
        with mock.patch.object(converter, "CalibratedGraph", graph_class):
            analysis = SensitivityAnalysis(
                evaluated.build(),
                evaluated.preprocess,
                evaluated.calibration,
                evaluated.paths,
                evaluated.labels,
            )
        for method, corrections in VARIANTS:
            if (EQUALIZED in corrections) != (graph_class is EqualizedGraph):
                continue
            known = [name for name in corrections if name != EQUALIZED]
            found, top1_gain = analysis.evaluate(calibration_method=method, corrections=known)
            row = {
                "model": evaluated.name,
                "calibration_method": method,
                "corrections": "+".join(corrections) or NONE,
                "data": evaluated.data,
                "sqnr_db": f"{found.sqnr:.2f}",
                "agreement": f"{100 * found.top1_matches / found.images:.2f}",
                "difference": f"{100 * top1_gain / found.images:+.2f}",
                "max_normalized_error": f"{found.max_normalized_error:.2f}",
                "excluded_images": len(analysis.excluded_images),
            }
            print(row, flush=True)
            results.record(TABLE, [row], KEYS)
        keras.backend.clear_session(free_memory=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    quantization.add_models(parser)
    parser.add_argument("--force", action="store_true", help="measure again what is in the table")
    arguments = parser.parse_args()
    known = set() if arguments.force else {row["model"] for row in results.read(TABLE)}
    for evaluated in quantization.evaluated_models(arguments):
        if evaluated.name not in known:
            measure(evaluated)


if __name__ == "__main__":
    main()

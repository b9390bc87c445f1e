"""Measures what another activation in place of SiLU costs; writes `newnet_tf/results/activation.csv`.

    python -m tools.measure_activation --cifar TARBALL --runs runs/cifar
    python -m tools.measure_activation --time efficientnet_b0,rexnet_100

`--cifar` takes the EfficientNet-B0 that `tools/train_cifar.py` trained (in `--runs`), judges it on all
test images with SiLU and right after each swap, trains each the same way for one epoch of seeded
training images at a tenth of the rate that it was trained at, judges again, and judges int8-full
files of each against its own float self on 1,000 seeded test images, as
`tools/measure_quantization.py` does: three files, each calibrated on 100 other training images, for
a single image that drives a network's maps far out widens the ranges for all. A run is `newnet
train`'s: an ended one goes on where it was.

`--time` times networks at their own size, with random weights, all activations side by side in one
run on one thread; a ratio is to the file with SiLU of the same precision.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

from newnet_tf import results
from newnet_tf.cli import benchmark
from newnet_tf.data.datasets.tar import archive_arrays
from newnet_tf.deploy import Runner, export_tflite
from newnet_tf.evaluation import loop
from newnet_tf.models import activations
from newnet_tf.profiling import latency
from newnet_tf.training import ArrayLoader, get_recipe, override, train
from newnet_tf.training.compilation import build_model, compiled
from newnet_tf.training.metrics import judge
from newnet_tf.training.trainer import LAST, SUMMARY
from tools import measure_quantization

TABLE, KEYS = "activation", ("model", "activation", "calibration")
TRAINED, OWN, OTHERS = "efficientnet_b0", "silu", ("hard_swish", "relu6", "relu")
PRECISIONS = ("fp32", "int8-full")
DRAWS = 3  # of calibration images
SETTINGS = {"lr": 0.01, "epochs": 1, "warmup": 0.0}


def swapped(model, kind: str):
    """Returns a network with an activation in place of SiLU, itself for SiLU."""
    return model if kind == OWN else activations.replace_activation(model, OWN, kind)


def record(row: dict) -> None:
    """Writes a row; what is known of it from before stays."""
    before = {tuple(r[k] for k in KEYS): r for r in results.read(TABLE)}
    known = before.get(tuple(row[k] for k in KEYS), {})
    row = {k: v for k, v in known.items() if k not in results.STAMP} | row
    results.record(TABLE, [row], KEYS)
    print(row, flush=True)


def measure_accuracy(kind: str, judged: measure_quantization.EvalResult, data, arguments) -> None:
    """Writes the rows of one activation: after the swap, after training on, and in 8 bits."""
    names, splits = data
    recipe = override(get_recipe("cifar"), SETTINGS)
    model = build_model(lambda _: swapped(judged.build(), kind), recipe)
    limit = arguments.images
    given = ("cifar10", len(names), splits["train"], splits["test"], judged.record, recipe)
    arrays = ArrayLoader(*given, limit=limit, test_batch=500)
    row = {"model": judged.name, "activation": kind, "calibration": ""}
    folder = Path(arguments.files, f"{TRAINED}-{kind}")
    if not (folder / SUMMARY).exists():
        found = judge(compiled(model, recipe, arrays.steps), arrays.test())
        record(row | {"swapped_top1": f"{100 - found.error:.2f}"})
    outcome = train(model, arrays, recipe, folder, resume=True, checkpoint_every=10**6)
    top1 = 100 - outcome.history[-1]["test_error"]
    facts = {"data": f"cifar10, {arrays.tests} test images", "images": limit, "lr": recipe.lr}
    record(row | {"top1": f"{top1:.2f}", **facts})
    model = keras.models.load_model(folder / LAST, compile=False)
    exact = measure_quantization.Kept(model.predict_on_batch)
    reference = loop.evaluate(exact, judged.paths, judged.labels, judged.record)
    images = splits["train"][0]
    for seed in range(DRAWS):
        drawn = np.random.RandomState(seed).permutation(len(images))
        [made] = export_tflite(
            model,
            judged.record,
            arguments.files,
            f"{TRAINED}-{kind}",
            precisions=PRECISIONS[1:],
            calibration_images=images[drawn[: measure_quantization.CALIBRATION]],
            verify=False,  # judged below, on more images, and whatever comes out
            require_full_delegation=False,
        )
        found = measure_quantization.Kept(Runner(made.file))
        result = loop.evaluate(found, judged.paths, judged.labels, judged.record)
        row |= {"calibration": f"seed {seed}", "data": judged.data}
        row |= {"float_top1": f"{reference.accuracy():.2f}"}
        row |= measure_quantization.figures(reference, result)
        tolerance = made.recipe.tolerance
        record(row | measure_quantization.distance(exact.scores, found.scores, tolerance))


def measure_latency(name: str, arguments) -> None:
    """Writes the rows of one network at its own size."""
    blank = {"model": name, "calibration": ""}
    rows = {kind: blank | {"activation": kind} for kind in (OWN, *OTHERS)}
    called = {kind: name if kind == OWN else activations.renamed(name, kind) for kind in rows}
    made = benchmark.untrained_files(
        list(called.values()), PRECISIONS, Path(arguments.files, "time"), force=False
    )
    for precision in PRECISIONS:
        files = {kind: made[other, precision] for kind, other in called.items()}
        found = latency.measure(files, rounds=arguments.rounds, warmup=5, baseline=OWN)
        for kind, timed in zip(files, found, strict=True):
            part = precision.partition("-")[0]
            rows[kind] |= {
                f"{part}_ratio": f"{timed.ratio:.2f}",
                f"{part}_ms": f"{timed.median_ms:.1f}",
                f"{part}_partitions": timed.partitions,
                f"{part}_outside": timed.fallback_ops,
            }
    for row in rows.values():
        record(row)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cifar", help="CIFAR-10, a tarball")
    parser.add_argument("--runs", default="runs/cifar", help="what tools/train_cifar.py wrote")
    parser.add_argument("--images", type=int, default=20000, help="to train on; default: 20000")
    parser.add_argument("--time", metavar="NETWORKS", help="names, by commas")
    parser.add_argument("--rounds", type=int, default=60, help="timed runs of each file")
    parser.add_argument("--files", default="build/activation", help="where runs and files are kept")
    parser.set_defaults(only=TRAINED)
    arguments = parser.parse_args()
    if arguments.cifar:
        found = measure_quantization.with_cifar(arguments)
        judged = next(one for one in found if one.name.startswith(TRAINED))
        data = archive_arrays(arguments.cifar)
        for kind in (OWN, *OTHERS):
            measure_accuracy(kind, judged, data, arguments)
    for name in arguments.time.split(",") if arguments.time else ():
        measure_latency(name, arguments)


if __name__ == "__main__":
    main()

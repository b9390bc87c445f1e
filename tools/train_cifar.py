"""The talk's process on small data: networks trained on CIFAR-10 under the same settings.

    python tools/train_cifar.py --data cifar10.tar.gz -o runs/cifar              # what is left to do
    python tools/train_cifar.py --data cifar10.tar.gz -o runs/cifar --only long  # one of the runs
    python tools/train_cifar.py -o runs/cifar --ship                             # weights of `long`

Every run is one of `newnet train`: its curves are kept, and an ended one goes on where it was. A run
that is complete is a row of `newnet_tf/results/cifar.csv`, its epochs are rows of `cifar_curves.csv`.
`--set lr=...,weight_decay=...` is for all of them, from a study before.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import newnet_tf
from newnet_tf import results
from newnet_tf.data.opened import open_source
from newnet_tf.intervals import wilson
from newnet_tf.profiling.cost import cost
from newnet_tf.training import (
    Pictures,
    for_small_pictures,
    named_recipe,
    overridden,
    train,
)
from newnet_tf.training.loop import LAST, SUMMARY
from newnet_tf.training.overrides import parsed
from newnet_tf.training.small import small_preprocess
from newnet_tf.weights import checkpoint

OWN = "newnet_small_cifar"
SHIPPED = f"shipped/{OWN}.cifar10.safetensors"


@dataclass(frozen=True)
class Planned:
    """One run: its name, network, length, and what it changes of the settings shared by all."""

    name: str
    model: str
    epochs: int
    changes: tuple[tuple[str, object], ...] = ()


SHORT = 3
COMPARED = (
    "mobilenet_v2_100",
    "mnasnet_a1",
    "mobilenet_v3_large",
    "rexnet_lite_100",
    "efficientnet_b0",
)
PLAN = (
    Planned("long", OWN, 10),
    Planned("newnet_small", OWN, SHORT),
    Planned("newnet_small.cutmix", OWN, SHORT, (("augmentation.cutmix", 1.0),)),
    *(Planned(name, name, SHORT) for name in COMPARED),
    Planned("mobilenet_v2_100.again", "mobilenet_v2_100", SHORT, (("seed", 1),)),
)


def network(name: str, classes: int):
    """Returns a network for 32 x 32 pictures, giving logits, and its preprocessing."""
    own = newnet_tf.card(OWN).preprocess
    options = {"weights": None, "classes": classes, "classifier_activation": None}
    if name == OWN:
        return newnet_tf.create(name, **options), own
    large = newnet_tf.create(name, input_shape=(2 * own.size, 2 * own.size, 3), **options)
    return for_small_pictures(large), small_preprocess(newnet_tf.card(name).preprocess, own.size)


def run(planned: Planned, source, folder: Path, changes) -> None:
    """Does one run, or what is left of it, and records it."""
    settings = changes | {"epochs": planned.epochs} | dict(planned.changes)
    recipe = overridden(named_recipe("cifar"), settings)
    keras.backend.clear_session()
    keras.utils.set_random_seed(recipe.seed)
    model, record = network(planned.model, source.classes)
    data = Pictures(source, record, recipe)
    where = folder / planned.name
    found = train(model, data, recipe, where, resume=True, said={"plan": planned.name})
    counted, last = cost(model), found.history[-1]
    low, high = wilson(round(found.tests * (1 - last["test_error"] / 100)), found.tests)
    row = {
        "run": planned.name,
        "model": planned.model,
        "top1": f"{100 - last['test_error']:.2f}",
        "low": f"{100 * low:.2f}",
        "high": f"{100 * high:.2f}",
        "test_loss": last["test_loss"],
        "train_error": f"{last['train_error']:.2f}",
        "epochs": recipe.epochs,
        "params": counted.params,
        "macs": counted.macs,
        "lr": recipe.lr,
        "weight_decay": recipe.weight_decay,
        "batch": recipe.batch,
        "cutmix": recipe.augmentation.cutmix,
        "seed": recipe.seed,
        "seconds": f"{sum(line['seconds'] for line in found.history):.0f}",
        "reading": found.reading.kind,
    }
    print(row, flush=True)
    results.record("cifar", [row], ("run",))
    curve = [{"run": planned.name, **line} for line in found.history]
    results.record("cifar_curves", curve, ("run", "epoch"))


def ship(folder: Path) -> None:
    """Writes the weights of the long run into the package, and tells the digest that its card needs.

    Kernels are in half precision; batch norm's numbers are not, for variances may be too small.
    """
    model = keras.models.load_model(folder / "long" / LAST, compile=False)
    halved = {
        name: value.astype(np.float16) if name.endswith("/kernel") else value
        for name, value in checkpoint.tensors_of(model).items()
    }
    said = json.loads((folder / "long" / SUMMARY).read_text(encoding="utf-8"))
    about = {
        "model": OWN,
        "recipe": json.dumps(said["recipe"]),
        "result": json.dumps(said["last"]),
        "versions": said["versions"],
        "licence": "Apache-2.0",
    }
    path = Path(newnet_tf.__file__).parent / "weights" / SHIPPED
    path.parent.mkdir(exist_ok=True)
    checkpoint.write(path, halved, about)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"wrote {path}, {path.stat().st_size / 1e6:.2f} MB; for its card: {sha256=}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cifar10", help="CIFAR-10: a tarball, or its TFDS name")
    parser.add_argument("--data-dir", help="where tensorflow-datasets' sets lie")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/cifar"))
    parser.add_argument("--only", choices=[planned.name for planned in PLAN], action="append")
    parser.add_argument("--set", action="append", default=[], help="as in `newnet train`")
    parser.add_argument("--ship", action="store_true", help="write the package's weights file")
    arguments = parser.parse_args()
    if arguments.ship:
        ship(arguments.output)
        return
    source = open_source(arguments.data, data_dir=arguments.data_dir)
    for planned in PLAN:
        if not arguments.only or planned.name in arguments.only:
            run(planned, source, arguments.output, parsed(arguments.set))


if __name__ == "__main__":
    main()

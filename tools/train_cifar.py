"""The talk's process on small data: networks trained on CIFAR-10 under the same settings.

    python tools/train_cifar.py --data cifar-10-binary.tar.gz -o runs/cifar              # what is left
    python tools/train_cifar.py --data cifar-10-binary.tar.gz -o runs/cifar --only long  # one run
    python tools/train_cifar.py -o runs/cifar --record                                   # the figures
    python tools/train_cifar.py -o runs/cifar --ship                                     # the weights

Every run is one of `newnet train`'s: its curves are kept, and an ended one goes on where it was. With
Keras on JAX or PyTorch it needs no TensorFlow, and several runs may share a GPU. `--record` makes
rows of `newnet_tf/results/cifar.csv` and `cifar_curves.csv` of the runs that are complete. `--set
lr=...,weight_decay=...` is for all of them, from a study (`newnet study`) before, whose folder
`--studied` records as `cifar_study.csv`.
"""

import argparse
import csv
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import newnet_tf
from newnet_tf import results
from newnet_tf.data.datasets.tar import archive_arrays
from newnet_tf.evaluation.intervals import wilson
from newnet_tf.models.cifar_stem import small_preprocess
from newnet_tf.profiling.cost import cost
from newnet_tf.training import ArrayLoader, get_recipe, override, train, with_stride1_stem
from newnet_tf.training.compilation import build_model
from newnet_tf.training.curves import read_history
from newnet_tf.training.overrides import parsed
from newnet_tf.training.torch_backend import make_torch_evaluator, torch_train_step
from newnet_tf.training.trainer import LAST, SUMMARY
from newnet_tf.training.tuning import summary
from newnet_tf.weights import reader

OWN = "newnet_small_cifar"
SHIPPED = f"shipped/{OWN}.cifar10.safetensors"
HALVED = "halved.safetensors"


@dataclass(frozen=True)
class Planned:
    """One run: its name, network, whether it is long, and what it changes of the shared settings."""

    name: str
    model: str
    is_long: bool = False
    changes: tuple[tuple[str, object], ...] = ()


COMPARED = (
    "mobilenet_v2_100",
    "mnasnet_a1",
    "mobilenet_v3_large",
    "rexnet_lite_100",
    "efficientnet_b0",
)
PLAN = (
    Planned("long", OWN, True),
    Planned("newnet_small", OWN),
    Planned("newnet_small.cutmix", OWN, False, (("augmentation.cutmix_alpha", 1.0),)),
    *(Planned(name, name) for name in COMPARED),
    Planned("mobilenet_v2_100.again", "mobilenet_v2_100", False, (("seed", 1),)),
)


def network(name: str, classes: int, weights: Path | None = None):
    """Returns a network for 32 x 32 images, giving logits, and its preprocessing."""
    own = newnet_tf.card(OWN).preprocess
    options = {"weights": weights, "classes": classes, "classifier_activation": None}
    if name == OWN:
        return newnet_tf.create(name, **options), own
    large = newnet_tf.create(name, input_shape=(2 * own.size, 2 * own.size, 3), **options)
    return with_stride1_stem(large), small_preprocess(newnet_tf.card(name).preprocess, own.size)


def run(planned: Planned, data, folder: Path, settings, limit: int | None, threads: int) -> None:
    """Does one run, or what is left of it."""
    names, splits = data
    recipe = override(get_recipe("cifar"), settings | dict(planned.changes))
    preprocess = []

    def build(_):
        model, record = network(planned.model, len(names))
        preprocess.append(record)
        return model

    model = build_model(build, recipe)
    arrays = ArrayLoader(
        "cifar10",
        len(names),
        splits["train"],
        splits["test"],
        preprocess[0],
        recipe,
        limit=limit,
        test_batch=1000,
        threads=threads,
    )
    said = {"plan": planned.name, "device": device(), "backend": keras.backend.backend()}
    is_torch = keras.backend.backend() == "torch"
    train(
        model,
        arrays,
        recipe,
        folder / planned.name,
        resume=True,
        checkpoint_every=10**6,
        metadata=said,
        make_step=torch_train_step if is_torch else None,
        make_evaluator=make_torch_evaluator if is_torch else None,
    )
    halve(folder / planned.name)


def device() -> str:
    """Returns the name of the accelerator that Keras computes on, or "cpu"."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return "gpu" if keras.distribution.list_devices("gpu") else "cpu"


def halve(folder: Path) -> None:
    """Writes the weights of a complete run with kernels in half precision.

    Batch norm's numbers stay as they are, for variances may be too small.
    """
    model = keras.models.load_model(folder / LAST, compile=False)
    halved = {
        name: value.astype(np.float16) if name.endswith("/kernel") else value
        for name, value in reader.tensors_of(model).items()
    }
    said = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    about = {
        "model": model.name,
        "recipe": json.dumps(said["recipe"]),
        "result": json.dumps(said["last"]),
        "versions": said["versions"],
        "device": said["device"],
        "license": "Apache-2.0",
    }
    reader.write(folder / HALVED, halved, about)


def record(folder: Path, planned: Planned) -> None:
    """Writes the row and the curve of a complete run."""
    said = json.loads((folder / planned.name / SUMMARY).read_text(encoding="utf-8"))
    if not said["complete"]:
        raise ValueError(f"a run must be complete. Received: {folder / planned.name}")
    model, _ = network(planned.model, said["data"]["classes"])
    counted, last, tests = cost(model), said["last"], said["data"]["test"]
    low, high = wilson(round(tests * (1 - last["test_error"] / 100)), tests)
    recipe = said["recipe"]
    row = {
        "run": planned.name,
        "model": planned.model,
        "top1": f"{100 - last['test_error']:.2f}",
        "low": f"{100 * low:.2f}",
        "high": f"{100 * high:.2f}",
        "test_loss": last["test_loss"],
        "train_error": f"{last['train_error']:.2f}",
        "epochs": recipe["epochs"],
        "images": said["data"]["train"],
        "params": counted.params,
        "macs": counted.macs,
        "lr": recipe["lr"],
        "weight_decay": recipe["weight_decay"],
        "batch": recipe["batch"],
        "dtype": recipe["dtype"],
        "cutmix": recipe["augmentation.cutmix_alpha"],
        "seed": recipe["seed"],
        "seconds": f"{said['seconds']:.0f}",
        "reading": said["reading"],
        "backend": said["backend"],
        "device": said["device"],
    }
    print(row, flush=True)
    stamp = {"machine": said["machine"], "versions": said["versions"]}
    results.record("cifar", [row], ("run",), stamp=stamp)
    curve = [{"run": planned.name, **line} for line in read_history(folder / planned.name)]
    results.record("cifar_curves", curve, ("run", "epoch"), stamp=stamp)


def record_study(folder: Path) -> None:
    """Writes the rows of a study of learning rate and weight decay."""
    with (folder / summary.TABLE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    results.record("cifar_study", rows, ("lr", "weight_decay"))


def ship(folder: Path) -> None:
    """Puts the weights of the long run into the package, and tells the digest that its card needs."""
    data = (folder / "long" / HALVED).read_bytes()
    path = Path(newnet_tf.__file__).parent / "weights" / SHIPPED
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    print(f"wrote {path}, {len(data) / 1e6:.2f} MB; for its card: {sha256=}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    plans = {planned.name: planned for planned in PLAN}
    parser.add_argument(
        "--data", type=Path, help="CIFAR-10 as a tarball: its binary version, or images"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/cifar"))
    parser.add_argument("--only", choices=list(plans), action="append", metavar="RUN")
    parser.add_argument(
        "--also", action="append", choices=newnet_tf.list_models(), metavar="NETWORK",
        help="instead of the plan, a network that is not in it; for tools.measure_quantization",
    )  # fmt: skip
    parser.add_argument("--set", action="append", default=[], help="as in `newnet train`")
    parser.add_argument("--long", type=int, default=10, help="epochs of the long run; default: 10")
    parser.add_argument("--short", type=int, default=3, help="epochs of all others; default: 3")
    parser.add_argument("--limit", type=int, help="train on so many images; default: all")
    parser.add_argument("--threads", type=int, default=2, help="that make batches; default: 2")
    parser.add_argument(
        "--together", action="store_true", help="all runs at once, a process each (not with --only)"
    )
    parser.add_argument("--record", action="store_true", help="write figures of complete runs")
    parser.add_argument("--studied", type=Path, help="write figures of this study's folder")
    parser.add_argument("--ship", action="store_true", help="write the package's weights file")
    arguments = parser.parse_args()
    chosen = [plans[name] for name in arguments.only or plans]
    if arguments.also:
        chosen = [Planned(name, name) for name in arguments.also]
    if arguments.studied:
        record_study(arguments.studied)
    elif arguments.ship:
        ship(arguments.output)
    elif arguments.record:
        for planned in chosen:
            record(arguments.output, planned)
    elif arguments.together:
        run_together([planned.name for planned in chosen])
    else:
        data = archive_arrays(arguments.data)
        for planned in chosen:
            epochs = arguments.long if planned.is_long else arguments.short
            settings = parsed(arguments.set) | {"epochs": epochs}
            run(planned, data, arguments.output, settings, arguments.limit, arguments.threads)


def run_together(names: list[str]) -> None:
    """Does runs at once, each by this very command in a process of its own.

    Raises:
        SystemExit: where one failed, after all have ended.
    """
    command = [
        sys.executable,
        *(word for word in sys.argv if word not in ("--together", "--study")),
    ]
    processes = {name: subprocess.Popen([*command, "--only", name]) for name in names}
    failed = [name for name, process in processes.items() if process.wait()]
    if failed:
        raise SystemExit(f"runs must end well. Received: failures of {', '.join(failed)}")


if __name__ == "__main__":
    main()

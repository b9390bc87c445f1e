"""The talk's process on small data: models trained on CIFAR-10 with the same hyperparameters.

    python tools/train_cifar.py --data cifar-10-binary.tar.gz -o runs/cifar              # all runs
    python tools/train_cifar.py --data cifar-10-binary.tar.gz -o runs/cifar --only long  # one run
    python tools/train_cifar.py -o runs/cifar --save-results                             # the figures
    python tools/train_cifar.py -o runs/cifar --ship                                     # the weights

Each run is a training run as of `newnet train`: it has curves, and an interrupted one resumes. With
Keras on JAX or PyTorch it needs no TensorFlow, and several runs may share a GPU. `--save-results`
writes the complete runs into `newnet_tf/results/cifar.csv` and `cifar_curves.csv`. `--set
lr=...,weight_decay=...` applies to all runs; the values come from a search (`newnet tune`), whose
folder `--tuning` writes into `cifar_tuning.csv`.
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

import newnet_tf
from newnet_tf import results
from newnet_tf.data.array_loader import ArrayLoader
from newnet_tf.data.datasets.tar import archive_arrays
from newnet_tf.evaluation.intervals import wilson
from newnet_tf.models.cifar_stem import small_preprocess, with_stride1_stem
from newnet_tf.profiling.cost import cost
from newnet_tf.training import fit, get_recipe, override
from newnet_tf.training.compilation import build_model
from newnet_tf.training.history import read_history
from newnet_tf.training.overrides import parse_overrides
from newnet_tf.training.run import LAST, SUMMARY
from newnet_tf.training.torch_backend import make_torch_evaluator, torch_train_step
from newnet_tf.training.tuning import summary
from newnet_tf.weights import reader

OWN = "newnet_small_cifar"
SHIPPED = f"shipped/{OWN}.cifar10.safetensors"
HALVED = "halved.safetensors"


@dataclass(frozen=True)
class Planned:
    """One run: its name, model, whether it is long, and its changes of the shared recipe."""

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
    """Returns a model for 32 x 32 images that gives logits, and its preprocessing."""
    own = newnet_tf.model_card(OWN).preprocess
    options = {"weights": weights, "classes": classes, "classifier_activation": None}
    if name == OWN:
        return newnet_tf.create_model(name, **options), own
    large = newnet_tf.create_model(
        name, input_shape=(2 * own.image_size, 2 * own.image_size, 3), **options
    )
    return with_stride1_stem(large), small_preprocess(
        newnet_tf.model_card(name).preprocess, own.image_size
    )


def run(
    planned: Planned, data, folder: Path, settings, max_samples: int | None, threads: int
) -> None:
    """Trains one model, or resumes its run."""
    names, splits = data
    recipe = override(get_recipe("cifar"), settings | dict(planned.changes))
    preprocess = []

    def build(_):
        model, config = network(planned.model, len(names))
        preprocess.append(config)
        return model

    model = build_model(build, recipe)
    arrays = ArrayLoader(
        "cifar10",
        len(names),
        splits["train"],
        splits["test"],
        preprocess[0],
        **recipe.loader_options(),
        max_samples=max_samples,
        eval_batch_size=1000,
        threads=threads,
    )
    metadata = {"plan": planned.name, "device": device(), "backend": keras.backend.backend()}
    is_torch = keras.backend.backend() == "torch"
    fit(
        model,
        arrays,
        recipe,
        folder / planned.name,
        resume=True,
        checkpoint_every=10**6,
        metadata=metadata,
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
    """Writes the weights of a complete run with kernels in half precision."""
    model = keras.models.load_model(folder / LAST, compile=False)
    outcome = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    metadata = {
        "model": model.name,
        "recipe": json.dumps(outcome["recipe"]),
        "result": json.dumps(outcome["last"]),
        "versions": outcome["versions"],
        "device": outcome["device"],
        "license": "Apache-2.0",
    }
    halved = reader.half_kernels(reader.tensors_of(model))
    reader.write(folder / HALVED, halved, metadata)


def save_results(folder: Path, planned: Planned) -> None:
    """Writes the row and the curve of a complete run."""
    outcome = json.loads((folder / planned.name / SUMMARY).read_text(encoding="utf-8"))
    if not outcome["complete"]:
        raise ValueError(f"a run must be complete. Received: {folder / planned.name}")
    model, _ = network(planned.model, outcome["data"]["classes"])
    counted, last, tests = cost(model), outcome["last"], outcome["data"]["test"]
    low, high = wilson(round(tests * (1 - last["test_error"] / 100)), tests)
    recipe = outcome["recipe"]
    row = {
        "run": planned.name,
        "model": planned.model,
        "top1": f"{100 - last['test_error']:.2f}",
        "low": f"{100 * low:.2f}",
        "high": f"{100 * high:.2f}",
        "test_loss": last["test_loss"],
        "train_error": f"{last['train_error']:.2f}",
        "epochs": recipe["epochs"],
        "images": outcome["data"]["train"],
        "params": counted.params,
        "macs": counted.macs,
        "lr": recipe["lr"],
        "weight_decay": recipe["weight_decay"],
        "batch_size": recipe["batch_size"],
        "dtype": recipe["dtype"],
        "cutmix": recipe["augmentation.cutmix_alpha"],
        "seed": recipe["seed"],
        "seconds": f"{outcome['seconds']:.0f}",
        "diagnosis": outcome["diagnosis"],
        "backend": outcome["backend"],
        "device": outcome["device"],
    }
    print(row, flush=True)
    stamp = {"machine": outcome["machine"], "versions": outcome["versions"]}
    results.record("cifar", [row], ("run",), stamp=stamp)
    curve = [{"run": planned.name, **line} for line in read_history(folder / planned.name)]
    results.record("cifar_curves", curve, ("run", "epoch"), stamp=stamp)


def save_tuning(folder: Path) -> None:
    """Writes the rows of a search of learning rate and weight decay."""
    with (folder / summary.TABLE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    results.record("cifar_tuning", rows, ("lr", "weight_decay"))


def ship(folder: Path) -> None:
    """Copies the weights of the long run into the package, and prints the digest for its card."""
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
        "--also", action="append", choices=newnet_tf.list_models(), metavar="MODEL",
        help="in place of the plan, a model that is not in it; for tools.measure_quantization",
    )  # fmt: skip
    parser.add_argument("--set", action="append", default=[], help="as in `newnet train`")
    parser.add_argument("--long", type=int, default=10, help="epochs of the long run; default: 10")
    parser.add_argument("--short", type=int, default=3, help="epochs of all others; default: 3")
    parser.add_argument("--max-samples", type=int, help="training images; default: all")
    parser.add_argument("--threads", type=int, default=2, help="of the loader; default: 2")
    parser.add_argument(
        "--parallel", action="store_true", help="all runs at once, a process each (not with --only)"
    )
    parser.add_argument("--save-results", action="store_true", help="write complete runs")
    parser.add_argument("--tuning", type=Path, help="write the trials in this folder")
    parser.add_argument("--ship", action="store_true", help="write the package's weights file")
    arguments = parser.parse_args()
    chosen = [plans[name] for name in arguments.only or plans]
    if arguments.also:
        chosen = [Planned(name, name) for name in arguments.also]
    if arguments.tuning:
        save_tuning(arguments.tuning)
    elif arguments.ship:
        ship(arguments.output)
    elif arguments.save_results:
        for planned in chosen:
            save_results(arguments.output, planned)
    elif arguments.parallel:
        run_parallel([planned.name for planned in chosen])
    else:
        data = archive_arrays(arguments.data)
        for planned in chosen:
            epochs = arguments.long if planned.is_long else arguments.short
            settings = parse_overrides(arguments.set) | {"epochs": epochs}
            run(planned, data, arguments.output, settings, arguments.max_samples, arguments.threads)


def run_parallel(names: list[str]) -> None:
    """Does all runs at once, each in a process of its own.

    Raises:
        SystemExit: if one failed, after all have ended.
    """
    command = [sys.executable, *(word for word in sys.argv if word != "--parallel")]
    processes = {name: subprocess.Popen([*command, "--only", name]) for name in names}
    failed = [name for name, process in processes.items() if process.wait()]
    if failed:
        raise SystemExit(f"all runs must succeed. Received: failures of {', '.join(failed)}")


if __name__ == "__main__":
    main()

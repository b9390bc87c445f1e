"""Studies small enough for a test, in processes of their own that can be killed.

`python tiny_study.py quick FOLDER PAUSE` takes part in a study whose runs are made up: they tell that
they begin, write down who began and ended them, and take a while. `python tiny_study.py real IMAGES
FOLDER` trains the network of `tiny_run`, and tells each step. Both say "ready", and begin when they
are sent a line.
"""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import tiny_run

GRID = {"lr": [0.01, 0.03, 0.1], "weight_decay": [0.0, 1e-5, 1e-4, 1e-3]}
FEW = {"lr": [0.02, 0.05], "weight_decay": [0.0, 1e-3]}
TWO = {"lr": [0.02, 0.05]}
FACTS = {"source": "made", "classes": 4}
LOG = "log"


def made_up(pause: float):
    """Returns what stands for `train`: a run of a known error that takes a while."""

    def run(model, data, recipe, folder, **options):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG).open("a") as file:
            print("begun", os.getpid(), file=file, flush=True)
            print("begun", flush=True)
            time.sleep(pause)
            print("ended", os.getpid(), file=file, flush=True)
        error = 10 + 100 * abs(recipe.lr - 0.03) + 1000 * abs(recipe.weight_decay - 1e-4)
        return SimpleNamespace(
            history=[{"test_error": error, "test_loss": error / 10, "seconds": pause}]
        )

    return run


def quick(
    folder: Path,
    over=GRID,
    pause: float = 0.0,
    recipe=None,
    data_facts=FACTS,
    run=None,
    **options,
):
    """Takes part in a study without Keras and drawings; returns its outcome."""
    from newnet_tf.training.tuning import tune

    model = SimpleNamespace(name="tiny")
    data = SimpleNamespace(facts=data_facts, tests=1000)
    with (
        patch.object(tune, "train", run or made_up(pause)),
        patch.object(tune, "built", lambda build, made: model),
        patch.object(tune, "check", lambda *_: None),
        patch.object(tune, "described", vars),
        patch.object(tune.summary, "write_drawing", lambda outcome: None),
    ):
        made = recipe or tiny_run.recipe()
        return tune.tune(None, lambda _: data, made, folder, over, **options)


def real(images: Path, folder: Path, over=TWO, **options):
    """Takes part in a study of real runs of one epoch; returns its outcome."""
    from newnet_tf.training import tune

    return tune(
        lambda _: tiny_run.network(),
        lambda made: tiny_run.loader(images, made),
        tiny_run.recipe(epochs=1),
        folder,
        over,
        checkpoint_every=2,
        **options,
    )


def slow_step(trained):
    """Returns a step that tells when it is done, and takes its time over it."""
    step, done = plain_step(trained), 0

    def slow(images, targets):
        nonlocal done
        found, done = step(images, targets), done + 1
        print(f"step {done}", flush=True)
        time.sleep(tiny_run.PAUSE)
        return found

    return slow


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    from newnet_tf.training import trainer

    plain_step, trainer.single_step = trainer.single_step, slow_step
    print("ready", flush=True)
    sys.stdin.readline()
    if sys.argv[1] == "quick":
        quick(Path(sys.argv[2]), pause=float(sys.argv[3]))
    else:
        real(Path(sys.argv[2]), Path(sys.argv[3]))

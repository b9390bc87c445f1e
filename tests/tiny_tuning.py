"""Searches small enough for a test, in processes of their own that can be killed.

`python tiny_tuning.py quick FOLDER PAUSE` takes part in a search whose runs are made up: they print
that they begin, log who began and ended them, and take a while. `python tiny_tuning.py real FOLDER`
trains the network of `tiny_run`, and prints each step. Both print "ready", and begin when they are sent
a line.
"""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import tiny_run

from newnet_tf.classification.task import Classification

GRID = {"lr": [0.01, 0.03, 0.1], "weight_decay": [0.0, 1e-5, 1e-4, 1e-3]}
FEW = {"lr": [0.02, 0.05], "weight_decay": [0.0, 1e-3]}
TWO = {"lr": [0.02, 0.05]}
FINGERPRINT = {"dataset": "made", "classes": 4}
LOG = "log"


def made_up(pause: float):
    """Returns what replaces `fit`: a run of a known error that takes a while."""

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


class UncheckedClassification(Classification):
    """Classification without a look at the model, which is not there."""

    def check(self, model, dataset):
        pass


def quick(
    folder: Path,
    search_space=GRID,
    pause: float = 0.0,
    recipe=None,
    data_fingerprint=FINGERPRINT,
    run=None,
    **options,
):
    """Takes part in a search without Keras and figures; returns its result."""
    from newnet_tf.training.tuning import trial_runner

    model = SimpleNamespace(name="tiny")
    loader = SimpleNamespace(fingerprint=data_fingerprint, num_eval_samples=1000)
    with (
        patch.object(trial_runner, "fit", run or made_up(pause)),
        patch.object(trial_runner, "build_model", lambda build, recipe: model),
        patch.object(trial_runner, "check_model", lambda *_: None),
        patch.object(trial_runner, "model_info", vars),
        patch.object(trial_runner.summary, "write_figure", lambda result: None),
    ):
        return trial_runner.run_trials(
            None,
            lambda _: loader,
            recipe or tiny_run.recipe(),
            folder,
            search_space,
            task=UncheckedClassification(),
            **options,
        )


def real(folder: Path, search_space=TWO, **options):
    """Takes part in a search of real runs of one epoch on images in memory; returns its result."""
    from newnet_tf.training import run_trials

    return run_trials(
        lambda _: tiny_run.network(),
        tiny_run.arrays,
        tiny_run.recipe(epochs=1),
        folder,
        search_space,
        checkpoint_every=2,
        **options,
    )


def slow_step(trained):
    """Returns a step that prints when it is done, and takes a while."""
    step, done = plain_step(trained), 0

    def slow(images, targets):
        nonlocal done
        values, done = step(images, targets), done + 1
        print(f"step {done}", flush=True)
        time.sleep(tiny_run.PAUSE)
        return values

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
        real(Path(sys.argv[2]))

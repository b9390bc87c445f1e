"""A run that is killed resumes from its checkpoint, and ends in the numbers of one that was not."""

import collections
import random
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy
import tiny_run

from newnet_tf.training import TrainingStopped, checkpoint, run_files, trainer
from newnet_tf.training.history import read_history

TIMED = ("seconds",)
STEPS = 12  # of a whole run: two epochs of six


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_run.make_images(tmp_path_factory.mktemp("made"))


def start(folder, *outputs):
    command = [sys.executable, tiny_run.__file__, folder, *outputs]
    return subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**__import__("os").environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


def finish(process):
    """Returns how many steps the child did in each folder, by name."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return collections.Counter(line.partition(":")[0] for line in out.splitlines())


def kill(process, steps, delay):
    """Kills a child `delay` seconds after it has done so many steps."""
    for _ in range(steps):
        assert ": step " in process.stdout.readline()
    time.sleep(delay)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -9


def arrays(output):
    return safetensors.numpy.load_file(output / checkpoint.NAME)


def timeless(output):
    return [{k: v for k, v in row.items() if k not in TIMED} for row in read_history(output)]


@pytest.mark.parametrize("kills", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_it_ends_as_if_never_killed(folder, tmp_path, kills):
    """SIGKILL at moments drawn by a seed, in the middle of a step or of writing a checkpoint."""
    draw = random.Random(4)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for _ in range(kills):
        kill(start(folder, broken), draw.randint(3, 5), draw.uniform(0, 2 * tiny_run.PAUSE))
    assert not (broken / "last.keras").exists()
    done = finish(start(folder, broken, whole))
    assert done["whole"] == STEPS
    assert 0 < done["broken"] <= STEPS - 2 * kills
    expected, found = arrays(whole), arrays(broken)
    assert expected.keys() == found.keys()
    assert any("momentum" in key for key in expected)
    assert any("seed_generator" in key for key in expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    assert timeless(broken) == timeless(whole)
    networks = [keras.models.load_model(path / "last.keras") for path in (whole, broken)]
    for one, other in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not [path for path in broken.iterdir() if path.name.startswith(".") and path.suffix]


@pytest.fixture
def begun(tmp_path):
    """A run that stopped after its fourth step: (data, recipe, output)."""
    made = tiny_run.recipe()
    data, output = tiny_run.arrays(made), tmp_path / "run"

    def stopping(trained):
        step, done = trainer.single_step(trained), 0

        def until(images, targets):
            nonlocal done
            done += 1
            if done > 4:
                raise KeyboardInterrupt
            return step(images, targets)

        return until

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(tiny_run.network(), data, made, output, checkpoint_every=2, make_step=stopping)
    return data, made, output


def test_another_run_is_refused_and_named(begun):
    data, made, output = begun
    before = (output / checkpoint.NAME).read_bytes()
    events = list((output / "tensorboard").iterdir())
    with pytest.raises(ValueError, match=r"--resume.*Received: "):
        trainer.fit(tiny_run.network(), data, made, output)
    other = tiny_run.recipe(lr=0.01, epochs=4)
    with pytest.raises(ValueError, match=r"recipe\.lr 0\.05, now 0\.01; recipe\.epochs 3, now 4$"):
        trainer.fit(tiny_run.network(), data, other, output, resume=True)
    fewer = tiny_run.arrays(made, max_samples=16)
    with pytest.raises(ValueError, match=r"data\.train 48, now 16$"):
        trainer.fit(tiny_run.network(), fewer, made, output, resume=True)
    with pytest.raises(ValueError, match=r"the variables of tiny\. Received: others, as "):
        trainer.fit(tiny_run.network(dropout=0), data, made, output, resume=True)
    assert (output / checkpoint.NAME).read_bytes() == before
    assert list((output / "tensorboard").iterdir()) == events
    (output / checkpoint.NAME).write_bytes(before[:-7])
    with pytest.raises(ValueError, match=r"checkpoint of `newnet train`\. Received"):
        trainer.fit(tiny_run.network(), data, made, output, resume=True)


def test_only_one_process_trains_in_a_folder(begun):
    data, made, output = begun
    with run_files.exclusive_lock(output), pytest.raises(TrainingStopped, match="in use"):
        trainer.fit(tiny_run.network(), data, made, output, resume=True)

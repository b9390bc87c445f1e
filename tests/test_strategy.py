"""Several devices or processes train as one with the global batch; if a worker dies, all end.

TensorFlow's devices and workers are set up once in a process: `strategy_child` does what needs one of
its own, in as few processes as can be. Two workers are quick; two devices in one process, which take
the same step, and resuming (`test_training_resume` does so with one worker) are slow.
"""

import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy
import strategy_child
import tiny_run

from newnet_tf.cli import main
from newnet_tf.data import image_loader
from newnet_tf.training import checkpoint, trainer
from newnet_tf.training.distributed import cluster, strategy
from newnet_tf.training.history import read_history

BOUND = 1e-5  # of the largest number of an array
HALF = 2**-10  # float16 has 11 bits
LONGEST = 600  # seconds that a child may take on a busy machine
GONE = 120  # seconds in which the others must have ended after a worker died
STEPS, KILLED_AT = 12, 7
TIMED = "seconds"
PAIR = "10.0.0.1:2222,10.0.0.2:2222"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_run.make_images(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def start(folder, output):
    """Starts children that do not outlive the tests: (kind, name of the output, runs) -> process."""
    root = Path(__file__).parents[1]
    environment = {k: v for k, v in os.environ.items() if k != cluster.VARIABLE}
    with contextlib.ExitStack() as stack:

        def started(kind, name, *runs):
            command = [sys.executable, strategy_child.__file__, kind, folder, output / name, *runs]
            process = subprocess.Popen(
                [*map(str, command)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=root,
                env=environment | {"PYTHONPATH": str(root)},
            )
            limit = threading.Timer(LONGEST, process.kill)
            limit.start()
            stack.callback(process.communicate)
            stack.callback(process.kill)
            stack.callback(limit.cancel)
            return process

        yield started


def start_two(start, *runs):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        workers = ",".join(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    return [start(f"{workers}/{index}", f"worker{index}", *runs) for index in range(2)]


def finish(*processes):
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 0, err
    return out


@pytest.fixture(scope="module")
def one(folder, output):
    """A function from a run's name to what one device, in this process, leaves of it."""

    @functools.cache
    def left(name):
        strategy_child.do_run(name, folder, output / "one")
        return arrays(output / "one" / f"{name}.npz")

    return left


@pytest.fixture(scope="module")
def killed(start, output):
    """Two workers of which the second is killed: (what the first said, after how many seconds)."""
    chief, second = start_two(start, "plain", "killed")
    for line in second.stdout:
        if line == f"killed {KILLED_AT}\n":
            break
    second.kill()
    began = time.monotonic()
    said = chief.communicate(timeout=GONE)[1]
    assert chief.returncode == 1
    return said, time.monotonic() - began


@pytest.fixture(scope="module")
def resumed(start, killed):
    """Two workers that go on with the killed run, and do the same without a break: what one said."""
    return finish(*start_two(start, "killed", "whole", "half", "differences"))


def arrays(path):
    """Returns what a child left."""
    with np.load(path) as found:
        return dict(found)


def assert_close(found, expected, bound):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        most = bound * np.abs(value).max()
        np.testing.assert_allclose(found[key], value, rtol=0, atol=most, err_msg=key)


@pytest.mark.slow
def test_two_devices_train_as_one_with_the_global_batch(start, one, output):
    """With AdamW and a running average."""
    child = start("mirrored", "mirrored", "average", "devices")
    expected = one("average")
    finish(child)
    found = arrays(output / "mirrored" / "average.npz")
    assert len(expected["losses"]) == STEPS
    assert_close(found, expected, BOUND)
    places = [output / place / "average" / "last.keras" for place in ("mirrored", "one")]
    saved = [keras.models.load_model(path) for path in places]
    kernels = [model.get_layer("classifier").kernel.numpy() for model in saved]
    most = BOUND * np.abs(kernels[1]).max()
    np.testing.assert_allclose(*kernels, rtol=0, atol=most)
    assert np.abs(kernels[0] - found["classifier.kernel"]).max() > 5 * most  # it is the average
    assert not saved[0].get_layer("stem_bn").synchronized


def test_two_workers_train_as_one_with_the_global_batch(one, killed, output):
    expected = one("plain")
    assert len(expected["losses"]) == STEPS
    for worker in ("worker0", "worker1"):
        assert_close(arrays(output / worker / "plain.npz"), expected, BOUND)


def test_the_chief_alone_writes(killed, output):
    files = {path.name for path in (output / "worker0" / "plain").iterdir()}
    assert {"best.keras", "checkpoint.safetensors", "history.csv", "last.keras"} < files
    assert not (output / "worker1" / "plain").exists()


def test_a_worker_that_dies_ends_the_others(killed):
    said, seconds = killed
    assert (
        "all workers must stay until the end of a run. Start all of them again with --resume"
        in said
    )
    assert seconds < GONE


@pytest.mark.slow
def test_killed_and_resumed_it_ends_as_if_never_killed(killed, resumed, output):
    whole, broken = (output / "worker0" / name for name in ("whole", "killed"))
    assert 0 < resumed.count("killed ") <= STEPS - KILLED_AT + 2
    states = [safetensors.numpy.load_file(path / checkpoint.NAME) for path in (whole, broken)]
    assert states[0].keys() == states[1].keys()
    assert any("seed_generator" in key for key in states[0])
    for key, value in states[0].items():
        np.testing.assert_array_equal(states[1][key], value, err_msg=key)
    rows = [
        [{k: v for k, v in row.items() if k != TIMED} for row in read_history(path)]
        for path in (whole, broken)
    ]
    assert rows[0] == rows[1]
    weights = [arrays(output / f"worker{index}" / "killed.npz") for index in range(2)]
    assert_close(*weights, 0)


@pytest.mark.slow
def test_another_number_of_workers_may_go_on(resumed, folder, output):
    """Here one, with a run that two have done."""
    done, made = output / "worker0" / "whole", strategy_child.recipe("whole")
    model, data = strategy_child.network("whole", seed=9), tiny_run.loader(folder, made)
    outcome = trainer.fit(model, data, made, done, resume=True)
    assert len(outcome.history) == made.epochs
    expected = arrays(output / "worker0" / "whole.npz")
    found = strategy_child.weights(model)
    assert_close(found, {name: expected[name] for name in expected.keys() & found.keys()}, 0)


@pytest.mark.slow
def test_two_workers_train_in_half_precision(resumed, one, output):
    chief, other = (arrays(output / f"worker{index}" / "half.npz") for index in range(2))
    assert_close(other, chief, 0)
    np.testing.assert_allclose(chief["losses"][:, 0], one("half")["losses"][:, 0], rtol=HALF)


def test_workers_come_from_arguments_or_the_environment():
    listed = cluster.resolve_cluster(PAIR, 1, {})
    assert (listed.addresses, listed.index) == (("10.0.0.1:2222", "10.0.0.2:2222"), 1)
    assert cluster.resolve_cluster(environment={cluster.VARIABLE: listed.config}) == listed
    said = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "[::1]:1"]}}
    for kind, index, expected in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        text = json.dumps(said | {"task": {"type": kind, "index": index}})
        found = cluster.resolve_cluster(environment={cluster.VARIABLE: text})
        assert (found.addresses, found.index) == (("a:1", "b:1", "[::1]:1"), expected)


TASK = '{"cluster": {"worker": ["a:1"]}, "task": {"type": "%s", "index": %d}}'


@pytest.mark.parametrize(
    ("workers", "index", "text", "match"),
    [
        (None, None, None, r"--workers .* or TF_CONFIG\. Received: neither"),
        (PAIR, None, None, "given together"),
        (None, 0, None, "given together"),
        (PAIR, 2, None, "which of the 2 workers this is, from 0.*worker_index=2"),
        (PAIR, -1, None, "index=-1"),
        ("a:1,b", 0, None, "host:port,host:port.*'b'"),
        ("a:1,b:70000", 0, None, "port of 1 to 65535.*'b:70000'"),
        ("a:1,a:1", 0, None, "an address of its own"),
        (PAIR, 0, TASK % ("worker", 0), "given once"),
        (None, None, "{", "TF_CONFIG must be {.*Received: '{'"),
        (None, None, TASK % ("ps", 0), "chief or worker of its cluster.*ps 0"),
        (None, None, TASK % ("worker", 1), "chief or worker of its cluster.*worker 1"),
    ],
)
def test_workers_that_cannot_be_are_refused(workers, index, text, match):
    with pytest.raises(ValueError, match=match):
        cluster.resolve_cluster(workers, index, {cluster.VARIABLE: text} if text else {})


def test_what_cannot_be_is_refused(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(cluster.VARIABLE, raising=False)
    keras.ops.ones(1)
    with pytest.raises(ValueError, match="before TensorFlow computes anything"):
        strategy.multiworker(PAIR, 0)
    assert cluster.VARIABLE not in os.environ
    with pytest.raises(ValueError, match="must have GPUs"):
        strategy.mirrored()
    made = tiny_run.recipe()
    part = tiny_run.loader(folder, made, num_shards=2, shard_index=0)
    with pytest.raises(ValueError, match=r"a shard for each of the 1 workers.*num_shards=2"):
        trainer.fit(tiny_run.network(), part, made, tmp_path / "run")

    def refused(*more):
        options = ("lenet5", "--data", str(folder), "--recipe", "cifar")
        assert main(["train", *options, *more]) == 1
        return capsys.readouterr().err

    assert "must come with strategy='multiworker'" in refused("--worker-index", "0")
    assert "must come with" in refused("--strategy", "mirrored", "--workers", PAIR)
    assert "Received: neither" in refused("--strategy", "multiworker")
    assert "must have GPUs" in refused("--strategy", "mirrored")


def test_a_share_whose_batch_is_unreadable_keeps_step():
    assert list(image_loader.repeat_last(iter("ab"), 4)) == ["a", "b", "b", "b"]
    assert list(image_loader.repeat_last(iter("abc"), 2)) == ["a", "b"]
    with pytest.raises(ValueError, match="readable image"):
        list(image_loader.repeat_last(iter(""), 2))

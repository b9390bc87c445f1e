"""A search: every setting once, by several processes, killed or not."""

import csv
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_run
import tiny_tuning
from PIL import Image

from newnet_tf.training import TrainingStopped, trainer
from newnet_tf.training.history import read_history
from newnet_tf.training.tuning.search_space import grid_points, parse_search_space
from newnet_tf.training.tuning.trial_storage import JOURNAL
from newnet_tf.training.tuning.trials import COMPLETE, FAILED

ALL = list(grid_points(parse_search_space(tiny_run.recipe(), tiny_tuning.GRID)))
DIVERGING = {"lr": [0.05, 1e30]}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search of two real runs, one of which diverges."""
    return tiny_tuning.real(tmp_path_factory.mktemp("searches") / "one", DIVERGING)


def start(*arguments):
    """Starts a process of `tiny_tuning`, and waits until it is ready."""
    root = str(Path(__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, tiny_tuning.__file__, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert process.stdout.readline() == "ready\n"
    return process


def send(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def kill(process):
    process.kill()
    process.communicate(timeout=300)
    assert process.returncode == -9


def logged(path):
    """{trial: the words of its log}"""
    return {
        log.parent.name: log.read_text().split()[::2]
        for log in (path / "trials").glob(f"*/{tiny_tuning.LOG}")
    }


def read_table(path):
    with (path / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def values(outcome):
    return sorted(tuple(tried.values.values()) for tried in outcome.trials)


def test_two_processes_share_a_grid(tmp_path):
    both = [start("quick", tmp_path, 0.03) for _ in range(2)]
    for process in both:
        send(process)
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    outcome = tiny_tuning.quick(tmp_path)
    assert values(outcome) == sorted(tuple(point.values()) for point in ALL)
    assert {tried.state for tried in outcome.trials} == {COMPLETE}
    assert list(logged(tmp_path).values()) == [["begun", "ended"]] * len(ALL)
    workers = {log.read_text().split()[1] for log in tmp_path.glob(f"trials/*/{tiny_tuning.LOG}")}
    assert workers == {str(process.pid) for process in both}
    assert outcome.best.values == {"lr": 0.03, "weight_decay": 1e-4}
    assert outcome.best.figures["test_error"] == pytest.approx(10)
    assert [row["trial"] for row in read_table(tmp_path)] == [
        str(number) for number in range(len(ALL))
    ]


def test_killed_again_and_again_a_grid_is_still_covered_once(tmp_path):
    """SIGKILL at moments drawn by a seed: within a run, a lease, or the writing of files."""
    draw = random.Random(2)
    for _ in range(3):
        process = start("quick", tmp_path, 0.2)
        send(process)
        for _ in range(draw.randint(1, 2)):
            assert process.stdout.readline() == "begun\n"
        time.sleep(draw.uniform(0, 0.25))
        kill(process)
    outcome = tiny_tuning.quick(tmp_path)
    assert values(outcome) == sorted(tuple(point.values()) for point in ALL)
    assert {tried.state for tried in outcome.trials} == {COMPLETE}
    words = logged(tmp_path)
    assert len(words) == len(ALL)
    assert all(found[-1] == "ended" for found in words.values())
    assert sum(found.count("begun") for found in words.values()) <= len(ALL) + 3


def counted_steps(monkeypatch, last=None):
    """Counts the steps of training in the list that it returns; ends the process's work at `last`."""
    steps = []

    def counted(trained, step=trainer.single_step):
        plain = step(trained)

        def run(*batch):
            steps.append(1)
            if len(steps) == last:
                raise KeyboardInterrupt
            return plain(*batch)

        return run

    monkeypatch.setattr(trainer, "single_step", counted)
    return steps


def check_resumed(path, monkeypatch):
    """A search of two trials whose second ended after four steps of six goes on from its checkpoint."""
    [row] = read_table(path)
    assert (row["trial"], row["state"]) == ("0", COMPLETE)
    second = json.loads((path / "trials/0001/run.json").read_text())["recipe"]
    before = (path / "trials/0000/run.json").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        steps = counted_steps(patch)
        outcome = tiny_tuning.real(path)
    assert values(outcome) == [(0.02,), (0.05,)]
    assert [tried.state for tried in outcome.trials] == [COMPLETE, COMPLETE]
    assert outcome.trials[1].values == {"lr": second["lr"]}
    assert (path / "trials/0000/run.json").stat().st_mtime_ns == before
    assert 0 < len(steps) <= 4  # what was left of the second


def test_interrupted_in_mid_trial_it_resumes_from_the_checkpoint(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        counted_steps(patch, last=6 + 5)  # a whole trial, and four steps of six of the next
        with pytest.raises(KeyboardInterrupt):
            tiny_tuning.real(tmp_path)
    check_resumed(tmp_path, monkeypatch)


@pytest.mark.slow
def test_killed_in_mid_trial_it_resumes_from_the_checkpoint(tmp_path, monkeypatch):
    process = start("real", tmp_path)
    send(process)
    for _ in range(6 + 4):
        assert process.stdout.readline().startswith("step ")
    kill(process)
    check_resumed(tmp_path, monkeypatch)


def test_a_trial_is_an_ordinary_run(searched, tmp_path):
    tried = searched.best
    made = tiny_run.recipe(epochs=1, **tried.values)
    outcome = trainer.fit(tiny_run.network(), tiny_run.arrays(made), made, tmp_path)
    [expected], [found] = (
        outcome.history,
        read_history(searched.output_dir / f"trials/{tried.number:04d}"),
    )
    for name in ("train_loss", "test_loss", "test_error"):
        assert found[name] == pytest.approx(expected[name], rel=1e-4)
    assert tried.figures == {name: found[name] for name in ("test_error", "test_loss")}
    assert tried.seconds == pytest.approx(found["seconds"])
    summary = json.loads((searched.output_dir / f"trials/{tried.number:04d}/run.json").read_text())
    assert (summary["trial"], summary["complete"]) == (tried.number, True)
    assert summary["recipe"]["lr"] == tried.values["lr"]


def test_runs_that_diverge_are_recorded_and_not_fatal(searched):
    complete, failed = searched.ranked
    assert (complete.state, failed.state) == (COMPLETE, FAILED)
    assert (complete.values, failed.values) == ({"lr": 0.05}, {"lr": 1e30})
    assert "the loss must be a finite number at epoch 1" in failed.reason
    assert (searched.best, searched.setting) == (complete, "lr=0.05")
    rows = read_table(searched.output_dir)
    assert list(rows[0]) == [
        "trial", "state", "lr", "test_error", "test_loss", "seconds", "reason",
    ]  # fmt: skip
    for row, tried in zip(rows, searched.trials, strict=True):
        assert (row["state"], row["reason"]) == (tried.state, tried.reason)
        assert row["test_error"] == ("" if tried is failed else str(tried.figures["test_error"]))
    with Image.open(searched.output_dir / "trials.png") as image:
        assert image.width > 500
    assert {path.name for path in searched.output_dir.iterdir()} == {
        ".lock", "trials", "trials.csv", "trials.journal", "trials.png",
    }  # fmt: skip


def test_settings_that_cannot_be_trained_fail_alone(tmp_path):
    """64 images, of which 48 to train on."""
    outcome = tiny_tuning.real(tmp_path, {"batch_size": [8, 64]})
    assert {t.values["batch_size"]: t.state for t in outcome.trials} == {8: COMPLETE, 64: FAILED}
    assert (
        "`batch_size` must be at most the number of training images (48" in outcome.ranked[1].reason
    )


def test_what_is_no_settings_fault_stops_the_search_and_leaves_the_trial(tmp_path, capsys):
    def full(*_, **options):
        raise TrainingStopped("there must be room for a checkpoint")

    with pytest.raises(TrainingStopped, match="room"):
        tiny_tuning.quick(tmp_path, run=full)
    assert "trial 1 of 12 (0000): lr=" in capsys.readouterr().err
    outcome = tiny_tuning.quick(tmp_path)
    said = capsys.readouterr().err
    assert "trial 1 of 12 (0000) resumes: lr=" in said
    assert said.count("resumes") == 1
    assert values(outcome) == sorted(tuple(point.values()) for point in ALL)
    assert {tried.state for tried in outcome.trials} == {COMPLETE}


def test_another_search_is_refused_and_named(tmp_path):
    tiny_tuning.quick(tmp_path, tiny_tuning.FEW)
    before = (tmp_path / JOURNAL).read_bytes()

    def refused(match, over=tiny_tuning.FEW, **options):
        with pytest.raises(ValueError, match=match):
            tiny_tuning.quick(tmp_path, over, **options)

    refused(r"recipe\.batch_size 8, now 16$", recipe=tiny_run.recipe(batch_size=16))
    refused(
        r"data\.dataset made, now other$",
        data_fingerprint={**tiny_tuning.FINGERPRINT, "dataset": "other"},
    )
    refused(r"weights none, now imagenet$", fingerprint={"weights": "imagenet"})
    refused(r"search\.metric test_error, now test_loss$", metric="test_loss")
    refused(r"search\.space .*1e-05.*$", {**tiny_tuning.FEW, "weight_decay": [1e-5, 1e-3]})
    refused(r"recipe\.lr none, now 0\.05$", {"weight_decay": [0.0, 1e-3]})
    assert (tmp_path / JOURNAL).read_bytes() == before
    (tmp_path / JOURNAL).unlink()
    refused(r"a folder of its own.*holds trials/ and no trials\.journal")
    assert len(tiny_tuning.quick(tmp_path / "own", tiny_tuning.FEW, trials=2).trials) == 2
    assert len(tiny_tuning.quick(tmp_path / "own", tiny_tuning.FEW).trials) == 4


def test_a_journal_whose_last_line_was_cut_is_mended(tmp_path):
    tiny_tuning.quick(tmp_path, trials=5)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    outcome = tiny_tuning.quick(tmp_path)
    assert values(outcome) == sorted(tuple(point.values()) for point in ALL)


def test_a_search_needs_optuna(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RuntimeError, match=r"pip install 'newnet_tf\[tune\]'\. Received: "):
        tiny_tuning.quick(tmp_path / "none")
    assert not (tmp_path / "none").exists()

"""`newnet tune`: every setting once, by several processes, killed or not; warnings about the best."""

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

from newnet_tf.cli import main
from newnet_tf.task import get_task
from newnet_tf.training import TrainingStopped, trainer
from newnet_tf.training.history import read_history
from newnet_tf.training.tuning import summary
from newnet_tf.training.tuning.search_space import (
    default_search_space,
    grid_points,
    parse_search_space,
)
from newnet_tf.training.tuning.trial_storage import JOURNAL, TrialStorage
from newnet_tf.training.tuning.trials import COMPLETE, FAILED, Trial, TuneResult

ALL = list(grid_points(parse_search_space(tiny_run.recipe(), tiny_tuning.GRID)))
DIVERGING = {"lr": [0.05, 1e30]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_run.make_images(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def searched(folder, tmp_path_factory):
    """A search of two real runs, one of which diverges."""
    return tiny_tuning.real(folder, tmp_path_factory.mktemp("searches") / "one", DIVERGING)


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


def test_killed_in_mid_trial_it_resumes_from_the_checkpoint(folder, tmp_path, monkeypatch):
    process = start("real", folder, tmp_path)
    send(process)
    for _ in range(6 + 4):  # a whole trial, and four steps of six of the next
        assert process.stdout.readline().startswith("step ")
    kill(process)
    [row] = read_table(tmp_path)
    assert (row["trial"], row["state"]) == ("0", COMPLETE)
    second = json.loads((tmp_path / "trials/0001/run.json").read_text())["recipe"]
    before, steps = (tmp_path / "trials/0000/run.json").stat().st_mtime_ns, []

    def counted(trained, step=trainer.single_step):
        plain = step(trained)
        return lambda *batch: steps.append(1) or plain(*batch)

    monkeypatch.setattr(trainer, "single_step", counted)
    outcome = tiny_tuning.real(folder, tmp_path)
    assert values(outcome) == [(0.02,), (0.05,)]
    assert [tried.state for tried in outcome.trials] == [COMPLETE, COMPLETE]
    assert outcome.trials[1].values == {"lr": second["lr"]}
    assert (tmp_path / "trials/0000/run.json").stat().st_mtime_ns == before
    assert 0 < len(steps) <= 4  # what was left of the second


def test_a_trial_is_an_ordinary_run(searched, folder, tmp_path):
    tried = searched.best
    made = tiny_run.recipe(epochs=1, **tried.values)
    outcome = trainer.fit(tiny_run.network(), tiny_run.loader(folder, made), made, tmp_path)
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


def test_settings_that_cannot_be_trained_fail_alone(folder, tmp_path):
    """64 images, of which 48 to train on."""
    outcome = tiny_tuning.real(folder, tmp_path, {"batch_size": [8, 64]})
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


def journal(path, sampler, over, planned=8):
    dimensions = parse_search_space(tiny_run.recipe(), over)
    return TrialStorage(path, dimensions, sampler, planned, 3, {})


def test_trials_left_behind_half_drawn_are_taken_up(tmp_path):
    first = journal(tmp_path, "grid", tiny_tuning.FEW, 4)
    with first.locked():
        first.study.enqueue_trial({"lr": 0.05, "weight_decay": 0.0})
        first.study.ask().suggest_categorical("lr", tiny_tuning.FEW["lr"])
        first.study.enqueue_trial({"lr": 0.02, "weight_decay": 0.0})  # and not even asked for
    second = journal(tmp_path, "grid", tiny_tuning.FEW, 4)
    leases = [second.lease() for _ in range(4)]
    assert [lease.is_resumed for lease in leases] == [True, False, False, False]
    assert [lease.values["lr"] for lease in leases[:2]] == [0.05, 0.02]
    assert len({tuple(lease.values.values()) for lease in leases}) == 4
    assert second.lease() is None
    assert journal(tmp_path, "grid", tiny_tuning.FEW, 4).lease() is None  # all are held
    leases[2].lock.release()
    assert journal(tmp_path, "grid", tiny_tuning.FEW, 4).lease().values == leases[2].values


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_draws_hang_on_seed_and_number_alone(sampler, tmp_path):
    over = {"lr": "0.02..0.4:log", "batch_size": "8..64", "optimizer": "sgd,adamw"}

    def drawn(path, processes):
        shared = [journal(path, sampler, over) for _ in range(processes)]
        leases = [shared[number % processes].lease() for number in range(8)]
        assert shared[0].lease() is None
        return [lease.values for lease in leases]

    alone, shared = drawn(tmp_path / "alone", 1), drawn(tmp_path / "shared", 2)
    assert alone == shared
    assert len({found["lr"] for found in alone}) == 8
    for found in alone:
        assert 0.02 <= found["lr"] <= 0.4
        assert found["lr"] == float(f"{found['lr']:.3g}")
        assert isinstance(found["batch_size"], int)
        assert 8 <= found["batch_size"] <= 64
        assert found["optimizer"] in ("sgd", "adamw")


def test_what_is_varied_is_read_by_the_fields_type():
    def text(**over):
        return [str(one) for one in parse_search_space(tiny_run.recipe(), over)]

    assert text(lr="0.02..0.4:log") == ["lr=0.02..0.4:log"]
    assert text(batch_size="8..64", dropout="none, 0.2") == ["batch_size=8..64", "dropout=none,0.2"]
    assert text(nesterov="true,false", seed=[1, 2]) == ["nesterov=true,false", "seed=1,2"]
    [pair] = parse_search_space(tiny_run.recipe(), {"augmentation.scale": "0.08,1/0.5,1"})
    assert pair.choices == ((0.08, 1.0), (0.5, 1.0))
    assert str(pair) == "augmentation.scale=0.08,1.0/0.5,1.0"
    [lr] = parse_search_space(tiny_run.recipe(), {"lr": "0.02..0.4"})
    assert (lr.value(0.0234567), lr.value(0.39999)) == (0.0235, 0.4)
    assert default_search_space(tiny_run.recipe(lr=0.1, weight_decay=0.0)) == {
        "lr": (0.033, 0.1, 0.3),
        "weight_decay": (0.0, 1e-5, 1e-4),
    }
    assert default_search_space(tiny_run.recipe(weight_decay=5e-4))["weight_decay"] == (
        1.7e-4,
        5e-4,
        1.5e-3,
    )


@pytest.mark.parametrize(
    ("name", "what", "match"),
    [
        ("lrr", "0.1,0.2", "Received: 'lrr'. Did you mean 'lr'"),
        ("cutmix", "0,1", "Did you mean 'augmentation.cutmix_alpha'"),
        ("lr", "0.1", r"a range, or two choices or more, each once .*Received: 0\.1$"),
        ("lr", 0.1, "two choices or more"),
        ("lr", "0.1,1e-1", "each once"),
        ("lr", "fast,slow", r"`lr` must be float\. Received: lr='fast'"),
        ("lr", "0.4..0.02", r"a range that rises .*Received: lr=0\.4\.\.0\.02"),
        ("lr", "0.1..0.2:lin", "`lr` must be float"),
        ("weight_decay", "0..0.1:log", "a range above 0 to be sampled logarithmically"),
        ("optimizer", "adamw..sgd", "`optimizer` must have choices: it is not a number"),
        ("optimizer", "sgd,adam", r"every setting must be a recipe: `optimizer` .*\(in optimizer=adam"),
        ("momentum", "0.5..1", r"lie in 0 to below 1.*\(in momentum=1\.0"),
        ("augmentation.scale", "0.1..1", "it is not a number"),
    ],
)  # fmt: skip
def test_wrong_ranges_say_what_is_known(name, what, match):
    with pytest.raises(ValueError, match=match):
        parse_search_space(tiny_run.recipe(), {name: what})


def test_a_search_needs_optuna(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RuntimeError, match=r"pip install 'newnet_tf\[tune\]'\. Received: "):
        tiny_tuning.quick(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def outcome(over, errors, *, tests=1000, epochs=9, metric="test_error", planned=None, folder=None):
    """A search with these errors (None: failed), of a grid's points, or {value: error} of a field."""
    made = tiny_run.recipe(epochs=epochs)
    varied = parse_search_space(made, over)
    settings = (
        list(grid_points(varied)) if isinstance(errors, list) else [{"lr": lr} for lr in errors]
    )
    tried = []
    for number, error in enumerate(errors if isinstance(errors, list) else errors.values()):
        known = {"number": number, "values": settings[number], "seconds": 1.0}
        if error is None:
            tried.append(Trial(**known, state=FAILED, reason="nan"))
        else:
            figures = {"test_error": error, "test_loss": error / 10}
            tried.append(Trial(**known, state=COMPLETE, figures=figures))
    return TuneResult(
        output_dir=folder,
        title="tiny on made",
        recipe=made,
        dimensions=varied,
        trials=tried,
        planned=planned or len(tried),
        task=get_task("classification"),
        metric=metric,
        mode="min",
        num_eval_samples=tests,
    )


def test_the_edge_of_what_was_tried_is_told():
    lr = {"lr": "0.05,0.1,0.2,0.4"}
    assert outcome(lr, [30, 20, 25, 40]).warnings() == []
    [low] = outcome(lr, [20, 25, 30, 40]).warnings()
    assert low.startswith("The best lr, 0.05, lies at the low end of the search space")
    [high] = outcome(lr, [40, 35, 30, 20]).warnings()
    assert high.startswith("The best lr, 0.4, lies at the high end")
    assert outcome(lr, [40, 35, 20, None]).warnings() == []  # above it, runs diverge
    assert outcome({"weight_decay": "0,1e-4,1e-3"}, [20, 30, 40]).warnings() == []
    assert outcome({"optimizer": "sgd,adamw"}, [20, 30]).warnings() == []
    assert outcome({"seed": "1,2,3"}, [20, 30, 40]).warnings() == []
    spread = {"lr": "0.01..1:log"}
    assert outcome(spread, {0.0126: 20.0, 0.1: 40.0}).warnings() == []
    [near] = outcome(spread, {0.0125: 20.0, 0.1: 40.0}).warnings()
    assert "low end" in near
    assert outcome({"lr": "0.01..1"}, {0.06: 20.0, 0.5: 40.0}).warnings() == []
    [near] = outcome({"lr": "0.01..1"}, {0.05: 20.0, 0.5: 40.0}).warnings()
    assert "low end" in near


def test_trials_within_the_interval_are_reported_as_ties():
    over = {"optimizer": "sgd,adamw", "nesterov": "true,false"}
    assert outcome(over, [20.0, 25.0, 24.0, None], tests=1000).warnings() == []
    [tie] = outcome(over, [20.0, 25.0, 22.5, None], tests=1000).warnings()
    assert tie == (
        "Best and second (trials 0 and 2) differ by 2.50 points of error, less than the 95 % "
        "interval of 1,000 images (17.64 to 22.59 %), which holds 1 of the 2 others: the "
        "difference is not significant."
    )
    assert outcome(over, [20.0, 25.0, 22.5, None], tests=2000).warnings() == []
    [short] = outcome(over, [20.0, 40.0], epochs=3).warnings()
    assert short.startswith("Early trends need not last: a run of 3 epochs")
    nothing = outcome(over, [None, None])
    assert (nothing.best, nothing.setting, nothing.warnings()) == (None, "", [])


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_grid_is_drawn_as_a_map_and_failures_are_hatched():
    over = {"lr": "0.1,0.05", "weight_decay": "1e-4,0"}
    drawn = summary.draw(outcome(over, [30.0, 20.0, None, 25.5], planned=5))
    axes, bar = drawn.axes
    assert sorted(texts(axes)) == ["20.00", "25.50", "30.00", "failed"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.05", "0.1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.0", "0.0001"]
    [where] = [text.get_position() for text in axes.texts if text.get_text() == "20.00"]
    assert where == (1, 0)
    [hatched] = [patch for patch in axes.patches if patch.get_hatch()]
    assert hatched.get_center() == pytest.approx((0, 1))
    assert bar.get_ylabel() == "test error of the last epoch (%)"
    assert drawn.get_suptitle() == "tiny on made: 3 of 5 trials"
    assert drawn.get_supxlabel().startswith("best: lr=0.1,weight_decay=0.0\nThe best lr, 0.1, lies")
    deep = summary.draw(outcome({**over, "seed": "1,2"}, [9, 8, 7, 6, 5, 4, None, None]))
    assert sorted(texts(deep.axes[0])) == ["4.00", "6.00", "8.00", "failed"]
    assert "the best of all trials with its two values, over seed" in deep.get_supxlabel()


def test_a_range_is_drawn_as_points_against_each_field(tmp_path):
    drawn = summary.draw(outcome({"lr": "0.01..1:log"}, {0.02: 30.0, 0.1: 20.0, 0.9: None}))
    [axes] = drawn.axes
    assert axes.get_xscale() == "log"
    points_, ring, failed = axes.collections
    assert sorted(map(tuple, points_.get_offsets().tolist())) == [(0.02, 30.0), (0.1, 20.0)]
    assert ring.get_offsets().tolist() == [[0.1, 20.0]]
    assert failed.get_offsets()[:, 0].tolist() == [0.9]
    linear = summary.draw(outcome({"lr": "0.01..1"}, {0.02: 30.0}, metric="test_loss"))
    assert linear.axes[0].get_xscale() == "linear"
    assert linear.axes[0].get_ylabel() == "test loss of the last epoch"
    for over, errors in (
        ({"lr": "0.01..1"}, {0.5: None}),
        ({"lr": "1,2", "epochs": "3,4"}, [None]),
    ):
        found = outcome(over, errors, folder=tmp_path)
        summary.write_figure(found)
        assert (tmp_path / "trials.png").stat().st_size > 1000
        assert summary.draw(found).get_supxlabel() == "no trial is complete"


def command(folder, output, *more):
    options = ["mobilenet_v1_025", "--cifar-stem", "--data", folder, "--recipe", "cifar"]
    few = ["--set", "batch_size=16,warmup=0", "--epochs", "1", "--max-samples", "32", "-o", output]
    return [str(part) for part in ("tune", *options, *few, *more)]


def test_the_command(folder, tmp_path, capsys):
    output = tmp_path / "cifar"
    over = ("--search", "lr=0.05,0.02", "--seed", "5")
    assert main(command(folder, output, *over, "--trials", "1")) == 0
    out, err = capsys.readouterr()
    assert "trial 1 of 1 (0000): lr=0.0" in err
    assert "epoch 1/1: train loss" in err
    lines = out.splitlines()
    assert " ".join(lines[0].split()) == "trial state lr test error % low high test loss seconds"
    assert "best by test error of the last epoch: --set lr=0.0" in out
    assert "- Early trends need not last: a run of 1 epoch" in out
    assert lines[-1] == str(output)
    assert main(command(folder, output, *over, "--trials", "1", "--json")) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [tried["state"] for tried in found["trials"]] == [COMPLETE]
    assert found["best"] == f"lr={found['trials'][0]['values']['lr']}"
    assert "trial" not in err
    summary = json.loads((output / "trials/0000/run.json").read_text())
    assert (summary["recipe_name"], summary["recipe"]["seed"]) == ("cifar", 5)

    def refused(*more):
        assert main(command(folder, output, *more)) == 1
        return capsys.readouterr().err

    assert "Did you mean 'lr'" in refused("--search", "lrr=1,2")
    assert "`--search` must be NAME=VALUE" in refused("--search", "lr")
    assert "`--search` must name a field once" in refused(
        "--search", "lr=1,2", "--search", "lr=2,3"
    )
    assert "set or varied, not both. Received: epochs" in refused("--search", "epochs=1,2")
    assert "set or varied, not both. Received: batch_size" in refused("--search", "batch_size=8,16")
    assert "a grid must have choices" in refused("--search", "lr=0.1..1", "--sampler", "grid")
    assert "`trials` (--trials) must be a positive number. Received: None" in refused(
        "--search", "lr=0.1..1"
    )
    assert "up to the grid's 2. Received: 3" in refused(*over, "--trials", "3")
    assert "up to the grid's 9. Received: 0" in refused("--set", "lr=0.05", "--trials", "0")

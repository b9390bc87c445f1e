"""The engine trains, resumes, tunes and evaluates a task that it knows by the protocol alone."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tiny_task

import newnet_tf
from newnet_tf.classification.metrics import MetricSums
from newnet_tf.task import TASKS, Metrics, Prediction, get_task
from newnet_tf.training import checkpoint, run_trials, trainer
from newnet_tf.training.curve_diagnosis import OVERFITTING, WELL, diagnose_curves
from newnet_tf.training.distributed.single_process import SingleProcess
from newnet_tf.training.evaluator import evaluate_batches
from newnet_tf.training.history import best_epoch, read_history

COLUMNS = {
    "epoch", "learning_rate", "train_loss", "train_loss_location", "train_loss_cells", "test_loss",
    "test_distance", "test_cell_error", "seconds",
}  # fmt: skip
TASK = tiny_task.task()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three epochs: its result."""
    recipe, output = tiny_task.recipe(), tmp_path_factory.mktemp("runs") / "whole"
    loader = tiny_task.loader(recipe)
    return trainer.fit(tiny_task.model(), loader, recipe, output, task=TASK)


def timeless(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_it_trains_and_logs_every_figure_by_name(run):
    assert all(set(row) == COLUMNS for row in run.history)
    assert read_history(run.output_dir) == run.history
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    for row in run.history:
        parts = row["train_loss_location"] + row["train_loss_cells"]
        assert row["train_loss"] == pytest.approx(parts, rel=1e-5)
    summary = json.loads((run.output_dir / "run.json").read_text())
    assert (summary["task"], summary["complete"]) == (tiny_task.NAME, True)
    assert (run.output_dir / "curves.png").stat().st_size > 1000


def test_the_best_checkpoint_is_that_of_its_own_metric(run):
    distances = [row["test_distance"] for row in run.history]
    assert run.best["test_distance"] == min(distances)
    model = keras.models.load_model(run.output_dir / "best.keras", compile=False)
    batches = tiny_task.loader(tiny_task.recipe()).test()
    figures = evaluate_batches(model.predict_on_batch, batches, TASK).result()
    assert figures["distance"] == pytest.approx(run.best["test_distance"], rel=1e-5)


def test_it_resumes_with_the_same_numbers(run, tmp_path):
    recipe = tiny_task.recipe()

    def interrupted(trained):
        step, done = trainer.single_step(trained), 0

        def until(images, targets):
            nonlocal done
            done += 1
            if done > 8:
                raise KeyboardInterrupt
            return step(images, targets)

        return until

    options = {"task": TASK, "checkpoint_every": 2}
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(
            tiny_task.model(),
            tiny_task.loader(recipe),
            recipe,
            tmp_path,
            make_step=interrupted,
            **options,
        )
    resumed = trainer.fit(
        tiny_task.model(seed=5), tiny_task.loader(recipe), recipe, tmp_path, resume=True, **options
    )
    for row, expected in zip(timeless(resumed.history), timeless(run.history), strict=True):
        assert row == pytest.approx(expected, rel=1e-4)
    path = tmp_path / checkpoint.NAME
    with pytest.raises(ValueError, match=rf"task {tiny_task.NAME}, now other"):
        checkpoint.restore(path, None, {"task": "other"})


def test_what_does_not_fit_is_refused_by_the_task(tmp_path):
    recipe = tiny_task.recipe()
    model = tiny_task.model()
    one = keras.Model(model.input, model.output["point"])
    with pytest.raises(ValueError, match="must have outputs point and score_map"):
        trainer.fit(one, tiny_task.loader(recipe), recipe, tmp_path, task=TASK)
    with pytest.raises(ValueError, match="logits of the data's 1 classes"):
        trainer.fit(model, tiny_task.loader(recipe), recipe, tmp_path)
    assert not list(tmp_path.iterdir())


def test_trials_are_ranked_by_its_metric(tmp_path):
    result = run_trials(
        lambda _: tiny_task.model(),
        tiny_task.loader,
        tiny_task.recipe(epochs=1),
        tmp_path,
        {"lr": [0.001, 0.1]},
        task=TASK,
    )
    distances = [trial.figures["test_distance"] for trial in result.ranked]
    assert distances == sorted(distances)
    assert (result.metric, result.best) == ("test_distance", result.ranked[0])
    assert "best by test distance of the last epoch: --set lr=" in str(result)
    with pytest.raises(ValueError, match=r"`metric` must be among .*test_distance.*test_loss"):
        run_trials(None, None, tiny_task.recipe(), tmp_path, task=TASK, metric="test_error")


def test_the_highest_metric_is_the_best_where_its_mode_is_max():
    class Max(tiny_task.PointTask):
        metric, mode = "cell_accuracy", "max"

    values = [10.0, 30.0, 30.0, 20.0, 15.0, 14.0, 13.0]
    history = [
        {"epoch": n + 1, "train_loss": 2.0 - 0.2 * n, "test_cell_accuracy": value}
        for n, value in enumerate(values)
    ]
    assert best_epoch(history, Max()) == 1
    diagnosis = diagnose_curves(history, Max())
    assert diagnosis.kind == OVERFITTING
    assert "the test cell accuracy fell from 30.000 to" in str(diagnosis)
    rising = [row | {"test_cell_accuracy": 10.0 + row["epoch"]} for row in history]
    diagnosis = diagnose_curves(rising, Max())
    assert diagnosis.kind == WELL
    assert "the test cell accuracy ends at or near its highest" in str(diagnosis)


def test_metrics_of_parts_add_up_to_those_of_the_whole():
    pixels, labels = tiny_task.labeled(12)
    outputs = tiny_task.model().predict_on_batch(tiny_task.normalized(pixels))

    def part(chosen):
        metrics = TASK.metrics()
        metrics.update(*({k: v[chosen] for k, v in each.items()} for each in (labels, outputs)))
        received = TASK.metrics()
        received.load_state(json.loads(json.dumps(metrics.state())))
        return received

    total = part(slice(5)) + part(slice(5, 12))
    assert total.result() == pytest.approx(part(slice(12)).result())
    for metrics in (TASK.metrics(), MetricSums()):
        assert isinstance(metrics, Metrics)
        with pytest.raises(ValueError, match="readable image"):
            metrics.result()


def test_one_evaluation_serves_all_tasks():
    model = tiny_task.trained_model()
    batches = list(tiny_task.loader(tiny_task.recipe()).test())
    evaluate = SingleProcess().make_evaluator(model, TASK)
    assert evaluate(batches).result()["distance"] < 4
    assert evaluate(batches).count == tiny_task.TEST


def test_train_and_tune_take_a_task_of_ones_own(tmp_path):
    recipe = tiny_task.recipe(epochs=1)
    result = newnet_tf.train(
        tiny_task.model(), tiny_task.loader, recipe=recipe, task=TASK, output_dir=tmp_path / "run"
    )
    assert set(result.metrics) == {"loss", "distance", "cell_error"}
    assert set(result.model.output) == {"point", "score_map"}
    assert "distance" in str(result)
    assert str(result.output_dir) in str(result)
    assert result.files["best"].is_file()
    with tiny_task.registered() as name:
        found = newnet_tf.tune(
            lambda _: tiny_task.model(),
            tiny_task.loader,
            recipe=recipe,
            task=name,
            search_space={"lr": [0.01, 0.05]},
            output_dir=tmp_path / "search",
        )
    assert len(found.complete) == 2
    with pytest.raises(ValueError, match=r"a field must be set or varied, not both\. Received: lr"):
        newnet_tf.tune("lenet5", "x", overrides={"lr": 1}, search_space={"lr": [1, 2]})


def test_tasks_are_known_by_name():
    assert get_task("classification").name == "classification"
    assert get_task(TASK) is TASK
    message = (
        r"among classification, multilabel_classification, detection, text_detection\. .*'detecton'"
    )
    with pytest.raises(ValueError, match=message):
        get_task("detecton")
    with pytest.raises(ValueError, match="or a `Task`"):
        get_task(3)
    with tiny_task.registered() as name:
        assert get_task(name) is TASK
    assert tiny_task.NAME not in TASKS


def test_the_protocol_needs_no_tensorflow():
    code = (
        "import sys; from newnet_tf.task import get_task; get_task('classification');"
        "print(sorted({'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_classification_decodes_and_draws():
    task = get_task("classification")
    logits = np.array([0.0, 2.0, 2.0, -1.0])
    first, second = task.decode(logits, (8, 8), ["a", "b", "c", "d"], max_predictions=2)
    assert (first.label, second.label, first.class_index) == ("b", "c", 1)
    probabilities = np.exp(logits) / np.exp(logits).sum()
    assert first.score == pytest.approx(probabilities[1])
    (best, *_) = task.decode(probabilities, (8, 8), output_type="probabilities")
    assert best == Prediction(None, 1, float(probabilities[1]))
    assert str(first) == f"b {100 * first.score:.1f} %"
    drawn = task.draw(np.full((40, 400, 3), 7, np.uint8), [first, second])
    assert drawn.shape[1] == 400
    assert (drawn[:40] == 7).all()
    with pytest.raises(ValueError, match=r"must name 4 classes\. Received: 3 names"):
        task.decode(logits, (8, 8), ["a", "b", "c"])
    with pytest.raises(ValueError, match="NaN"):
        task.decode(np.array([0.0, np.nan]), (8, 8))


def test_classification_preprocesses_a_labeled_image():
    task, image = get_task("classification"), tiny_task.images(1)[0]
    prepared, label = task.preprocess(image, 3, tiny_task.preprocess())
    assert (prepared.shape, label) == ((16, 16, 3), 3)
    np.testing.assert_array_equal(prepared, tiny_task.normalized(image))
    from newnet_tf.data.augment.config import Augmentation

    flipped = Augmentation(crop="center", hflip_prob=1.0)
    mirrored, _ = task.preprocess(image, 3, tiny_task.preprocess(), augmentation=flipped, seed=1)
    np.testing.assert_allclose(mirrored, prepared[:, ::-1], atol=1e-5)


def test_classification_fidelity_is_of_centered_logits():
    task, random = get_task("classification"), np.random.default_rng(0)
    reference = random.normal(size=(9, 10))
    same = task.fidelity(reference, reference)
    assert (same["cosine"], same["max_error"], same["top1_matches"]) == (pytest.approx(1), 0, 9)
    shifted = task.fidelity(reference, reference + 0.01 * random.normal(size=(9, 10)))
    assert shifted["max_normalized_error"] == shifted["max_error"] / shifted["reference_std"]
    assert 35 < shifted["sqnr"] < 45
    powers = np.exp(reference)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    assert task.fidelity(reference, probabilities, "probabilities")["cosine"] == pytest.approx(1)
    with pytest.raises(ValueError, match="same shape"):
        task.fidelity(reference, reference[:5])

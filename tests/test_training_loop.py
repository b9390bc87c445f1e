"""The loop: it learns, says how it goes, and stops with a clear word, the last checkpoint intact."""

import errno
import io
import json
import os
import re

import keras
import numpy as np
import pytest
import tiny_run

from newnet_tf.data.augment.config import NONE
from newnet_tf.training import TrainingStopped, checkpoint, compilation, run, trainer
from newnet_tf.training.evaluator import evaluate_batches
from newnet_tf.training.progress import Progress, duration

BATCHES = 6  # an epoch
EPOCHS = 3  # of the whole run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_run.make_images(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """A whole run: (outcome, model, data, what it said)."""
    made = tiny_run.recipe(augmentation=NONE, epochs=EPOCHS, lr=0.01)
    data, model, out = tiny_run.loader(folder, made, files=True), tiny_run.network(), io.StringIO()
    output = tmp_path_factory.mktemp("runs") / "whole"
    outcome = trainer.fit(
        model, data, made, output, checkpoint_every=4, metadata={"command": "newnet train"}, out=out
    )
    return outcome, model, data, out.getvalue()


def test_it_learns_and_leaves_a_whole_folder(trained):
    outcome, _, _, said = trained
    assert outcome.best["test_error"] < 30  # chance: 75
    assert outcome.history[-1]["train_loss"] < outcome.history[0]["train_loss"]
    assert [row["epoch"] for row in outcome.history] == list(range(1, EPOCHS + 1))
    assert {path.name for path in outcome.output_dir.iterdir()} == {
        ".lock", "best.keras", "checkpoint.safetensors", "curves.png", "history.csv", "last.keras",
        "run.json", "tensorboard",
    }  # fmt: skip
    summary = json.loads((outcome.output_dir / "run.json").read_text())
    assert summary["complete"] is True
    assert summary["command"] == "newnet train"
    assert summary["recipe"]["lr"] == 0.01
    assert summary["best"] == outcome.best
    assert summary["diagnosis"] == str(outcome.diagnosis)
    assert re.search(
        rf"epoch {EPOCHS}/{EPOCHS}: train loss .*; test loss .* %; \d+ images/s, 0 s left", said
    )
    assert said.count("epoch ") == EPOCHS  # no line of steps within a minute


def test_the_saved_networks_are_those_that_were_tested(trained):
    outcome, model, data, _ = trained
    last = keras.models.load_model(outcome.output_dir / "last.keras")
    for one, other in zip(last.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    best = keras.models.load_model(outcome.output_dir / "best.keras")
    figures = evaluate_batches(best.predict_on_batch, data.test()).result()
    assert figures["error"] == outcome.best["test_error"]
    assert figures["loss"] == pytest.approx(outcome.best["test_loss"], rel=1e-6)
    assert not getattr(model, "compiled", False)


def test_evaluation_counts_every_image(trained):
    data, model = trained[2], tiny_run.network()
    batches = [(np.asarray(images), np.asarray(labels)) for images, labels in data.test()]
    images, labels = (np.concatenate(column) for column in zip(*batches, strict=True))
    logits = np.asarray(model(images))
    loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    odd = [(images[:5], labels[:5]), (images[5:], labels[5:])]
    sums = evaluate_batches(model.predict_on_batch, odd)
    figures = sums.result()
    assert sums.images == data.num_eval_samples == len(labels) == 16
    assert figures["error"] == 100 * np.mean(logits.argmax(1) != labels)
    assert figures["loss"] == pytest.approx(float(np.mean(loss)), rel=1e-5)
    with pytest.raises(ValueError, match="readable image"):
        evaluate_batches(model.predict_on_batch, []).result()


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out `curves.png`."""
    monkeypatch.setattr(run, "write_curves", lambda *arguments: None)


def fingerprint(data, made, output):
    model = tiny_run.network()
    return run.Run(model=model, loader=data, recipe=made, output_dir=output).fingerprint


def stopping(data, made, output, make_step, match, every=2, model=None):
    with pytest.raises(TrainingStopped, match=match) as caught:
        trainer.fit(
            model or tiny_run.network(),
            data,
            made,
            output,
            checkpoint_every=every,
            make_step=make_step,
        )
    return str(caught.value)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path, undrawn):
    made = tiny_run.recipe()
    data = tiny_run.arrays(made)

    def breaking(trained):
        step, done = trainer.single_step(trained), 0

        def later(images, targets):
            nonlocal done
            done += 1
            return step(images, targets) | ({"loss": np.float32("nan")} if done == 9 else {})

        return later

    stopping(
        data, made, tmp_path, breaking, r"loss must be .* epoch 2, step 3; the last good .*nan$"
    )
    position = checkpoint.restore(
        tmp_path / checkpoint.NAME,
        compilation.compile_model(tiny_run.network(), made, BATCHES),
        fingerprint(data, made, tmp_path),
    )
    assert (position.epoch, position.step) == (1, 2)


def test_weights_that_are_no_numbers_are_not_saved(tmp_path, undrawn):
    made = tiny_run.recipe()
    data = tiny_run.arrays(made)

    def breaking(trained):
        step, done = trainer.single_step(trained), 0

        def later(images, targets):
            nonlocal done
            found, done = step(images, targets), done + 1
            if done == 4:
                bias = trained.get_layer("classifier").bias
                bias.assign(np.full(tiny_run.CLASSES, np.inf))
            return found

        return later

    said = stopping(data, made, tmp_path, breaking, "weights must be finite at epoch 1, step 4")
    assert "classifier" in said or ".bias" in said
    model = compilation.compile_model(tiny_run.network(), made, BATCHES)
    facts = fingerprint(data, made, tmp_path)
    assert checkpoint.restore(tmp_path / checkpoint.NAME, model, facts).step == 2


@pytest.mark.parametrize("what", ["checkpoint", "best.keras", "history.csv"])
def test_a_full_disk_stops_the_run(tmp_path, undrawn, monkeypatch, what):
    """The second writing of a file fails, as where there is no room for it."""
    made = tiny_run.recipe()
    data = tiny_run.arrays(made)
    replace, done = os.replace, {}

    def full(source, target):
        name = os.path.basename(target)
        done[name] = done.get(name, 0) + 1
        limit = 2 if name.startswith("checkpoint") else 1
        if name.startswith(what) and done[name] == limit:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    said = stopping(data, made, tmp_path, None, "there must be room for", every=2)
    assert "No space left on device" in said
    assert "checkpoint.safetensors, is intact" in said
    monkeypatch.setattr(os, "replace", replace)
    leftover = [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert leftover == [".lock"]
    if what == "best.keras":  # there is room again
        outcome = trainer.fit(tiny_run.network(), data, made, tmp_path, resume=True)
        assert len(outcome.history) == 3


def test_what_does_not_fit_is_refused(folder, tmp_path):
    made = tiny_run.recipe()
    data, model = tiny_run.loader(folder, made), tiny_run.network()

    def refused(match, model=model, recipe=made, **options):
        with pytest.raises(ValueError, match=match):
            trainer.fit(model, data, recipe, tmp_path / "run", **options)

    outputs = keras.layers.Dense(3)(model.get_layer("flat").output)
    refused("of the data's 4 classes.*3", keras.Model(model.input, outputs))
    softmax = keras.layers.Activation("softmax")(model.output)
    refused("must give logits: build it with", keras.Model(model.input, softmax))
    refused("dtype policy .mixed_float16.*float32", recipe=tiny_run.recipe(dtype="mixed_float16"))
    refused("without dropout layers", tiny_run.network(dropout=0), tiny_run.recipe(dropout=0.5))
    refused("`checkpoint_every` must be a positive int", checkpoint_every=0)
    with pytest.raises(ValueError, match="`max_samples` must lie in 1 to"):
        tiny_run.loader(folder, made, max_samples=1000)
    with pytest.raises(ValueError, match=r"`batch_size` must be at most .*48"):
        tiny_run.loader(folder, tiny_run.recipe(batch_size=49))
    assert not (tmp_path / "run" / checkpoint.NAME).exists()


def test_a_limit_draws_the_same_images(folder):
    made = tiny_run.recipe(augmentation=NONE)

    def seen(data, epoch=0):
        return [x.tobytes() for images, _ in data.train(epoch) for x in np.asarray(images)]

    def few(epoch, seed=3):
        chosen = tiny_run.recipe(augmentation=NONE, seed=seed)
        return seen(tiny_run.loader(folder, chosen, max_samples=16), epoch)

    first, second = few(0), few(1)
    assert first != second
    assert sorted(first) == sorted(second)
    assert len(set(first)) == 16
    assert set(first) <= set(seen(tiny_run.loader(folder, made)))
    assert sorted(few(0, seed=4)) != sorted(first)


def test_dropout_and_average_of_the_recipe(tmp_path, undrawn):
    made = tiny_run.recipe(dropout=0.1, ema_decay=0.5, epochs=1)
    data, model = tiny_run.arrays(made), tiny_run.network()
    weights, kept = [], None

    def watching(trained):
        step, bias = trainer.single_step(trained), trained.get_layer("classifier").bias

        def noting(images, targets):
            found = step(images, targets)
            weights.append(np.array(bias))
            return found

        return noting

    trainer.fit(model, data, made, tmp_path, make_step=watching)
    assert model.get_layer("dropout").rate == 0.1
    for value in weights:
        kept = value if kept is None else 0.5 * kept + 0.5 * value
    saved = keras.models.load_model(tmp_path / "last.keras").get_layer("classifier").bias
    np.testing.assert_allclose(np.array(saved), kept, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(np.array(model.get_layer("classifier").bias), weights[-1])


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(tmp_path, undrawn, dtype):
    made = tiny_run.recipe(dtype=dtype, epochs=1, batch_size=16)
    keras.config.set_dtype_policy(dtype)
    try:
        model = tiny_run.network()
        outcome = trainer.fit(model, tiny_run.arrays(made), made, tmp_path)
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(outcome.history[0]["train_loss"])
    scaled = [v.name for v in compilation.compile_model(model, made, 3).optimizer.variables]
    assert ("dynamic_scale" in scaled) == (dtype == "mixed_float16")


def test_progress_tells_speed_and_time_left():
    out, now = io.StringIO(), [0.0]
    progress = Progress(epochs=2, steps=100, batch_size=50, out=out, clock=lambda: now[0])
    progress.begin()
    for step in range(1, 101):
        now[0] += 30 if step == 1 else 2  # the first has the graph made
        progress.step(0, step, 1.5)
    lines = out.getvalue().splitlines()
    assert lines[0] == "epoch 1/2, step 16/100, loss 1.5000, 25 images/s, 6 min left"
    assert len(lines) == 3  # one a minute
    row = {"train_loss": 1, "train_error": 50, "test_loss": 2, "test_error": 60, "epoch": 1}
    progress.epoch(row, evaluation_seconds=20)
    assert out.getvalue().endswith("test loss 2.0000, error 60.00 %; 25 images/s, 4 min left\n")
    assert [duration(s) for s in (3, 99, 100, 5990, 7500)] == [
        "3 s", "99 s", "2 min", "1 h 40 min", "2 h 05 min"
    ]  # fmt: skip

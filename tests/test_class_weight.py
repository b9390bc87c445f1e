"""Class weights and early stopping: what they change in the loss, the probe and the run."""

import json

import keras
import numpy as np
import pytest
import tiny_task

from newnet_tf.classification.linear_probe import fit_linear
from newnet_tf.task import get_task
from newnet_tf.training import Recipe, trainer
from newnet_tf.training.class_weight import class_weights
from newnet_tf.training.history import is_stopped
from newnet_tf.training.overrides import override, parse_overrides

TASK = get_task("classification")


def test_balanced_weights_give_each_class_the_same_sum():
    weights = class_weights(TASK, "balanced", ("a", "b", "c"), np.array([80, 10, 10]), 100)
    assert weights == pytest.approx((100 / 240, 100 / 30, 100 / 30))
    assert np.dot(weights, [80, 10, 10]) == pytest.approx(100)
    assert class_weights(TASK, '{"b": 3}', ("a", "b"), None, 0) == (1.0, 3.0)
    with pytest.raises(ValueError, match=r"classes of the data \(a, b\)\. Received: rose"):
        class_weights(TASK, '{"rose": 3}', ("a", "b"), None, 0)


def test_weighted_loss_and_gradient_are_those_of_repeated_images():
    """A weight of 3 is an image that is there three times."""
    import tensorflow as tf

    weighted = TASK.with_class_weight((1.0, 3.0))
    logits = tf.Variable([[0.3, -0.2], [1.0, 0.5]])
    target = np.eye(2, dtype="float32")
    with tf.GradientTape() as tape:
        loss = weighted.loss(target, logits)["cross_entropy"]
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    assert float(loss) == pytest.approx((-np.log(p[0, 0]) - 3 * np.log(p[1, 1])) / 2, rel=1e-5)
    expected = np.array([p[0] - target[0], 3 * (p[1] - target[1])]) / 2
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, rtol=1e-4)
    plain = TASK.loss(target, logits)["cross_entropy"]
    ones = TASK.with_class_weight((1.0, 1.0)).loss(target, logits)["cross_entropy"]
    assert float(plain) == pytest.approx(float(ones), rel=1e-6)


def test_a_weighted_linear_probe_is_that_of_repeated_images():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [60, 12])
    features = random.normal(size=(72, 3)) + labels[:, None]
    weights = (1.0, 5.0)
    linear = fit_linear(features, labels, class_weight=weights)
    plain = fit_linear(features, labels)
    found = (linear.scores(features).argmax(axis=1) == labels)[labels == 1].mean()
    assert found > (plain.scores(features).argmax(axis=1) == labels)[labels == 1].mean()


def test_classes_of_one_image_are_fitted():
    features = np.array([[3.0, 0], [2.9, 0.1], [3.1, 0], [0, 4.0], [-4.0, 0]])
    labels = np.array([0, 0, 0, 1, 2])
    linear = fit_linear(features, labels)
    np.testing.assert_array_equal(linear.scores(features).argmax(axis=1), labels)
    single = fit_linear(features[2:], [0, 1, 2])  # no image is left to choose the penalty
    assert single.penalty == 0.1
    assert fit_linear(features, labels, classes=5).kernel.shape == (2, 5)


def test_recipes_take_both_by_name():
    recipe = override(Recipe(), parse_overrides(["class_weight=balanced,early_stopping=5"]))
    assert (recipe.class_weight, recipe.early_stopping) == ("balanced", 5)
    named = override(Recipe(), {"class_weight": {"b, c": 2, "a": 0.5}})
    assert named.class_weight == '{"a": 0.5, "b, c": 2}'
    assert Recipe(class_weight=named.class_weight) == named
    for wrong in ("uneven", {"a": 0}, {}, "[1, 2]"):
        with pytest.raises(ValueError, match="`class_weight` must be 'balanced', or positive"):
            Recipe(class_weight=wrong)
    with pytest.raises(ValueError, match="`early_stopping` must be a positive int or None"):
        Recipe(early_stopping=0)


def test_few_images_lower_the_batch_size():
    recipe = Recipe(lr=0.02, base_batch_size=32, batch_size=32)
    assert recipe.fit_batch_size(20, 4).batch_size == 5
    assert recipe.fit_batch_size(20, 4).peak_lr == pytest.approx(0.02 * 5 / 32)
    assert [recipe.fit_batch_size(n, 4).batch_size for n in (1, 3, 128)] == [1, 1, 32]
    assert recipe.fit_batch_size(500, 4) is recipe


def test_a_run_stops_after_epochs_that_are_no_better():
    history = [{"test_error": error} for error in (30.0, 20.0, 20.0, 25.0)]
    assert is_stopped(history, TASK, 2)
    assert not is_stopped(history, TASK, 3)
    assert not is_stopped(history[:3], TASK, 2)
    assert not is_stopped([], TASK, 1)
    assert not is_stopped(history, TASK, None)


def test_early_stopping_ends_a_run_which_stays_ended(tmp_path, capsys):
    task = tiny_task.task()
    recipe = tiny_task.recipe(epochs=6, lr=1e-30, early_stopping=1)

    def frozen():  # but for its classifier, which does not move
        model = tiny_task.model()
        for layer in model.layers:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        return model

    loader = tiny_task.loader(recipe)
    result = trainer.fit(frozen(), loader, recipe, tmp_path, task=task)
    done = len(result.history)
    assert done < 6
    assert f"stopped early, after epoch {done} of 6" in capsys.readouterr().err
    assert json.loads((tmp_path / "run.json").read_text())["complete"]
    again = trainer.fit(frozen(), loader, recipe, tmp_path, task=task, resume=True)
    assert again.history == result.history


def test_class_weights_need_a_task_and_a_loader_that_know_classes(tmp_path):
    recipe = tiny_task.recipe(class_weight="balanced")
    with pytest.raises(ValueError, match="`class_weight` must come with a classification task"):
        trainer.fit(
            tiny_task.model(), tiny_task.loader(recipe), recipe, tmp_path, task=tiny_task.task()
        )

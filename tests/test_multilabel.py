"""Multi-label classification: metrics, loss, decoding, evaluation, linear probe, training."""

import json

import keras
import numpy as np
import pytest

from newnet_tf.classification.linear_probe import fit_linear
from newnet_tf.classification.multilabel_metrics import (
    MultilabelSums,
    average_precision,
    mean_average_precision,
    micro_f1,
)
from newnet_tf.classification.multilabel_result import MultilabelEvaluator, compare_multilabel
from newnet_tf.data.host_loader import Sample
from newnet_tf.task import Metrics, Prediction, get_task
from newnet_tf.training import Recipe, fit

TASK = get_task("multilabel_classification")
LABELS = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0]])
LOGITS = np.array([[2.0, -1.0, 0.5], [1.0, 0.5, -0.5], [0.5, 3.0, -2.0], [-1.0, 0.5, -2.0]])


def naive_average_precision(labels, scores):
    """By its definition: the sum over thresholds of precision times the rise of recall."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = scores >= threshold
        now = labels[chosen].sum() / labels.sum()
        total += labels[chosen].mean() * (now - recall)
        recall = now
    return total


def test_average_precision_is_the_area_under_precision_and_recall():
    assert average_precision(LABELS, LOGITS) == pytest.approx([(1 + 2 / 3) / 2, 1.0, 1.0])
    random = np.random.default_rng(0)
    labels, scores = random.random((60, 4)) < 0.3, random.integers(0, 9, (60, 4)).astype(float)
    expected = [naive_average_precision(labels[:, i], scores[:, i]) for i in range(4)]
    assert average_precision(labels, scores) == pytest.approx(expected)
    assert mean_average_precision(labels, scores) == pytest.approx(np.mean(expected))


def test_a_class_without_positive_images_does_not_count():
    labels = np.array([[1, 0], [0, 0]])
    assert np.isnan(average_precision(labels, LOGITS[:2, :2])[1])
    assert mean_average_precision(labels, LOGITS[:2, :2]) == 1.0
    assert np.isnan(mean_average_precision(0 * labels, LOGITS[:2, :2]))


def test_micro_f1_counts_all_labels_together():
    predicted = LOGITS > 0  # 8 labels: 4 of the 5 right ones
    assert micro_f1(LABELS, predicted) == pytest.approx(2 * 4 / (5 + 7))
    assert micro_f1(0 * LABELS, 0 * LABELS) == 1.0


def test_metrics_of_parts_add_up_to_those_of_the_whole():
    whole, first, second = (TASK.metrics() for _ in range(3))
    assert isinstance(whole, Metrics)
    whole.update(LABELS, LOGITS)
    first.update(LABELS[:1], LOGITS[:1])
    second.update(LABELS[1:], LOGITS[1:])
    received = MultilabelSums()
    received.load_state(json.loads(json.dumps(second.state())))
    assert (first + received).result() == pytest.approx(whole.result())
    probabilities = 1 / (1 + np.exp(-LOGITS))
    entropy = -np.where(LABELS, np.log(probabilities), np.log(1 - probabilities)).mean()
    assert whole.result()["loss"] == pytest.approx(entropy)
    assert (TASK.metric, TASK.mode) == ("mAP", "max")
    with pytest.raises(ValueError, match="readable image"):
        TASK.metrics().result()


def test_loss_is_binary_cross_entropy_and_weighs_positive_labels():
    target = np.array([[1, 0, 0.5]], "float32")
    logits = np.array([[2.0, -30.0, 80.0]], "float32")
    expected = np.array([np.log1p(np.exp(-2.0)), np.exp(-30.0), 40.0])
    loss = float(TASK.loss(target, logits)["binary_cross_entropy"])
    assert loss == pytest.approx(expected.mean(), rel=1e-5)
    weighted = TASK.with_class_weight((10.0, 1.0, 1.0))
    loss = float(weighted.loss(target, logits)["binary_cross_entropy"])
    assert loss == pytest.approx((expected * [10, 1, 1]).mean(), rel=1e-5)
    assert TASK.balanced_weight(np.array([10, 50]), 100).tolist() == [9.0, 1.0]


def test_each_class_is_decoded_on_its_own():
    first, second = TASK.decode(np.array([-1.0, 3.0, 2.0]), (8, 8), ["a", "b", "c"], 2)
    assert first == Prediction("b", 1, pytest.approx(1 / (1 + np.exp(-3))))
    assert second.score == pytest.approx(1 / (1 + np.exp(-2)))  # they add up to more than 1
    given = TASK.decode(np.array([0.9, 0.2]), output_type="sigmoid")
    assert [p.score for p in given] == [0.9, 0.2]
    with pytest.raises(ValueError, match=r"'logits' or 'sigmoid'\. Received: 'probabilities'"):
        TASK.decode(np.array([0.9, 0.2]), output_type="probabilities")
    with pytest.raises(ValueError, match=r"must name 3 classes\. Received: 2"):
        TASK.decode(np.zeros(3), class_names=["a", "b"])


def test_fidelity_compares_logits_and_sides():
    random = np.random.default_rng(0)
    reference = random.normal(size=(50, 4))
    same = TASK.fidelity(reference, 1 / (1 + np.exp(-reference)), "sigmoid")
    assert same["cosine"] == pytest.approx(1)
    assert (same["label_matches"], "top1_matches" in same) == (1.0, False)
    flipped = TASK.fidelity(reference, -reference)
    assert flipped["label_matches"] == 0
    assert flipped["cosine"] < 0


def samples(labels):
    return [Sample(f"{i}", row, i) for i, row in enumerate(labels)]


def test_evaluation_matches_classes_by_name():
    evaluator = TASK.evaluator(3, ("c", "b", "a"), ("a", "b", "c"))
    evaluator.update(samples(LABELS[:2]), LOGITS[:2, ::-1])
    evaluator.update(samples(LABELS[2:]), LOGITS[2:, ::-1])
    result = evaluator.result()
    np.testing.assert_array_equal(result.labels, LABELS[:, ::-1])
    whole = TASK.metrics()
    whole.update(LABELS, LOGITS)
    assert result.metrics == pytest.approx({k: whole.result()[k] for k in ("mAP", "micro_f1")})
    assert str(result) == f"mAP {result.metrics['mAP']:.2f} %, micro-F1 66.67 %, n = 4"
    lowest = result.class_table()[0]
    assert (lowest["class"], lowest["n"], lowest["AP"]) == ("class 2", 2, "83.3")
    assert (lowest["precision"], lowest["recall"]) == ("66.7", "100.0")


def test_scores_that_are_probabilities_are_taken_as_they_are():
    evaluator = MultilabelEvaluator(3, output_type="sigmoid")
    evaluator.update(samples(LABELS), 1 / (1 + np.exp(-LOGITS)))
    other = MultilabelEvaluator(3)
    other.update(samples(LABELS), LOGITS)
    first, second = evaluator.result(), other.result()
    np.testing.assert_allclose(first.probabilities, second.probabilities)
    comparison = compare_multilabel(first, second)
    assert (comparison.difference, comparison.agreement, comparison.n) == (0, 100, 4)


def test_labels_and_models_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"multi-label dataset\)\. Received: 1 of x"):
        MultilabelEvaluator(3).update([Sample("x", 1, None)], LOGITS[:1])
    with pytest.raises(ValueError, match=r"\(4, 2\) finite scores"):
        MultilabelEvaluator(2).update(samples(LABELS), LOGITS)
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(3, "sigmoid")(image))
    with pytest.raises(ValueError, match="a sigmoid at its end"):
        TASK.check(model, MultilabelEvaluator(3))
    with pytest.raises(ValueError, match="data's 2 classes"):
        TASK.check(model, MultilabelEvaluator(2))


def separable(count, seed):
    """Features whose signs are the labels, with some noise; labels are independent."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, 6)).astype("float32")
    return features, (features[:, :3] + 0.1 * random.normal(size=(count, 3)) > 0.5).astype("int32")


def test_linear_probe_fits_every_class_by_itself():
    features, labels = separable(200, 0)
    linear = fit_linear(features, labels)
    test_features, test_labels = separable(100, 1)
    assert mean_average_precision(test_labels, linear.scores(test_features)) > 0.97
    alone = fit_linear(features, labels[:, :1])
    if alone.penalty == linear.penalty:
        np.testing.assert_allclose(alone.kernel[:, 0], linear.kernel[:, 0], atol=2e-3)
    weighted = fit_linear(features, labels, class_weight=(20.0, 1.0, 1.0))
    more = weighted.scores(test_features) > 0
    assert more[:, 0].sum() > (linear.scores(test_features) > 0)[:, 0].sum()


class Loader:
    """Feature vectors in place of images."""

    classes, class_names, batch_size, num_eval_samples = 3, ("a", "b", "c"), 20, 60
    num_train_samples, steps_per_epoch, fingerprint = 200, 10, {"dataset": "made"}
    class_counts = separable(200, 0)[1].sum(axis=0)

    def train(self, epoch, start=0):
        features, labels = separable(200, 0)
        order = np.random.default_rng(epoch).permutation(200)
        for step in range(start, 10):
            chosen = order[20 * step : 20 * (step + 1)]
            yield features[chosen], labels[chosen].astype("float32")

    def test(self):
        yield separable(60, 1)


def test_training_improves_mean_average_precision(tmp_path):
    keras.utils.set_random_seed(1)
    image = keras.Input((6,), name="image")
    model = keras.Model(image, keras.layers.Dense(3, name="classifier")(image))
    recipe = Recipe(lr=0.5, batch_size=20, epochs=3, class_weight="balanced")
    result = fit(model, Loader(), recipe, tmp_path, task=TASK.name)
    figures = [row["test_mAP"] for row in result.history]
    assert figures[-1] > 95
    assert result.best["test_mAP"] == max(figures)
    assert set(result.history[0]) >= {"test_micro_f1", "test_loss", "train_label_accuracy"}
    assert json.loads((tmp_path / "run.json").read_text())["task"] == TASK.name

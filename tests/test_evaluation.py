"""Top-k accuracy, intervals, paired comparison, the results' table, the linear probe."""

import functools

import numpy as np
import pytest
from PIL import Image

from newnet_tf import results
from newnet_tf.classification.evaluator import evaluate_files
from newnet_tf.classification.linear_probe import _fit, _softmax_loss, linear_probe
from newnet_tf.classification.result import ClassificationResult
from newnet_tf.evaluation.intervals import newcombe, wilson
from newnet_tf.evaluation.paired import PairedComparison, compare
from newnet_tf.evaluation.result_table import save_result
from newnet_tf.models.config import PreprocessConfig

CLASSES = 8
RAW = PreprocessConfig(
    image_size=4, crop_pct=1.0, mean=(0, 0, 0), std=(1 / 255,) * 3
)  # pixels as they are


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """(paths, labels): 20 images, whose red is 30 x class; the 6th and 11th are damaged."""
    root = tmp_path_factory.mktemp("images")
    paths, labels = [], [i % CLASSES for i in range(20)]
    for i, label in enumerate(labels):
        paths.append(root / f"{i:02}.png")
        Image.new("RGB", (6, 5), (30 * label, 0, 0)).save(paths[-1])
    paths[6].write_bytes(b"")
    paths[11].write_bytes(paths[11].read_bytes()[:40])
    return paths, labels


def oracle(images):
    """Scores that fall with the distance of an image's red from each class's."""
    return -np.abs(images[:, 0, 0, :1] - 30 * np.arange(CLASSES))


def shifted(images):
    """The class after the right one first, the right one second."""
    return -np.abs(images[:, 0, 0, :1] + 20 - 30 * np.arange(CLASSES))


def evaluate_quietly(predict, folder, **options):
    with pytest.warns(UserWarning, match="2 of 20 images skipped"):
        return evaluate_files(predict, *folder, RAW, **({"top": (1, 2)} | options))


def test_evaluate_counts_and_names_what_it_skips(folder, capsys):
    result = evaluate_quietly(oracle, folder, batch_size=7)
    assert result.n == 18
    assert [bad.path for bad in result.skipped] == [str(folder[0][6]), str(folder[0][11])]
    assert result.accuracy(1) == result.accuracy(2) == 100
    assert "2 skipped" in str(result)
    output = capsys.readouterr()
    assert output.out == ""
    assert "Evaluating" in output.err


def test_labels_stay_with_their_images_behind_a_skipped_one(folder):
    result = evaluate_quietly(oracle, folder)
    assert result.labels.tolist() == [v for i, v in enumerate(folder[1]) if i not in (6, 11)]
    assert result.topk[:, 0].tolist() == result.labels.tolist()
    moved = evaluate_quietly(oracle, (folder[0], [*folder[1][1:], 0]))
    assert moved.accuracy(1) == 0


def test_top_k(folder):
    result = evaluate_quietly(shifted, folder)
    last = int((np.array(result.labels) == CLASSES - 1).sum())  # the last class has none after it
    assert result.accuracy(1) == pytest.approx(100 * last / 18)
    assert result.accuracy(2) == 100
    with pytest.raises(ValueError, match="Received: k=5"):
        result.accuracy(5)


@pytest.mark.parametrize("batch", [1, 5, 18, 64])
def test_batches_are_complete_and_small_enough(folder, batch):
    seen = []

    def predict(images):
        seen.append(images.shape)
        assert images.dtype == np.float32
        return oracle(images)

    assert evaluate_quietly(predict, folder, batch_size=batch).accuracy() == 100
    assert sum(shape[0] for shape in seen) == 18
    assert max(shape[0] for shape in seen) <= batch
    assert {shape[1:] for shape in seen} == {(4, 4, 3)}


def test_a_keras_model_is_a_predictor(folder):
    import keras

    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    result = evaluate_files(model, folder[0][:3], [0, 0, 0], RAW, top=(1,))
    assert result.accuracy() == 100  # red is first, or equal to the others


@pytest.mark.parametrize(
    ("predict", "words"),
    [
        (lambda x: np.zeros((len(x), 1)), r"at least 2 classes.*Received: shape=\(2, 1\)"),
        (lambda x: np.zeros((1, 8)), r"Received: shape=\(1, 8\)"),
        (lambda x: np.zeros((len(x), 1, 8)), r"Received: shape=\(2, 1, 8\)"),
        (lambda x: np.full((len(x), 8), np.nan), "Received: NaN"),
        (lambda x: np.zeros((len(x), 3)), "must lie in 0 to 2.*Received: 5"),
    ],
    ids=["few classes", "few rows", "rank", "nan", "label"],
)
def test_bad_scores_are_clear_errors(folder, predict, words):
    with pytest.raises(ValueError, match=words):
        evaluate_files(predict, folder[0][:2], [0, 5], RAW, top=(1, 2))


@pytest.mark.parametrize("labels", [[0], [0, -1], [0.0, 1.0], [[0], [1]]])
def test_bad_labels_are_clear_errors(folder, labels):
    with pytest.raises(ValueError, match="`labels` must be one int"):
        evaluate_files(oracle, folder[0][:2], labels, RAW)


def test_nothing_readable_is_an_error(folder):
    with (
        pytest.warns(UserWarning, match="1 of 1"),
        pytest.raises(ValueError, match=r"readable image\. Received: .*06\.png.*0 bytes"),
    ):
        evaluate_files(oracle, [folder[0][6]], [0], RAW)
    with pytest.raises(ValueError, match="Received: none"):
        evaluate_files(oracle, [], [], RAW)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_on_published_figures(hits, n, low, high):
    """Newcombe, Statistics in Medicine 17 (1998), 857-872, method 3."""
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_newcombe_on_published_tables():
    """Altman et al., Statistics with Confidence (2000), table 6.2; Fagerland et al., Bentur's data."""
    assert newcombe(14, 5, 0, 22) == pytest.approx((0.011, 0.226), abs=5e-4)
    assert newcombe(1, 1, 7, 12) == pytest.approx((-0.507, -0.026), abs=5e-4)


def test_newcombe_is_antisymmetric_and_never_without_width():
    low, high = newcombe(380, 5, 9, 6)
    assert newcombe(380, 9, 5, 6) == pytest.approx((-high, -low))
    low, high = newcombe(400, 0, 0, 0)
    assert low < -0.005 < 0.005 < high


def result_of(predicted, labels):
    predicted = np.array(predicted)[:, None]
    return ClassificationResult(tuple(map(str, range(len(labels)))), np.array(labels), predicted)


def test_compare_counts_flips_both_ways():
    labels = [0, 1, 2, 3, 4, 5, 6, 7]
    first = result_of([0, 1, 2, 3, 4, 0, 0, 0], labels)
    second = result_of([0, 1, 9, 9, 4, 5, 0, 1], labels)
    paired = compare(first, second)
    assert paired == PairedComparison(both=3, first_only=2, second_only=1, neither=2, agree=4)
    assert paired.n == 8
    assert paired.difference == pytest.approx(-12.5)
    assert paired.agreement == 50
    low, high = paired.interval
    assert low < -12.5 < 0 < high
    assert "2 lost, 1 won" in str(paired)
    assert compare(second, first).difference == pytest.approx(12.5)


def test_pairing_is_sharper_than_two_intervals():
    """4 of 400 flip one way: the paired interval leaves 0 out of sight by far less."""
    paired = PairedComparison(both=340, first_only=4, second_only=0, neither=56, agree=390)
    low, high = paired.interval
    unpaired = wilson(344, 400)
    assert high - low < 100 * (unpaired[1] - unpaired[0]) / 2


def test_compare_needs_the_same_images(folder):
    first, second = result_of([0, 1], [0, 1]), result_of([0, 1, 2], [0, 1, 2])
    with pytest.raises(ValueError, match="Received: 2 and 3 images, 2 in common"):
        compare(first, second)
    with pytest.raises(ValueError, match="same images and labels"):
        compare(first, result_of([0, 1], [0, 0]))


def test_record_writes_and_replaces_a_row(folder, tmp_path):
    top5 = evaluate_quietly(oracle, folder, top=(1, 5))
    keys = {"model": "m", "data": "made", "folder": tmp_path}
    save_result(top5, precision="fp32", weights="tag", note="a, b", **keys)
    save_result(evaluate_quietly(shifted, folder), precision="int8-full", weights="tag", **keys)
    save_result(evaluate_quietly(shifted, folder), precision="fp32", weights="tag", **keys)
    first, second = results.read("accuracy", tmp_path)
    assert (first["precision"], first["top5"], first["n"]) == ("fp32", "", "18")
    assert (second["precision"], second["skipped"]) == ("int8-full", "2")
    assert float(first["top1_low"]) < float(first["top1"]) < float(first["top1_high"])
    save_result(top5, precision="fp32", weights="tag", note="a, b", **keys)
    row = results.read("accuracy", tmp_path)[0]
    assert (row["top1"], row["top5"], row["note"]) == ("100.00", "100.00", "a, b")


def blobs(n, generator, spread=1.0):
    """Features of three classes along directions, one constant, one in other units."""
    labels = np.arange(n) % 3
    features = generator.normal(size=(n, 12)) * spread
    features[np.arange(n), labels] += 3
    features[:, 10] = 5
    features[:, 11] *= 1e4
    return features, labels


def test_linear_probe_learns_what_is_there():
    generator = np.random.default_rng(0)
    train, test = blobs(300, generator), blobs(150, generator)
    result, penalty = linear_probe(*train, *test)
    assert result.n == 150
    assert result.accuracy() > 90
    again, same = linear_probe(*train, *test)
    assert same == penalty
    np.testing.assert_array_equal(again.topk, result.topk)


def test_linear_probe_finds_nothing_in_noise():
    generator = np.random.default_rng(0)
    (features, labels), (others, _) = blobs(300, generator), blobs(150, generator)
    result, _ = linear_probe(features, generator.permutation(labels), others, np.arange(150) % 3)
    low, high = result.interval()
    assert low - 5 < 100 / 3 < high + 5


@pytest.mark.parametrize("penalty", [1.0, 1e-3])
def test_probe_stops_at_the_minimum(penalty):
    features, labels = blobs(90, np.random.default_rng(1))
    x = np.c_[(features - features.mean(0)) / np.where(features.std(0), features.std(0), 1)]
    x, truth = np.c_[x, np.ones(90)], np.eye(3)[labels]
    loss_of = functools.partial(_softmax_loss, np.ones(3), x, truth, penalty)
    weights = _fit(loss_of, np.zeros((x.shape[1], 3)))
    loss, gradient = loss_of(weights)
    assert np.abs(gradient).max() < 1e-5
    step = np.random.default_rng(2).normal(size=weights.shape) * 1e-3
    numeric = (loss_of(step)[0] - loss_of(-step)[0]) / 2
    start = loss_of(np.zeros_like(weights))[1]
    assert numeric == pytest.approx((start * step).sum(), rel=1e-4)
    assert loss < loss_of(weights + step)[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": np.zeros((6, 2, 2))}, r"Received: shape=\(6, 2, 2\)"),
        ({"features": np.full((6, 2), np.inf)}, "finite"),
        ({"labels": [0, 1, 0, 1, 0, 3]}, "0 of class 2"),
        ({"test_features": np.zeros((2, 5))}, r"Received: \(2, 5\)"),
        ({"test_labels": [0, 7]}, "classes to 7"),
        ({"holdout_fraction": 1.0}, "holdout_fraction=1.0"),
    ],
    ids=["rank", "infinite", "missing class", "depth", "test class", "share"],
)
def test_probe_errors_are_clear(change, words):
    arguments = {
        "features": np.arange(12.0).reshape(6, 2),
        "labels": [0, 1, 0, 1, 0, 1],
        "test_features": np.zeros((2, 2)),
        "test_labels": [0, 1],
    }
    with pytest.raises(ValueError, match=words):
        linear_probe(**(arguments | change))

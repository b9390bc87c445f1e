"""Counting parameters and multiply-adds; timing files against each other."""

import csv
import dataclasses

import keras
import numpy as np
import pytest
import small_network

from newnet_tf.applications import (
    MobileNetV1_100,
    NewNetLarge,
    NewNetSmall,
    ReXNet100,
    ReXNetLite100,
)
from newnet_tf.deploy import ModelFileError, export_tflite, fingerprint
from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.deploy.tensor_spec import TensorSpec
from newnet_tf.models.flatten import flatten
from newnet_tf.models.model_file import weights_digest
from newnet_tf.models.outputs import LINEAR, final_activation
from newnet_tf.profiling import latency
from newnet_tf.profiling.cost import LayerCost, cost
from newnet_tf.profiling.keras_baselines import KERAS_BASELINES, keras_baseline

# Cost.


@pytest.mark.parametrize(
    ("make", "params", "macs"),
    [
        (NewNetSmall, 3_764_664, 399_054_592),
        pytest.param(NewNetLarge, 3_994_233, 706_642_848, marks=pytest.mark.slow),
        pytest.param(ReXNet100, 4_796_873, 398_370_392, marks=pytest.mark.slow),
        pytest.param(ReXNetLite100, 4_740_056, 406_806_592, marks=pytest.mark.slow),
        (MobileNetV1_100, 4_231_976, 568_740_352),
    ],
)
def test_published_figures_are_met(make, params, macs):
    model = make(weights=None)
    result = cost(model)
    assert (result.params, result.macs, result.input_shape) == (params, macs, (224, 224, 3))
    assert result.params + result.non_trainable_params == model.count_params()


def test_freezing_changes_no_figure():
    model = small_network.untrained()
    before = cost(model)
    model.trainable = False
    assert cost(model) == before
    assert before.non_trainable_params > 0


def test_every_kind_of_layer_by_hand():
    image = keras.Input((9, 12, 4))
    x = keras.layers.Conv2D(8, (3, 5), 2, padding="same", groups=2, name="grouped")(image)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="depthwise")(x)
    x = keras.layers.SeparableConv2D(6, 3, padding="same", name="separable")(x)
    x = keras.layers.Conv2DTranspose(5, 2, 2, name="transposed")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="act")(x)
    x = keras.layers.Dense(7, name="by_pixel")(x)
    x = keras.layers.Dense(3, name="top")(keras.layers.Flatten()(x))
    result = cost(keras.Model(image, x))
    assert result.layers == (
        LayerCost("grouped", "Conv2D", (5, 6, 8), 3 * 5 * 2 * 8 + 8, 5 * 6 * 8 * 15 * 2),
        LayerCost("depthwise", "DepthwiseConv2D", (3, 4, 16), 9 * 16, 3 * 4 * 16 * 9),
        LayerCost(
            "separable",
            "SeparableConv2D",
            (3, 4, 6),
            9 * 16 + 16 * 6 + 6,
            3 * 4 * 16 * 9 + 3 * 4 * 16 * 6,
        ),
        LayerCost("transposed", "Conv2DTranspose", (6, 8, 5), 4 * 6 * 5 + 5, 3 * 4 * 6 * 4 * 5),
        LayerCost("norm", "BatchNormalization", (6, 8, 5), 10, 0),
        LayerCost("by_pixel", "Dense", (6, 8, 7), 42, 6 * 8 * 7 * 5),
        LayerCost("top", "Dense", (3,), 6 * 8 * 7 * 3 + 3, 6 * 8 * 7 * 3),
    )
    assert result.macs == sum(layer.macs for layer in result.layers)
    assert result.non_trainable_params == 10


def test_a_free_input_needs_a_shape():
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(image))
    with pytest.raises(ValueError, match=r"`input_shape` must be .* input_shape=\(None, None, 3\)"):
        cost(model)
    assert cost(model, (8, 4, 3)).macs == 8 * 4 * 3 * 2


def test_a_shared_layer_counts_its_parameters_once():
    image = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(3, 1, name="shared")
    small = shared(keras.layers.AveragePooling2D(2)(shared(image)))
    shared(small)  # a use in no model
    result = cost(keras.Model(image, small))
    assert result.layers == (LayerCost("shared", "Conv2D", (8, 8, 3), 12, (64 + 16) * 9),)


def test_channel_numbers_are_no_parameters():
    image = keras.Input((8, 8, 3))
    row = keras.ops.zeros_like(image[0, 0, 0, 0], dtype="int32")
    numbers = keras.layers.Embedding(1, 3, name="some_index")(row)
    order = keras.ops.cast(numbers, "int32")
    result = cost(keras.Model(image, keras.ops.take(image, order, axis=-1)))
    assert (result.params, result.non_trainable_params) == (0, 3)


def test_what_it_cannot_count_is_an_error():
    image = keras.Input((8, 8, 3))
    inner = keras.Model(image, keras.layers.Conv2D(3, 1)(image), name="inner")
    outer = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match=r"contain no model as a layer.* layer 'inner'"):
        cost(keras.Model(outer, inner(outer)))


# Latency.


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    results = small_network.exported(tmp_path_factory.getbasetemp())
    return {precision: result.file for precision, result in results.items()}


def test_a_row_for_every_file_and_number_of_threads(files):
    rows = latency.benchmark_files(files, threads=(1, 2), runs=3, warmup=1, baseline="fp32")
    assert [(r.model, r.precision, r.threads) for r in rows] == [
        ("small", precision, threads) for threads in (1, 2) for precision in files
    ]
    for row in rows:
        assert 0 < row.min_ms <= row.median_ms
        assert row.iqr_ms >= 0
        assert row.ratio > 0
        assert row.runs == 3
        if row.precision != "int16x8":  # which XNNPACK has no kernels for
            assert (row.partitions, row.fallback_ops) == (1, 0)
        assert row.size_mb == pytest.approx(files[row.precision].stat().st_size / 1e6)
        assert (row.weights, row.baseline) == ("real", "fp32")
    assert rows[0].ratio == 1


def test_ratios_are_paired_by_round(files, monkeypatch):
    times = {"fp32": [0.010, 0.040, 0.020], "fp16": [0.020, 0.020, 0.030]}
    monkeypatch.setattr(latency, "_times", lambda runners, runs, warmup: times)
    chosen = {name: files[name] for name in times}
    base, other = latency.benchmark_files(chosen, baseline="fp32")
    assert base.ratio == 1
    assert other.ratio == pytest.approx(1.5)  # of 2, 0.5, 1.5; the medians' own ratio is 1
    assert (base.median_ms, base.min_ms) == (pytest.approx(20), pytest.approx(10))
    assert base.iqr_ms == pytest.approx(30)  # quartiles at 10 and 40
    assert [row.ratio for row in latency.benchmark_files(chosen)] == [None, None]


def test_each_round_runs_every_file_once(files, monkeypatch):
    calls = []

    class Fake:
        inputs = (TensorSpec("image", (1, 8, 8, 3), "uint8"),)

        def __init__(self, name):
            self.name = name

        def timed_call(self, inputs):
            assert inputs["image"].shape == (1, 8, 8, 3)
            assert inputs["image"].dtype == np.uint8
            return lambda: calls.append(self.name)

    times = latency._times({name: Fake(name) for name in "abc"}, runs=20, warmup=5)
    assert {name: len(seconds) for name, seconds in times.items()} == dict.fromkeys("abc", 20)
    rounds = ["".join(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert len(rounds) == 25
    assert {"".join(sorted(order)) for order in rounds} == {"abc"}
    assert len(set(rounds)) > 3  # in shuffled order


def test_the_time_left_follows_from_the_time_taken(monkeypatch):
    monkeypatch.setattr(latency.time, "monotonic", lambda: 130.0)
    assert latency.time_left(100.0, 3, 9) == "60 s left"
    assert latency.time_left(100.0, 1, 21) == "10 min left"
    assert latency.time_left(100.0, 5, 5) == "0 s left"


def test_untrained_networks_say_so_in_the_table(files, tmp_path):
    (result,) = export_tflite(
        small_network.network(), small_network.PREPROCESS, tmp_path, name="raw", verify=False
    )
    foreign = tmp_path / "foreign.tflite"
    foreign.write_bytes(Graph(files["fp32"].read_bytes()).to_bytes())  # without its record
    rows = latency.benchmark_files({"a": result.file, "b": foreign}, runs=1, warmup=0)
    assert [row.weights for row in rows] == ["untrained (timing only)", "unknown"]
    assert [(row.model, row.precision) for row in rows] == [("raw", "fp32"), ("b", "")]
    path = latency.save(rows, tmp_path)
    again = [dataclasses.replace(rows[0], median_ms=99.0)]
    assert latency.save(again, tmp_path) == path
    with path.open(newline="") as table:
        rows_by_model = {row["model"]: row for row in csv.DictReader(table)}
    assert path.name == "latency.csv"
    assert set(rows_by_model) == {"raw", "b"}
    assert rows_by_model["raw"]["median_ms"] == "99"
    assert rows_by_model["raw"]["ratio"] == ""
    assert "keras" in rows_by_model["raw"]["versions"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": {}}, "`files` and `threads` must not be empty.* Received: 0 files"),
        ({"runs": 0}, "runs=0"),
        ({"warmup": -1}, "warmup=-1"),
        ({"threads": ()}, r"threads=\(\)"),
        ({"threads": (0,)}, "`threads` must be a positive int"),
        ({"baseline": "none"}, "`baseline` must be among .* Received: baseline='none'"),
    ],
)
def test_bad_arguments_are_errors(files, options, message):
    with pytest.raises(ValueError, match=message):
        latency.benchmark_files(**{"files": files} | options)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"none\.tflite"):
        latency.benchmark_files({"a": tmp_path / "none.tflite"})


# Baselines.


def test_keras_baselines_are_the_same_in_every_process():
    first, preprocess = keras_baseline("keras:MobileNet")
    second, _ = keras_baseline("keras:MobileNet")
    assert weights_digest(first) == weights_digest(second)
    assert fingerprint.graph_digest(first) == fingerprint.graph_digest(second)
    assert (flatten(first), final_activation(first)) == (first, LINEAR)
    assert preprocess is KERAS_BASELINES["keras:MobileNet"]
    assert cost(first).macs == 568_740_352
    with pytest.raises(
        ValueError,
        match=r"`name` of a Keras baseline must be among .* Received: name='keras:VGG16'",
    ):
        keras_baseline("keras:VGG16")

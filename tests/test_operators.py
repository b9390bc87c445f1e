"""Time by operator: kernels at the right operators, multiply-adds at the right layers, errors."""

import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import small_network

from newnet_tf import results
from newnet_tf.api import model_info
from newnet_tf.cli import main
from newnet_tf.deploy import ModelFileError
from newnet_tf.deploy.flatbuffer.layer_names import layer_names
from newnet_tf.profiling import kernels, litert_profiler, operators, profile_tables
from newnet_tf.profiling.cost import cost
from newnet_tf.profiling.litert_profiler import Kernel, Node
from newnet_tf.visualization import flame_chart, op_breakdown

FOUR = ("fp32", "fp16", "int8-dynamic", "int8-full")
PRODUCT, DEPTHWISE = "Fully Connected (NC, F32) GEMM", "Convolution (NHWC, F32) DWConv"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    profile = small_network.exported(tmp_path_factory.getbasetemp())
    return {precision: profile[precision].file for precision in FOUR}


@pytest.fixture(scope="module")
def profiles(files):
    return {
        precision: operators.profile_file(file, runs=3, warmup=1)
        for precision, file in files.items()
    }


# Files that run.


@pytest.mark.parametrize("precision", FOUR)
def test_every_layer_with_its_multiply_adds(profiles, precision):
    profile = profiles[precision]
    counted = cost(small_network.network())
    expected = {layer.name: layer.macs for layer in counted.layers if layer.macs}
    assert {total.name: total.macs for total in profile.by_layer() if total.macs} == expected
    assert sum(total.macs for total in profile.by_operator()) == counted.macs
    for operator in profile.operators:
        products = [k for k in operator.kernels if k.startswith(kernels.PRODUCTS)]
        assert len(products) == (operator.macs > 0)


def test_a_profile_in_full(profiles):
    profile = profiles["fp32"]
    assert (profile.model, profile.precision, profile.weights) == ("small", "fp32", "real")
    assert (profile.threads, profile.runs) == (1, 3)
    assert profile.total_ms > 0
    assert profile.coverage == pytest.approx(profile.ops_ms / profile.total_ms)
    assert 0 <= profile.without_macs < 1
    totals = {total.name: total for total in profile.by_operator()}
    assert {name: total.count for name, total in totals.items()} == {
        "CONV_2D": 1,
        "CONV_2D 1x1": 8,
        "DEPTHWISE_CONV_2D": 2,
        "MEAN": 2,
        "LOGISTIC": 1,
        "MUL": 1,
        "PAD": 1,
        "ADD": 1,
        "RESHAPE": 1,
    }
    assert all(total.kernels == total.count for total in totals.values())
    assert totals["PAD"].gmacs_per_second is None
    assert profile.operators[0].output_shape == (32, 32, 16)
    assert profile.operators[0].kernels == ("Convolution (NHWC, F32) IGEMM",)
    assert [t.ms for t in profile.by_operator()] == sorted(t.ms for t in totals.values())[::-1]


def test_a_graph_in_several_partitions(tmp_path):
    """In int8 the interpreter runs average pools itself, and partitions run in another order."""
    file = tmp_path / "split.tflite"
    file.write_bytes(_with_average_pools(tmp_path / "saved"))
    profile = operators.profile_file(file, threads=2, runs=2, warmup=0)
    by_layer = {operator.layer: operator for operator in profile.operators}
    assert (profile.model, profile.precision, profile.weights) == ("split", "", "unknown")
    assert by_layer["before"].kernels == ("AVERAGE_POOL_2D",)
    assert by_layer["after"].kernels == ("AVERAGE_POOL_2D",)
    assert by_layer["sum"].kernels == ("Add (ND)",)
    for name in ("stem", "side", "below"):
        assert by_layer[name].kernels == ("Convolution (NHWC, QC8) IGEMM",)
        assert by_layer[name].macs > 0


def _with_average_pools(folder) -> bytes:
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    stem = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(image)
    side = keras.layers.Conv2D(8, 3, 2, padding="same", name="side")(stem)
    pooled = keras.layers.AveragePooling2D(2, name="before")(stem)
    total = keras.layers.Add(name="sum")([pooled, side])
    below = keras.layers.Conv2D(8, 2, 2, name="below")(total)
    pooled = keras.layers.AveragePooling2D(2, name="after")(total)
    x = keras.layers.Concatenate(name="both")([pooled, below])
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(5, name="top")(x))
    shape = keras.InputSpec(shape=(1, 16, 16, 3), dtype="float32", name="image")
    model.export(folder, verbose=False, input_signature=[shape])
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    noise = np.random.RandomState(0).rand(4, 1, 16, 16, 3).astype(np.float32)
    converter.representative_dataset = lambda: ([image] for image in noise)
    return converter.convert()


# Kernels and operators.


def chain(*names):
    """Operators one after another, as nodes and as the one partition that holds them all."""
    nodes = []
    for index, name in enumerate(names):
        shapes = {index: (1, 4, 4, 8), index + 1: (1, 4, 4, 8), 99: (8, 1, 1, 8)}
        constants = (99,) if "CONV" in name else ()
        nodes.append(Node(name, (index, *constants), (index + 1,), shapes, f"net/{name}/op"))
    return nodes, [Node("DELEGATE", (0, 99), (len(names),), {}, "")]


def assigned(names, ran):
    nodes, partitions = chain(*names)
    profile = [Kernel(name, None, index, (1,)) for index, name in enumerate(ran)]
    return [[k.name for k in own] for own in kernels.assign(nodes, partitions, profile)]


@pytest.mark.parametrize(
    ("names", "ran", "places"),
    [
        (("CONV_2D", "ADD"), (PRODUCT, "Add (ND)"), (0, 1)),
        (("PAD", "CONV_2D"), (PRODUCT,), (1,)),
        (("PAD", "CONV_2D"), ("Constant Pad (ND, X32)", PRODUCT), (0, 1)),
        (("MUL", "PAD", "CONV_2D"), ("Multiply (ND)", "Clamp (NC)", PRODUCT), (0, 0, 2)),
        (("MUL", "CONV_2D"), ("Multiply (ND)", "Clamp (NC)", PRODUCT), (0, 0, 1)),
        (("CONV_2D", "CONV_2D"), ("Convert (NC)", PRODUCT, "Convert (NC)", PRODUCT), (0, 0, 1, 1)),
        (
            ("CONV_2D", "LOGISTIC", "MUL", "PAD", "DEPTHWISE_CONV_2D"),
            (PRODUCT, "Invalid Unary Op", DEPTHWISE),
            (0, 1, 4),
        ),
        (("DEQUANTIZE", "CONV_2D", "RESHAPE"), (PRODUCT, "Static Reshape (NC)"), (1, 2)),
    ],
)
def test_kernels_go_to_their_operators(names, ran, places):
    expected = [[] for _ in names]
    for kernel, place in zip(ran, places, strict=True):
        expected[place].append(kernel)
    assert assigned(names, ran) == expected


@pytest.mark.parametrize(
    ("names", "ran"),
    [
        (("CONV_2D", "CONV_2D"), (PRODUCT,)),
        (("CONV_2D",), (PRODUCT, PRODUCT, "Add (ND)", DEPTHWISE, PRODUCT)),
        (("ADD", "MUL"), (PRODUCT,)),
    ],
)
def test_a_mismatch_is_an_error(names, ran):
    with pytest.raises(RuntimeError, match=r"must implement the file's operators. Received: "):
        assigned(names, ran)


def test_each_partition_must_run():
    nodes, partitions = chain("CONV_2D")
    with pytest.raises(RuntimeError, match=r"1 partitions must run. Received: 0 that ran"):
        kernels.assign(nodes, partitions, [])


@pytest.mark.parametrize(
    ("operator", "shapes", "expected"),
    [
        ("CONV_2D", [(1, 9, 9, 4), (8, 3, 5, 2), (1, 5, 6, 8)], 5 * 6 * 8 * 3 * 5 * 2),
        ("DEPTHWISE_CONV_2D", [(1, 9, 9, 4), (1, 3, 3, 8), (1, 5, 5, 8)], 5 * 5 * 8 * 9),
        ("FULLY_CONNECTED", [(1, 20), (7, 20), (1, 7)], 7 * 20),
        ("TRANSPOSE_CONV", [(4,), (5, 2, 2, 6), (1, 3, 4, 6), (1, 6, 8, 5)], 3 * 4 * 6 * 4 * 5),
        ("ADD", [(1, 9, 9, 4), (1, 9, 9, 4), (1, 9, 9, 4)], 0),
    ],
)
def test_multiply_adds_by_hand(operator, shapes, expected):
    *inputs, output = range(len(shapes))
    node = Node(operator, tuple(inputs), (output,), dict(enumerate(shapes)), "")
    assert kernels.macs(node) == expected


def test_layer_names():
    names = [
        "tfl.quantize",
        "net_1/stem_act_1/Relu6;net_1/stem_conv_1/convolution;net_1/stem_bn_1/batchnorm/sub2",
        "net_1/block1_act_1/Relu6;net_1/block1_depthwise_1/depthwise;1",
        "net_1/scale_act_1/Relu6;net_1/scale_1/Mul",
        "net_1/Pad_1",
        "net_1/fc_1_1/MatMul",
        "convolution32",
        "StatefulPartitionedCall_1:0",
    ]
    assert layer_names(names) == [
        *("input", "stem_conv", "block1_depthwise", "scale", "Pad_1", "fc_1"),
        *("convolution32", "output"),
    ]
    assert layer_names(["net/conv_1/convolution", "net/act/Relu", "net/x/Add"]) == [
        *("conv_1", "act", "x"),
    ]


# Bad input.


@pytest.mark.parametrize("options", [{"threads": 0}, {"runs": 0}, {"warmup": -1}])
def test_bad_arguments_are_errors(files, options):
    with pytest.raises(ValueError, match=r"must be positive.* Received: threads="):
        operators.profile_file(files["fp32"], **options)


def test_bad_files_are_named(files, tmp_path):
    whole = files["fp32"].read_bytes()
    for name, data in {"empty": b"", "text": b"hello there", "cut": whole[:-5000]}.items():
        file = tmp_path / f"{name}.tflite"
        file.write_bytes(data)
        with pytest.raises(ModelFileError, match=rf"{name}\.tflite must be .* Received: "):
            operators.profile_file(file)
    with pytest.raises(ModelFileError, match=r"none\.tflite must be .* Received: no such file"):
        operators.profile_file(tmp_path / "none.tflite")


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        (
            "kill -SEGV $$",
            ModelFileError,
            r"small.* Received: an invalid model; LiteRT ended by signal 11",
        ),
        ("echo lost >&2; exit 3", RuntimeError, r"must give a result. Received: \['lost'\]"),
    ],
)
def test_a_crash_of_the_runtime_is_an_error(files, tmp_path, monkeypatch, script, error, message):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(error, match=message):
        operators.profile_file(files["fp32"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "litert_c_api.EVENT_TYPES = (64,)",
            "must be laid out as in 2.3. Received: ai-edge-litert ",
        ),
        ("litert_c_api.LIBRARY = 'none.so'", "need LiteRT's profiler: pip install .* Received: "),
    ],
)
def test_an_unknown_library_is_an_error(files, change, message):
    arguments = [str(files["fp32"]), "1", "1", "0"]
    modules = "from newnet_tf.profiling import litert_c_api, litert_profiler"
    code = f"{modules}; {change}; litert_profiler.main({arguments})"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    reply = json.loads(run.stdout)
    assert reply["is_file_error"] is False
    assert re.search(message, reply["error"])


# The table, the command, the charts.


def test_the_table_keeps_no_rows_of_an_earlier_profile(profiles, tmp_path):
    profile_tables.save(profiles.values(), tmp_path)
    shrunk = profile_tables.rows(profiles["fp32"])[:2]
    results.record(profile_tables.TABLE, shrunk, profile_tables.KEYS, tmp_path)
    table = results.read(profile_tables.TABLE, tmp_path)
    assert [row["operator"] for row in table if row["precision"] == "fp32"] == [
        row["operator"] for row in shrunk
    ]
    rest = [row for row in table if row["precision"] == "int8-full"]
    assert len(rest) == len(profiles["int8-full"].by_operator())
    assert sum(float(row["share"]) for row in rest) == pytest.approx(1, abs=0.01)


def test_info_has_a_line_for_each_file(profiles, tmp_path):
    profile_tables.save(profiles.values(), tmp_path)
    lines = model_info._operators(results.read(profile_tables.TABLE, tmp_path))
    assert [line["precision"] for line in lines] == sorted(profiles)
    assert lines[0]["share of the operators' time"].count("%") == model_info.SHOWN_OPERATORS


def test_the_command(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "HERE", tmp_path / "results")
    image = tmp_path / "out" / "shares.png"
    arguments = [str(files[p]) for p in ("fp32", "int8-full")]
    command = ["profile", *arguments, "--runs", "2", "--layers", "3", "--plot", str(image)]
    assert main([*command, "--save-results"]) == 0
    out = capsys.readouterr().out
    assert "small fp32, 1 thread, 2 runs, weights: real" in out
    assert "CONV_2D 1x1" in out
    assert "without multiply-adds" in out
    assert out.count("slowest layers") == 2
    assert image.read_bytes().startswith(b"\x89PNG")
    assert len(results.read("operators")) == sum(
        len(operators.profile_file(file, runs=1, warmup=0).by_operator()) for file in arguments
    )
    figure = tmp_path / "shares.svg"
    assert main(["profile", arguments[0], "--runs", "1", "--json", "--plot", str(figure)]) == 0
    [profile] = json.loads(capsys.readouterr().out)
    assert profile["model"] == "small"
    assert sum(o["macs"] for o in profile["operators"]) == cost(small_network.network()).macs
    assert sum(t["ms"] for t in profile["by_layer"]) == pytest.approx(profile["ops_ms"])
    assert b"<svg" in figure.read_bytes()


def test_two_files_side_by_side(files, tmp_path, capsys):
    image = tmp_path / "flame.svg"
    arguments = [str(files[p]) for p in ("fp32", "int8-full")]
    assert main(["profile", *arguments, "--runs", "2", "--flame-chart", str(image)]) == 0
    out = capsys.readouterr().out
    assert out.count("XNNPACK runs 100% of") == 2
    assert out.count("peak activation memory: 0.") == 2
    tables = out.split("\noperator  ")[-1].split("\n\n")
    heads = [line.split() for line in (tables[0].splitlines()[0], tables[1].splitlines()[0])]
    assert heads[0] == ["small", "fp32", "small", "int8-full", "ratio"]
    assert heads[1] == ["layer", *heads[0]]
    rows = [line.split() for table in tables for line in table.splitlines()[2:]]
    both = [row for row in rows if len(row) == 4 and float(row[1])]
    assert len(both) > 8
    for name, first, second, ratio in both:
        first, second, ratio = float(first), float(second), float(ratio)
        rounding = 0.0005 * (1 + ratio) + 0.005 * (first + 0.0005)  # of all three that are printed
        assert second == pytest.approx(first * ratio, abs=1.01 * rounding), name
    assert [row[0] for row in rows].count("all") == 2
    assert b"<svg" in image.read_bytes()


def test_the_flame_chart_is_as_wide_as_the_time(profiles):
    both = [profiles["fp32"], profiles["int8-full"]]
    figure = flame_chart.flame_chart(both, ["a", "b"])
    figure.canvas.draw()
    for axes, profile in zip(figure.axes, both, strict=True):
        for place in range(len(flame_chart.ROWS)):
            row = [patch for patch in axes.patches if patch.get_y() == place]
            assert sum(patch.get_width() for patch in row) == pytest.approx(profile.ops_ms)
        operators_row = [patch for patch in axes.patches if patch.get_y() == 2]
        assert len(operators_row) == sum(operator.ms > 0 for operator in profile.operators)


def test_peak_memory_of_activations():
    """Tensor 0 comes in; 9 is a constant; 1 is read again by the third operator."""
    nodes = [([0, 9], [1]), ([1], [2]), ([1, 2], [3]), ([3], [4])]
    sizes = {0: 100, 1: 40, 2: 30, 3: 50, 4: 1, 9: 10_000}
    assert litert_profiler.peak_bytes(nodes, sizes, inputs=[0]) == 140
    assert litert_profiler.peak_bytes(nodes[1:], sizes | {2: 90}, inputs=[1]) == 40 + 90 + 50


def test_memory_and_delegation(profiles):
    for precision, profile in profiles.items():
        assert profile.delegation.fully_delegated, precision
        assert profile.rss_bytes is None or profile.rss_bytes > 0
    stem, block = 32 * 32 * 16, 16 * 16 * 24  # outputs of the first layers
    assert profiles["fp32"].peak_activation_bytes >= 4 * (stem + block)
    assert profiles["fp32"].peak_activation_bytes < 4 * 10 * stem
    assert profiles["int8-full"].peak_activation_bytes < profiles["fp32"].peak_activation_bytes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["newnet_smal"], "Did you mean 'newnet_small'"),
        (["none.tflite"], "none.tflite must be a whole TFLite file. Received: no such file"),
        (["newnet_small", "--plot", "a.jpg"], "(--plot) must end in one of"),
        (["newnet_small", "--flame-chart", "a.jpg"], "(--flame-chart) must end in one of"),
        (["newnet_small", "--precision", "fp64"], "precision='fp64'"),
        (["newnet_small", "--runs", "0"], "must be positive. Received: 1 and 0"),
        (["newnet_small", "--layers", "-1"], "--layers must not be negative. Received: -1"),
    ],
)
def test_the_command_names_mistakes(options, message, capsys):
    assert main(["profile", *options]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert "Received: " in err


def test_the_chart_by_operator(profiles):
    rows = [row for profile in profiles.values() for row in profile_tables.rows(profile)]
    rows += [
        {**row, "model": "a_network_of_long_name"} for row in rows if row["precision"] == "fp32"
    ]
    figure = op_breakdown.op_breakdown(rows, ["small", "a_network_of_long_name"])
    figure.canvas.draw()
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(profiles)
    for axes in figure.axes:
        bars = len({round(patch.get_y(), 3) for patch in axes.patches})
        assert sum(patch.get_width() for patch in axes.patches) == pytest.approx(bars)
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        edge = figure.bbox.x1
        assert all(box.x1 <= edge for box in boxes)

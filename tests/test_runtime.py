"""Running TFLite files: inputs and outputs of classifiers, choice of interpreter, damaged files."""

import dataclasses
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import small_network

from newnet_tf.data.preprocess import normalize
from newnet_tf.deploy import config_file, interpreter
from newnet_tf.deploy.flatbuffer import io_adapters
from newnet_tf.deploy.flatbuffer.graph import CHANNEL_AXIS, Graph
from newnet_tf.deploy.quantization import weight_only
from newnet_tf.deploy.runtime import ModelFileError, Runner
from newnet_tf.utils.quiet import quiet

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = ("ai_edge_litert", "tf.lite")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return small_network.exported(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def inputs():
    return normalize(small_network.images(), small_network.PREPROCESS)


@pytest.fixture
def edited(exported, tmp_path):
    """Returns a function that edits the file of a precision and gives its Runner."""

    def edit(precision, *changes):
        graph = Graph(exported[precision].file.read_bytes())
        for change, *arguments in changes:
            change(graph, *arguments)
        file = tmp_path / "edited.tflite"
        file.write_bytes(graph.to_bytes())
        return Runner(file)

    return edit


def bare(file) -> bytes:
    """Returns a TFLite file without the record behind it."""
    with zipfile.ZipFile(file) as record:
        return file.read_bytes()[: min(entry.header_offset for entry in record.infolist())]


def test_a_runner_knows_its_file(exported):
    runner = Runner(exported["int8-full"].file, threads=2)
    assert (runner.image_size, runner.classes, runner.threads) == (64, 10, 2)
    assert (runner.output_type, runner.expects_uint8_pixels, runner.dtype) == (
        "logits",
        False,
        np.float32,
    )
    made = exported["int8-full"].config
    images = dataclasses.replace(made.calibration, image_names=())  # which stay with the user
    assert runner.config == dataclasses.replace(made, calibration=images)
    assert runner.config.digest == made.digest
    assert runner.delegation().fully_delegated
    assert runner.delegation().share == 1


def test_a_batch_gives_what_single_images_give(exported, inputs):
    runner = Runner(exported["fp32"].file)
    together = runner(inputs[:3])
    assert together.shape == (3, 10)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together[2:], runner(inputs[2:3]))


@pytest.mark.parametrize("precision", small_network.MADE)
def test_both_interpreters_agree_bit_for_bit(exported, inputs, precision):
    runners = [Runner(exported[precision].file, interpreter=name) for name in INSTALLED]
    assert [runner.interpreter for runner in runners] == list(INSTALLED)
    np.testing.assert_array_equal(*(runner(inputs) for runner in runners))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_integers_in_and_out_have_the_models_own_scale(exported, edited, inputs, dtype):
    runner = edited(
        "int8-full", (io_adapters.integer_input, dtype), (io_adapters.integer_outputs, dtype)
    )
    assert runner.dtype == np.dtype(dtype)
    assert runner.delegation().fully_delegated
    np.testing.assert_allclose(
        runner(inputs), Runner(exported["int8-full"].file)(inputs), atol=1e-5
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-dynamic", "int8-full"])
@pytest.mark.parametrize("record", [small_network.PREPROCESS, small_network.WHOLE])
def test_pixels_in_equal_floats_in(exported, edited, precision, record):
    pixels = small_network.images()
    runner = edited(
        precision,
        (io_adapters.pixels, record.scale, record.offset),
        (Graph.rename, "pixels", "logits"),
    )
    assert runner.expects_uint8_pixels
    assert runner.delegation().fully_delegated
    plain = Runner(exported[precision].file)(normalize(pixels, record))
    std = plain.std(0).mean()
    # Float sums differ in their last bits; where activations are rounded to 8 bits, a step may flip.
    bound = 1e-4 if precision in ("fp32", "fp16") else 0.05
    assert np.abs(runner(pixels) - plain).max() < bound * std


@pytest.mark.parametrize("dequantizes", [False, True])
def test_kernels_are_integers_but_small_and_depthwise_ones(exported, inputs, tmp_path, dequantizes):
    plain = Graph(exported["fp32"].file.read_bytes())
    graph = Graph(exported["fp32"].file.read_bytes())
    weight_only.quantize_kernels(graph)
    (weight_only.insert_dequantize if dequantizes else weight_only.use_dynamic_range)(graph)
    stored = {o.outputs[0]: o.inputs[0] for o in graph.body.operators if is_dequantize(graph, o)}
    versions, stayed = set(), 0
    for operator, same in zip(*map(with_kernels, (graph, plain)), strict=True):
        exact = plain.constant(same.inputs[1])
        found = stored.get(operator.inputs[1], operator.inputs[1])
        if graph.name_of(same) == "DEPTHWISE_CONV_2D" or exact.size < 1024:
            np.testing.assert_array_equal(graph.constant(found), exact)
            stayed += 1
            continue
        versions.add(graph.version_of(operator))
        steps = np.abs(exact).max((1, 2, 3), keepdims=True) / 127
        assert graph.constant(found).dtype == np.int8
        assert (np.abs(graph.dequantized(found) - exact) <= 0.501 * steps).all()
    assert versions == {1 if dequantizes else 5}
    assert stayed > 2
    file = tmp_path / "integers.tflite"
    file.write_bytes(graph.to_bytes())
    assert Runner(file).delegation().fully_delegated
    exact = Runner(exported["fp32"].file)(inputs)
    assert np.abs(Runner(file)(inputs) - exact).max() < 0.3 * exact.std(0).mean()


def with_kernels(graph):
    return [o for o in graph.body.operators if graph.name_of(o) in CHANNEL_AXIS]


def is_dequantize(graph, operator):
    return graph.name_of(operator) == "DEQUANTIZE"


def test_a_whole_numbered_zero_point_costs_no_operator(exported):
    sizes = []
    for record in (small_network.WHOLE, small_network.PREPROCESS):
        graph = Graph(exported["fp32"].file.read_bytes())
        before = len(graph.operators)
        io_adapters.pixels(graph, record.scale, record.offset)
        sizes.append(graph.operators[: len(graph.operators) - before])
    assert sizes == [["DEQUANTIZE"], ["DEQUANTIZE", "MUL", "ADD"]]


@pytest.mark.parametrize("precision", ["fp32", "int8-full"])
def test_probabilities_are_the_softmax_of_the_logits(exported, edited, inputs, precision):
    runner = edited(
        precision,
        (io_adapters.activate_output, "softmax"),
        (Graph.rename, "image", "probabilities"),
    )
    assert runner.output_type == "probabilities"
    assert runner.delegation().fully_delegated
    powers = np.exp(Runner(exported[precision].file)(inputs))
    expected = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(runner(inputs), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_float_files_refuse_integer_inputs_and_outputs(exported, dtype):
    graph = Graph(exported["fp32"].file.read_bytes())
    with pytest.raises(ValueError, match=r"must begin with QUANTIZE.*Received: CONV_2D"):
        io_adapters.integer_input(graph, dtype)
    with pytest.raises(ValueError, match=r"must end in DEQUANTIZE.*Received: RESHAPE"):
        io_adapters.integer_outputs(graph, dtype)


def test_constants_stay_aligned(exported):
    file = exported["fp32"].file.read_bytes()
    graph = Graph(file)
    constants = [b.data.tobytes() for b in graph._model.buffers if b.data is not None]
    weights = [data for data in constants if len(set(data)) > 100]  # such are found once
    assert len(weights) > 5
    assert {file.index(data) % 16 for data in weights} == {0}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((64, 64, 3), np.float32), r"shape \(n, 64, 64, 3\).*shape=\(64, 64, 3\)"),
        (np.zeros((1, 32, 64, 3), np.float32), r"shape=\(1, 32, 64, 3\)"),
        (np.zeros((0, 64, 64, 3), np.float32), r"shape=\(0, 64, 64, 3\)"),
        (np.zeros((1, 64, 64, 3), np.uint8), "must be preprocessed floats.*dtype=uint8"),
    ],
)
def test_inputs_of_another_kind_are_errors(exported, bad, message):
    with pytest.raises(ValueError, match=message):
        Runner(exported["fp32"].file)(bad)


def test_a_file_that_takes_pixels_refuses_floats(edited, inputs):
    record = small_network.PREPROCESS
    runner = edited(
        "fp32",
        (io_adapters.pixels, record.scale, record.offset),
        (Graph.rename, "pixels", "logits"),
    )
    with pytest.raises(ValueError, match=r"uint8 pixels in 0-255. Received: dtype=float32"):
        runner(inputs)


@pytest.mark.parametrize("threads", [0, 1.5, True, "2"])
def test_threads_must_be_a_positive_int(exported, threads):
    with pytest.raises(ValueError, match="`threads` must be a positive int"):
        Runner(exported["fp32"].file, threads=threads)


def bad_files(whole: bytes) -> dict[str, bytes]:
    generator = np.random.default_rng(0)
    files = {f"cut at {share}": whole[: int(len(whole) * share)] for share in (0.01, 0.5, 0.99)}
    files |= {"one byte short": whole[:-1], "empty": b"", "text": b"no model, only words " * 9}
    files |= {"magic only": b"\x1c\0\0\0TFL3", "magic and zeros": b"\x1c\0\0\0TFL3" + bytes(99)}
    files["zero tail"] = whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)
    for number in range(4):
        noisy = np.frombuffer(whole, np.uint8).copy()
        noisy[generator.integers(8, len(noisy), len(noisy) // 20)] ^= 0xFF
        files[f"noise {number}"] = noisy.tobytes()
    return files


OPEN_EACH = """
import sys
from newnet_tf.deploy.runtime import Runner
for file in sys.argv[2:]:
    try:
        Runner(file, interpreter=sys.argv[1])
        print("accepted", file)
    except ValueError as error:
        print("refused", error)
"""


@pytest.mark.parametrize("interpreter", INSTALLED)
def test_damaged_files_end_in_an_error_that_names_them(exported, tmp_path, interpreter):
    """In a process of its own: an error that is not caught ends it (`tf.lite` does not check)."""
    paths = []
    for name, data in bad_files(exported["int8-full"].file.read_bytes()).items():
        paths.append(tmp_path / f"{name}.tflite")
        paths[-1].write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-c", OPEN_EACH, interpreter, *paths],
        capture_output=True,
        check=False,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    lines = [line for line in run.stdout.splitlines() if line.startswith(("refused", "accepted"))]
    assert len(lines) == len(paths)
    for line, path in zip(lines, paths, strict=True):
        reasons = ("must be a whole TFLite file", "must be the model that the record inside it")
        assert line.startswith(tuple(f"refused {path} {reason}" for reason in reasons)), line
        assert "Received: " in line


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"none\.tflite must be .* Received: no such file"):
        Runner(tmp_path / "none.tflite")


def test_a_file_unlike_its_config_is_refused(exported, tmp_path):
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(exported["fp32"].file.read_bytes())
    Runner(copy)
    data = bytearray(copy.read_bytes())
    data[-200_00] ^= 1
    copy.write_bytes(data)
    with pytest.raises(ValueError, match=r"copy\.tflite must be the model that the record inside"):
        Runner(copy)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"sha256": "0"}', '{"sha256": DIGEST, "config": {"model": "a"}}', "not json"],
)
def test_a_damaged_config_is_named(exported, tmp_path, text):
    model, copy = bare(exported["fp32"].file), tmp_path / "copy.tflite"
    text = text.replace("DIGEST", f'"{hashlib.sha256(model).hexdigest()}"')
    copy.write_bytes(model + config_file.archive({config_file.ENTRY: text.encode()}))
    for make in (Runner, config_file.read_config):
        with pytest.raises(ValueError, match=r"copy\.tflite must .*Received: "):
            make(copy)


def test_a_description_next_to_a_file_is_not_read(exported, tmp_path):
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(exported["fp32"].file.read_bytes())
    for text in ("", "[]", '{"model": "a"}', "not json"):
        copy.with_suffix(".json").write_text(text)
        (tmp_path / "small.labels.txt").write_text(text)
        assert Runner(copy).config == exported["fp32"].config


def test_a_mutated_record_is_known_or_named(exported, tmp_path):
    whole, size = exported["fp32"].file.read_bytes(), len(bare(exported["fp32"].file))
    copy, known = tmp_path / "copy.tflite", exported["fp32"].config
    found = []
    for seed in range(60):
        random, data = np.random.default_rng(seed), np.frombuffer(whole, np.uint8).copy()
        data[random.integers(size + 44, len(data), 3)] ^= 255  # behind the name of the entry
        cut = len(data) if seed % 3 else int(random.integers(size + 44, len(data)))
        copy.write_bytes(data[:cut].tobytes())
        try:
            found.append(config_file.read_config(copy))
        except ValueError as error:
            found.append(f"{error}")
    messages = [message for message in found if isinstance(message, str)]
    assert len(messages) > 50
    assert all("copy.tflite must be a whole TFLite file" in message for message in messages)
    assert all("Received: " in message for message in messages)
    assert all(config == known for config in found if not isinstance(config, str))


def test_a_file_without_config_runs(exported, inputs, tmp_path):
    copy = tmp_path / "alone.tflite"
    copy.write_bytes(bare(exported["fp16"].file))
    runner = Runner(copy)
    assert runner.config is None
    assert runner.output_type == "logits"
    assert runner(inputs[:1]).shape == (1, 10)


def test_the_interpreter_can_be_chosen(monkeypatch):
    monkeypatch.delenv(interpreter.INTERPRETER_VARIABLE, raising=False)
    assert interpreter.interpreter_class()[0] == "ai_edge_litert"
    monkeypatch.setenv(interpreter.INTERPRETER_VARIABLE, "tf.lite")
    assert interpreter.interpreter_class()[0] == "tf.lite"
    assert interpreter.interpreter_class("ai_edge_litert")[0] == "ai_edge_litert"
    with pytest.raises(ValueError, match=r"must be among .*Received: 'onnx'"):
        interpreter.interpreter_class("onnx")


def test_the_next_interpreter_is_taken_where_one_is_missing(monkeypatch):
    monkeypatch.delenv(interpreter.INTERPRETER_VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    assert interpreter.interpreter_class()[0] == "tf.lite"
    for module in interpreter.INTERPRETERS.values():
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        interpreter.interpreter_class()


NUMPY_ONLY = """
import sys
for name in ("tensorflow", "keras", "PIL", "flatbuffers", "absl", "h5py", "tflite_runtime"):
    sys.modules[name] = None
import numpy as np
from newnet_tf.deploy import Runner
from newnet_tf.deploy.verification import verify
data = np.load(sys.argv[2])
runner = Runner(sys.argv[1])
print(verify(data["reference"], runner, data["inputs"], runner.config).passed)
"""


def test_running_and_verifying_need_numpy_and_litert_alone(exported, inputs, tmp_path):
    reference = Runner(exported["fp32"].file)(inputs)
    np.savez(tmp_path / "stored.npz", reference=reference, inputs=inputs)
    run = subprocess.run(
        [sys.executable, "-c", NUMPY_ONLY, exported["int8-full"].file, tmp_path / "stored.npz"],
        capture_output=True,
        check=False,
        text=True,
        cwd=ROOT,
        env=os.environ | {interpreter.INTERPRETER_VARIABLE: "ai_edge_litert"},
    )
    assert run.stdout.strip() == "True", run.stderr


def test_native_output_is_suppressed_unless_the_block_fails(capfd):
    with quiet():
        os.write(1, b"words")
        os.write(2, b"chatter")
    assert capfd.readouterr() == ("", "")

    def fail():
        with quiet():
            os.write(1, b"what went wrong")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert "what went wrong" in capfd.readouterr().err

"""Frozen graphs of TensorFlow 1: read without TensorFlow, equal to what TensorFlow wrote, bounded."""

import numpy as np
import pytest
import tensorflow as tf

from newnet_tf import weights
from newnet_tf.detection import catalog
from newnet_tf.weights import CheckpointError, assign, frozen_graph, reader

LIMIT = 1 << 20


def graph_of(variables):
    """A graph as freezing leaves it: constants that were variables, their readers, a computation."""
    definition = tf.compat.v1.GraphDef()
    with tf.Graph().as_default() as graph:
        for name, value in variables.items():
            constant = tf.constant(value, name=name)
            tf.identity(constant, name=f"{name}/read")
        scale = tf.constant([2.0, 3.0], name="Preprocessor/scale")  # no variable
        tf.identity(scale, name="scaled")
        definition = graph.as_graph_def()
    return definition


def numbers(dtype):
    return np.arange(24).reshape(2, 3, 4).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int32", "int64"])
def test_variables_of_each_type_are_read_exactly(dtype):
    values = numbers(tf.as_dtype(dtype).as_numpy_dtype)
    arrays = frozen_graph.read(graph_of({"a/weights": values}).SerializeToString(), LIMIT)
    assert list(arrays) == ["a/weights"]
    assert arrays["a/weights"].dtype == values.dtype
    np.testing.assert_array_equal(arrays["a/weights"], values)


def field_tensor(dtype, field, values, shape):
    """A tensor whose values are in a field of numbers, not in bytes."""
    tensor = tf.make_tensor_proto(np.zeros(shape, dtype))
    tensor.ClearField("tensor_content")
    for name in ("float_val", "half_val", "int_val", "int64_val", "double_val"):
        tensor.ClearField(name)
    getattr(tensor, field).extend(values)
    definition = tf.compat.v1.GraphDef()
    node = definition.node.add(name="v", op="Const")
    node.attr["value"].tensor.CopyFrom(tensor)
    definition.node.add(name="v/read", op="Identity").input.append("v")
    return definition.SerializeToString()


@pytest.mark.parametrize(
    ("dtype", "field", "values", "expected"),
    [
        ("float32", "float_val", [0.5, 1.5], [0.5, 1.5, 1.5, 1.5]),  # the last one is repeated
        ("float64", "double_val", [0.25], [0.25] * 4),
        ("float16", "half_val", [0x3C00, 0xC000], [1.0, -2.0, -2.0, -2.0]),
        ("int32", "int_val", [-3, 4], [-3, 4, 4, 4]),
        ("int64", "int64_val", [-(2**40)], [-(2**40)] * 4),
    ],
)
def test_values_in_a_field_of_numbers_fill_the_shape(dtype, field, values, expected):
    arrays = frozen_graph.read(field_tensor(dtype, field, values, (2, 2)), LIMIT)
    assert arrays["v"].ravel().tolist() == expected


def test_a_scalar_and_an_empty_name_space():
    arrays = frozen_graph.read(graph_of({"step": np.float32(7)}).SerializeToString(), LIMIT)
    assert arrays["step"].shape == ()
    assert arrays["step"] == 7


def message(number, data):
    return bytes([number << 3 | 2, len(data)]) + data


HOSTILE = {
    "cut off": (
        graph_of({"a": numbers("float32")}).SerializeToString()[:-40],
        "it is cut off|no variables",
    ),
    "a field longer than the file": (b"\n\xff\xff\xff\xff\x0f\n\x01a", "a field is longer"),
    "an endless number": (b"\n" + b"\xff" * 12, "more than ten bytes"),
    "an unknown wire type": (b"\n\x02\x0b\x0b", "wire type 3"),
    "a name that is no text": (message(1, message(1, b"\xff\xfe")), "no text"),
    "a SavedModel": (b"\x08\x01\x12\x02\n\x00", "SavedModel"),
    "no variables": (graph_of({}).SerializeToString(), "no variables"),
    "a number for a node": (b"\x08\x05", "a number where a message"),
    "values beyond the shape": (
        field_tensor("float32", "float_val", [1.0] * 5, (2, 2)),
        "5 values",
    ),
    "a shape beyond the limit": (
        field_tensor("float32", "float_val", [1.0], (2, 2)).replace(
            b"\x12\x02\x08\x02\x12\x02\x08\x02", b"\x12\x02\x08\x7f\x12\x02\x08\x7f"
        ),
        r"declares the shape \(127, 127\)",
    ),
    "text": (
        tf.compat.v1.GraphDef.FromString(
            graph_of({"a": np.array(["x"])}).SerializeToString()
        ).SerializeToString(),
        "type number 7",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_damaged_graph_is_an_error_that_names_the_problem(kind):
    data, words = HOSTILE[kind]
    with pytest.raises(frozen_graph.FrozenGraphError, match=words):
        frozen_graph.read(data, 10_000)


def test_any_cut_or_changed_byte_is_read_or_refused():
    data = graph_of({"a/weights": numbers("float32"), "b": numbers("int32")}).SerializeToString()
    random = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(data[: random.integers(1, len(data))])
        changed[random.integers(len(changed))] = random.integers(256)
        try:
            arrays = frozen_graph.read(bytes(changed), LIMIT)
        except frozen_graph.FrozenGraphError:
            continue
        assert sum(array.nbytes for array in arrays.values()) <= LIMIT


def slim(name, values):
    """{variable of TF-Slim: value} of a layer of ours."""
    leaves = {"kernel": "weights", "bias": "biases"}
    for variable, value in values.items():
        leaf = leaves.get(variable, variable)
        is_depthwise = variable == "kernel" and name.endswith("_depthwise")
        yield f"{name}/{'depthwise_weights' if is_depthwise else leaf}", value


@pytest.fixture(scope="module")
def detector():
    variant = catalog.detector("tf_mobilenet_v1_025")
    return variant.target(), variant.build(classes=2, image_size=32)


def test_a_graph_of_the_object_detection_api_fills_a_detector(detector, tmp_path):
    target, model = detector
    names = target.checkpoint_formats[0].layers
    random = np.random.default_rng(1)
    variables = {}
    for layer in model.layers:
        values = {v.name: random.uniform(0.5, 1.5, v.shape).astype("f4") for v in layer.weights}
        variables |= dict(slim(names.get(layer.name, ""), values)) if values else {}
    file = tmp_path / "frozen_inference_graph.pb"
    file.write_bytes(graph_of(variables).SerializeToString())
    checkpoint = reader.read(file.rename(tmp_path / "renamed.pth"))  # the content decides
    assert checkpoint.kind == "frozen graph"
    assert weights.class_count(checkpoint, target) == 2
    report = assign.assign_weights(model, checkpoint, target)
    assert (report.tensors, report.skipped) == (len(variables), ())
    for layer in model.layers:
        found = {v.name: np.asarray(v) for v in layer.weights}
        for name, values in slim(names.get(layer.name, ""), found) if found else ():
            np.testing.assert_array_equal(values, variables[name], err_msg=name)


def test_a_graph_of_another_model_is_an_error(detector, tmp_path):
    file, (target, model) = tmp_path / "other.pb", detector
    file.write_bytes(graph_of({"dense/kernel": numbers("float32")}).SerializeToString())
    with pytest.raises(CheckpointError, match=r"(?s)1 tensors of the file.*dense/kernel"):
        assign.assign_weights(model, reader.read(file), target)
    file.write_bytes(b"\n\xff\xff\xff\x7f")
    with pytest.raises(CheckpointError, match=r"'other.pb' must be a frozen graph of TensorFlow 1"):
        reader.read(file)

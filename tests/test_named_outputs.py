"""Export and running of models that are not classifiers: several named inputs and outputs."""

import json

import keras
import numpy as np
import pytest
import tiny_task

from newnet_tf.deploy import (
    DegenerateOutputsError,
    ExportConfig,
    ExportError,
    ModelFileError,
    Runner,
    SandboxedRunner,
    SavedModelRunner,
    export_saved_model,
    export_tflite,
    random_inputs,
    verify_file,
)
from newnet_tf.deploy.converter import silence
from newnet_tf.deploy.flatbuffer.graph import Graph, schema
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.deploy.quantization.quantizer import output_tails
from newnet_tf.deploy.saved_model import read_metadata
from newnet_tf.deploy.source_model import source_model
from newnet_tf.deploy.tensor_spec import TensorSpec
from newnet_tf.deploy.verification import compare_outputs

NAMES = ["point", "score_map"]
SHAPES = {"point": (1, 2), "score_map": (1, 4, 4, 1)}


@pytest.fixture(scope="module")
def pixels():
    return tiny_task.images(12)


@pytest.fixture(scope="module")
def expected(pixels):
    outputs = tiny_task.trained_model()(tiny_task.normalized(pixels))
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def export(folder, pixels, **options):
    return export_tflite(
        tiny_task.trained_model(),
        tiny_task.preprocess(),
        folder,
        calibration_images=pixels,
        validation_images=pixels,
        task=tiny_task.task(),
        **options,
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory, pixels):
    folder = tmp_path_factory.mktemp("tiny")
    results = export(folder, pixels, precisions=["fp32", "int8-full"])
    return {result.config.precision: result for result in results}


# TFLite.


def test_outputs_keep_their_names_shapes_and_order(exported):
    for result in exported.values():
        assert result.verification.passed
        assert result.config.task == tiny_task.NAME
        values = json.loads(result.file.with_suffix(".json").read_text())
        assert ExportConfig.from_dict(values) == result.config
        assert [tensor["name"] for tensor in values["outputs"]] == NAMES
        runner = Runner(result)
        assert [spec.name for spec in runner.inputs] == ["image"]
        assert {spec.name: spec.shape for spec in runner.outputs} == SHAPES
        assert [spec.name for spec in runner.outputs] == NAMES
        assert [(t.name, t.shape) for t in result.config.outputs] == list(SHAPES.items())
        assert not runner.is_classifier
        assert runner.classes is runner.image_size is runner.output_type is None
        with pytest.raises(ModelFileError, match=r"must take one .* image and give \(1, classes\)"):
            runner.check_classifier()


def test_a_runner_returns_the_outputs_by_name(exported, pixels, expected):
    inputs = tiny_task.normalized(pixels)
    for precision, bound in (("fp32", 1e-4), ("int8-full", 0.15)):
        outputs = Runner(exported[precision])(inputs)
        assert list(outputs) == NAMES
        for name, values in outputs.items():
            assert values.shape == expected[name].shape
            assert np.abs(values - expected[name]).max() < bound * np.ptp(expected[name])
        one = Runner(exported[precision])({"image": inputs[:1]})
        np.testing.assert_array_equal(one["score_map"], outputs["score_map"][:1])


def test_a_sandboxed_runner_is_a_runner(exported, pixels):
    inputs, here = tiny_task.normalized(pixels), Runner(exported["int8-full"])
    with SandboxedRunner(exported["int8-full"].file) as runner:
        assert (runner.inputs, runner.outputs) == (here.inputs, here.outputs)
        outputs = runner(inputs)
        for name, values in here(inputs).items():
            np.testing.assert_array_equal(outputs[name], values)
        with pytest.raises(ModelFileError, match="must take one"):
            runner.check_classifier()


def test_pixels_in_and_integers_out_of_every_output(tmp_path, pixels, expected):
    [result] = export(
        tmp_path, pixels, precisions=["int8-full"], io_dtype="uint8", embed_normalization=True
    )
    runner = Runner(result)
    assert [spec.name for spec in runner.inputs] == ["pixels"]
    assert [spec.dtype for spec in (*runner.inputs, *runner.outputs)] == ["uint8"] * 3
    assert all(spec.is_quantized for spec in runner.outputs)
    for name, values in runner(pixels).items():
        assert np.abs(values - expected[name]).max() < 0.2 * np.ptp(expected[name])


def test_verification_sees_a_changed_file(exported, pixels, tmp_path):
    """Of the two outputs, one has its bias moved."""
    graph = Graph(exported["fp32"].file.read_bytes())
    tail = output_tails(graph)[graph.output_names.index("point")]
    operator = next(o for o in graph.body.operators if int(o.outputs[0]) == tail[-1])
    graph.set_constant(operator.inputs[2], graph.constant(operator.inputs[2]) + np.float32([1, -1]))
    file = tmp_path / "moved.tflite"
    file.write_bytes(graph.to_bytes())
    outputs = Runner(file)(tiny_task.normalized(pixels))
    reference = Runner(exported["fp32"])(tiny_task.normalized(pixels))
    moved = compare_outputs(reference, outputs, "fp32", "logits", tiny_task.task())
    assert not moved.passed
    assert any("max normalized error" in reason for reason in moved.reasons)
    np.testing.assert_array_equal(outputs["score_map"], reference["score_map"])
    same = compare_outputs(reference, reference, "fp32", "logits", tiny_task.task())
    assert same.passed


def test_a_task_may_bound_its_own_figures(exported, pixels, monkeypatch):
    reference = Runner(exported["fp32"])(tiny_task.normalized(pixels))
    outputs = Runner(exported["int8-full"])(tiny_task.normalized(pixels))
    task = tiny_task.PointTask()
    assert compare_outputs(reference, outputs, "int8-full", "logits", task).passed
    bounds = {"int8-full": {"cosine": (0.9999999, None), "max_normalized_error": (None, 1e-9)}}
    monkeypatch.setattr(tiny_task.PointTask, "tolerance", lambda self, precision: bounds[precision])
    strict = compare_outputs(reference, outputs, "int8-full", "logits", task)
    assert [reason.split()[0] for reason in strict.reasons] == ["cosine", "max_normalized_error"]


def test_outputs_beyond_the_tolerance_are_not_written(tmp_path, pixels, monkeypatch):
    bounds = {"cosine": (1.1, None)}
    monkeypatch.setattr(tiny_task.PointTask, "tolerance", lambda self, precision: bounds)
    with pytest.raises(ExportError, match=r"tiny_point\.fp32\.tflite must give.*cosine .* < 1\.1"):
        export(tmp_path / "new", pixels)
    assert not (tmp_path / "new").exists()


def test_outputs_that_do_not_vary_are_refused(tmp_path, pixels):
    model = tiny_task.model()
    point = model.get_layer("point")
    point.set_weights([np.zeros_like(weight) for weight in point.get_weights()])
    with pytest.raises(
        DegenerateOutputsError, match="output 'point' must vary from image to image"
    ):
        export_tflite(
            model,
            tiny_task.preprocess(),
            tmp_path / "new",
            validation_images=pixels,
            task=tiny_task.task(),
        )


def test_probabilities_are_for_classifiers(tmp_path, pixels):
    message = r"`output_type` must be among \['logits'\] .* output_type='probabilities'"
    with pytest.raises(ValueError, match=message):
        export(tmp_path, pixels, output_type="probabilities")


# Other formats.


def test_onnx_keeps_the_names(tmp_path, pixels, expected):
    pytest.importorskip("tf2onnx", reason="ONNX needs pip install 'newnet_tf[onnx]'")
    from newnet_tf.deploy import OnnxRunner, export_onnx

    result = export_onnx(
        tiny_task.trained_model(),
        tiny_task.preprocess(),
        tmp_path,
        validation_images=pixels,
        task=tiny_task.task(),
    )
    assert result.verification.passed
    runner = OnnxRunner(result)
    assert [spec.name for spec in runner.outputs] == NAMES
    assert (runner.config, runner.is_classifier) == (result.config, False)
    for name, values in runner(tiny_task.normalized(pixels)).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-4)
    with pytest.raises(ValueError, match=r"must be a mapping with image\. Received: photo"):
        runner({"photo": tiny_task.normalized(pixels)})


def test_a_saved_model_keeps_the_names(tmp_path, pixels, expected):
    model, preprocess, task = tiny_task.trained_model(), tiny_task.preprocess(), tiny_task.task()
    folder = export_saved_model(model, tmp_path / "served", preprocess, task=task)
    record = json.loads((folder / "assets.extra" / "newnet_tf.json").read_text())
    assert (read_metadata(folder).task, record["outputs"]) == (tiny_task.NAME, NAMES)
    outputs = SavedModelRunner(folder)(list(pixels))
    for name, values in outputs.items():
        np.testing.assert_allclose(values, expected[name], atol=1e-3)
    assert verify_file(model, folder, list(pixels), preprocess, task).passed


def test_a_list_of_outputs_is_named_after_its_layers(pixels, tmp_path):
    """Also where they come from a model inside the model."""
    inner = tiny_task.trained_model()
    image = keras.Input(inner.input_shape[1:], name="image")
    outer = keras.Model(image, list(inner(image).values()), name="outer")
    for model in (keras.Model(inner.input, list(inner.output.values()), name="flat"), outer):
        source = source_model(model, tiny_task.preprocess(), task=tiny_task.task())
        outputs, graph = source.predict(tiny_task.normalized(pixels)), source.graph
        assert list(outputs) == NAMES == list(graph.output)
        for name, values in graph(tiny_task.normalized(pixels)).items():
            np.testing.assert_allclose(outputs[name], values, atol=1e-5)


def test_every_format_verifies(exported, pixels, tmp_path):
    model, preprocess, task = tiny_task.trained_model(), tiny_task.preprocess(), tiny_task.task()
    keras_file = tmp_path / "tiny.keras"
    model.save(keras_file)
    for file in (exported["int8-full"].file, keras_file):
        assert verify_file(model, file, list(pixels), preprocess, task).passed
    with pytest.raises(ValueError, match="must have the weights that"):
        verify_file(tiny_task.model(), exported["fp32"].file, list(pixels), preprocess, task)


# Files from elsewhere.


def converted(model_or_function, tmp_path) -> Runner:
    """Converts a Keras model with TensorFlow's converter, as others do."""
    import tensorflow as tf

    with silence():
        data = tf.lite.TFLiteConverter.from_keras_model(model_or_function).convert()
    file = tmp_path / "foreign.tflite"
    file.write_bytes(data)
    return Runner(file)


def test_several_inputs_of_several_ranks(tmp_path):
    image, state = keras.Input((8, 8, 3), name="image"), keras.Input((5,), name="state")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    both = keras.layers.Concatenate()([pooled, state])
    boxes = keras.layers.Dense(4, name="boxes")(both)
    model = keras.Model({"image": image, "state": state}, {"boxes": boxes, "features": pooled})
    runner = converted(model, tmp_path)
    assert {spec.name: spec.shape for spec in runner.inputs} == {
        "image": (1, 8, 8, 3),
        "state": (1, 5),
    }
    inputs = random_inputs(runner, seed=1)
    batch = {name: np.concatenate([array] * 3) for name, array in inputs.items()}
    batch["image"][1] = 0
    outputs = runner(batch)
    reference = model({name: keras.ops.convert_to_tensor(array) for name, array in batch.items()})
    assert set(outputs) == {"boxes", "features"}
    for name, values in outputs.items():
        np.testing.assert_allclose(values, reference[name], atol=1e-5)
    with pytest.raises(ValueError, match=r"mapping with image, state. Received: an array"):
        runner(batch["image"])
    with pytest.raises(
        ValueError, match=r"input 'state' of foreign.tflite must be of shape \(n, 5\)"
    ):
        runner(batch | {"state": np.zeros((3, 6), np.float32)})
    with pytest.raises(ValueError, match=r"must have one batch size.*\[2, 3\]"):
        runner(batch | {"state": batch["state"][:2]})


def test_dynamic_dimensions_and_integers(tmp_path):
    tokens = keras.Input((7,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(11, 3)(tokens)
    runner = converted(keras.Model(tokens, x), tmp_path)
    (spec,) = runner.inputs
    assert (spec.shape, spec.dtype) == ((1, 7), "int32")
    inputs = random_inputs(runner)
    assert inputs["tokens"].dtype == np.int32
    assert runner(inputs).shape == (1, 7, 3)
    np.testing.assert_array_equal(runner(inputs["tokens"].astype(np.int64)), runner(inputs))
    with pytest.raises(ValueError, match=r"must be int32\. Received: dtype=float32"):
        runner(inputs["tokens"].astype(np.float32))
    image = keras.Input((None, None, 3), name="image")
    runner = converted(keras.Model(image, keras.layers.Conv2D(4, 1)(image)), tmp_path)
    assert runner.inputs[0].shape == (1, 1, 1, 3)
    assert runner(random_inputs(runner)).shape == (1, 1, 1, 4)


def test_random_inputs_cover_every_type():
    specs = (
        TensorSpec("pixels", (1, 40, 40, 3), "uint8"),
        TensorSpec("steps", (50,), "int8", 0.1, 3),
        TensorSpec("floats", (2, 3), "float32"),
        TensorSpec("flag", (9,), "bool"),
        TensorSpec("size", (2,), "int32"),
    )

    class Fake:
        inputs = specs

    arrays, again = random_inputs(Fake, seed=3), random_inputs(Fake, seed=3)
    for spec in specs:
        assert (arrays[spec.name].shape, arrays[spec.name].dtype) == (spec.shape, spec.dtype)
        np.testing.assert_array_equal(arrays[spec.name], again[spec.name])
    assert (arrays["pixels"].min(), arrays["pixels"].max()) == (0, 255)
    assert arrays["steps"].min() < -50
    assert set(arrays["size"]) <= {0, 1}
    Fake.inputs = (TensorSpec("name", (1,), "string"),)
    with pytest.raises(ValueError, match="'name' of type string"):
        random_inputs(Fake)


def test_a_custom_operator_is_named(exported, tmp_path):
    graph = Graph(exported["fp32"].file.read_bytes())
    operators = schema.BuiltinOperator
    code = next(c for c in graph._model.operatorCodes if graph._number(c) == operators.CONV_2D)
    code.builtinCode = code.deprecatedBuiltinCode = operators.CUSTOM
    code.customCode = b"Landmarks2Transform"
    file = tmp_path / "custom.tflite"
    file.write_bytes(graph.to_bytes())
    for make in (Runner, SandboxedRunner):
        with pytest.raises(ModelFileError, match=r"custom\.tflite.*operator 'Landmarks2Transform'"):
            make(file)


def test_every_precision_has_a_tolerance_for_every_task():
    figures = {"images": 4, "cosine": 1.0, "max_normalized_error": 0.0}
    for precision in PRECISIONS.values():
        assert precision.tolerance.violations(figures) == ()
        assert precision.tolerance.violations(figures | {"cosine": float("nan")})

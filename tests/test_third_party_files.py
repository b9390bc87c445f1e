"""TFLite files of any maker: benchmarked and profiled whatever their inputs and outputs are."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import newnet_tf
from newnet_tf.cli import main
from newnet_tf.deploy import ModelFileError
from newnet_tf.profiling import operators

DETECTION = (
    'name: "TFLite_Detection_PostProcess"'
    ' attr { key: "max_detections" value { i: 10 } }'
    ' attr { key: "max_classes_per_detection" value { i: 1 } }'
    ' attr { key: "nms_score_threshold" value { f: 0.0 } }'
    ' attr { key: "nms_iou_threshold" value { f: 0.5 } }'
    ' attr { key: "num_classes" value { i: 2 } }'
    ' attr { key: "y_scale" value { f: 10.0 } } attr { key: "x_scale" value { f: 10.0 } }'
    ' attr { key: "h_scale" value { f: 5.0 } } attr { key: "w_scale" value { f: 5.0 } }'
    ' attr { key: "use_regular_nms" value { b: true } }'
    ' attr { key: "detections_per_class" value { i: 10 } }'
)


def convert(model, folder, **shapes):
    """Returns the converter of a Keras model with inputs of these shapes, float32 by default."""
    specs = [
        keras.InputSpec(shape=shape, dtype="int32" if name == "tokens" else "float32", name=name)
        for name, shape in shapes.items()
    ]
    signature = specs if len(specs) == 1 else [specs]
    model.export(folder, verbose=False, input_signature=signature)
    return tf.lite.TFLiteConverter.from_saved_model(str(folder))


def two_inputs(folder):
    image, state = keras.Input((16, 16, 3), name="image"), keras.Input((5,), name="state")
    x = keras.layers.Conv2D(8, 3, activation="relu")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(x)
    boxes = keras.layers.Dense(4)(keras.layers.Concatenate()([pooled, state]))
    outputs = {"boxes": boxes, "heat_map": keras.layers.Conv2D(2, 1)(x)}
    model = keras.Model([image, state], outputs)
    return convert(model, folder, image=(1, 16, 16, 3), state=(1, 5))


def segmentation(folder):
    """Takes and gives uint8, at the size of the image."""
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Conv2D(4, 3, 2, padding="same", activation="relu")(image)
    x = keras.layers.UpSampling2D(2, interpolation="bilinear")(x)
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(x))
    converter = convert(model, folder, image=(1, 16, 16, 3))
    noise = np.random.RandomState(0).rand(4, 1, 16, 16, 3).astype(np.float32)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in noise)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter


def embedding(folder):
    tokens = keras.Input((7,), dtype="int32", name="tokens")
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(20, 6)(tokens))
    return convert(keras.Model(tokens, keras.layers.Dense(3)(x)), folder, tokens=(1, 7))


def dynamic_batch(folder):
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    model = keras.Model(image, keras.layers.Dense(4)(x))
    return convert(model, folder, image=(None, 16, 16, 3))


def dynamic_size(folder):
    image = keras.Input((None, None, 3), name="image")
    model = keras.Model(image, keras.layers.Conv2D(4, 3, padding="same")(image))
    return convert(model, folder, image=(None, None, None, 3))


def of_rank(shape):
    def build(folder):
        x = keras.Input(shape, name="x")
        layer = keras.layers.Conv3D(4, 2) if len(shape) == 4 else keras.layers.Dense(4)
        return convert(keras.Model(x, layer(x)), folder, x=(1, *shape))

    return build


def loop(folder):
    """An LSTM: a WHILE whose body XNNPACK runs too."""
    x = keras.Input((10, 8), name="x")
    model = keras.Model(x, keras.layers.LSTM(16, return_sequences=True)(x))
    return convert(model, folder, x=(1, 10, 8))


def from_function(function, folder, **shapes):
    module = tf.Module()
    specs = [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()]
    module.run = tf.function(function, input_signature=specs)
    tf.saved_model.save(module, str(folder), signatures=module.run)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.allow_custom_ops = True
    return converter


def detection(folder):
    """Ends in a custom operator that LiteRT contains."""
    anchors = np.random.RandomState(0).rand(20, 4).astype(np.float32)

    @tf.function(experimental_implements=DETECTION)
    def decode(boxes, scores, anchors):
        return tf.zeros((1, 10, 4)), tf.zeros((1, 10)), tf.zeros((1, 10)), tf.zeros((1,))

    def run(boxes, scores):
        names = ("boxes", "classes", "scores", "count")
        return dict(zip(names, decode(boxes, scores, tf.constant(anchors)), strict=True))

    return from_function(run, folder, raw_boxes=(1, 20, 4), raw_scores=(1, 20, 3))


FILES = {
    "two_inputs": (two_inputs, "CONV_2D"),
    "segmentation": (segmentation, "RESIZE_BILINEAR"),
    "embedding": (embedding, "GATHER"),
    "dynamic_batch": (dynamic_batch, "CONV_2D"),
    "dynamic_size": (dynamic_size, "CONV_2D"),
    "rank_2": (of_rank((6,)), "FULLY_CONNECTED"),
    "rank_3": (of_rank((6, 4)), "FULLY_CONNECTED"),
    "rank_5": (of_rank((4, 4, 4, 2)), "CONV_3D"),
    "loop": (loop, "WHILE"),
    "detection": (detection, "TFLite_Detection_PostProcess"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, (build, _) in FILES.items():
        data = build(folder / name).convert()
        (folder / f"{name}.tflite").write_bytes(data)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_profile(name, files):
    profile = operators.profile_file(files / f"{name}.tflite", runs=3, warmup=1)
    assert (profile.model, profile.precision, profile.weights) == (name, "", "unknown")
    kinds = {operator.name for operator in profile.operators}
    assert any(kind.startswith(FILES[name][1]) for kind in kinds), kinds
    assert profile.total_ms > 0
    assert profile.peak_activation_bytes > 0
    assert len(profile.operators) == profile.delegation.nodes


def test_benchmark(files):
    paths = [files / f"{name}.tflite" for name in FILES]
    result = newnet_tf.benchmark(paths, runs=2)
    assert [row.model for row in result] == list(FILES)
    assert all(row.median_ms > 0 for row in result)
    assert len(result) == len(FILES)
    assert str(result).count("unknown") == len(FILES)


def test_the_commands(files, tmp_path, capsys):
    arguments = [str(files / f"{name}.tflite") for name in ("two_inputs", "detection")]
    assert main(["benchmark", *arguments, "--runs", "1"]) == 0
    assert "two_inputs" in capsys.readouterr().out
    charts = ["--plot", str(tmp_path / "a.svg"), "--flame-chart", str(tmp_path / "b.png")]
    assert main(["profile", *arguments, "--runs", "1", *charts]) == 0
    assert "TFLite_Detection_PostProcess" in capsys.readouterr().out
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_custom_operator_is_named(tmp_path, capsys):
    def run(image):
        return {"y": tf.linalg.logdet(image[0, :, :, 0])}

    converter = from_function(run, tmp_path / "saved", image=(1, 8, 8, 1))
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    file = tmp_path / "flex.tflite"
    file.write_bytes(converter.convert())
    message = r"flex\.tflite must hold operators that .* knows. Received: the custom operator 'Flex"
    with pytest.raises(ModelFileError, match=message):
        newnet_tf.benchmark(file)
    with pytest.raises(ModelFileError, match=message):
        newnet_tf.profile(file)
    assert main(["profile", str(file)]) == 1
    assert "the custom operator 'Flex" in capsys.readouterr().err

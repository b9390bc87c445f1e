"""Export configs, fingerprints of models, verification of outputs, and batches of images."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import small_network
from small_network import PREPROCESS, WHOLE, logits

from newnet_tf.applications import MobileNetV1_025, NewNetSmall, ReXNet060
from newnet_tf.data.images import ImageError
from newnet_tf.data.preprocess import Transform, normalize
from newnet_tf.deploy import (
    PRECISIONS,
    DegenerateOutputsError,
    ExportConfig,
    Runner,
    export_config,
    fingerprint,
    image_batch,
)
from newnet_tf.deploy.source_model import source_model
from newnet_tf.deploy.verification import check_outputs_vary, compare, verify
from newnet_tf.models.config import IMAGENET_MEAN, IMAGENET_STD, PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.models.model_file import weights_digest

METADATA = [field.name for field in dataclasses.fields(ModelMetadata)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return small_network.exported(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def rexnets():
    """The same network twice."""
    keras.utils.set_random_seed(0)
    return [ReXNet060(weights=None, input_shape=(64, 64, 3)) for _ in range(2)]


@pytest.fixture(scope="module")
def pixels():
    return small_network.images()


@pytest.fixture(scope="module")
def reference(pixels):
    return logits(small_network.network(), normalize(pixels, PREPROCESS))


def make_config(**fields):
    """A config; fields of its metadata may be given, too."""
    known = {"name": "m", "preprocess": PREPROCESS, "sha256": "0"}
    known |= {key: fields.pop(key) for key in METADATA if key in fields}
    made = {"precision": "fp32", "graph": "1", "versions": {"keras": "3"}}
    return ExportConfig(metadata=ModelMetadata(**known), **made | fields)


# Configs.


@pytest.mark.parametrize(
    ("fields", "stem"),
    [
        ({}, "m.fp32"),
        ({"name": "keras:MobileNet"}, "keras_MobileNet.fp32"),
        ({"precision": "int8-full", "io_dtype": "uint8"}, "m.int8-full.uint8"),
        ({"precision": "int8-full", "calibration_method": "mse"}, "m.int8-full"),
        ({"precision": "int8-full", "calibration_method": "entropy"}, "m.int8-full.entropy"),
        (
            {"embed_normalization": True, "output_type": "probabilities"},
            "m.fp32.pixels.probabilities",
        ),
    ],
)
def test_file_names_say_what_the_file_is(fields, stem):
    assert make_config(**fields).stem == stem


def test_a_config_survives_json():
    calibration = export_config.Calibration(image_names=("a.jpg",), count=1, sha256="2")
    config = make_config(precision="int8-full", calibration=calibration, io_dtype="int8")
    record = json.loads(json.dumps(config.to_dict()))
    assert ExportConfig.from_dict(record) == config
    assert record["digest"] == config.digest


def test_the_digest_covers_what_the_bytes_depend_on():
    def calibrated(sha256, *sources):
        return export_config.Calibration(image_names=sources, count=len(sources), sha256=sha256)

    plain = make_config()
    changes = [
        {"precision": "fp16"},
        {"sha256": "2"},
        {"class_names": ("a", "b")},
        {"graph": "2"},
        {"versions": {"keras": "4"}},
        {"preprocess": WHOLE},
        {"embed_normalization": True},
        {"output_type": "probabilities"},
        {"calibration": calibrated("3")},
        {"precision": "int8-full", "calibration_method": "entropy"},
        {"precision": "int8-full", "calibration_method": "min-max"},
    ]
    digests = {make_config(**change).digest for change in changes}
    assert len(digests | {plain.digest}) == len(changes) + 1
    assert dataclasses.replace(plain, purpose="timing only").digest == plain.digest
    same_images = [make_config(calibration=calibrated("3", name)).digest for name in ("a", "b")]
    assert len(set(same_images)) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"precision": "int4"}, "`precision` must be among .* Received: precision='int4'"),
        ({"io_dtype": "int16"}, "`io_dtype` must be among .* Received: io_dtype='int16'"),
        ({"io_dtype": "int8"}, "`io_dtype` must be 'float32' for every precision but 'int8-full'"),
        (
            {"output_type": "softmax"},
            "`output_type` of a model for 'classification' must be among .* output_type='softmax'",
        ),
        (
            {"precision": "int8-full", "io_dtype": "uint8", "output_type": "probabilities"},
            "too coarse to verify. Received: io_dtype='uint8', output_type='probabilities'",
        ),
        (
            {"precision": "int8-full", "io_dtype": "int8", "embed_normalization": True},
            "pixels are uint8. Received: io_dtype='int8'",
        ),
    ],
)
def test_options_outside_of_the_known_are_errors(fields, message):
    with pytest.raises(ValueError, match=message):
        make_config(**fields)


# Fingerprints.


def test_graph_digest_ignores_names_and_sees_changes(rexnets):
    first, second = (fingerprint.graph_digest(model) for model in rexnets)
    assert first == second  # though Keras named their pad operations differently
    other = small_network.untrained("softmax"), small_network.untrained("linear")
    assert len({fingerprint.graph_digest(model) for model in other} | {first}) == 3


def test_weights_digest_sees_one_changed_value():
    model = small_network.untrained()
    before = weights_digest(model)
    layer = model.get_layer("stem_conv")
    (kernel,) = layer.get_weights()
    kernel[0, 0, 0, 0] += 1e-3
    layer.set_weights([kernel])
    assert weights_digest(model) != before


def test_a_softmax_at_the_end_is_removed():
    model = small_network.network()
    image = np.ones((1, 64, 64, 3), np.float32)
    expected = keras.ops.convert_to_numpy(model(image))
    source = source_model(model, PREPROCESS)
    assert (source.given, source.head) == (model, "softmax")
    assert (source.metadata.output_type, source.graph_output_type) == ("probabilities", "logits")
    found = keras.ops.convert_to_numpy(source.graph(image))
    np.testing.assert_allclose(np.exp(found) / np.exp(found).sum(), expected, rtol=1e-5)
    linear = small_network.untrained("linear")
    source = source_model(linear, PREPROCESS)
    assert (source.graph, source.head, source.metadata.output_type) == (linear, None, "logits")


@pytest.mark.parametrize(
    ("activation", "task", "output_type"),
    [
        ("softmax", "classification", "probabilities"),
        ("sigmoid", "multilabel_classification", "sigmoid"),
    ],
)
def test_an_activation_of_the_last_layer_is_removed(activation, task, output_type):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Dense(3, activation=activation, name="top")(keras.layers.Flatten()(image))
    model, preprocess = keras.Model(image, x), PreprocessConfig(image_size=8)
    source = source_model(model, preprocess)
    assert (source.metadata.task, source.metadata.output_type) == (task, output_type)
    assert source.head == activation
    inputs = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    again = getattr(keras.activations, activation)(source.graph(inputs))
    np.testing.assert_allclose(again, model(inputs), atol=1e-6)
    with pytest.raises(ValueError, match=r"one output of shape \(batch, classes\)"):
        source_model(keras.Model(image, keras.layers.ReLU()(image)), preprocess)


# Verification.


def test_untrained_networks_are_refused(pixels, rexnets):
    record = PreprocessConfig(image_size=64, mean=(0.5,) * 3, std=(0.5,) * 3)
    built = [make(weights=None, input_shape=(64, 64, 3)) for make in (MobileNetV1_025, NewNetSmall)]
    for model in (*built, rexnets[0]):
        with pytest.raises(DegenerateOutputsError, match="must vary from image to image"):
            check_outputs_vary(logits(model, normalize(pixels, record)))


def test_models_whose_outputs_vary_pass(reference):
    check_outputs_vary(reference)
    check_outputs_vary(reference[[0, 20]])
    check_outputs_vary(np.array([[3.0], [-2.0], [0.5]]))  # one class: a yes or no


@pytest.mark.parametrize(
    "scores",
    [
        np.tile(np.arange(10.0), (5, 1)),
        np.linspace(1, 2, 5)[:, None] * np.arange(10.0),
        np.random.default_rng(0).normal(0, 0.01, (5, 10)),
        np.full((5, 10), np.nan),
        np.arange(10.0)[None],
    ],
    ids=["constant", "scaled copies", "tiny", "nan", "one image"],
)
def test_degenerate_outputs_are_refused(scores):
    with pytest.raises(DegenerateOutputsError, match="Received: "):
        check_outputs_vary(scores)


def test_figures_of_a_comparison():
    scores = np.array([[1.0, -1.0], [-1.0, 1.0], [3.0, -3.0], [-3.0, 3.0]])
    moved = scores + np.array([[0.1, 0], [2.5, 0], [0, 0], [0, 0]])
    found = compare(scores, moved, PRECISIONS["int8-full"].tolerance)
    assert (found.top1_matches, found.images, found.passed) == (3, 4, False)
    assert found.reference_std == pytest.approx(5**0.5)
    assert found.max_error == pytest.approx(2.5)
    assert found.max_normalized_error == pytest.approx(2.5 / 5**0.5)
    assert found.sqnr == pytest.approx(10 * np.log10(40 / (0.01 + 6.25)))
    assert found.reasons == ("cosine 0.923301 < 0.97",)


def test_probabilities_are_compared_by_their_logarithms(reference):
    tolerance = PRECISIONS["fp16"].tolerance
    powers = np.exp(reference)
    probabilities = powers / powers.sum(1, keepdims=True)
    assert compare(reference, probabilities, tolerance, "probabilities").passed
    assert not compare(reference, probabilities, tolerance).passed
    rough = np.round(probabilities, 2)
    assert not compare(reference, rough, tolerance, "probabilities").passed


def test_nan_never_passes(reference):
    for tolerance in (precision.tolerance for precision in PRECISIONS.values()):
        assert not compare(reference, reference * np.nan, tolerance).passed


@pytest.mark.parametrize("precision", small_network.MADE)
def test_the_tolerance_tells_faults_from_quantization(exported, pixels, reference, precision):
    result = exported[precision]
    runner = Runner(result.file)
    assert verify(reference, runner, normalize(pixels, PREPROCESS), result.config).passed
    half = PreprocessConfig(image_size=64, mean=(0.5,) * 3, std=(0.5,) * 3)
    zero = PreprocessConfig(image_size=64, mean=(0.0,) * 3, std=(1.0,) * 3)
    faults = {
        "channels swapped": normalize(pixels[..., ::-1], PREPROCESS),
        "another mean and std": normalize(pixels, half),
        "not normalized": normalize(pixels, zero),
        "transposed": normalize(pixels, PREPROCESS).transpose(0, 2, 1, 3),
    }
    for fault, inputs in faults.items():
        assert not verify(reference, runner, inputs, result.config).passed, fault


def test_shapes_must_agree(reference):
    with pytest.raises(ValueError, match=r"same shape. Received: \(24, 10\) and \(24, 9\)"):
        compare(reference, reference[:, :9], PRECISIONS["fp32"].tolerance)


# Images.


def test_images_come_as_files_arrays_or_floats(images, pixels):
    paths = list(images.values())
    read = image_batch.read(paths, PREPROCESS, "images")
    assert read.names == tuple(images)
    np.testing.assert_allclose(read.inputs, Transform(PREPROCESS)(paths), atol=1e-6)
    floats = image_batch.read(normalize(pixels, PREPROCESS), PREPROCESS, "images")
    np.testing.assert_array_equal(floats.pixels, pixels)
    assert floats.sha256 == image_batch.read(pixels, PREPROCESS, "images").sha256


def test_floats_of_another_normalization_are_errors(pixels):
    with pytest.raises(
        ValueError, match=r"`calibration` as floats must be preprocessed.*pixels 390"
    ):
        image_batch.read(pixels[:1].astype(np.float32), PREPROCESS, "calibration")
    with pytest.raises(ImageError, match=r"none\.jpg"):
        image_batch.read(["none.jpg"], PREPROCESS, "calibration")


def test_calibration_covers_all_gray_levels(pixels):
    found = image_batch.with_extremes(
        image_batch.read(pixels[:2] // 2 + 50, PREPROCESS, "calibration")
    )
    assert (found.pixels.min(), found.pixels.max(), len(found.names)) == (0, 255, 3)
    low = -IMAGENET_MEAN[0] / IMAGENET_STD[0]
    assert found.inputs.min() == pytest.approx(low, abs=1e-5)

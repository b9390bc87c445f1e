"""Real weights on real images: what a wrong mean, padding, epsilon or rounding would break.

The images and two of the checkpoints are not part of the project; without them these skip.
"""

import functools

import keras
import numpy as np
import pytest

import newnet_tf
from newnet_tf.classification.evaluator import evaluate_files
from newnet_tf.classification.result import ClassificationResult
from newnet_tf.data.datasets.folder import labeled_files
from newnet_tf.deploy import Runner, export_tflite
from newnet_tf.evaluation.paired import compare

LITE0, V1 = "efficientnet_lite0", "tf_mobilenet_v1_075"
CALIBRATION = 0.2  # of the images
# `make test` takes every fifth image: a wrong padding costs fourteen points there.
EVERY = pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])


def evaluate_on(model, preprocess, paths, labels):
    call = lambda x: keras.ops.convert_to_numpy(model(x, training=False))  # noqa: E731
    return evaluate_files(call, paths, labels, preprocess)


@pytest.fixture(scope="module")
def samples(shared_data):
    paths, labels, _ = labeled_files(shared_data("imagenet_samples"))
    return paths, labels


@pytest.fixture(scope="module")
def models(shared_data):
    """A function from a name to the model with logits, and its preprocessing."""

    @functools.cache
    def model(name):
        options = {"classifier_activation": None}
        if name == V1:
            options["weights"] = shared_data("weights/mobilenet_v1_075_224.keras_names.safetensors")
        transform = newnet_tf.create_transform(name)
        return newnet_tf.create_model(name, **options), transform.preprocess

    return model


@pytest.fixture(scope="module")
def on_samples(models, samples):
    """A function from a model's name and `every` to its result for every so many of the images."""

    @functools.cache
    def result(name, every):
        return evaluate_on(*models(name), *(column[::every] for column in samples))

    return result


@EVERY
def test_efficientnet_lite0_reaches_the_reference(on_samples, every):
    """The reference implementation with Pillow: 87.0 %."""
    result = on_samples(LITE0, every)
    assert result.n == 500 // every
    assert abs(result.accuracy() - 87.0) <= (0.6 if every == 1 else 2.0)


@EVERY
def test_google_mobilenet_v1_reaches_the_reference(on_samples, every):
    """83.4 %; with symmetric padding instead of TensorFlow's it would be 73.4 %."""
    assert on_samples(V1, every).accuracy() >= (82.8 if every == 1 else 80)


def test_gluon_mobilenet_v2_is_the_network_its_statistics_come_from(shared_data, samples):
    """Batch norm's stored variances are those of real images only if the graph is right."""
    weights = shared_data("weights/mobilenetv2_batchnorm_nchw.safetensors")
    name = "gluon_mobilenet_v2_100"
    model = newnet_tf.create_model(name, weights=weights, include_top=False, pooling="avg")
    assert model.output_shape == (None, 1280)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)][:30]
    inner = keras.Model(model.input, [norm.input for norm in norms])
    features = inner(newnet_tf.create_transform(name)(samples[0][::25]), training=False)
    for norm, values in zip(norms, features, strict=True):
        stored = keras.ops.convert_to_numpy(norm.moving_variance)
        measured = np.asarray(values).var(axis=(0, 1, 2))
        assert 0.7 < np.median(measured / stored) < 1.4, norm.name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "every"), [(V1, 5), (LITE0, 1)])
def test_full_int8_keeps_its_accuracy(models, on_samples, samples, tmp_path, name, every):
    """Calibrated on a seeded fifth, evaluated on the others: of 400, at most one point is lost."""
    exact, (paths, labels) = on_samples(name, every), (column[::every] for column in samples)
    chosen = np.random.RandomState(0).permutation(len(paths))
    calibration, rest = np.split(chosen, [int(CALIBRATION * len(paths))])
    rest = sorted(rest)
    model, preprocess = models(name)
    [file] = export_tflite(
        model,
        preprocess,
        tmp_path,
        precisions=["int8-full"],
        calibration_images=[paths[i] for i in calibration],
        validation_images=[paths[i] for i in rest[::8]],
    )
    quantized = evaluate_files(
        Runner(file.file, threads=2),
        [paths[i] for i in rest],
        [labels[i] for i in rest],
        preprocess,
    )
    exact = ClassificationResult(
        tuple(exact.paths[i] for i in rest), exact.labels[rest], exact.topk[rest], exact.top
    )
    assert compare(exact, quantized).difference >= (-1.0 if every == 1 else -3.0)


def test_squeezenet_answers_as_published(shared_data):
    """A complete checkpoint in GluonCV's names, and its output for one image."""
    folder = shared_data("weights")
    model = newnet_tf.create_model(
        "squeezenet1_1",
        weights=folder / "squeezenet1_1_nchw.safetensors",
        classifier_activation=None,
    )
    with np.load(folder / "squeezenet1_1_nchw.golden.npz") as golden:
        image, expected = golden["input"], golden["output"]
    output = np.asarray(model(image.transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(output, expected, atol=1e-4 * expected.std())

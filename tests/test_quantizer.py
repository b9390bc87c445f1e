"""Full int8 quantization: activation ranges, rounding of kernels, corrections of biases."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from newnet_tf.deploy import Runner, converter, image_batch
from newnet_tf.deploy.export_options import CALIBRATION_METHODS, DEFAULT_CALIBRATION_METHOD, MIN_MAX
from newnet_tf.deploy.quantization import gptq, observers, range_estimators, weight_only
from newnet_tf.deploy.quantization.observers import find_outlier_images
from newnet_tf.models.config import PreprocessConfig
from tools import equalization

schema = observers.schema


def histogram(values):
    low, high = min(values.min(), 0), max(values.max(), 0)
    return np.histogram(values, range_estimators.BINS, (low, high))[0], float(low), float(high)


def error(values, low, high):
    """Mean squared error of values in 256 steps between two ends."""
    step = (high - low) / 255
    return np.square(np.clip(np.round(values / step) * step, low, high) - values).mean()


@pytest.fixture(params=["signed", "positive", "negative"])
def values(request):
    """Many values near zero and a few far off."""
    random = np.random.default_rng(0)
    found = np.append(random.normal(0, 1, 100_000), [40.0, -30.0])
    signs = {"signed": found, "positive": np.abs(found), "negative": -np.abs(found)}
    return signs[request.param]


def test_mse_has_the_least_error(values):
    counts, low, high = histogram(values)
    found = error(values, *range_estimators.mse(counts, low, high))
    others = [
        error(values, *range_estimators.METHODS[name](counts, low, high))
        for name in CALIBRATION_METHODS[1:]
    ]
    tried = [error(values, low * share, high * share) for share in range_estimators.FRACTIONS]
    assert found < 0.95 * error(values, low, high)
    assert found <= 1.001 * min(*others, *tried)


@pytest.mark.parametrize("name", CALIBRATION_METHODS)
def test_a_range_lies_within_the_whole_and_holds_zero(name, values):
    counts, low, high = histogram(values)
    ends = range_estimators.METHODS[name](counts, low, high)
    assert low <= ends[0] <= 0 <= ends[1] <= high
    assert ends[0] < ends[1]
    assert (ends == (low, high)) == (name == MIN_MAX)


def test_percentile_leaves_out_that_share(values):
    counts, low, high = histogram(values)
    first, last = range_estimators.percentile(counts, low, high)
    outside = (values < first).sum() + (values > last).sum()
    assert 1 <= outside <= 4


def test_evenly_spread_values_are_not_clipped():
    counts = np.full(range_estimators.BINS, 10)
    for name in (DEFAULT_CALIBRATION_METHOD, MIN_MAX, "entropy"):
        assert range_estimators.METHODS[name](counts, -1.0, 1.0) == (-1.0, 1.0)


@pytest.fixture
def filters():
    """Filters of two groups, their steps, and inputs that vary together."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(2, 500, 8)) @ random.normal(size=(2, 8, 150))
    inputs += 0.3 * random.normal(size=inputs.shape)
    exact = random.normal(size=(2, 5, 150))
    steps = np.abs(exact).max(2) / gptq.LARGEST * 4
    return exact, steps, inputs


def moved(exact, steps, whole, inputs):
    """Mean squared change of the sums, less what a bias takes off."""
    sums = (whole * steps[..., None] - exact) @ inputs.transpose(0, 2, 1)
    return np.square(sums - sums.mean(2, keepdims=True)).mean()


def covariance(inputs):
    return np.stack([np.cov(group, rowvar=False, bias=True) for group in inputs])


def test_gptq_changes_outputs_less_than_rounding_to_nearest(filters):
    exact, steps, inputs = filters
    whole = gptq.round_kernels(exact, steps, covariance(inputs))
    nearest = np.round(exact / steps[..., None])
    assert whole.dtype == np.int8
    assert np.abs(whole - nearest).max() < 10
    ratio = moved(exact, steps, whole, inputs) / moved(exact, steps, nearest, inputs)
    assert ratio < 0.5


def test_blocks_are_only_a_way_to_compute(filters, monkeypatch):
    exact, steps, inputs = filters
    found = gptq.round_kernels(exact, steps, covariance(inputs))
    monkeypatch.setattr(gptq, "BLOCK", 1000)
    np.testing.assert_array_equal(gptq.round_kernels(exact, steps, covariance(inputs)), found)


def test_independent_inputs_are_rounded_to_nearest(filters):
    exact, steps, _ = filters
    variances = np.diag(np.linspace(1, 9, 150))[None].repeat(2, 0)
    found = gptq.round_kernels(exact, steps, variances)
    np.testing.assert_array_equal(found, np.round(exact / steps[..., None]))


def test_constant_inputs_are_rounded_to_nearest(filters):
    exact, steps, inputs = filters
    inputs[:, :, :3] = 7
    whole = gptq.round_kernels(exact, steps, covariance(inputs))
    nearest = np.round(exact[:, :, :3] / steps[..., None])
    np.testing.assert_array_equal(whole[:, :, :3], np.clip(nearest, -127, 127))
    still = gptq.round_kernels(exact, steps, np.zeros((2, 150, 150)))
    np.testing.assert_array_equal(still, np.round(exact / steps[..., None]))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_windows_are_what_a_kernel_covers(padding, stride, dilation, monkeypatch):
    activations = np.random.default_rng(0).normal(size=(11, 8, 3)).astype("float32")
    options = SimpleNamespace(
        padding=getattr(schema.Padding, padding),
        strideH=stride,
        strideW=stride,
        dilationHFactor=dilation,
        dilationWFactor=dilation,
    )
    monkeypatch.setattr(observers, "MAX_SAMPLES", 1000)
    found = observers._windows(activations, options, (3, 2), SimpleNamespace(permutation=np.arange))
    expected = tf.image.extract_patches(
        activations[None], [1, 3, 2, 1], [1, stride, stride, 1], [1, dilation, dilation, 1], padding
    ).numpy()
    np.testing.assert_array_equal(found, expected.reshape(-1, 6, 3))


def test_values_of_all_channels_are_counted(monkeypatch):
    monkeypatch.setattr(observers, "MAX_COUNTED", 100)
    activations = np.broadcast_to(np.arange(12), (1, 20, 20, 12))
    some = observers._subsample(activations)
    assert len(some) <= 100
    assert np.bincount(some, minlength=12).min() >= 5


def test_images_with_outlier_activations_are_excluded():
    largest = np.random.default_rng(0).uniform(1, 3, (100, 50))
    assert find_outlier_images(largest) == ()
    one_tensor = largest.copy()
    one_tensor[:, 0] = [*[1e-3] * 60, *[5] * 40]
    assert find_outlier_images(one_tensor) == ()
    largest[[7, 30], :10] *= 100
    assert find_outlier_images(largest) == (7, 30)
    largest[40:50, :10] *= 100
    assert find_outlier_images(largest) == ()


PREPROCESS = PreprocessConfig(image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.fixture
def ranges():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    return image_batch.with_extremes(image_batch.read(pixels, PREPROCESS, "images"))


def factory(model, ranges, folder):
    converter.save(model, PREPROCESS, folder / "saved")
    return converter.GraphFactory(folder / "saved", ranges, "small")


def calibrated(inputs, outputs, ranges, folder):
    return factory(keras.Model(inputs, outputs), ranges, folder).calibrated


def test_a_pool_after_the_last_kernels_stays_float(ranges, tmp_path):
    """As in SqueezeNet: it costs no time in float32, and rounds no logit."""
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(image)
    x = keras.layers.Conv2D(5, 1, name="last")(x)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    graph = calibrated(image, pooled, ranges, tmp_path)
    assert graph.layers == ("first", "last")
    with converter.silence():
        quantized = {is_int: graph.quantize(integer_outputs=is_int) for is_int in (True, False)}
    assert quantized[True].operators[-1] == "DEQUANTIZE"
    assert quantized[False].operators[-2:] == ["DEQUANTIZE", "MEAN"]
    (tmp_path / "small.tflite").write_bytes(quantized[False].to_bytes())
    assert Runner(tmp_path / "small.tflite").delegation().fully_delegated


@pytest.mark.parametrize("method", CALIBRATION_METHODS)
def test_logits_have_headroom_beyond_calibration(method, ranges, tmp_path):
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 5, strides=4, activation="relu", name="first")(image)
    x = keras.layers.Dense(6, name="logits")(keras.layers.Flatten()(x))
    graph = calibrated(image, x, ranges, tmp_path)
    with converter.silence():
        quantized = graph.quantize(calibration_method=method)
    seen = keras.Model(image, x).predict(ranges.inputs, verbose=0)
    scale, zero = quantized.quantization(quantized.body.operators[-1].inputs[0])
    ends = (-128 - zero) * scale, (127 - zero) * scale
    assert ends[0] == pytest.approx(1.25 * seen.min(), abs=2 * scale)
    assert ends[1] == pytest.approx(1.25 * seen.max(), abs=2 * scale)


@pytest.mark.parametrize(("precision", "times"), [("int8-full", 1.2), ("int16x8", 1.9)])
def test_logits_beyond_those_of_calibration_are_not_clipped(precision, times, tmp_path):
    """Calibrated on red, green and blue, run on yellow: only the logits are out of range."""
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(3, 1, activation="relu", name="colors")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(4, use_bias=False, name="logits")(x))
    weights = np.float32([1, -1, 0.5, -0.5])
    model.set_weights([np.eye(3)[None, None], np.zeros(3), np.tile(weights, (3, 1))])
    pixels = np.tile(255 * np.eye(3, dtype=np.uint8)[:, None, None], (1, 32, 32, 1))
    plain = PreprocessConfig(image_size=32, mean=(0.0,) * 3, std=(1.0,) * 3)
    graphs = factory(model, image_batch.read(pixels, plain, "images"), tmp_path)
    config = SimpleNamespace(
        precision=precision, is_corrected=True, stem="small", io_dtype="float32"
    )
    config.exclude_layers, config.calibration_method = (), DEFAULT_CALIBRATION_METHOD
    (tmp_path / "small.tflite").write_bytes(graphs.graph(config).to_bytes())
    asked = np.float32([1, times - 1, 0]) * np.ones((1, 32, 32, 3), np.float32)
    found = Runner(tmp_path / "small.tflite")(asked)[0]
    np.testing.assert_allclose(found, times * weights, atol=0.03)


def test_equalization_changes_no_output(ranges, tmp_path):
    """Channels through depthwise convolutions, pools and concatenations, and where they stay."""
    image = keras.Input((32, 32, 3))
    layers = keras.layers
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="uneven")(image)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = layers.Conv2D(6, 1, activation="relu6", name="bounded")(layers.MaxPooling2D(2)(x))
    both = [layers.Conv2D(n, 1, activation="relu", name=f"to_{n}")(x) for n in (4, 5)]
    x = layers.Conv2D(7, 2, name="reads_both")(layers.Concatenate()(both))
    x = layers.Dense(5, name="logits")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x)
    filters, bias = model.get_layer("uneven").get_weights()
    model.get_layer("uneven").set_weights([filters * np.geomspace(0.01, 10, 8), bias])
    graph = calibrated(image, x, ranges, tmp_path)._graph
    files = [tmp_path / name for name in ("before.tflite", "after.tflite")]
    files[0].write_bytes(graph.to_bytes())
    with converter.silence():
        assert equalization.equalize(graph, ranges.inputs) == 4
    files[1].write_bytes(graph.to_bytes())
    before, after = (Runner(file)(ranges.inputs) for file in files)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    spreads = [np.ptp(np.log(sizes)) for sizes in (uneven_sizes(f, ranges) for f in files)]
    assert spreads[1] < 0.6 * spreads[0]


def uneven_sizes(file, ranges):
    """Largest values of the channels of the first map."""
    graph = converter.Graph(file.read_bytes())
    first = next(o for o in graph.body.operators if graph.name_of(o) == "CONV_2D")
    tensor = int(first.outputs[0])
    with converter.silence():
        return equalization.channel_magnitudes(graph, [tensor], ranges.inputs)[tensor]


def uneven_network():
    """Kernels of every kind, some with a bias that another operator has too."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(64, 5, strides=4, activation="relu", name="first")(image)
    x = keras.layers.DepthwiseConv2D(3, activation="relu6", name="second")(x)
    both = [keras.layers.Conv2D(32, 1, activation="relu", name=f"third_{i}")(x) for i in range(2)]
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Concatenate()(both))
    return keras.Model(image, keras.layers.Dense(20, use_bias=False, name="logits")(x))


@pytest.mark.parametrize("precision", ["int16x8", "int8-dynamic", "int8-weights"])
def test_files_of_more_than_8_bits_are_corrected_too(precision, ranges, tmp_path):
    model = uneven_network()
    graphs = factory(model, ranges, tmp_path)
    expected, errors = model.predict(ranges.inputs, verbose=0), []
    for is_corrected in (False, True):
        config = SimpleNamespace(precision=precision, is_corrected=is_corrected, stem="small")
        file = tmp_path / "small.tflite"
        file.write_bytes(graphs.graph(config).to_bytes())
        assert precision == "int16x8" or Runner(file).delegation().fully_delegated
        errors.append(np.square(Runner(file)(ranges.inputs) - expected).mean())
    assert errors[1] < 0.7 * errors[0]


def test_equal_biases_are_corrected_separately(ranges, tmp_path):
    """The converter stores equal constants once."""
    graphs = factory(uneven_network(), ranges, tmp_path)
    with converter.silence():
        graph = converter.Graph(graphs.converted("fp32"))
    twins = [o for o in graph.body.operators if b"third" in graph.body.tensors[o.outputs[0]].name]
    assert twins[0].inputs[2] == twins[1].inputs[2]
    weight_only.quantize_kernels(graph)
    graphs.calibrated.correct(graph)
    first, second = (graph.constant(twin.inputs[2]) for twin in twins)
    assert np.abs(first).min() > 0
    assert np.abs(first - second).min() > 0


def test_dynamic_range_kernels_are_the_converters(ranges, tmp_path):
    graphs = factory(uneven_network(), ranges, tmp_path)
    tflite_converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    tflite_converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with converter.silence():
        ours, converters = (
            converter.Graph(graphs.converted("fp32")),
            converter.Graph(tflite_converter.convert()),
        )
    weight_only.quantize_kernels(ours)
    weight_only.use_dynamic_range(ours)
    # A dense layer is a 1 x 1 convolution between two RESHAPE here: older runtimes take it so.
    dense = converters.operators.index("FULLY_CONNECTED")
    added = [dense, dense + 2]
    assert [ours.operators[place] for place in added] == ["RESHAPE", "RESHAPE"]
    kept = [o for place, o in enumerate(ours.body.operators) if place not in added]
    expected = list(converters.operators)
    expected[dense] = "CONV_2D"
    assert [ours.name_of(operator) for operator in kept] == expected
    compared = 0
    for operator, other in zip(kept, converters.body.operators, strict=True):
        if ours.name_of(operator) in weight_only.MIN_VERSIONS and ours.is_integer(
            operator.inputs[1]
        ):
            steps = [g.constant(o.inputs[1]) for g, o in ((ours, operator), (converters, other))]
            steps[1] = steps[1].reshape(steps[0].shape)
            assert np.abs(steps[0].astype(int) - steps[1]).max() <= 1  # ties
            assert (steps[0] == steps[1]).mean() > 0.999
            if converters.name_of(other) != "FULLY_CONNECTED":
                assert ours.version_of(operator) == converters.version_of(other)
                assert vars(operator.builtinOptions) == vars(other.builtinOptions)
            compared += 1
    assert compared == 4

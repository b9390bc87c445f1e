"""Loading checkpoints into models: the rules, on a tiny model."""

import keras
import numpy as np
import pytest
from filled import NAMES, TORCH, as_torch, assert_same, checkpoint_of, paint, tiny, tiny_target

from newnet_tf import weights
from newnet_tf.models.config import Card, CheckpointFormat
from newnet_tf.weights import CheckpointError, LoadTarget, assign, reader

FILES = ("a.weights.h5", "a.keras", "a.npz", "a.safetensors")


@pytest.fixture
def model():
    """A tiny network with 6 classes."""
    return tiny(6)


@pytest.mark.parametrize("name", FILES)
def test_a_backbone_file_fits_only_a_backbone(model, tmp_path, name):
    backbone = tiny(6, top=False)
    path = weights.save(backbone, tmp_path / name)
    blank = tiny(6, top=False)
    paint(blank, seed=1)
    weights.load(blank, path, tiny_target())
    assert_same(blank, backbone)
    with pytest.raises(CheckpointError, match=r"backbone without its head: .* include_top=False"):
        weights.load(model, path, tiny_target())


@pytest.fixture
def state_dict(model):
    """Tensors that fit it, as PyTorch names them."""
    return as_torch(tiny(6), NAMES)


def refusal(model, tensors, target=None, **arguments):
    """Fills, which must fail and change nothing; returns the error's text."""
    paint(model, seed=99)
    before = reader.tensors_of(model)
    with pytest.raises(CheckpointError) as caught:
        assign.assign_weights(model, checkpoint_of(tensors), target or tiny_target(), **arguments)
    for key, value in reader.tensors_of(model).items():
        np.testing.assert_array_equal(value, before[key])
    return str(caught.value)


def test_tensors_left_over_and_variables_left_empty_are_listed(model, state_dict):
    state_dict["features.9.weight"] = np.ones(3, "f4")
    state_dict["features.0.bias"] = np.ones(4, "f4")
    del state_dict["features.1.running_var"]
    text = refusal(model, state_dict)
    assert "fit 'tiny_4'" in text
    assert "Read as 'torch'" in text
    assert "2 tensors of the file that the model has no variable for: features." in text
    assert "features.9.weight" in text
    assert "features.0.bias" in text
    assert "1 variables of the model that the file does not fill: norm/moving_variance" in text
    assert "Received: weights='state_dict.pth'" in text


def test_long_lists_are_cut(model, state_dict):
    state_dict |= {f"extra.{i}": np.ones(1, "f4") for i in range(25)}
    text = refusal(model, state_dict)
    assert "25 tensors" in text
    assert "extra.9, and 15 more" in text
    assert "extra.10" not in text


def test_one_wrong_shape_is_an_error(model, state_dict):
    state_dict["features.0.weight"] = np.ones((4, 3, 5, 5), "f4")
    text = refusal(model, state_dict)
    assert "1 shapes that differ (in Keras layout): features.0.weight (5, 5, 3, 4) for stem" in text
    assert "0 variables" in text


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 3), (0, 3, 3, 3), (4, 3, 3, 3, 1), ()])
def test_strange_ranks_are_errors(model, state_dict, shape):
    for name in ("features.0.weight", "features.2.weight", "head.1.weight", "features.1.bias"):
        if state_dict[name].shape != shape:
            refusal(model, state_dict | {name: np.ones(shape, "f4")})


def test_whole_numbers_do_not_fill_real_variables(model, state_dict):
    state_dict["features.1.bias"] = np.ones(4, "i8")
    assert "features.1.bias int64 (4,) for norm/beta (4,)" in refusal(model, state_dict)


def test_a_variable_is_filled_once(model):
    tensors = reader.tensors_of(tiny(6))
    tensors["norm/0"] = tensors["norm/gamma"]
    assert "1 tensors of the file that the model has no variable for: norm/0" in refusal(
        model, tensors
    )


def test_a_name_that_means_nothing_is_refused(model):
    others = [lambda: tiny_target(width=8)]
    text = refusal(model, {"a": np.ones(3, "f4"), "": np.ones(3, "f4")}, others=others)
    assert "No other model of the zoo has tensors of these names." in text


def test_another_class_count_can_be_refused(model, state_dict):
    nine = as_torch(tiny(9), NAMES)
    text = refusal(model, nine, new_classifier=False)
    assert "2 shapes that differ" in text
    assert "head.1.weight (1, 1, 5, 9) for classifier/kernel (1, 1, 5, 6)" in text
    with pytest.warns(UserWarning, match="9 classes, the model 6"):
        report = assign.assign_weights(model, checkpoint_of(nine), tiny_target())
    assert report.newly_initialized == ("classifier",)
    assert {"head.1.weight", "head.1.bias"} < set(report.skipped)


def test_only_the_class_count_may_differ(model, state_dict):
    changes = {
        "head.1.weight": np.ones((9, 4, 1, 1), "f4"),
        "head.1.bias": np.ones(9, "f4"),
        "head.0.bias": np.ones(9, "f4"),
    }
    for names in (
        ("head.1.weight",),
        ("head.1.bias",),
        ("head.0.bias",),
        ("head.1.weight", "head.1.bias"),
    ):
        refusal(model, state_dict | {name: changes[name] for name in names})
    nine = as_torch(tiny(9), NAMES)
    refusal(model, nine | {"head.1.bias": np.ones(8, "f4")})
    del nine["head.1.bias"]
    refusal(model, nine)


def test_head_tensors_are_skipped_only_where_there_is_no_head(model, state_dict):
    report = assign.assign_weights(tiny(6, top=False), checkpoint_of(state_dict), tiny_target())
    assert sum(name.startswith("head.") for name in report.skipped) == 4
    text = refusal(model, {k: v for k, v in state_dict.items() if not k.startswith("head.0")})
    assert "hidden/kernel, hidden/bias" in text
    assert "include_top" not in text


def test_a_counter_is_skipped_only_at_a_batch_norm(model, state_dict):
    state_dict["features.0.num_batches_tracked"] = np.array(7)
    assert "no variable for: features.0.num_batches_tracked" in refusal(model, state_dict)


def test_depthwise_multiplier_means_the_same_as_in_torch(model, state_dict):
    kernel = np.random.default_rng(0).normal(size=(8, 1, 3, 3)).astype("f4")
    assign.assign_weights(
        model, checkpoint_of(state_dict | {"features.2.weight": kernel}), tiny_target()
    )
    inputs = np.random.default_rng(1).normal(size=(1, 3, 3, 4)).astype("f4")
    output = keras.ops.convert_to_numpy(model.get_layer("mix")(inputs))[0, 0, 0]
    reference = [(inputs[0, :, :, i // 2] * kernel[i, 0]).sum() for i in range(8)]
    np.testing.assert_allclose(output, reference, rtol=1e-5, atol=1e-5)


def test_matrices_and_one_by_one_convolutions_fill_each_other():
    image = keras.Input((6,))
    dense = keras.Model(image, keras.layers.Dense(3, name="classifier")(image))
    image = keras.Input((1, 1, 6))
    conv = keras.Model(image, keras.layers.Conv2D(3, 1, name="classifier")(image))
    matrix = np.arange(18, dtype="f4").reshape(3, 6)
    bias = {"fc.bias": np.zeros(3, "f4")}
    checkpoint_format = CheckpointFormat(name="torch", layers={"classifier": "fc"})
    for kernel in (matrix, matrix[:, :, None, None]):
        for model in (dense, conv):
            paint(model, 0)
            target = LoadTarget(
                Card(name="x", title="X"), (checkpoint_format,), ("classifier",), None
            )
            assign.assign_weights(model, checkpoint_of({"fc.weight": kernel} | bias), target)
            kernel_value = keras.ops.convert_to_numpy(model.get_layer("classifier").kernel)
            np.testing.assert_array_equal(kernel_value.reshape(6, 3), matrix.T)
    keras_style = {"classifier/kernel": matrix.T, "classifier/0": matrix.T}
    for key, kernel in keras_style.items():
        bias = {"classifier/bias": np.zeros(3, "f4")}
        assign.assign_weights(conv, checkpoint_of({key: kernel} | bias), target)
        kernel_value = keras.ops.convert_to_numpy(conv.get_layer("classifier").kernel)
        np.testing.assert_array_equal(kernel_value[0, 0], matrix.T)


def test_grouped_convolution_means_the_same_as_in_torch():
    image = keras.Input((1, 1, 4))
    layer = keras.layers.Conv2D(6, 1, groups=2, use_bias=False, name="conv")
    model = keras.Model(image, layer(image))
    kernel = np.arange(12, dtype="f4").reshape(6, 2, 1, 1)
    checkpoint_format = CheckpointFormat(name="torch", layers={"conv": "c"})
    target = LoadTarget(Card(name="x", title="X"), (checkpoint_format,), ("classifier",), None)
    assign.assign_weights(model, checkpoint_of({"c.weight": kernel}), target)
    inputs = np.array([1, 2, 3, 4], "f4")
    output = keras.ops.convert_to_numpy(layer(inputs[None, None, None]))[0, 0, 0]
    reference = [kernel[i, :, 0, 0] @ inputs[i // 3 * 2 :][:2] for i in range(6)]
    np.testing.assert_allclose(output, reference)


def test_gluon_and_keras_names():
    source, leaves = tiny(6), {"moving_mean": "running_mean", "moving_variance": "running_var"}
    torch = as_torch(source, {name: name for name in NAMES})
    gluon = {}
    for layer in source.layers:
        for variable in layer.weights:
            leaf = leaves.get(variable.name, variable.name).replace("kernel", "weight")
            value = torch[f"{layer.name}.{TORCH[variable.name]}"]
            gluon[f"net0_{layer.name}_{leaf}"] = value
    keras_tensors = {f"{layer}_x/{leaf}": v for layer, leaf, v in split(reader.tensors_of(source))}
    keras_tensors["mix_x/depthwise_kernel"] = keras_tensors.pop("mix_x/kernel")
    checkpoint_formats = (
        CheckpointFormat(name="gluon", layers={n: f"net0_{n}" for n in NAMES}, layout="gluon"),
        CheckpointFormat(name="keras", layers={n: f"{n}_x" for n in NAMES}, layout="keras"),
    )
    for name, tensors in (("gluon", gluon), ("keras", keras_tensors)):
        blank = tiny(6, width=4)
        paint(blank, 0)
        checkpoint = checkpoint_of(tensors)
        assert (
            assign.assign_weights(
                blank, checkpoint, tiny_target(checkpoint_formats=checkpoint_formats)
            ).format
            == name
        )
        assert (
            assign.classes_in(checkpoint, tiny_target(checkpoint_formats=checkpoint_formats)) == 6
        )
        assert_same(blank, source)


def split(tensors):
    """Layer, variable and value of tensors named `layer/variable`."""
    return [(*key.split("/"), value) for key, value in tensors.items()]


def test_classes_in(state_dict):
    target = tiny_target()
    assert assign.classes_in(checkpoint_of(state_dict), target) == 6
    assert assign.classes_in(checkpoint_of(reader.tensors_of(tiny(7))), target) == 7
    assert assign.classes_in(checkpoint_of({"features.1.weight": np.ones(4)}), target) is None


def test_the_nearest_network_is_found_with_few_builds(model):
    built = []
    strangers = (
        CheckpointFormat(name="other", layers={"stem": "s", "norm": "n", "classifier": "c"}),
    )
    others = [
        tiny_target(width=3, checkpoint_formats=strangers, params=0.0054, built=built),
        *(tiny_target(width=w, params=w / 100, built=built) for w in (20, 30, 40)),
        *(tiny_target(width=w, built=built) for w in (50, 60, 70)),
        tiny_target(width=8, params=0.0054, built=built),  # 5,400 parameters with 1,000 classes
    ]
    others = [lambda target=target: target for target in others]
    eight, nine = (as_torch(tiny(6, width), NAMES) for width in (8, 9))
    assert "It fits 'tiny_8'." in refusal(model, eight, others=others)
    assert built == [8]

    built.clear()
    assert "Nearest in the zoo: 'tiny_8', which 3 of 11 tensors" in refusal(
        model, nine, others=others
    )
    assert built == [8, 50, 60]


def test_a_network_without_foreign_names_is_found_too(model):
    others = [lambda: tiny_target(width=8, checkpoint_formats=())]
    tensors = reader.tensors_of(tiny(2, width=8))
    assert "It fits 'tiny_8'." in refusal(
        model, tensors, tiny_target(checkpoint_formats=()), others=others
    )


@pytest.fixture
def flat_head():
    """A network whose head covers a map of 2 x 3, and what PyTorch writes of it."""
    image = keras.Input((2, 3, 4))
    x = keras.layers.Conv2D(5, (2, 3), name="hidden")(image)
    model = keras.Model(image, keras.layers.Conv2D(7, 1, name="classifier")(x))
    paint(model, seed=0)
    names = {"hidden": "head.0", "classifier": "head.1"}
    return model, LoadTarget(
        Card(name="w", title="W"), (CheckpointFormat(name="t", layers=names),), (), None
    )


def test_a_dense_layer_on_a_flattened_map_fits_the_convolution_that_covers_it(flat_head):
    """PyTorch flattens as channels, height, width; the outputs must be the dense layer's."""
    model, target = flat_head
    random = np.random.default_rng(0)
    matrices = {name: random.standard_normal((n, m)) for name, n, m in (("0", 5, 24), ("1", 7, 5))}
    state_dict = {f"head.{name}.weight": matrix.astype("f4") for name, matrix in matrices.items()}
    state_dict |= {"head.0.bias": np.zeros(5, "f4"), "head.1.bias": np.zeros(7, "f4")}
    assign.assign_weights(model, checkpoint_of(state_dict), target)
    inputs = random.standard_normal((1, 2, 3, 4)).astype("f4")
    flat = inputs.transpose(0, 3, 1, 2).reshape(1, 24)
    expected = flat @ matrices["0"].T @ matrices["1"].T
    np.testing.assert_allclose(np.asarray(model(inputs))[:, 0, 0], expected, atol=1e-4)
    state_dict["head.0.weight"] = np.ones((5, 25), "f4")
    text = refusal(model, state_dict, target)
    assert "head.0.weight (1, 1, 25, 5) for hidden/kernel (2, 3, 4, 5)" in text

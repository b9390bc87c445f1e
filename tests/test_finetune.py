"""Finetuning in parts: a linear probe as an exact last layer, cached features, rates, holdout."""

import dataclasses
import os

import keras
import numpy as np
import pytest
import tiny_zoo
from tiny_photos import CLASSES, make_photos, quietly

import newnet_tf
from newnet_tf.classification.linear_probe import fit_linear
from newnet_tf.data.augment.config import NONE
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.finetuning import feature_cache, holdout, lr_bound
from newnet_tf.finetuning.full_finetune import scaled_lr_step, train_all_layers
from newnet_tf.training import Recipe

NETWORK, SIDE = tiny_zoo.NAME, 64
PREPROCESS = dataclasses.replace(tiny_zoo.PREPROCESS, image_size=SIDE)
RECIPE = Recipe(lr=0.05, batch_size=8, epochs=1, augmentation=NONE)


@pytest.fixture(scope="module", autouse=True)
def zoo():
    """The small network is a model of the zoo."""
    with tiny_zoo.registered():
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes of images; one file is broken."""
    return make_photos(tmp_path_factory.mktemp("images") / "photos")


@pytest.fixture(scope="module")
def loaded():
    options = {"weights": None, "classes": len(CLASSES), "input_shape": PREPROCESS.shape}
    model = newnet_tf.create_model(NETWORK, **options)
    return model, model.get_weights()


@pytest.fixture
def network(loaded):
    """The small network with its first weights."""
    model, weights = loaded
    model.set_weights(weights)
    return model


@pytest.fixture(scope="module")
def source(photos):
    return load_dataset(photos, validation_split=0.25)


def cached(extractor, split, file):
    return quietly(feature_cache.cached_outputs, extractor, split, PREPROCESS, file)


def test_the_last_layer_is_the_linear_classifier_exactly(network, source, tmp_path):
    extractor = feature_cache.feature_extractor(network)
    train, _ = cached(extractor, source.split("train"), tmp_path / "train.npz")
    linear = fit_linear(train.values, train.labels)
    feature_cache.set_classifier(network, linear)
    test = quietly(feature_cache.compute_outputs, extractor, source.split(), PREPROCESS)
    whole = quietly(feature_cache.compute_outputs, network, source.split(), PREPROCESS)
    assert whole.names == test.names
    scores = linear.scores(test.values.astype(np.float64))
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(whole.values, powers / powers.sum(1, keepdims=True), atol=1e-4)
    np.testing.assert_array_equal(whole.result().topk[:, 0], scores.argmax(axis=1))
    assert whole.result().accuracy() > 80


def test_linear_of_another_shape_is_refused(network):
    linear = fit_linear(np.random.default_rng(0).normal(size=(9, 4)), [0, 1, 2] * 3)
    with pytest.raises(ValueError, match=r"Received: \(4, 3\)"):
        feature_cache.set_classifier(network, linear)


def small(dropout=0.0):
    """A network that ends as the zoo's do, and a batch for it."""
    keras.utils.set_random_seed(0)
    image = keras.Input((4,))
    hidden = keras.layers.Dense(5, activation="tanh", name="body")(image)
    hidden = keras.layers.Dropout(dropout)(hidden)
    model = keras.Model(image, keras.layers.Dense(3, name="classifier")(hidden))
    generator = np.random.default_rng(0)
    images = generator.normal(size=(16, 4)).astype("f4")
    return model, images, np.eye(3, dtype="f4")[generator.integers(0, 3, 16)]


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_the_largest_stable_learning_rate_is_one_over_the_largest_curvature(share, capsys):
    """Against the eigenvalues of the whole Hessian; dropout is no part of it, and comes back."""
    import tensorflow as tf

    model, images, targets = small(dropout=0.5)
    head = model.get_layer("classifier").trainable_variables
    before = model.get_weights()
    found = lr_bound.max_stable_lr(model, head, share, images, targets)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.layers[2].rate == 0.5
    values = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            logits = model(images, training=False)
            losses = keras.losses.categorical_crossentropy(targets, logits, from_logits=True)
            loss = tf.reduce_mean(losses)
        gradient = tf.concat([tf.reshape(g, [-1]) for g in inner.gradient(loss, values)], 0)
    rows = [tf.reshape(x, [gradient.shape[0], -1]) for x in outer.jacobian(gradient, values)]
    counts = [tf.size(v).numpy() for v in values]
    shares = [1.0 if any(v is h for h in head) else share for v in model.trainable_variables]
    scale = np.repeat(shares, counts)[:, None] ** 0.5
    exact = np.linalg.eigvalsh(scale * np.concatenate(rows, axis=1) * scale.T)[-1]
    assert found == pytest.approx(1 / exact, rel=0.05)


def test_a_learning_rate_is_capped_at_the_largest_stable_one(network, source, tmp_path, capsys):
    arguments = network, source, PREPROCESS
    lowered = lr_bound.cap_learning_rate(*arguments, dataclasses.replace(RECIPE, lr=1e3), tmp_path)
    again = lr_bound.cap_learning_rate(*arguments, dataclasses.replace(RECIPE, lr=1e3), tmp_path)
    assert again == lowered  # to the last digit: it was stored
    assert 1e-4 < lowered.peak_lr < 1
    slow = dataclasses.replace(RECIPE, lr=1e-6)
    assert lr_bound.cap_learning_rate(*arguments, slow, tmp_path) == slow
    other = dataclasses.replace(RECIPE, optimizer="adamw", lr=1e3)
    assert lr_bound.cap_learning_rate(*arguments, other, tmp_path) == other
    norms = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert all(layer.trainable for layer in norms)


def test_features_are_cached_until_something_changes(network, source, photos, tmp_path):
    file, extractor = tmp_path / "features.npz", feature_cache.feature_extractor(network)
    first, is_cached = cached(extractor, source.split("train"), file)
    assert not is_cached
    again, is_cached = cached(extractor, source.split("train"), file)
    assert is_cached
    assert (again.names, again.skipped) == (first.names, first.skipped)
    np.testing.assert_array_equal(again.values, first.values)
    assert len(first.skipped) == 1
    assert first.skipped[0].path.endswith("99.jpg")
    assert len(first.names) == source.split("train").size - 1
    file.write_bytes(file.read_bytes()[:500])
    assert not cached(extractor, source.split("train"), file)[1]
    assert not cached(extractor, source.split(), file)[1]  # other images
    assert cached(extractor, source.split(), file)[1]
    image = source.split().image_source(next(iter(source.split().batches(1)))[0].numpy()[0])
    state = os.stat(image)
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert not cached(extractor, source.split(), file)[1]
    layer = network.get_layer("stem_conv")
    layer.set_weights([1.01 * value for value in layer.get_weights()])
    assert not cached(extractor, source.split(), file)[1]


def test_networks_without_pooled_features_are_refused():
    model = newnet_tf.create_model("squeezenet1_1", weights=None, input_shape=(64, 64, 3))
    with pytest.raises(ValueError, match=r"pooled features.*Received: 'squeezenet1_1'"):
        feature_cache.feature_extractor(model)
    image = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="must have a layer `classifier`"):
        feature_cache.feature_extractor(keras.Model(image, keras.layers.Flatten()(image)))


@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
def test_batch_norm_stays_as_it_is_unless_asked(batch_norm, network, source, tmp_path, capsys):
    def weights(kind):
        found = [layer for layer in network.layers if isinstance(layer, kind)]
        return [value.copy() for layer in found for value in layer.get_weights()]

    before = weights(keras.layers.BatchNormalization), weights(keras.layers.Conv2D)
    train_all_layers(network, source, PREPROCESS, RECIPE, tmp_path / "run", batch_norm=batch_norm)
    after = weights(keras.layers.BatchNormalization), weights(keras.layers.Conv2D)
    same = [np.array_equal(a, b) for a, b in zip(before[0], after[0], strict=True)]
    assert all(same) == (batch_norm == "frozen")
    assert not any(np.array_equal(a, b) for a, b in zip(before[1], after[1], strict=True))
    norm_layers = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert all(layer.trainable for layer in norm_layers)


def test_pretrained_layers_have_a_fraction_of_the_learning_rate():
    def moved(share):
        model, images, targets = small()
        model.compile(keras.optimizers.SGD(0.1), keras.losses.MeanSquaredError())
        first = [model.get_layer(name).get_weights()[0] for name in ("body", "classifier")]
        step = scaled_lr_step(model, model.get_layer("classifier").trainable_variables, share)
        step(images, targets)
        last = [model.get_layer(name).get_weights()[0] for name in ("body", "classifier")]
        return [b - a for a, b in zip(first, last, strict=True)]

    (body, head), (slow, same), (still, _) = moved(1.0), moved(0.1), moved(0.0)
    assert np.abs(body).min() > 0
    rounding = float(np.spacing(np.float32(1)))  # of weights, of which these are differences
    np.testing.assert_allclose(slow, 0.1 * body, rtol=1e-4, atol=rounding)
    np.testing.assert_array_equal(same, head)
    np.testing.assert_array_equal(still, 0 * body)


def test_the_holdout_has_images_of_every_class_that_are_not_trained_on(source, network, tmp_path):
    train = source.split("train")
    features, _ = cached(feature_cache.feature_extractor(network), train, tmp_path / "train.npz")
    trained, held_out = holdout.split_holdout(train, features, 0.2, 0)
    parts = [[(p.name, p.label) for p in iter_samples(part)] for part in (trained, held_out)]
    assert sorted(parts[0] + parts[1]) == sorted(
        zip(features.names, features.labels.tolist(), strict=True)
    )
    assert np.bincount([label for _, label in parts[1]]).tolist() == [3, 3, 3]
    assert [
        (p.name, p.label) for p in iter_samples(holdout.split_holdout(train, features, 0.2, 0)[1])
    ] == (parts[1])
    assert holdout.split_holdout(train, features, 0, 0) == (train, None)
    few, _ = holdout.split_holdout(train, features, 0.9, 0)  # two images of each class remain
    assert np.bincount([p.label for p in iter_samples(few)]).tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="must lie in \\[0, 1\\)"):
        holdout.split_holdout(train, features, 1.5, 0)


def test_another_second_stage_in_the_same_folder_is_refused(network, source, tmp_path, capsys):
    train_all_layers(network, source, PREPROCESS, RECIPE, tmp_path / "run", backbone_lr_scale=0.1)
    with pytest.raises(ValueError, match="backbone_lr_scale"):
        train_all_layers(
            network, source, PREPROCESS, RECIPE, tmp_path / "run", backbone_lr_scale=0.5
        )
    with pytest.raises(ValueError, match="`batch_norm` must be among"):
        train_all_layers(network, source, PREPROCESS, RECIPE, tmp_path / "new", batch_norm="thawed")

"""Fused batch norm: the numbers of Keras' own, in training, in inference, and frozen."""

import keras
import numpy as np
import pytest

from newnet_tf.training.fused_batch_norm import fused_norm, is_fusable, with_fused_norms

layers = keras.layers


def network(**options):
    keras.utils.set_random_seed(1)
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(6, 3, use_bias=False)(image)
    x = layers.BatchNormalization(momentum=0.8, epsilon=1e-3, name="norm", **options)(x)
    x = layers.Activation("relu6")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(4)(x), name="small")


def trained(model, steps=4):
    """Trains on made images; returns the losses."""
    random = np.random.default_rng(0)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return [
        model.train_on_batch(
            random.normal(1, 2, (8, 12, 12, 3)).astype("float32"), random.integers(0, 4, 8)
        )
        for _ in range(steps)
    ]


def fused_layers(model):
    return [layer for layer in model.layers if isinstance(layer, fused_norm())]


def test_trains_as_keras_does():
    plain, model = network(), network()
    fused = with_fused_norms(model)
    assert len(fused_layers(fused)) == 1
    assert fused.name == "small"
    np.testing.assert_allclose(trained(fused), trained(plain), rtol=1e-5)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_variables_and_inference_are_the_model_s_own():
    model = network()
    fused = with_fused_norms(model)
    assert {id(v) for v in fused.variables} == {id(v) for v in model.variables}
    assert [v.path for v in fused.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    trained(fused)
    image = np.ones((2, 12, 12, 3), "float32")
    assert np.array_equal(fused(image, training=False), model(image, training=False))


def test_frozen_norms_keep_their_statistics():
    plain, model = network(), network()
    for one in (plain, model):
        one.get_layer("norm").trainable = False
    fused = with_fused_norms(model)
    np.testing.assert_allclose(trained(fused), trained(plain), rtol=1e-5)
    assert np.array_equal(model.get_layer("norm").moving_mean, np.zeros(6))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        plain, model = network(), network()
        fused = with_fused_norms(model)
    finally:
        keras.config.set_dtype_policy(before)
    assert fused_layers(fused)
    np.testing.assert_allclose(trained(fused), trained(plain), rtol=0.02)
    moved = model.get_layer("norm").moving_variance
    np.testing.assert_allclose(moved, plain.get_layer("norm").moving_variance, rtol=0.02)


@pytest.mark.parametrize(
    "options", [{"axis": 1}, {"scale": False}, {"center": False}, {"synchronized": True}]
)
def test_what_has_no_kernel_stays(options):
    assert not is_fusable(network(**options).get_layer("norm"))
    assert not fused_layers(with_fused_norms(network(**options)))

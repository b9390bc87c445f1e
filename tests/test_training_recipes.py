"""Recipes: checked, changed by name, and trained with the optimizer and schedule that they say."""

import dataclasses

import keras
import numpy as np
import pytest

from newnet_tf.data.augment.config import Augmentation
from newnet_tf.training import RECIPES, Recipe, get_recipe
from newnet_tf.training.optimizers import is_decayed, learning_rate, make_optimizer
from newnet_tf.training.overrides import fields, override, parse_overrides


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": "lion"}, {"schedule": "steps"}, {"dtype": "float16"}, {"lr": 0}, {"lr": True},
        {"lr": float("inf")},
        {"batch_size": 0}, {"batch_size": 1.5}, {"epochs": 0}, {"base_batch_size": 0},
        {"seed": -1}, {"warmup": -1},
        {"epochs": 3, "warmup": 3}, {"weight_decay": -1e-4}, {"momentum": 1.0}, {"momentum": None},
        {"dropout": 1.0}, {"ema_decay": -0.1}, {"nesterov": 1}, {"momentum": 0.0, "nesterov": True},
        {"augmentation": {}},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_fields_are_refused(wrong):
    with pytest.raises(ValueError, match=r"`\w+` must .*Received: \w+="):
        Recipe(**wrong)


def test_the_rate_is_stated_at_a_batch():
    assert Recipe(lr=0.5, base_batch_size=512, batch_size=128).peak_lr == 0.125
    assert Recipe(lr=0.5, batch_size=128).peak_lr == 0.5


def test_named_recipes_are_the_talks_and_rexnets():
    talk, rexnet = get_recipe("talk"), get_recipe("rexnet")
    assert (talk.optimizer, talk.nesterov, talk.momentum, talk.schedule, talk.ema_decay) == (
        "sgd", True, 0.9, "cosine", None
    )  # fmt: skip
    assert (talk.dtype, talk.augmentation) == ("mixed_float16", Augmentation())
    changed = dataclasses.replace(talk, epochs=300, augmentation=Augmentation(cutmix_alpha=1.0))
    assert get_recipe("talk-cutmix") == changed
    assert (rexnet.lr, rexnet.base_batch_size, rexnet.weight_decay, rexnet.epochs, rexnet.warmup) == (
        0.5, 512, 1e-5, 400, 5
    )  # fmt: skip
    aug = rexnet.augmentation
    assert (aug.randaugment_ops, aug.magnitude, aug.erasing_prob, aug.label_smoothing) == (
        2,
        9,
        0.2,
        0.1,
    )
    assert rexnet.dropout == 0.2
    assert get_recipe("cifar").augmentation.crop == "random"
    for name, known in RECIPES.items():
        assert f"--recipe {name}" in known.command
        assert all((known.source, known.hours, known.hardware, known.expected))
    with pytest.raises(ValueError, match=r"Received: 'cifar10'. Did you mean 'cifar'"):
        get_recipe("cifar10")


def test_fields_are_changed_by_name():
    texts = [
        "lr=0.1,augmentation.cutmix_alpha=1.0",
        "nesterov=false,augmentation.scale=0.2,1,ema_decay=0.99",
    ]
    found = override(Recipe(), parse_overrides([*texts, "epochs=7, dropout=none"]))
    expected = Recipe(
        lr=0.1,
        nesterov=False,
        ema_decay=0.99,
        epochs=7,
        augmentation=Augmentation(cutmix_alpha=1.0, scale=(0.2, 1.0)),
    )
    assert found == expected
    assert override(expected, {"ema_decay": None, "lr": 1, "augmentation.padding": 2}).lr == 1.0
    assert override(Recipe(), {}) == Recipe()
    names = {f.name for f in dataclasses.fields(Recipe)} - {"augmentation"}
    inner = {f"augmentation.{f.name}" for f in dataclasses.fields(Augmentation)}
    assert fields().keys() == names | inner == Recipe().flat().keys()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("learning_rat=1", "Received: 'learning_rat'"),
        ("weight_deca=1", "Did you mean 'weight_decay'"),
        ("cutmix=1", r"Did you mean.*augmentation\.cutmix"),
        ("augmentation.cutmx=1", r"Did you mean \'augmentation\.cutmix"),
        ("epochs=1.5", "`epochs` must be int. Received: epochs='1.5'"),
        ("lr=fast", "`lr` must be float"),
        ("ema_decay=big", "`ema_decay` must be float or none"),
        ("nesterov=1", "`nesterov` must be bool"),
        ("augmentation.scale=1", r"must be two numbers, as 0\.2,1"),
        ("augmentation.erasing_prob=2", "`erasing_prob` must lie in 0 to 1"),
        ("lr", r"NAME=VALUE.*Received: 'lr'"),
        ("lr=1,lr=2", "'lr' twice"),
    ],
)
def test_wrong_changes_say_what_is_known(text, match):
    with pytest.raises(ValueError, match=match):
        override(Recipe(), parse_overrides([text]))


def test_the_rate_rises_and_falls():
    recipe = Recipe(lr=0.4, epochs=10, warmup=1.5)
    schedule = learning_rate(recipe, steps=20)
    rates = np.array([float(schedule(step)) for step in range(201)])
    np.testing.assert_allclose(rates[:31], 0.4 * np.arange(31) / 30, rtol=1e-5)
    falling = 0.2 * (1 + np.cos(np.pi * np.arange(171) / 170))
    np.testing.assert_allclose(rates[30:], falling, atol=1e-6)
    plain = learning_rate(Recipe(lr=0.4, epochs=2), steps=10)
    assert [round(float(plain(step)), 6) for step in (0, 10, 20)] == [0.4, 0.2, 0.0]
    assert learning_rate(Recipe(schedule="constant", lr=0.3), 10) == 0.3
    slow = learning_rate(Recipe(schedule="constant", lr=0.4, warmup=2), steps=10)
    assert [round(float(slow(step)), 6) for step in (0, 10, 20, 90)] == [0.0, 0.2, 0.4, 0.4]


def variables():
    kernel = keras.Variable(np.array([[1.0, -2.0], [0.5, 3.0]]), name="kernel")
    bias = keras.Variable(np.array([0.5, -0.25]), name="bias")
    return kernel, bias


GRADIENTS = [
    (np.array([[0.1, 0.2], [-0.3, 0.4]]), np.array([1.0, -1.0])),
    (np.array([[-0.5, 0.1], [0.2, 0.0]]), np.array([0.5, 0.25])),
    (np.array([[0.3, -0.1], [0.1, 0.9]]), np.array([-1.0, 2.0])),
]


@pytest.mark.parametrize("nesterov", [True, False])
def test_weight_decay_is_pytorchs_and_spares_biases(nesterov):
    """PyTorch: g += decay * w; b = momentum * b + g; w -= rate * (g + momentum * b or b)."""
    rate, decay, momentum = 0.1, 0.01, 0.9
    made = variables()
    recipe = Recipe(schedule="constant", lr=rate, weight_decay=decay, nesterov=nesterov)
    optimizer = make_optimizer(recipe, made, steps=1)
    expected = [np.array(variable, np.float64) for variable in made]
    buffers = [np.zeros_like(value) for value in expected]
    for gradients in GRADIENTS:
        optimizer.apply([keras.ops.convert_to_tensor(g, "float32") for g in gradients], made)
        for place, gradient in enumerate(gradients):
            g = gradient + (decay * expected[place] if place == 0 else 0)
            buffers[place] = momentum * buffers[place] + g
            step = g + momentum * buffers[place] if nesterov else buffers[place]
            expected[place] = expected[place] - rate * step
    for variable, value in zip(made, expected, strict=True):
        np.testing.assert_allclose(np.array(variable), value, rtol=2e-6)
    first = [np.array([[1.0, -2.0], [0.5, 3.0]]), GRADIENTS[0][0]]
    decayed = first[0] - rate * (first[1] + decay * first[0]) * (1.9 if nesterov else 1.0)
    single = variables()
    make_optimizer(recipe, single, 1).apply(
        [keras.ops.convert_to_tensor(g, "float32") for g in GRADIENTS[0]], single
    )
    np.testing.assert_allclose(np.array(single[0]), decayed, rtol=1e-6)


def test_adamws_decay_is_decoupled_and_spares_biases():
    made, without = variables(), variables()
    for group, decay in ((made, 0.1), (without, 0.0)):
        recipe = Recipe(optimizer="adamw", schedule="constant", lr=0.01, weight_decay=decay)
        optimizer = make_optimizer(recipe, group, 1)
        optimizer.apply([keras.ops.convert_to_tensor(g, "float32") for g in GRADIENTS[0]], group)
    start = np.array(variables()[0])
    np.testing.assert_allclose(
        np.array(without[0]) - np.array(made[0]), 0.01 * 0.1 * start, rtol=1e-3
    )
    np.testing.assert_array_equal(np.array(made[1]), np.array(without[1]))


def test_mixed_precision_scales_the_loss():
    made = variables()
    recipe = Recipe(dtype="mixed_float16", ema_decay=0.9, weight_decay=0.1)
    optimizer = make_optimizer(recipe, made, steps=1)
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    names = [variable.name for variable in optimizer.variables]
    assert "dynamic_scale" in names
    assert sum("momentum" in name for name in names) == 2
    assert sum("average" in name for name in names) == 2


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "lenet5"])
def test_kernels_alone_decay(name):
    import newnet_tf

    model = newnet_tf.create_model(name, weights=None)
    decayed = {v.path for v in model.trainable_variables if is_decayed(v)}
    weighted = keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Dense
    kernels = {x.kernel.path for x in model.layers if isinstance(x, weighted)}
    assert decayed == kernels
    free = [v for v in model.trainable_variables if not is_decayed(v)]
    assert free
    assert all(len(v.shape) == 1 for v in free)

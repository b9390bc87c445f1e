"""The step in PyTorch's own operations: losses and weights of Keras' own step, in a child process."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import small_network

from newnet_tf.training.torch_backend import torch_train_step

CODE = """
import json, sys
import keras, numpy as np
import newnet_tf
from newnet_tf.training import with_stride1_stem, get_recipe, overridden
from newnet_tf.training.trainer import single_step
from newnet_tf.training.metrics import judge
from newnet_tf.training.torch_backend import make_torch_evaluator, torch_train_step
from newnet_tf.training.compilation import built, compiled

def build(recipe):
    options = {"weights": None, "classes": 10, "classifier_activation": None}
    return newnet_tf.create(sys.argv[1], input_shape=(32, 32, 3), **options)

recipe = overridden(get_recipe("cifar"), {"batch": 16, "lr": 0.001, "dropout": 0.0, "epochs": 2})
random = np.random.default_rng(0)
targets = np.eye(10, dtype="float32")[np.arange(16) % 10]
batches = [(random.normal(size=(16, 32, 32, 3)).astype("float32"), targets) for _ in range(3)]
found = []
for make_step in (single_step, torch_train_step):
    trained = compiled(built(build, recipe), recipe, 10)
    step = make_step(trained)
    losses = [float(step(*batch)["loss"]) for batch in batches]
    tested = [(images, targets.argmax(1)) for images, targets in batches]
    losses += [judge(trained, tested).loss, make_torch_evaluator(trained)(tested).loss]
    found.append((losses, [np.abs(w).sum().item() for w in trained.get_weights()]))
print(json.dumps(found))
"""


@pytest.mark.parametrize("name", ["newnet_small", "mobilenet_v3_small"])
def test_trains_as_keras_does(name):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed: pip install torch")
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, name],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    (losses, weights), (native_losses, native_weights) = json.loads(answer.stdout)
    assert losses[0] != losses[2]
    assert losses[-1] == pytest.approx(losses[-2], rel=1e-5)
    assert native_losses == pytest.approx(losses, rel=1e-3)
    assert native_weights == pytest.approx(weights, rel=1e-3, abs=1e-4)


def test_needs_pytorch():
    with pytest.raises(ValueError, match=r"KERAS_BACKEND=torch.*Received: tensorflow"):
        torch_train_step(small_network.untrained())

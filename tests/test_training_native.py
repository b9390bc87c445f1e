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
from newnet_tf.task import get_task
from newnet_tf.training import get_recipe, override
from newnet_tf.training.trainer import single_step
from newnet_tf.training.evaluator import evaluate_batches
from newnet_tf.training.torch_backend import make_torch_evaluator, torch_train_step
from newnet_tf.training.compilation import build_model, compile_model

def build(recipe):
    options = {"weights": None, "classes": 10, "classifier_activation": None}
    return newnet_tf.create_model(sys.argv[1], input_shape=(32, 32, 3), **options)

recipe = override(get_recipe("cifar"), {"batch_size": 16, "lr": 0.001, "dropout": 0.0, "epochs": 2})
random = np.random.default_rng(0)
targets = np.eye(10, dtype="float32")[np.arange(16) % 10]
batches = [(random.normal(size=(16, 32, 32, 3)).astype("float32"), targets) for _ in range(3)]
found = []
for make_step in (single_step, torch_train_step):
    trained = compile_model(build_model(build, recipe), recipe, 10)
    step = make_step(trained)
    losses = [float(step(*batch)["loss"]) for batch in batches]
    tested = [(images, targets.argmax(1)) for images, targets in batches]
    evaluate = make_torch_evaluator(trained, get_task("classification"))
    for metrics in evaluate_batches(trained.predict_on_batch, tested), evaluate(tested):
        losses.append(metrics.result()["loss"])
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

"""Models give the same outputs under Keras' other backends.

`tools/measure.py parity` compares all models.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

QUICK = ("shufflenet_v2_050",)  # depthwise convolutions, pools, channels split and reshaped
SAMPLES = (QUICK, pytest.param(("mobilenet_v1_025", "squeezenet1_1"), marks=pytest.mark.slow))
CODE = """
import sys
from newnet_tf.models import registry
from newnet_tf.weights import parity
from tools import measure
for name in sys.argv[1:]:
    path = measure.GOLDEN / f"{name}.npz"
    print(measure.distance(registry.resolve(name)[0], path, parity.Golden.read(path)))
print("tensorflow" in sys.modules)
"""


@pytest.mark.parametrize("names", SAMPLES, ids=",".join)
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_equals_reference(backend, names):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install {backend}")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, *names],
        env=environment,
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    *distances, has_tensorflow = process.stdout.split()
    assert len(distances) == len(names)
    assert all(float(distance) < 1e-4 for distance in distances)
    assert has_tensorflow == "False"

"""Fixtures shared by the tests: images from installed packages, the optional folder of real data."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

pytest_plugins = ["resume"]
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_runtest_setup(item):
    """Draws the same weights in every run, before any fixture makes a network."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def shared_data():
    """Returns a function from a relative path to real data, skipping where the folder is absent."""

    def path(relative):
        found = SHARED / relative
        if not found.exists():
            pytest.skip(f"real data not here: {relative} (tests that need none cover the code)")
        return found

    return path


@pytest.fixture(scope="session")
def images():
    """Real images that scikit-image's wheel carries, by file name."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    names = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")
    return {name: folder / name for name in names}

"""Fixtures that the tests share: images of installed packages, real data if its folder exists."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

pytest_plugins = ["resume"]
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
IMAGES = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")


def pytest_runtest_setup(item):
    """Sets the seed before each test and its fixtures, so that initial weights are reproducible."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def shared_data():
    """Returns a function from a relative path to real data; it skips the test if there is none."""

    def path(relative):
        file = SHARED / relative
        if not file.exists():
            pytest.skip(f"real data not here: {relative} (tests that need none cover the code)")
        return file

    return path


@pytest.fixture(scope="session")
def images():
    """Returns {file name: path} of photographs in scikit-image's wheel."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return {name: folder / name for name in IMAGES}

"""SavedModels: signatures, metadata, what is replaced."""

import dataclasses
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import small_network
from small_network import PREPROCESS

from newnet_tf import model_card
from newnet_tf.applications import LeNet5
from newnet_tf.data.preprocess import Transform, crop_image
from newnet_tf.deploy import export_saved_model
from newnet_tf.deploy.saved_model import read_metadata
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.models.model_file import weights_digest

SERVE = """
import sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
files = [open(path, "rb").read() for path in sys.argv[3:]]
encoded = model.signatures["encoded"](files=tf.constant(files))["probabilities"]
raw = [tf.io.decode_image(file, channels=3)[None] for file in files]
served = [model.signatures["serving_default"](images=image)["probabilities"] for image in raw]
np.savez(sys.argv[2], encoded=encoded.numpy(), raw=np.concatenate(served))
"""


def test_a_saved_model_serves_images_in_another_process(tmp_path, images):
    model, folder = small_network.tiny("softmax"), tmp_path / "served"
    names = [f"class {number}" for number in range(4)]
    known = ModelMetadata(
        name="small",
        preprocess=PREPROCESS,
        class_names=tuple(names),
        output_type="probabilities",
    )
    assert export_saved_model(model, folder, known) == folder
    paths = [images["chelsea.png"], images["rocket.jpg"]]
    outputs = tmp_path / "outputs.npz"
    command = [sys.executable, "-c", SERVE, folder, outputs, *paths]
    run = subprocess.run(command, capture_output=True, check=False, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    found = np.load(outputs)
    expected = keras.ops.convert_to_numpy(model(Transform(PREPROCESS)(paths)))
    # tf.image and Pillow resize alike but for rounding: see newnet_tf.data.preprocess.
    np.testing.assert_allclose(found["encoded"], expected, atol=0.03)
    np.testing.assert_allclose(found["raw"], expected, atol=0.03)
    assert files_in(tmp_path) == ["outputs.npz", "served"]
    assert (folder / "assets.extra/class_names.txt").read_text().splitlines() == names
    record = json.loads((folder / "assets.extra/newnet_tf.json").read_text())
    assert record["outputs"] == ["probabilities"]
    assert record["metadata"]["sha256"] == weights_digest(model)
    assert record["metadata"]["preprocess"]["image_size"] == 64
    assert read_metadata(folder) == dataclasses.replace(known, sha256=weights_digest(model))


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def gray_network():
    """A network of one channel, and the record of its images."""
    keras.utils.set_random_seed(0)
    return LeNet5(weights=None), model_card("lenet5").preprocess


def test_a_saved_model_of_one_channel_takes_gray_pixels_and_any_file(
    tmp_path, images, gray_network
):
    import tensorflow as tf

    model, record = gray_network
    folder = export_saved_model(model, tmp_path / "served", record)
    signatures = tf.saved_model.load(folder).signatures
    files = tf.constant([images["chelsea.png"].read_bytes()])
    expected = keras.ops.convert_to_numpy(model(Transform(record)(images["chelsea.png"])))
    found = signatures["encoded"](files=files)["probabilities"]
    np.testing.assert_allclose(found, expected, atol=0.01)
    gray = tf.constant(crop_image(images["chelsea.png"], record)[None])
    found = signatures["serving_default"](images=gray)["probabilities"]
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_a_saved_model_replaces_only_a_saved_model(tmp_path):
    model = small_network.tiny("softmax")
    (tmp_path / "photos").mkdir()
    with pytest.raises(FileExistsError, match=r"new or hold a SavedModel. Received: .*photos"):
        export_saved_model(model, tmp_path / "photos", PREPROCESS)
    named = ModelMetadata(
        name="tiny",
        preprocess=PREPROCESS,
        class_names=("cat", "dog"),
        output_type="probabilities",
    )
    with pytest.raises(ValueError, match=r"must name 4 classes.* Received: 2 names"):
        export_saved_model(model, tmp_path / "new", named)
    old = tmp_path / "old"
    old.mkdir()
    (old / "saved_model.pb").write_bytes(b"")
    export_saved_model(model, old, PREPROCESS)
    assert (old / "saved_model.pb").stat().st_size > 0
    assert files_in(tmp_path) == ["old", "photos"]

"""Reading checkpoint files: every format, honest and hostile; writing them whole or not at all."""

import contextlib
import json
import os
import re
import struct
import subprocess
import sys
import warnings
import zipfile

import h5py
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import torch_files

from newnet_tf import weights
from newnet_tf.weights import CheckpointError, hdf5, kinds, reader

ARRAYS = {
    "conv.weight": np.arange(24, dtype="f4").reshape(2, 3, 2, 2) / 7,
    "conv.bias": np.array([1.5, -2.25], "f4"),
}


def write(path, arrays=ARRAYS):
    """Writes `arrays` in the format that the suffix of `path` asks for."""
    if path.suffix in (".pth", ".pt"):
        (torch_files.save_zip if path.suffix == ".pth" else torch_files.save_stream)(path, arrays)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        path.write_bytes(safetensors.numpy.save(arrays))
    elif path.suffix == ".keras":
        inner = path.with_suffix(".h5")
        write(inner, arrays)
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("config.json", "{not json: never parsed")
            file.writestr("model.weights.h5", inner.read_bytes())
    else:
        with h5py.File(path, "w") as file:
            for number, (name, array) in enumerate(arrays.items()):
                file[f"layers/conv2d_{number}/vars/0"] = array
                file[f"layers/conv2d_{number}/vars"].attrs["name"] = name
    return path


FORMATS = ("a.pth", "a.pt", "a.npz", "a.safetensors", "a.weights.h5", "a.keras")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_numbers(tmp_path, name):
    checkpoint = reader.read(write(tmp_path / name))
    keras = name.endswith((".h5", ".keras"))
    assert checkpoint.kind == kinds.kind_of(tmp_path / name)
    assert len(checkpoint.tensors) == len(ARRAYS)
    for key, array in ARRAYS.items():
        tensor = checkpoint.tensors[f"{key}/0" if keras else key]
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, array)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named_and_counted(tmp_path, name, bad):
    arrays = {"good": np.ones(3, "f4"), "bad": np.array([bad, 1, bad, 2], "f4")}
    checkpoint = reader.read(write(tmp_path / name, arrays))
    with pytest.raises(CheckpointError, match="2 of the 4 values of its tensor 'bad"):
        dict(checkpoint.tensors)


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_an_error_that_names_the_file(tmp_path, name):
    whole = write(tmp_path / name).read_bytes()
    path = tmp_path / f"damaged_{name}"
    for data in (b"", b"\0", b"garbage" * 40, whole[:20], whole[: len(whole) // 2], whole[:-9]):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=f"'damaged_{name}' must be .*Received: .*{name}"):
            reader.read(path)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="it is empty"):
        reader.read(path)


@pytest.mark.parametrize("name", FORMATS)
def test_no_damage_ends_in_another_error(tmp_path, name):
    whole = write(tmp_path / name).read_bytes()
    path = tmp_path / f"damaged_{name}"
    random = np.random.default_rng(0)
    for _ in range(5 if name.endswith((".h5", ".keras")) else 200):
        data = bytearray(whole)
        for place in random.integers(len(data), size=3):
            data[place] = random.integers(256)
        path.write_bytes(data)
        with contextlib.suppress(CheckpointError):
            checkpoint = reader.read(path)
            assert all(np.isfinite(t).all() for t in checkpoint.tensors.values())


def test_npz_of_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{"x": 1}], object))
    with pytest.raises(CheckpointError, match="holds object, not numbers"):
        reader.read(tmp_path / "a.npz")


def test_npz_keeps_order_and_refuses_wrong_shapes(tmp_path):
    array = np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3))
    np.savez(tmp_path / "a.npz", a=array)
    np.testing.assert_array_equal(reader.read(tmp_path / "a.npz").tensors["a"], array)
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        data = file.read("a.npy")
    for shape, message in (
        (b"(2, 9000000000)", "declares the shape (2, 9000000000), but has 24 bytes"),
        (b"(2, 3", "is not an array"),
    ):
        with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
            file.writestr("a.npy", data.replace(b"(2, 3), }".ljust(20), (shape + b", }").ljust(20)))
        with pytest.raises(CheckpointError, match=re.escape(message)):
            reader.read(tmp_path / "b.npz")


def safetensors_file(path, header, data=b"\0" * 8):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 800]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F64", "shape": [1], "data_offsets": [-8, 0]}},
        {"a": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}},
        b"{",
        (
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
            b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
        ),
    ],
)
def test_safetensors_that_contradict_themselves_are_refused(tmp_path, header):
    path = safetensors_file(tmp_path / "a.safetensors", header)
    with pytest.raises(CheckpointError, match=r"'a.safetensors' must be a"):
        reader.read(path)


def test_safetensors_narrow_types_and_metadata(tmp_path):
    arrays = {"a": np.array([1.5, 2], ml_dtypes.bfloat16), "b": np.array([0.5], "f2")}
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.numpy.save(arrays, metadata={"license": "MIT"}))
    checkpoint = reader.read(path)
    assert {t.dtype for t in checkpoint.tensors.values()} == {np.dtype("f4")}
    np.testing.assert_array_equal(checkpoint.tensors["a"], [1.5, 2])
    assert checkpoint.metadata == {"license": "MIT"}


def test_hdf5_links_and_external_data_give_nothing_away(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 64)
    path = write(tmp_path / "a.weights.h5")
    with h5py.File(path, "a") as file:
        file["layers/soft"] = h5py.SoftLink("/layers/conv2d_0")
        file["layers/far"] = h5py.ExternalLink(f"{secret}", "/x")
    assert len(reader.read(path).tensors) == 2
    with h5py.File(path, "a") as file:
        shape = {"shape": (16,), "dtype": "f4"}
        file["layers"].create_dataset("x/vars/0", external=[(f"{secret}", 0, 64)], **shape)
        file["layers/x/vars"].attrs["name"] = "x"
    with pytest.raises(CheckpointError, match="'layers/x/vars/0' points to another file"):
        reader.read(path)
    layout = h5py.VirtualLayout((16,), "f4")
    layout[:] = h5py.VirtualSource(f"{secret}", "x", (16,))
    with h5py.File(path, "a") as file:
        del file["layers/x"]
        file["layers"].create_virtual_dataset("y/vars/0", layout)
        file["layers/y/vars"].attrs["name"] = "y"
    with pytest.raises(CheckpointError, match="'layers/y/vars/0' points to another file"):
        reader.read(path)


@pytest.mark.parametrize(
    ("dataset", "name", "message"),
    [
        ({"shape": (10**9, 10**3), "dtype": "f4", "chunks": (1, 1)}, "big", "larger than the file"),
        ({"data": "words"}, "text", "holds object, not numbers"),
        ({"data": [1.0]}, None, "does not name its layer"),
    ],
)
def test_hdf5_too_large_without_numbers_or_names_is_refused(tmp_path, dataset, name, message):
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file.create_dataset("layers/x/vars/0", **dataset)
        if name:
            file["layers/x/vars"].attrs["name"] = name
    with pytest.raises(CheckpointError, match=message):
        reader.read(tmp_path / "a.weights.h5")


@pytest.mark.parametrize(
    ("program", "message"),
    [("import os; os.abort()", "crashed on it"), ("import time; time.sleep(9)", "not read in 1")],
)
def test_a_file_that_crashes_or_stops_the_hdf5_library(tmp_path, monkeypatch, program, message):
    monkeypatch.setattr(hdf5, "COMMAND", (sys.executable, "-c", program))
    monkeypatch.setattr(hdf5, "TIMEOUT", 1)
    with pytest.raises(CheckpointError, match=f"'a.weights.h5' must be an HDF5 file.*{message}"):
        reader.read(write(tmp_path / "a.weights.h5"))


def test_hdf5_before_keras_3(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["conv/conv/depthwise_kernel:0"] = np.ones((3, 3, 2, 1), "f4")
        file["model_weights/bn/bn/gamma"] = np.ones(2, "f4")
        file["optimizer_weights/adam/iteration"] = 3
    checkpoint = reader.read(path)
    assert set(checkpoint.tensors) == {"conv/depthwise_kernel", "bn/gamma"}
    assert checkpoint.skipped == ("optimizer_weights/adam/iteration",)


@pytest.fixture(scope="module")
def trained():
    """A small Keras model with an optimizer's state, a seed and batch norm statistics."""
    import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="first")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Dropout(0.5)(x))
    model = keras.Model(image, keras.layers.Dense(2, name="last")(x))
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((4, 8, 8, 3)), np.ones((4, 2)), verbose=0)
    return model


@pytest.mark.parametrize("name", ["a.keras", "a.weights.h5", "a.h5", "a.npz", "a.safetensors"])
def test_what_keras_trained_comes_back_without_the_optimizer(tmp_path, trained, name):
    path = tmp_path / name
    if name == "a.h5":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of its legacy format
            trained.save(path)
    else:
        weights.save(trained, path)
    checkpoint = reader.read(path)
    by_index = name in ("a.keras", "a.weights.h5")
    for layer in trained.layers:
        for index, variable in enumerate(layer.weights):
            key = f"{layer.name}/{index if by_index else variable.name}"
            np.testing.assert_array_equal(checkpoint.tensors[key], variable.numpy())
    assert len(checkpoint.tensors) == len(trained.weights)


@pytest.mark.parametrize("name", ["a.keras", "a.weights.h5", "a.npz", "a.safetensors"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, trained, name, monkeypatch):
    path = tmp_path / name
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        weights.save(trained, path)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == b"old"


def test_save_makes_the_folder_and_knows_its_suffixes(tmp_path, trained):
    assert weights.save(trained, tmp_path / "new" / "a.npz").exists()
    for name in ("a.pth", "a.h5", "a", "a.tflite"):
        with pytest.raises(CheckpointError, match=r"must end in one of .weights.h5, .keras"):
            weights.save(trained, tmp_path / name)


def test_a_file_that_is_not_there_or_not_a_checkpoint(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    for name in ("none.pth", "folder.npz"):
        with pytest.raises(CheckpointError, match=f"'{name}' must be an existing file"):
            reader.read(tmp_path / name)
    (tmp_path / "folder.npz" / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"it is a folder: pass one of model\.safetensors"):
        reader.read(tmp_path / "folder.npz")
    with zipfile.ZipFile(tmp_path / "words.pth", "w") as file:
        file.writestr("word/document.xml", "")
    for name, data, found in (
        ("a.txt", b"words", r"it begins with b'words'"),
        ("lfs.pth", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("page.pth", b"\n<!DOCTYPE html><html>", "it is a web page"),
        ("a.pth", b"\x1f\x8b\x08\0", "unpack it first"),
        ("a.tflite", b"\x1c\0\0\0TFL3", "it is a TFLite file"),
        ("words.pth", None, r"a zip archive of other files \(word/document.xml\)"),
    ):
        if data:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(
            CheckpointError, match=rf"of PyTorch \(.pth.*{found}.*Received: .*{name}"
        ):
            reader.read(tmp_path / name)


@pytest.mark.parametrize(
    ("weights_argument", "is_file"),
    [
        ("imagenet", False),
        ("nav_in1k", False),
        ("sw.v2", False),
        ("a.pth", True),
        ("A.PTH", True),
        ("x.weights.h5", True),
        ("folder/imagenet", True),
        ("./imagenet", True),
    ],
)
def test_tags_and_files_are_distinguished(tmp_path, weights_argument, is_file):
    assert weights.is_file(weights_argument) is is_file
    assert weights.is_file(tmp_path / weights_argument) is True


def test_importing_the_room_is_light():
    heavy = "{'numpy', 'keras', 'tensorflow', 'h5py', 'huggingface_hub', 'safetensors'}"
    code = f"import sys, newnet_tf.weights; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

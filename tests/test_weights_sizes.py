"""Small files that would fill the memory, keep the reader busy or crash it: refused, quickly."""

import json
import struct
import time

import h5py
import numpy as np
import pytest
import safetensors.numpy
import torch_files
from filled import NAMES, as_torch, checkpoint_of, tiny, tiny_target
from torch_files import Call, Name, Raw, Tensor

from newnet_tf import weights
from newnet_tf.weights import CheckpointError, archive, reader
from newnet_tf.weights.pytorch import unpickling

GOOD = {"a.weight": np.ones(2, "f4")}
MEMO = b"q\x01"  # remembers what was put last
RECALL = b"h\x01"


@pytest.fixture(autouse=True)
def quick():
    """Fails a test in which a small file took long."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 10


@pytest.fixture
def low(monkeypatch):
    """Lets the tensors of a file take 64 KB more than twice its size."""
    monkeypatch.setattr(archive, "FREE", 1 << 16)


def refused(path, problem):
    """Reads a file, which must fail with an error that names it."""
    with pytest.raises(CheckpointError, match=rf"(?s){problem}.*Received: .*{path.name}"):
        dict(reader.read(path).tensors)


def test_a_state_dict_that_holds_itself_is_read_once(tmp_path):
    inside = Raw(b"}" + MEMO + b"X\x05\0\0\0model" + RECALL + b"s")
    torch_files.save_zip(tmp_path / "a.pth", {"state_dict": inside})
    refused(tmp_path / "a.pth", "no tensors by name")
    torch_files.save_zip(tmp_path / "a.pth", {"model": inside} | GOOD)
    assert list(reader.read(tmp_path / "a.pth").tensors) == ["a.weight"]


def test_tuples_as_keys_are_refused_before_they_are_hashed(tmp_path):
    doubled = b"N" + b"".join(b"2\x86" for _ in range(40))  # (x, x), 40 deep: 2**40 to hash
    torch_files.save_zip(tmp_path / "a.pth", Raw(b"}" + doubled + b"Ns"))
    refused(tmp_path / "a.pth", "key is a tuple; names and numbers")
    bomb = Call(Name("collections", "OrderedDict"), (Raw(b"](" + doubled + b"N\x86e"),))
    torch_files.save_zip(tmp_path / "a.pth", bomb)
    refused(tmp_path / "a.pth", "not made of names and values")


@pytest.mark.parametrize("code", [b"N" + b"\x85" * 20_000, b"]" * 20_000 + b"a" * 19_999])
def test_deep_nesting_does_not_crash(tmp_path, code):
    torch_files.save_zip(tmp_path / "a.pth", {"deep": Raw(code)} | GOOD)
    checkpoint = reader.read(tmp_path / "a.pth")
    assert (list(checkpoint.tensors), checkpoint.skipped) == (["a.weight"], ("deep",))
    pid = Raw(b"(X\x07\0\0\0storagectorch\nFloatStorage\n" + code + b"X\x03\0\0\0cpuK\x02tQ")
    torch_files.save_zip(tmp_path / "a.pth", {"a": pid})
    refused(tmp_path / "a.pth", "not a storage of numbers")


def test_a_dictionary_shared_many_times_is_visited_once(tmp_path):
    names = b"X\x01\0\0\0a", b"X\x01\0\0\0b"
    code = b"}"
    for level in range(40):  # {a: x, b: x}, 40 deep: 2**40 paths
        memo = struct.pack("<I", level)
        code += b"r" + memo + b"0}" + b"".join(name + b"j" + memo + b"s" for name in names)
    torch_files.save_zip(tmp_path / "a.pth", {"many": Raw(code)} | GOOD)
    assert list(reader.read(tmp_path / "a.pth").tensors) == ["a.weight"]


@pytest.mark.parametrize("call", [b"ctorch\nSize\n", b"ccollections\nOrderedDict\n"])
def test_copies_of_one_list_are_refused(tmp_path, call):
    items = b"](" + b"X\x01\0\0\0kN\x86" * 3000 + b"e" + MEMO
    copies = b"".join(call + RECALL + b"\x85R0" for _ in range(1000))
    torch_files.save_zip(
        tmp_path / "a.pth", {"list": Raw(items), "copies": Raw(copies + b"N")} | GOOD
    )
    refused(tmp_path / "a.pth", "whole numbers|more values than the file")


def test_the_number_of_instructions_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickling, "MAX_INSTRUCTIONS", 1000)
    torch_files.save_zip(tmp_path / "a.pth", {"list": Raw(b"](" + b"}" * 1000 + b"e")})
    refused(tmp_path / "a.pth", "over 1,000 instructions")


@pytest.mark.parametrize("save", [torch_files.save_zip, torch_files.save_stream])
@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_views_of_one_storage_are_bounded_in_sum(tmp_path, low, save, dtype):
    storage = np.ones(10_000, dtype)
    views = {f"{i}": Tensor(storage, 0, (100, 100), (1, 100)) for i in range(100)}
    save(tmp_path / "a.pth", views)
    refused(tmp_path / "a.pth", "it declares 4000000 bytes of tensors, but has")
    save(tmp_path / "a.pth", dict(list(views.items())[:2]))
    assert len(dict(reader.read(tmp_path / "a.pth").tensors)) == 2


def test_hdf5_datasets_are_bounded_in_sum(tmp_path, low):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i in range(20):
            file.create_dataset(
                f"c{i}/c{i}/kernel", (20, 1000), "f4", compression="gzip", fillvalue=1
            )
    refused(tmp_path / "a.h5", "its datasets declare 1600000 bytes")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        one = {"shape": (1,), "maxshape": (None,), "chunks": (10**8,), "dtype": "f4"}
        file.create_dataset("c/c/kernel", compression="gzip", **one)
    refused(tmp_path / "b.h5", "its datasets declare 400000000 bytes")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["c/c/kernel"] = h5py.Empty("f4")
    refused(tmp_path / "c.h5", "its dataset 'c/c/kernel' is empty")


def test_layers_of_one_name_in_hdf5_are_refused_and_nested_models_are_not(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for layer in ("conv", "norm"):
            file[f"model_weights/base/{layer}/weight:0"] = np.ones(2, "f4")
        file["model_weights/top/top/weight:0"] = np.ones(2, "f4")
    tensors = reader.read(tmp_path / "a.h5").tensors
    assert set(tensors) == {"conv/weight", "norm/weight", "top/weight"}
    with h5py.File(tmp_path / "b.h5", "w") as file:
        for place in ("a", "b"):
            file[f"layers/{place}/vars/0"] = np.ones(2, "f4")
            file[f"layers/{place}/vars"].attrs["name"] = "conv"
    refused(tmp_path / "b.h5", "two of its datasets are called 'conv/0'")


def test_npz_shapes_that_are_no_sizes_are_refused(tmp_path):
    import zipfile

    np.savez(tmp_path / "a.npz", a=np.ones((2, 3), "f4"))
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        data = file.read("a.npy")
    for shape in (b"(True, 6)", b"(-2, -3)"):
        with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
            file.writestr("a.npy", data.replace(b"(2, 3), }   ", shape + b", }"[:3] + b" "))
        refused(tmp_path / "b.npz", "declares the shape|is not an array")


@pytest.mark.parametrize("shape", [(2 * 10**9, 0), (0, 5), (100_001, 1)])
def test_a_class_count_that_is_no_count_is_an_error(tmp_path, shape):
    target = tiny_target()
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * shape[0] * shape[1]]}
    header = json.dumps({"head.1.weight": entry}).encode()
    data = struct.pack("<Q", len(header)) + header + bytes(entry["data_offsets"][1])
    (tmp_path / "a.safetensors").write_bytes(data)
    checkpoint = weights.read(tmp_path / "a.safetensors", target)
    with pytest.raises(CheckpointError, match=r"with 1 to 100,000 classes; .* has [\d,]+ and"):
        weights.class_count(checkpoint, target)


def test_class_count_and_channels_are_read_from_every_kind_of_file(tmp_path):
    model, target = tiny(7, channels=1), tiny_target()
    tensors = {name: tensor.copy() for name, tensor in as_torch(model, NAMES).items()}
    torch_files.save_zip(
        tmp_path / "a.ckpt", {"state_dict": {f"net.{k}": v for k, v in tensors.items()}}
    )
    (tmp_path / "b.safetensors").write_bytes(safetensors.numpy.save(tensors))
    files = [tmp_path / "a.ckpt", tmp_path / "b.safetensors"]
    files += [weights.save(model, tmp_path / name) for name in ("c.npz", "d.keras", "e.weights.h5")]
    for file in files:
        checkpoint = weights.read(file, target)
        assert weights.class_count(checkpoint, target) == 7, file
        assert weights.input_channels(checkpoint, target) in (1, None), file
    assert weights.input_channels(weights.read(files[0], target), target) == 1
    backbone = checkpoint_of({"features.0.weight": np.ones((4, 3, 3, 3), "f4")})
    assert weights.class_count(backbone, target) is None
    assert weights.input_channels(backbone, target) == 3


def test_transposed_tensors_are_written_as_they_are(tmp_path):
    from newnet_tf.weights import reader

    tensor = np.arange(6, dtype=np.float32).reshape(2, 3).T
    file = reader.write(tmp_path / "t.safetensors", {"kernel": tensor}, {})
    np.testing.assert_array_equal(reader.read(file).tensors["kernel"], tensor)

"""Reading PyTorch's files without torch: both layouts, honest and hostile."""

import sys
import warnings
import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch_files
from torch_files import Call, Name, Raw, Tensor

from newnet_tf.weights import CheckpointError, archive, reader

SAVERS = {"zip": torch_files.save_zip, "stream": torch_files.save_stream}
ARRAYS = {
    "conv.weight": np.arange(24, dtype="f4").reshape(2, 3, 2, 2) / 7,
    "conv.bias": np.array([1.5, -2.25], "f4"),
}


@pytest.fixture(params=SAVERS)
def save(request):
    """Writes a value as one of PyTorch's two kinds of file."""
    return SAVERS[request.param]


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", ml_dtypes.bfloat16, "i8", "i4", "u1", "?"])
def test_torch_types(tmp_path, save, dtype):
    array = np.array([[0, 1, 2], [3, 4, 5.5]]).astype(dtype)
    save(tmp_path / "a.pth", {"a": array, "scalar": array[1:, 2].reshape(())})
    checkpoint = reader.read(tmp_path / "a.pth").tensors
    real = array.astype("f4") if np.dtype(dtype).kind not in "iub" else array
    assert checkpoint["a"].dtype == real.dtype
    assert checkpoint["scalar"].shape == ()
    np.testing.assert_array_equal(checkpoint["a"], real)
    np.testing.assert_array_equal(checkpoint["scalar"], real[1, 2])


def test_torch_views_of_one_storage(tmp_path, save):
    base = np.arange(24, dtype="f4")
    views = {
        "all": Tensor(base, 0, (24,), (1,)),
        "transposed": Tensor(base, 3, (4, 3), (1, 4)),
        "every_fifth": Tensor(base, 0, (5,), (5,)),
        "empty": Tensor(base, 24, (0, 3), (3, 1)),
    }
    save(tmp_path / "a.pt", views)
    checkpoint = reader.read(tmp_path / "a.pt").tensors
    np.testing.assert_array_equal(checkpoint["all"], base)
    np.testing.assert_array_equal(checkpoint["transposed"], base[3:15].reshape(3, 4).T)
    np.testing.assert_array_equal(checkpoint["every_fifth"], base[::5])
    assert checkpoint["empty"].shape == (0, 3)


def test_torch_state_dict_is_found_inside_a_training_checkpoint(tmp_path, save):
    inner = {f"module.{name}": array for name, array in ARRAYS.items()} | {"module.note": "x"}
    state = Call(Name("collections", "OrderedDict"), ())
    momentum = {"momentum": np.ones(2, "f4")}
    saved = {"epoch": 3, "optimizer": momentum, "state_dict": inner, "empty": state}
    save(tmp_path / "a.pth", saved)
    checkpoint = reader.read(tmp_path / "a.pth")
    assert list(checkpoint.tensors) == [f"state_dict/module.{name}" for name in ARRAYS]
    assert set(checkpoint.skipped) == {"epoch", "optimizer", "empty", "state_dict/module.note"}


def test_torch_parameters_and_module_versions_are_understood(tmp_path, save):
    parameter = Call(Name("torch._utils", "_rebuild_parameter"), (ARRAYS["conv.bias"], True, None))
    versions = b"}X\x09\0\0\0_metadata}sb"  # what PyTorch hangs on a state dict, by BUILD
    ordered = b"ccollections\nOrderedDict\n)R" + versions
    save(tmp_path / "a.pth", {"a": parameter, "extra": Raw(ordered)})
    checkpoint = reader.read(tmp_path / "a.pth")
    np.testing.assert_array_equal(checkpoint.tensors["a"], ARRAYS["conv.bias"])
    assert checkpoint.skipped == ("extra",)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Call(Name("os", "system"), ("touch {marker}",)), "os.system"),
        (Call(Name("posix", "system", stacked=True), ("touch {marker}",)), "posix.system"),
        (Call(Name("builtins", "exec"), ("open('{marker}', 'w')",)), "builtins.exec"),
        (Call(Name("torch", "load"), ("{marker}",)), "torch.load"),
        (Call(Name("torch.storage", "_load_from_bytes"), ("",)), "torch.storage._load_from_bytes"),
        (Call(Name("newnet_tf.weights", "save"), ("", "")), "newnet_tf.weights.save"),
        (Call(Name("__builtin__", "eval"), ("1",)), "builtins.eval"),
        (Raw(b"csubprocess\nPopen\n"), "subprocess.Popen"),
        (Raw(b"(ios\nsystem\n"), "instruction INST"),
        (Raw(b"\x82\x01"), "instruction EXT1"),
        (Raw(b"Nr\xff\xff\xff\x7f"), "more values than the file"),
        (Raw(b"ctorch\nFloatStorage\n)R"), "FloatStorage is not a function"),
        (
            Raw(b"ctorch._utils\n_rebuild_tensor_v2\nN}X\x01\0\0\0a\x88s\x86b"),
            "the state of something",
        ),
        (Raw(b"ccollections\nOrderedDict\nN}X\x01\0\0\0a\x88s\x86b"), "the state of something"),
    ],
)
def test_hostile_pickles_are_refused_by_name(tmp_path, save, value, named):
    marker = tmp_path / "executed"

    def aim(value):
        if isinstance(value, Call):
            return Call(value.function, tuple(a.format(marker=marker) for a in value.arguments))
        return value

    save(tmp_path / "a.pth", {"good": ARRAYS["conv.bias"], "bad": aim(value)})
    with pytest.raises(CheckpointError, match=rf"{named}.*Received: "):
        reader.read(tmp_path / "a.pth")
    assert not marker.exists()


@pytest.mark.parametrize(
    "view",
    [
        Tensor(np.zeros(6, "f4"), 1, (2, 3), (3, 1)),
        Tensor(np.zeros(6, "f4"), 0, (2, 3), (4, 1)),
        Tensor(np.zeros(6, "f4"), 6, (1,), (1,)),
        Tensor(np.zeros(6, "f4"), 0, (2,), (-1,)),
        Tensor(np.zeros(6, "f4"), -1, (2,), (1,)),
        Tensor(np.zeros(6, "f4"), 0, (10**12,), (0,)),
        Tensor(np.zeros(6, "f4"), 0, (10**30, 10**30), (1, 1)),
        Tensor(np.zeros(6, "f4"), 0, (2, 3), (3,)),
        Tensor(np.zeros(6, "f4"), 0, (True,), (1,)),
        Tensor(np.zeros(6, "f4"), 0, ("6",), (1,)),
    ],
)
def test_views_beyond_their_storage_are_refused(tmp_path, save, view):
    save(tmp_path / "a.pth", {"a": view})
    with pytest.raises(CheckpointError, match=r"'a.pth' must be a PyTorch checkpoint"):
        reader.read(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("saved", "found"),
    [
        ({}, "a dictionary of nothing"),
        ({"epoch": 3, "net": {}}, r"a dictionary of 'epoch' \(int\), 'net' \(dict\)"),
        ([np.ones(2, "f4")], "a list"),
        (np.ones(2, "f4"), "a tensor without a name"),
        (7, "a int"),
        ({"model": {"x": {}}}, r"a dictionary of 'model' \(dict\)"),
        ({"optimizer": {"a": np.ones(2, "f4")}}, "'optimizer'"),
        ({"o": {"state": {"a": np.ones(2, "f4")}, "param_groups": []}}, "'o'"),
        (Raw(b"cargparse\nNamespace\n)\x81"), "an object of the class argparse.Namespace"),
    ],
)
def test_torch_files_without_named_tensors_say_what_they_hold(tmp_path, save, saved, found):
    save(tmp_path / "a.pth", saved)
    with pytest.raises(CheckpointError, match=rf"no tensors by name: it is .*{found}.*state_dict"):
        reader.read(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"archive/data/0": b"\0" * 7}, "7 bytes"),
        ({"../evil": b""}, "points out of the archive"),
        ({"/evil": b""}, "points out of the archive"),
        ({"a\\..\\evil": b""}, "points out of the archive"),
        ({"archive/constants.pkl": b"", "archive/code/m.py": b""}, "TorchScript"),
        ({"archive/byteorder": b"big"}, "little-endian"),
        ({"other/data.pkl": b""}, "not exactly one"),
    ],
)
def test_torch_archives_with_tricks_are_refused(tmp_path, extra, message):
    torch_files.save_zip(tmp_path / "a.pth", ARRAYS, extra=extra.items())
    with pytest.raises(CheckpointError, match=message):
        reader.read(tmp_path / "a.pth")


def test_a_member_that_is_missing_or_twice_there_is_refused(tmp_path):
    whole, path = tmp_path / "whole.pth", tmp_path / "a.pth"
    torch_files.save_zip(whole, ARRAYS)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", source.read("archive/data.pkl"))
    with pytest.raises(CheckpointError, match="no member 'archive/data/0'"):
        reader.read(path)
    with warnings.catch_warnings(), zipfile.ZipFile(whole, "a") as file:
        warnings.simplefilter("ignore")  # zipfile warns of what is done here on purpose
        file.writestr("archive/data/0", b"\0" * 96)
    with pytest.raises(CheckpointError, match="same name"):
        reader.read(whole)


def test_an_archive_that_would_burst_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FREE", 1 << 14)
    np.savez_compressed(tmp_path / "fair.npz", a=np.zeros(1000, "f4"))
    assert reader.read(tmp_path / "fair.npz").tensors["a"].shape == (1000,)
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(10**6, "f4"))
    with pytest.raises(CheckpointError, match="declares 4000"):
        reader.read(tmp_path / "bomb.npz")


def test_torch_stream_of_the_other_endianness_is_refused(tmp_path):
    torch_files.save_stream(tmp_path / "a.pth", ARRAYS, little_endian=False)
    with pytest.raises(CheckpointError, match="little-endian"):
        reader.read(tmp_path / "a.pth")


def test_reading_torch_files_needs_no_torch(tmp_path, save, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it would now fail
    save(tmp_path / "a.pth", ARRAYS)
    assert list(reader.read(tmp_path / "a.pth").tensors) == list(ARRAYS)

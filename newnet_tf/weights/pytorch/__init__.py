"""Reads tensors from PyTorch files, without torch and without executing the pickle.

`unpickling` reads the pickle, `state_dicts` finds the tensors in it. Here their numbers are read;
strides, offsets and the sum of all sizes are checked before an array is created. Both layouts are read:
the zip archive of PyTorch 1.6 and later, and the stream of pickles before it.
"""

import io
import math
import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from newnet_tf.weights import CheckpointError, archive
from newnet_tf.weights.pytorch import state_dicts, unpickling
from newnet_tf.weights.pytorch.names import Storage, View

EXPECTED = "a PyTorch checkpoint (the archive or the pickles that torch.save writes)"
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
MAX_PICKLE = 1 << 27  # bytes of the pickle in an archive; the numbers lie beside it


def read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Reads a file that `torch.save` wrote.

    Args:
        path: path of the file: a state dict, a dictionary with state dicts at any depth, or a whole
            module.

    Returns:
        ({name: read-only array}, names of entries that are no tensors, or an optimizer's). See
        `state_dicts` for the names.

    Raises:
        CheckpointError: for anything that holds no tensors by name.
    """
    try:
        return _read_zip(path) if archive.is_zip(path) else _read_stream(path)
    except CheckpointError:
        raise
    except Exception as error:  # a hostile stream can raise any error
        raise CheckpointError.about(path, EXPECTED, f"{error or type(error).__name__}") from error


def _read_zip(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    with archive.open_archive(path, EXPECTED) as members:
        roots = [n.removesuffix("/data.pkl") for n in members.sizes if n.endswith("/data.pkl")]
        if len(roots) != 1:
            raise members.error("it has not exactly one member `data.pkl`")
        root = roots[0]
        if f"{root}/constants.pkl" in members.sizes:
            raise members.error("it is a TorchScript program; save its state_dict() instead")
        order = f"{root}/byteorder"
        if order in members.sizes and members.read(order) != b"little":
            raise members.error("its numbers are not stored in little-endian order")
        if members.sizes[f"{root}/data.pkl"] > MAX_PICKLE:
            raise members.error(f"its pickle is larger than {MAX_PICKLE} bytes")
        saved, _ = unpickling.load(io.BytesIO(members.read(f"{root}/data.pkl")))
        tensors, skipped = _find_tensors(saved, path)
        used = {view.storage.key: view.storage for view in tensors.values()}
        numbers = {k: _numbers(members.read(f"{root}/data/{k}"), s) for k, s in used.items()}
    return {n: _array(v, numbers[v.storage.key]) for n, v in tensors.items()}, skipped


def _read_stream(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    file = io.BytesIO(path.read_bytes())
    try:
        magic, _ = unpickling.load(file)
    except Exception as error:
        raise pickle.UnpicklingError("it begins like neither of them") from error
    if magic != MAGIC or unpickling.load(file)[0] != PROTOCOL:
        raise pickle.UnpicklingError("it is a pickle, but not one of PyTorch's")
    if unpickling.load(file)[0].get("little_endian") is not True:
        raise pickle.UnpicklingError("its numbers are not stored in little-endian order")
    saved, storages = unpickling.load(file)
    tensors, skipped = _find_tensors(saved, path)
    numbers, data = {}, file.getbuffer()
    for key in unpickling.load(file)[0]:
        storage, count = storages[key], int.from_bytes(file.read(8), "little")
        if count != storage.numel:
            raise pickle.UnpicklingError(f"it gives storage {key!r} two sizes")
        start = file.tell()
        end = file.seek(start + count * storage.dtype.itemsize)
        numbers[key] = _numbers(data[start:end], storage)
    return {n: _array(v, numbers[v.storage.key]) for n, v in tensors.items()}, skipped


def _find_tensors(saved: object, path: Path) -> tuple[dict[str, View], list[str]]:
    """Finds the tensors in what was saved, and bounds the memory that they take."""
    tensors, skipped = state_dicts.find_tensors(saved)
    if not tensors:
        raise pickle.UnpicklingError(
            f"it holds no tensors by name: it is {state_dicts.describe(saved)}. "
            "Save the weights with torch.save(model.state_dict(), path)"
        )
    archive.check_size(tensors_size(tensors.values()), path, EXPECTED)
    return tensors, skipped


def tensors_size(views: Iterable[View]) -> int:
    """Returns the bytes of tensors once each has its own array, floats as float32."""
    return sum(math.prod(view.size) * max(view.storage.dtype.itemsize, 4) for view in views)


def _array(view: View, numbers: np.ndarray) -> np.ndarray:
    strides = [s * numbers.itemsize for s in view.stride]
    start = numbers[view.offset :]
    return np.lib.stride_tricks.as_strided(start, view.size, strides, writeable=False)


def _numbers(data: bytes | memoryview, storage: Storage) -> np.ndarray:
    if len(data) != storage.numel * storage.dtype.itemsize:
        raise pickle.UnpicklingError(
            f"storage {storage.key!r} should be {storage.numel} x {storage.dtype}, "
            f"but the file has {len(data)} bytes of it"
        )
    return np.frombuffer(data, storage.dtype)

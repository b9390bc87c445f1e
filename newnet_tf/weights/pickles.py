"""Reads tensors from PyTorch files, without torch and without executing the pickle.

A pickle is a program. This reader allows only the instructions that build plain containers, and only
the names that PyTorch needs for tensors. Each name is replaced by an immutable record of this module,
so nothing that the file chooses is imported, called or changed. Strides and offsets are checked against
the storage before an array is created. Both layouts are read: the zip archive of PyTorch 1.6 and later,
and the stream of pickles before it.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from newnet_tf.weights import CheckpointError, archive

EXPECTED = "a PyTorch checkpoint (the archive or the pickles that torch.save writes)"
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
NESTED = ("state_dict_ema", "model_ema", "state_dict", "model", "module", "net", "weights")
PARALLEL = "module."

STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}

ALLOWED_INSTRUCTIONS = """
    DICT EMPTY_DICT SETITEM SETITEMS LIST EMPTY_LIST APPEND APPENDS
    TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    PROTO FRAME STOP MARK POP POP_MARK DUP PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD BINPERSID
"""
INSTRUCTIONS = frozenset(ALLOWED_INSTRUCTIONS.split())


class Storage(NamedTuple):
    """An array of numbers in the file: dtype, key, number of elements."""

    dtype: np.dtype
    key: str
    numel: int


class View(NamedTuple):
    """A tensor: a strided view of a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _StateDict(dict):
    """Replaces OrderedDict; ignores the attributes that PyTorch sets on it."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


class _Allowed(NamedTuple):
    """A name that a pickle may contain: a storage type, or one of the functions below."""

    name: str

    def __call__(self, *arguments):
        if self.name not in _FUNCTIONS:
            raise pickle.UnpicklingError(f"{self.name} is not a function")
        return _FUNCTIONS[self.name](*arguments)


def _size(dimensions=()):
    return tuple(dimensions)


def _tensor(storage, offset, size, stride, *_):
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise pickle.UnpicklingError("a tensor is not made of a storage and whole numbers")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    count = math.prod(size)
    if len(size) > 32 or count > storage.numel or (count and last >= storage.numel):
        raise pickle.UnpicklingError(
            f"a tensor of shape {tuple(size)} exceeds its storage of {storage.numel} values"
        )
    return View(storage, offset, tuple(size), tuple(stride))


def _parameter(data, *_):
    return data


_FUNCTIONS: dict[str, Callable] = {
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}
_ALLOWED = {name: _Allowed(name) for name in (*_FUNCTIONS, *(f"torch.{s}" for s in STORAGES))}
_ALLOWED["collections.OrderedDict"] = _StateDict


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.storages: dict[str, Storage] = {}

    def find_class(self, module, name):
        allowed = _ALLOWED.get(f"{module}.{name}")
        if allowed is None:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which a file of tensors does not need and this reader "
                "does not allow (save the tensors alone: torch.save(model.state_dict(), path))"
            )
        return allowed

    def persistent_load(self, pid):
        kind, storage, key, _, numel, *view = pid
        name = storage.name if isinstance(storage, _Allowed) else ""
        dtype = STORAGES.get(name.removeprefix("torch."))
        if kind != "storage" or dtype is None or type(numel) is not int or numel < 0 or any(view):
            raise pickle.UnpicklingError("it refers to something that is not a storage of numbers")
        storage = Storage(dtype, str(key), numel)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise pickle.UnpicklingError(f"it describes storage {storage.key!r} in two ways")
        return storage


def _unpickle(file: io.BytesIO) -> tuple[object, dict[str, Storage]]:
    """Checks every instruction of the next pickle, then returns its value and storages by key."""
    start = file.tell()
    size = len(file.getbuffer()) - start
    for instruction, argument, position in pickletools.genops(file):
        if instruction.name not in INSTRUCTIONS:
            raise pickle.UnpicklingError(
                f"its pickle has the instruction {instruction.name} at byte {position}, "
                "which a file of tensors does not need and this reader does not allow"
            )
        if "PUT" in instruction.name and int(argument) > size:
            raise pickle.UnpicklingError("its pickle declares more values than the file can hold")
    reader = _Reader(file.getvalue()[start : file.tell()])
    return reader.load(), reader.storages


def _array(view: View, numbers: np.ndarray) -> np.ndarray:
    strides = [s * numbers.itemsize for s in view.stride]
    start = numbers[view.offset :]
    return np.lib.stride_tricks.as_strided(start, view.size, strides, writeable=False)


def _numbers(data: bytes, storage: Storage) -> np.ndarray:
    if len(data) != storage.numel * storage.dtype.itemsize:
        raise pickle.UnpicklingError(
            f"storage {storage.key!r} should be {storage.numel} x {storage.dtype}, "
            f"but the file has {len(data)} bytes of it"
        )
    return np.frombuffer(data, storage.dtype)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _state(saved) -> tuple[dict[str, View], list[str]]:
    """Finds the tensors in what was saved; returns them and the names of all that is left aside."""
    skipped, prefix = [], ""
    while isinstance(saved, dict) and not any(isinstance(v, View) for v in saved.values()):
        inner = {k: v for k, v in saved.items() if isinstance(v, dict)}
        chosen = next((k for k in NESTED if k in inner), None)
        if chosen is None:
            known = ", ".join(sorted(map(str, saved))[:10]) or "nothing"
            raise pickle.UnpicklingError(
                f"it holds no tensors by name, nor under one of {', '.join(NESTED)}; it has {known}"
            )
        skipped += [f"{prefix}{k}" for k in saved if k != chosen]
        prefix, saved = f"{prefix}{chosen}/", saved[chosen]
    if not isinstance(saved, dict):
        raise pickle.UnpicklingError("it does not hold a dictionary of tensors")
    tensors = {str(k): v for k, v in saved.items() if isinstance(v, View)}
    skipped += [f"{prefix}{k}" for k, v in saved.items() if not isinstance(v, View)]
    if all(name.startswith(PARALLEL) for name in tensors):
        tensors = {name.removeprefix(PARALLEL): view for name, view in tensors.items()}
    return tensors, skipped


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
        saved, _ = _unpickle(io.BytesIO(members.read(f"{root}/data.pkl")))
        tensors, skipped = _state(saved)
        used = {view.storage.key: view.storage for view in tensors.values()}
        numbers = {k: _numbers(members.read(f"{root}/data/{k}"), s) for k, s in used.items()}
    return {n: _array(v, numbers[v.storage.key]) for n, v in tensors.items()}, skipped


def _read_stream(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    file = io.BytesIO(path.read_bytes())
    try:
        magic, _ = _unpickle(file)
    except Exception as error:
        raise pickle.UnpicklingError("it begins like neither of them") from error
    if magic != MAGIC or _unpickle(file)[0] != PROTOCOL:
        raise pickle.UnpicklingError("it is a pickle, but not one of PyTorch's")
    if _unpickle(file)[0].get("little_endian") is not True:
        raise pickle.UnpicklingError("its numbers are not stored in little-endian order")
    saved, storages = _unpickle(file)
    tensors, skipped = _state(saved)
    numbers = {}
    for key in _unpickle(file)[0]:
        storage, count = storages[key], int.from_bytes(file.read(8), "little")
        if count != storage.numel:
            raise pickle.UnpicklingError(f"it gives storage {key!r} two sizes")
        numbers[key] = _numbers(file.read(count * storage.dtype.itemsize), storage)
    return {n: _array(v, numbers[v.storage.key]) for n, v in tensors.items()}, skipped


def read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Reads a `.pth` or `.pt` file.

    Args:
        path: path of a file that `torch.save` wrote: a state dict, or a dictionary with one under a
            usual key (that of averaged weights is preferred). A prefix `module.` of all names is
            removed.

    Returns:
        ({name: read-only array}, names of entries that are no tensors).

    Raises:
        CheckpointError: for anything that is not a dictionary of tensors.
    """
    try:
        return _read_zip(path) if _is_zip(path) else _read_stream(path)
    except CheckpointError:
        raise
    except Exception as error:  # a hostile stream can raise any error
        raise CheckpointError.about(path, EXPECTED, f"{error or type(error).__name__}") from error

"""What the names in a PyTorch pickle mean to this reader: storages, tensors, or nothing but a name.

Nothing of these names is imported or called. Those that PyTorch needs for tensors stand for the
functions of this module; an object of any other class (arguments, hyper-parameters, a module) becomes
an `Object`, which holds what the file says of it. Names of what runs commands or code are refused.
"""

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import ml_dtypes
import numpy as np

MAX_RANK = 32
STORAGES = {
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
    "torch.BoolStorage": np.dtype("?"),
}
HARMLESS = """
    set frozenset list dict tuple bytearray bytes complex slice range object getattr int float str bool
"""  # of the module `builtins`, whose other names are refused
EXECUTING = """
    os posix nt subprocess _posixsubprocess pty sys runpy importlib ctypes socket shutil pickle _pickle
    marshal webbrowser multiprocessing newnet_tf
"""  # packages whose names are refused
REFUSED = """
    torch.load torch.save torch.storage._load_from_bytes torch.hub torch.jit
    torch.serialization.load torch.utils.cpp_extension types.CodeType types.FunctionType
"""  # names, and modules with their names


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


@dataclass(slots=True, eq=False)
class Name:
    """A name in the file. Nothing of this name is imported."""

    name: str


@dataclass(slots=True, eq=False)
class Object:
    """An object of the class `kind`: the items and the state that the file gives it."""

    kind: str
    entries: dict = field(default_factory=dict)
    state: object = None


def name_of(module: str, name: str) -> Name:
    """Returns the record of a name.

    Raises:
        pickle.UnpicklingError: for a name of what runs commands or code.
    """
    full = f"{module.replace('__builtin__', 'builtins')}.{name}"
    root, _, rest = full.partition(".")
    runs_code = root in EXECUTING.split() or (root == "builtins" and rest not in HARMLESS.split())
    if runs_code or any(full == known or full.startswith(f"{known}.") for known in REFUSED.split()):
        raise pickle.UnpicklingError(
            f"it names {full}, which runs code and which no file of tensors needs. Do not load this "
            "file with another reader unless you trust its source"
        )
    return Name(full)


def _size(budget, dimensions=()):
    if not isinstance(dimensions, list | tuple) or len(dimensions) > MAX_RANK:
        raise pickle.UnpicklingError(f"a shape is not made of at most {MAX_RANK} whole numbers")
    return tuple(dimensions)


def _ordered_dict(budget, pairs=()):
    entries = {}
    for pair in budget.copy(pairs):
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise pickle.UnpicklingError("it has a dictionary that is not made of names and values")
        entries[pair[0]] = pair[1]
    return entries


def _tensor(budget, storage, offset, size, stride, *_):
    size, stride = _size(budget, size), _size(budget, stride)
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise pickle.UnpicklingError("a tensor is not made of a storage and whole numbers")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    count = math.prod(size)
    if count > storage.numel or (count and last >= storage.numel):
        raise pickle.UnpicklingError(
            f"a tensor of shape {size} exceeds its storage of {storage.numel} values"
        )
    return View(storage, offset, size, stride)


def _parameter(budget, data, *_):
    return data


def _typed_tensor(budget, function, kind, arguments, *_):
    if not isinstance(function, Name) or FUNCTIONS.get(function.name) is not _tensor:
        raise pickle.UnpicklingError("it has a tensor that is not made of a storage")
    return _tensor(budget, *arguments)


FUNCTIONS: dict[str, Callable] = {  # of a budget for copies and the arguments in the file
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _typed_tensor,
    "collections.OrderedDict": _ordered_dict,
    "builtins.set": lambda budget, items=(): items,
    "collections.defaultdict": lambda budget, *_: {},
}

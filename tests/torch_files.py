"""Writes PyTorch's two kinds of checkpoint by hand, without torch: honest ones and hostile ones."""

import struct
import zipfile
from typing import NamedTuple

import ml_dtypes
import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {
    np.dtype("f4"): "FloatStorage",
    np.dtype("f8"): "DoubleStorage",
    np.dtype("f2"): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
    np.dtype("i8"): "LongStorage",
    np.dtype("i4"): "IntStorage",
    np.dtype("u1"): "ByteStorage",
    np.dtype("?"): "BoolStorage",
}


class Name(NamedTuple):
    """A global that the pickle mentions; `stacked` writes it as newer protocols do."""

    module: str
    name: str
    stacked: bool = False


class Call(NamedTuple):
    """A call that the pickle asks for."""

    function: Name
    arguments: tuple


class Instance(NamedTuple):
    """An object of a class of the file, with its state."""

    kind: Name
    state: object


class Raw(NamedTuple):
    """Instructions as they are, which leave one value."""

    code: bytes


class Tensor(NamedTuple):
    """A strided view of a flat array, which is the storage."""

    storage: np.ndarray
    offset: int
    size: tuple
    stride: tuple


def tensor(array):
    """The contiguous tensor of an array."""
    stride = tuple(s // array.itemsize for s in np.ascontiguousarray(array).strides)
    return Tensor(array.ravel(), 0, array.shape, stride if array.ndim else ())


class _Writer:
    def __init__(self, legacy):
        self.legacy, self.storages = legacy, {}

    def pickle(self, value):
        return b"\x80\x02" + self.code(value) + b"."

    def code(self, value):
        match value:
            case Raw():
                return value.code
            case Name(stacked=True):
                return self.code(value.module) + self.code(value.name) + b"\x93"
            case Name():
                return f"c{value.module}\n{value.name}\n".encode()
            case Call():
                return self.code(value.function) + self.code(value.arguments) + b"R"
            case Instance():
                return self.code(value.kind) + b")\x81" + self.code(value.state) + b"b"
            case Tensor():
                return self.tensor(value)
            case np.ndarray():
                return self.tensor(tensor(value))
            case None:
                return b"N"
            case bool():
                return b"\x88" if value else b"\x89"
            case int():
                data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
                return b"\x8a" + bytes([len(data)]) + data
            case float():
                return b"G" + struct.pack(">d", value)
            case np.generic():
                return self.tensor(tensor(np.asarray(value)))
            case str():
                return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
            case tuple():
                return b"(" + b"".join(map(self.code, value)) + b"t"
            case list():
                return b"](" + b"".join(map(self.code, value)) + b"e"
            case dict():
                items = b"".join(self.code(k) + self.code(v) for k, v in value.items())
                return b"}(" + items + b"u"

    def tensor(self, view):
        key = str(self.storages.setdefault(id(view.storage), (len(self.storages), view.storage))[0])
        kind = Name("torch", STORAGES[view.storage.dtype])
        pid = ("storage", kind, key, "cpu", view.storage.size, *[None] * self.legacy)
        storage = Raw(self.code(pid) + b"Q")
        hooks = Call(Name("collections", "OrderedDict"), ())
        arguments = (storage, view.offset, tuple(view.size), tuple(view.stride), False, hooks)
        return self.code(Call(Name("torch._utils", "_rebuild_tensor_v2"), arguments))


def save_zip(path, saved, extra=(), root="archive"):
    """Writes `saved` as torch.save has done since 1.6; `extra` are more members (name, bytes)."""
    writer = _Writer(legacy=False)
    members = {f"{root}/data.pkl": writer.pickle(saved), f"{root}/byteorder": b"little"}
    for key, storage in writer.storages.values():
        members[f"{root}/data/{key}"] = storage.tobytes()
    members |= {f"{root}/version": b"3\n"} | dict(extra)
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)


def save_stream(path, saved, little_endian=True):
    """Writes `saved` as torch.save did before 1.6."""
    writer = _Writer(legacy=True)
    body = writer.pickle(saved)
    system = {"protocol_version": PROTOCOL, "little_endian": little_endian, "type_sizes": {}}
    with open(path, "wb") as file:
        for head in (MAGIC, PROTOCOL, system):
            file.write(writer.pickle(head))
        file.write(body + writer.pickle([str(key) for key, _ in writer.storages.values()]))
        for _, storage in writer.storages.values():
            file.write(struct.pack("<q", storage.size) + storage.tobytes())

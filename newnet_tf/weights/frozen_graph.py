"""Reads the variables of a frozen TensorFlow 1 graph (`.pb`), without TensorFlow; nothing is executed.

Such a file is a protocol buffer `GraphDef`: a list of nodes. Freezing turned each variable into a node
`Const` that a node `Identity` reads (`name/read`); other constants belong to the computations and are
left out. Only the few fields that are needed are parsed (protobuf.dev/programming-guides/encoding;
tensorflow/core/framework: graph, node_def, attr_value, tensor).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import ml_dtypes
import numpy as np

MAX_NODES = 1_000_000
MAX_RANK = 8
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
NODE = 1  # of GraphDef
NAME, OP, INPUT, ATTRIBUTE = 1, 2, 3, 5  # of NodeDef
KEY, VALUE = 1, 2  # of an entry of a map
TENSOR = 8  # of AttrValue
DTYPE, SHAPE, CONTENT = 1, 2, 4  # of TensorProto
DIMENSION, SIZE = 2, 1  # of TensorShapeProto
DTYPES = {  # TensorFlow's number: type, and field of TensorProto for values that are not in CONTENT
    1: (np.dtype("<f4"), 5),
    2: (np.dtype("<f8"), 6),
    3: (np.dtype("<i4"), 7),
    9: (np.dtype("<i8"), 10),
    14: (np.dtype(ml_dtypes.bfloat16), 13),
    19: (np.dtype("<f2"), 13),
}
HALVES = (14, 19)  # whose bits are in a varint
READERS = ("Identity", "ReadVariableOp")
SAVED_MODEL = b"\x08\x01\x12"  # its version, then a meta graph


class FrozenGraphError(ValueError):
    """A file that is no frozen graph, or a damaged one."""


@dataclass
class _Node:
    name: str = ""
    op: str = ""
    inputs: tuple[str, ...] = ()
    tensor: memoryview | None = None


def read(data: bytes, limit: int) -> dict[str, np.ndarray]:
    """Returns the variables of a frozen graph.

    Args:
        data: bytes of the file.

        limit: int, bytes that the variables may take in memory.

    Returns:
        {name: array} in TensorFlow's layouts: a kernel has the shape (height, width, in, out).

    Raises:
        FrozenGraphError: for a file that is no frozen graph, damaged, or beyond `limit`.
    """
    if data.startswith(SAVED_MODEL):
        raise FrozenGraphError(
            "it is the graph of a SavedModel, whose values are in its folder `variables`"
        )
    nodes = list(_nodes(memoryview(data)))
    constants = {node.name: node.tensor for node in nodes if node.op == "Const"}
    if len(constants) != sum(node.op == "Const" for node in nodes):
        raise FrozenGraphError("two of its constants have the same name")
    arrays: dict[str, np.ndarray] = {}
    for node in nodes:
        source = node.inputs[0].removesuffix(":0") if node.inputs else ""
        tensor = constants.get(source)
        if node.op not in READERS or source in arrays or tensor is None:
            continue
        if not node.name.startswith(f"{source}/"):  # an Identity of the graph's own
            continue
        array = _array(source, tensor, limit)
        limit -= array.nbytes
        arrays[source] = array
    if not arrays:
        found = f"{len(nodes)} nodes, {len(constants)} of them constants"
        raise FrozenGraphError(f"it has no variables that were turned into constants ({found})")
    return arrays


def begins_as_graph(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a `GraphDef` whose first node has a name."""
    return len(head) > 4 and head[:1] == b"\n" and (head[2:3] == b"\n" or head[3:4] == b"\n")


def _nodes(data: memoryview) -> Iterator[_Node]:
    for count, (number, value) in enumerate(_fields(data)):
        if count > MAX_NODES:
            raise FrozenGraphError(f"it has more than {MAX_NODES} nodes")
        if number != NODE:
            continue
        node, inputs = _Node(), []
        for field, part in _fields(_message(value)):
            if field == NAME:
                node.name = _text(part)
            elif field == OP:
                node.op = _text(part)
            elif field == INPUT:
                inputs.append(_text(part))
            elif field == ATTRIBUTE:
                node.tensor = _tensor_of(_message(part)) or node.tensor
        node.inputs = tuple(inputs)
        yield node


def _tensor_of(entry: memoryview) -> memoryview | None:
    """Returns the tensor of an attribute `value`, None for any other attribute."""
    pair = dict(_fields(entry))
    if KEY not in pair or _text(pair[KEY]) != "value" or VALUE not in pair:
        return None
    tensor = dict(_fields(_message(pair[VALUE]))).get(TENSOR)
    return None if tensor is None else _message(tensor)


def _array(name: str, tensor: memoryview, limit: int) -> np.ndarray:
    fields = list(_fields(tensor))
    values = dict(fields)
    code, shape = values.get(DTYPE), _shape(name, values.get(SHAPE))
    if code not in DTYPES:
        raise FrozenGraphError(f"its variable {name!r} has the type number {code!r}, not numbers")
    dtype, field = DTYPES[code]
    size = math.prod(shape)
    if size * dtype.itemsize > limit:
        raise FrozenGraphError(f"its variable {name!r} declares the shape {shape}")
    if CONTENT in values:
        content = _message(values[CONTENT])
        if len(content) != size * dtype.itemsize:
            raise FrozenGraphError(
                f"its variable {name!r} declares the shape {shape}, but has {len(content)} bytes"
            )
        return np.frombuffer(content, dtype).reshape(shape)
    parts = [_repeated(part, dtype, code) for number, part in fields if number == field]
    array = np.concatenate(parts) if parts else np.zeros(0, dtype)
    if not 0 < array.size <= size:
        raise FrozenGraphError(
            f"its variable {name!r} declares the shape {shape}, but has {array.size} values"
        )
    last = np.full(size - array.size, array[-1], dtype)  # the last value stands for all that follow
    return np.concatenate([array, last]).reshape(shape)


def _shape(name: str, message) -> tuple[int, ...]:
    if message is None:
        return ()
    sizes = []
    for number, part in _fields(_message(message)):
        if number == DIMENSION:
            size = dict(_fields(_message(part))).get(SIZE, 0)
            if not isinstance(size, int) or size >= 1 << 62:
                raise FrozenGraphError(f"its variable {name!r} has no fixed shape")
            sizes.append(size)
    if len(sizes) > MAX_RANK:
        raise FrozenGraphError(f"its variable {name!r} has {len(sizes)} axes")
    return tuple(sizes)


def _repeated(part, dtype: np.dtype, code: int) -> np.ndarray:
    """Returns one entry of a repeated field of numbers, packed or not."""
    if code in HALVES or dtype.kind == "i":
        numbers = [part] if isinstance(part, int) else list(_varints(_message(part)))
        if code in HALVES:
            return np.array([number & 0xFFFF for number in numbers], np.uint16).view(dtype)
        return np.array(numbers, np.uint64).astype(np.int64).astype(dtype)
    content = _message(part)
    if len(content) % dtype.itemsize:
        raise FrozenGraphError("a list of numbers in it is cut off")
    return np.frombuffer(content, dtype)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields the fields of a message: number, and an int (varint) or the bytes of any other type."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == BYTES:
            size, place = _varint(data, place)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise FrozenGraphError(f"it has a field of wire type {kind}")
        if size > len(data) - place:
            raise FrozenGraphError("it is cut off: a field is longer than what follows")
        yield number, data[place : place + size]
        place += size


def _varints(data: memoryview) -> Iterator[int]:
    place = 0
    while place < len(data):
        value, place = _varint(data, place)
        yield value


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise FrozenGraphError("it is cut off inside a number")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place
    raise FrozenGraphError("it has a number of more than ten bytes")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise FrozenGraphError("it has a number where a message is expected")
    return value


def _text(value: int | memoryview) -> str:
    try:
        return bytes(_message(value)).decode()
    except UnicodeDecodeError as error:
        raise FrozenGraphError(f"it has a name that is no text ({error})") from error

"""Integrity check of a TFLite file: do all of its tables lie inside it?

`ai-edge-litert` checks that itself; `tf.lite` and `tflite-runtime` do not, and a truncated file makes
them read beyond its end, which ends the process. Standard library only.
"""

import struct
from pathlib import Path

IDENTIFIER = b"TFL3"
TABLE_FIELDS_START = 4  # bytes of a vtable before its first entry

# Field number in the TFLite schema -> its type: the size of a vector's items in bytes, a table (dict),
# or a vector of tables (list of one dict). Fields stored inline are not listed.
_QUANTIZATION = {0: 4, 1: 4, 2: 4, 3: 8, 5: {}}
_TENSOR = {0: 4, 3: 1, 4: _QUANTIZATION, 6: {}, 7: 4}
_OPERATOR = {1: 4, 2: 4, 4: {}, 5: 1, 7: 1, 8: 4}
_SUBGRAPH = {0: [_TENSOR], 1: 4, 2: 4, 3: [_OPERATOR], 4: 1}
_SIGNATURE = {0: [{0: 1}], 1: [{0: 1}], 2: 1}
_MODEL = {1: [{1: 1}], 2: [_SUBGRAPH], 3: 1, 4: [{0: 1}], 5: 4, 6: [{0: 1}], 7: [_SIGNATURE]}


def find_fault(file: Path) -> str | None:
    """Returns what is wrong with a TFLite file's layout, None if nothing is.

    Args:
        file: path of an existing file.

    Returns:
        str or None.
    """
    data = file.read_bytes()
    if not data:
        return "an empty file"
    if data[4:8] != IDENTIFIER:
        return f"a file that begins with {data[:8]!r}, not with {IDENTIFIER!r} at byte 4"
    try:
        _table(data, _follow(data, 0), _MODEL)
    except (struct.error, IndexError):
        return f"a truncated or damaged file of {len(data)} bytes"
    return None


def _table(data: bytes, at: int, fields: dict) -> None:
    """Checks a table and all that it refers to; raises IndexError or struct.error."""
    vtable = at - struct.unpack_from("<i", data, at)[0]
    if vtable < 0:
        raise IndexError
    vtable_size, table_size = struct.unpack_from("<HH", data, vtable)
    _inside(data, vtable, vtable_size)
    _inside(data, at, table_size)
    for number, kind in fields.items():
        entry = TABLE_FIELDS_START + 2 * number
        offset = struct.unpack_from("<H", data, vtable + entry)[0] if entry < vtable_size else 0
        if offset:
            _field(data, _follow(data, at + offset), kind)


def _field(data: bytes, at: int, kind) -> None:
    if isinstance(kind, dict):
        _table(data, at, kind)
        return
    count = struct.unpack_from("<I", data, at)[0]
    _inside(data, at + 4, count * (4 if isinstance(kind, list) else kind))
    if isinstance(kind, list):
        for number in range(count):
            _table(data, _follow(data, at + 4 + 4 * number), kind[0])


def _follow(data: bytes, at: int) -> int:
    return at + struct.unpack_from("<I", data, at)[0]


def _inside(data: bytes, start: int, size: int) -> None:
    if start + size > len(data):
        raise IndexError

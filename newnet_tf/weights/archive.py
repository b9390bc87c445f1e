"""Untrusted files: zip members are read by exact name, never extracted; sizes are checked first."""

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from newnet_tf.weights import CheckpointError

EXPANSION = 2  # a checkpoint's tensors take at most this many times the file's bytes
FREE = 1 << 30  # and this many bytes more
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def size_limit(size: int) -> int:
    """Returns the bytes that the tensors of a file of `size` bytes may take in memory."""
    return EXPANSION * size + FREE


def check_size(declared: int, path: Path, expected: str) -> None:
    """Raises CheckpointError where the tensors of a file declare more bytes than `size_limit`."""
    size = path.stat().st_size
    if declared > size_limit(size):
        problem = f"it declares {declared} bytes of tensors, but has {size} bytes itself"
        raise CheckpointError.about(path, expected, problem)


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip archive."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


class Archive:
    """An open zip file whose directory has been checked.

    Args:
        path: path of the file.

        expected: str, what the file must be, for errors.

        file: the open `zipfile.ZipFile`.

    Attributes:
        sizes: {name of a member: its size in bytes}.
    """

    def __init__(self, path: Path, expected: str, file: zipfile.ZipFile):
        self.path, self.expected, self._zip = path, expected, file
        self.sizes = {info.filename: info.file_size for info in file.infolist()}
        self._check(file.infolist())

    def _check(self, infos: list[zipfile.ZipInfo]) -> None:
        size = self.path.stat().st_size
        if len(self.sizes) != len(infos):
            raise self.error("two of its members have the same name")
        for info in infos:
            parts = info.filename.replace("\\", "/").split("/")
            if info.filename.startswith("/") or ".." in parts:
                raise self.error(f"its member {info.filename!r} points out of the archive")
            if info.flag_bits & 1:
                raise self.error(f"its member {info.filename!r} is encrypted")
            if info.compress_size > size:
                raise self.error(
                    f"its member {info.filename!r} declares {info.compress_size} of {size} bytes"
                )
        declared = sum(self.sizes.values())
        if declared > size_limit(size):
            raise self.error(f"it declares {declared} unpacked bytes, of {size}")

    def read(self, name: str) -> bytes:
        """Returns the bytes of a member and checks its checksum."""
        if name not in self.sizes:
            raise self.error(f"it has no member {name!r}")
        try:
            return self._zip.read(name)
        except DAMAGE as error:
            raise self.error(f"its member {name!r} is damaged ({error})") from error

    def error(self, problem: str) -> CheckpointError:
        """Returns the error that says what is wrong with this archive."""
        return CheckpointError.about(self.path, self.expected, problem)


@contextmanager
def open_archive(path: Path, expected: str) -> Iterator[Archive]:
    """Opens a zip file as an `Archive`; `expected` says what it must be, for errors."""
    try:
        file = zipfile.ZipFile(path)
    except DAMAGE as error:
        problem = f"it is damaged or truncated ({error})"
        raise CheckpointError.about(path, expected, problem) from error
    with file:
        yield Archive(path, expected, file)

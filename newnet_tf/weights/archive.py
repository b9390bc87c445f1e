"""Untrusted zip archives: members are read by exact name, never extracted, sizes checked first."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from newnet_tf.weights import CheckpointError

EXPANSION = 50
FREE = 1 << 26
DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, ValueError)


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
        if declared > EXPANSION * size + FREE:
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

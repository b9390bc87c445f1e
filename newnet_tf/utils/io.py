"""Files that are written whole or not at all, and their digests."""

import contextlib
import csv
import hashlib
import io
import lzma
import os
import re
import secrets
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

DAMAGED_ARCHIVE = (  # what reading a damaged zip archive, or JSON in it, raises
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a temporary path to write a file to, and renames it to `path` at the end.

    On an error the temporary file is removed, and a file that was at `path` before stays as it was.

    Args:
        path: path of the file. Its folder is created if it does not exist.

    Yields:
        Path in the same folder. Its name ends in the whole name of `path`, so that writers which
        choose the format by the suffix (`.weights.h5`, `.npz`) work.

    Raises:
        FileNotFoundError: if nothing was written to the temporary path.

    Example:
        ```python
        with atomic_write("run/weights.npz") as temporary:
            np.savez(temporary, **arrays)
        ```
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def staging_folder(parent: str | os.PathLike, name: str) -> Iterator[Path]:
    """Gives a new hidden folder, to write files in that are then renamed; it is removed at the end.

    Args:
        parent: path of the folder to make it in, which is created if it does not exist.

        name: str, what its name begins with, after a dot.
    """
    Path(parent).mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=parent, prefix=f".{name}-"))
    try:
        yield staging
    finally:
        shutil.rmtree(staging)


def lines_of(texts: Iterable[str]) -> str:
    """Returns texts as lines, each with its end: the content of a file of labels."""
    return "".join(f"{text}\n" for text in texts)


def file_stem(name: str) -> str:
    """Returns a name with `_` in place of what no file name may hold on some system, such as `/:`."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file of bytes, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file in UTF-8, line ends as in `text`, whole or not at all."""
    write_bytes(path, text.encode())


def write_csv(
    path: str | os.PathLike,
    header: Sequence[str],
    rows: Iterable[Mapping[str, object] | Sequence],
) -> None:
    """Writes a CSV file in UTF-8 with `\\n` as line end, whole or not at all.

    Args:
        path: path of the file.

        header: strings, the names of the columns.

        rows: mappings from column names to values, where a missing column is left empty, or
            sequences of values in the order of `header`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        if isinstance(row, Mapping):
            if unknown := row.keys() - set(header):
                raise ValueError(
                    f"a row's columns must be among {', '.join(header)}. "
                    f"Received: {', '.join(sorted(unknown))}"
                )
            row = [row.get(name, "") for name in header]
        writer.writerow(row)
    write_text(path, text.getvalue())


def sha256(path: str | os.PathLike) -> str:
    """Returns the SHA-256 digest of a file, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_bytes(data: bytes) -> str:
    """Returns the SHA-256 digest of `data`, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()

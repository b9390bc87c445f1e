"""A run's files: never half there, and a clear word where there is no room."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class TrainingStopped(RuntimeError):
    """A run that cannot go on; the message says why, what is intact, and what to do."""


class Diverged(TrainingStopped):
    """A run whose loss or weights are no finite numbers any more: its settings are to blame."""


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Gives a path to write to, in the same folder and of the same suffix; then renames it.

    On an error nothing is left of it, and the file that was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.chmod(part, 0o644)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Writes a file at once or not at all."""
    with beside(path) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def on_disk_full(what: str, checkpoint: Path) -> Iterator[None]:
    """Turns the error of a full disk into a clear word.

    Args:
        what: str, what is being written. checkpoint: the file that a run goes on from.

    Raises:
        TrainingStopped: where the disk, the quota or the size of a file is at its limit.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        left = "is intact" if checkpoint.exists() else "was not written yet"
        raise TrainingStopped(
            f"there must be room for {what} in {checkpoint.parent}. The last checkpoint, "
            f"{checkpoint.name}, {left}: make room, then go on with --resume. Received: {error}"
        ) from error


@contextlib.contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Keeps a second process out of a run's folder; a process that is killed frees it.

    Raises:
        TrainingStopped: where another process is at work.
    """
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise TrainingStopped(
            f"one process must train in a folder at a time. Received: {folder}, in use"
        ) from error
    try:
        yield
    finally:
        lock.release()

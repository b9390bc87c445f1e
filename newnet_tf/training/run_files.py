"""Errors that stop a run, the lock of its folder, and the message for a full disk."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class TrainingStopped(RuntimeError):
    """A run that cannot continue. The message says why, which files are intact, and what to do."""


class Diverged(TrainingStopped):
    """A run whose loss or weights are NaN or infinite, because of its hyperparameters."""


@contextlib.contextmanager
def on_disk_full(content: str, checkpoint: Path) -> Iterator[None]:
    """Replaces the error of a full disk by a message that says how to continue.

    Args:
        content: str, what is being written.

        checkpoint: path of the file that a run resumes from.

    Raises:
        TrainingStopped: if the disk or the quota is full, or the file is too large for it.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        state = "is intact" if checkpoint.exists() else "was not written yet"
        raise TrainingStopped(
            f"there must be room for {content} in {checkpoint.parent}. The last checkpoint, "
            f"{checkpoint.name}, {state}: make room, then resume the run (--resume). Received: {error}"
        ) from error


@contextlib.contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Locks a run's folder against other processes. The lock of a killed process is released.

    Args:
        folder: path; it is created if it does not exist.

    Raises:
        TrainingStopped: if another process holds the lock.
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

"""Whether a bundle is the one that was made. Nothing in it is run but its networks."""

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from newnet_tf.deploy.bundle import codegen

LARGEST = 1 << 31  # bytes that a zip may hold


class BundleError(ValueError):
    """A bundle that is not whole, was changed, or does not answer as it says."""


def check_bundle(path: str | os.PathLike, digest: str | None = None) -> str:
    """Compares a bundle's files with its record, and its answers with those stored in it.

    The files run in a process of its own, by this package's own `check.py`: nothing in the bundle
    is executed but the networks.

    Args:
        path: folder or zip. digest: str, sha256 that was printed when the bundle was made.

    Returns:
        What the check says, a line for each file.

    Raises:
        BundleError: for a bundle that was changed, or whose answers are others.
    """
    with _opened(Path(path)) as folder:
        command = [sys.executable, os.fspath(codegen.FOLDER / codegen.CHECK), os.fspath(folder)]
        command += ["--digest", digest] if digest else []
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode < 0:
        raise BundleError(
            f"{path} must hold files that LiteRT can run. Received: an invalid model, LiteRT ended by "
            f"signal {-run.returncode}"
        )
    if run.returncode:
        said = [line for line in run.stdout.splitlines() if line.startswith(("REFUSED", "FAILED"))]
        said = said or (run.stderr or run.stdout).strip().splitlines()[-1:]
        raise BundleError(
            f"{path} must be the bundle that was made. Received:\n  {chr(10).join(said)}"
        )
    return run.stdout.strip()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """Gives the folder of a bundle; a zip is unpacked for that long.

    Raises:
        BundleError: for what is no bundle, or a zip that names other places than one folder.
    """
    if path.is_dir():
        yield path
        return
    if not zipfile.is_zipfile(path):
        raise BundleError(f"{path} must be a bundle, a folder or zip. Received: neither")
    with zipfile.ZipFile(path) as zipped, tempfile.TemporaryDirectory() as room:
        entries = [entry for entry in zipped.infolist() if not entry.is_dir()]
        tops = {entry.filename.split("/")[0] for entry in entries}
        flat = all(len(entry.filename.split("/")) == 2 for entry in entries)
        if (
            len(tops) != 1
            or not flat
            or ".." in tops
            or sum(e.file_size for e in entries) > LARGEST
        ):
            raise BundleError(
                f"{path} must hold one folder of files, of {LARGEST} bytes at most. "
                f"Received: {[entry.filename for entry in entries][:5]}"
            )
        try:
            zipped.extractall(room)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise BundleError(f"{path} must be a whole zip. Received: {error}") from error
        yield Path(room, *tops)

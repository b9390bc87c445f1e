"""The check of a bundle: are its files unchanged, do they give the expected outputs?"""

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

MAX_BYTES = 1 << 31  # that a zip may contain


class BundleError(ValueError):
    """A bundle that is incomplete, was changed, or does not give the expected outputs."""


def check_bundle(path: str | os.PathLike, digest: str | None = None) -> str:
    """Compares a bundle's files with `model.json`, and their outputs with the stored ones.

    The files run in a separate process, by this package's own `check.py`: nothing in the bundle is
    executed but the models.

    Args:
        path: path of the folder or zip.

        digest: str, sha256 that was printed when the bundle was written. Default: not compared.

    Returns:
        The report of the check, a line for each file.

    Raises:
        BundleError: if the bundle was changed, or gives other outputs.

    Example:
        >>> print(check_bundle("lite0.zip"))
    """
    with _unpacked(Path(path)) as folder:
        command = [sys.executable, os.fspath(codegen.FOLDER / codegen.CHECK), os.fspath(folder)]
        command += ["--digest", digest] if digest else []
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode < 0:
        raise BundleError(
            f"{path} must hold files that LiteRT can run. Received: an invalid model, LiteRT ended by "
            f"signal {-run.returncode}"
        )
    if run.returncode:
        lines = [line for line in run.stdout.splitlines() if line.startswith(("REFUSED", "FAILED"))]
        lines = lines or (run.stderr or run.stdout).strip().splitlines()[-1:]
        raise BundleError(
            f"{path} must be the bundle that was written. Received:\n  {chr(10).join(lines)}"
        )
    return run.stdout.strip()


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """Gives the folder of a bundle; a zip is unpacked into a temporary folder.

    Raises:
        BundleError: for a path that is no bundle, or a zip with anything but one folder of files.
    """
    if path.is_dir():
        yield path
        return
    if not zipfile.is_zipfile(path):
        raise BundleError(f"{path} must be a bundle, a folder or zip. Received: neither")
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as temporary:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        folders = {entry.filename.split("/")[0] for entry in entries}
        is_flat = all(len(entry.filename.split("/")) == 2 for entry in entries)
        size = sum(entry.file_size for entry in entries)
        if len(folders) != 1 or not is_flat or ".." in folders or size > MAX_BYTES:
            raise BundleError(
                f"{path} must hold one folder of files, of {MAX_BYTES} bytes at most. "
                f"Received: {[entry.filename for entry in entries][:5]}"
            )
        try:
            archive.extractall(temporary)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise BundleError(f"{path} must be a complete zip. Received: {error}") from error
        yield Path(temporary, *folders)

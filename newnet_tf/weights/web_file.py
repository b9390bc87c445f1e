"""Downloads a checkpoint from a web address."""

import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from newnet_tf.models.config import WebFile
from newnet_tf.utils import io
from newnet_tf.utils.progress import note

TIMEOUT = 20  # seconds without an answer
OFFLINE = "HF_HUB_OFFLINE"  # the same variable as for files of the hub


class WebFileError(Exception):
    """The file is not available; the message says why and what to do."""


def download(source: WebFile, folder: Path) -> Path:
    """Returns a file of the web, downloaded once, with the right digest.

    Args:
        source: `WebFile`.

        folder: path of an existing folder, where the file is kept.

    Raises:
        WebFileError: without network, or for a file with another digest.
    """
    path = folder / Path(source.url).name
    if path.is_file() and io.sha256(path).startswith(source.sha256):
        return path
    hint = "download it elsewhere and pass its path as `weights`"
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        raise WebFileError(f"{source.url}: offline ({OFFLINE} is set); {hint}")
    note(f"downloading {source.url}")
    try:
        with (
            urllib.request.urlopen(source.url, timeout=TIMEOUT) as answer,
            io.atomic_write(path) as temporary,
        ):
            with temporary.open("wb") as file:
                shutil.copyfileobj(answer, file)
            sha256 = io.sha256(temporary)
            if not sha256.startswith(source.sha256):
                raise WebFileError(
                    f"{source.url}: the downloaded file has the digest {sha256}, not "
                    f"{source.sha256}...; it was deleted, try again"
                )
    except (urllib.error.URLError, OSError) as error:
        raise WebFileError(f"{source.url}: {error}; {hint}") from error
    return path

"""`.keras` files with their metadata inside: an entry of the archive that Keras ignores."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from newnet_tf.models.config.metadata import ENTRY, KEY, ModelMetadata
from newnet_tf.utils.io import DAMAGED_ARCHIVE, atomic_write
from newnet_tf.utils.lazy import keras

if TYPE_CHECKING:
    import keras

MAX_BYTES = 4 * 2**20  # of the entry: 20,000 long class names
MAX_HEADER = 100 * 2**20  # of a safetensors file, as that format allows


def save_model(
    model: keras.Model, file: str | os.PathLike, metadata: ModelMetadata
) -> ModelMetadata:
    """Writes a `.keras` file with metadata inside, which `newnet_tf.load_model` reads.

    Keras loads it like any other (`keras.models.load_model`).

    Args:
        model: `keras.Model`.

        file: path ending in `.keras`. An earlier file is replaced once the new one is complete.

        metadata: `ModelMetadata`.

    Returns:
        The metadata that were written, with the digest of the weights.

    Example:
        >>> metadata = newnet_tf.get_metadata(model)
        >>> newnet_tf.save_model(model, "pets.keras", metadata)
    """
    file = Path(file)
    if file.suffix != ".keras":
        raise ValueError(f"`file` must end in .keras. Received: {file}")
    with atomic_write(file) as temporary:
        return write_model(model, temporary, metadata)


def write_model(model: keras.Model, file: Path, metadata: ModelMetadata) -> ModelMetadata:
    """Writes a `.keras` file as `save_model` does, but straight to its path."""
    metadata = dataclasses.replace(metadata, sha256=weights_digest(model))
    model.save(file, overwrite=True)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(ENTRY, json.dumps(metadata.to_dict(), indent=1, ensure_ascii=False))
    return metadata


def read_metadata(file: str | os.PathLike) -> ModelMetadata | None:
    """Returns the metadata inside a `.keras` or `.safetensors` file; None where there is none.

    Args:
        file: path.

    Raises:
        ValueError: if the file is no archive, or its metadata are damaged; it names the file.
    """
    try:
        if Path(file).suffix == ".safetensors":
            return _in_header(Path(file))
        with zipfile.ZipFile(file) as archive:
            if ENTRY not in archive.namelist():
                return None
            if archive.getinfo(ENTRY).file_size > MAX_BYTES:
                raise ValueError(f"metadata of at most {MAX_BYTES} bytes are expected")
            return ModelMetadata.from_dict(json.loads(archive.read(ENTRY).decode()))
    except DAMAGED_ARCHIVE as error:
        raise ValueError(
            f"{file} must be a file with whole metadata ({ENTRY}). Received: {error}"
        ) from error


def _in_header(file: Path) -> ModelMetadata | None:
    """Returns the metadata in the header of a safetensors file."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if size > MAX_HEADER:
            raise ValueError(f"a header of at most {MAX_HEADER} bytes is expected")
        header = json.loads(opened.read(size).decode())
    record = (header.get("__metadata__") or {}).get(KEY) if isinstance(header, dict) else None
    return None if record is None else ModelMetadata.from_dict(json.loads(record))


def weights_digest(model: keras.Model) -> str:
    """Returns sha256 over shapes and values of all weights, in order."""
    digest = hashlib.sha256()
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        digest.update(f"{values.shape} {values.dtype}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()

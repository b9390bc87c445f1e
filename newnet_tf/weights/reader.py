"""Reads checkpoint files into arrays, and writes a model's weights.

Nothing of a file is believed before it is checked, and nothing in it is executed: pickles go
through `pickles`, HDF5 through `hdf5`, a `.keras` file gives up its numbers and not its
configuration. Floating numbers come out as float32.
"""

import io
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import ml_dtypes
import numpy as np

from newnet_tf.utils.lazy import keras
from newnet_tf.weights import SUFFIXES, WRITABLE, CheckpointError, archive, hdf5, pickles, suffix

HDF5 = "an HDF5 file of weights, as Keras saves it"
KERAS = "a .keras archive, as `model.save` writes it"
NPZ = "an archive of NumPy arrays, as `numpy.savez` writes it"
SAFETENSORS = "a safetensors file"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
        path: the file. kind: its suffix.
        tensors: arrays by name; those of Keras files are named `layer/variable` or `layer/index`.
        skipped: names of entries that are no weights (an optimizer's state, a seed).
        metadata: what a safetensors file says about itself.
    """

    path: Path
    kind: str
    tensors: Mapping[str, np.ndarray]
    skipped: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def read(path: str | os.PathLike) -> Checkpoint:
    """Reads a checkpoint file.

    Args:
        path: a `.safetensors`, `.pth`, `.pt`, `.npz`, `.weights.h5`, `.h5` or `.keras` file.

    Returns:
        `Checkpoint`.

    Raises:
        CheckpointError: for a file that is missing, empty, cut short, of another kind, hostile, or
            that holds no tensors or numbers that are not finite.
    """
    path = Path(path)
    kind = suffix(path)
    if kind is None:
        raise CheckpointError.about(path, f"a file of one of {', '.join(SUFFIXES)}", "it is not")
    if not path.is_file():
        raise CheckpointError.about(path, "an existing file", "there is none")
    if path.stat().st_size == 0:
        raise CheckpointError.about(path, f"a {kind} checkpoint", "it is empty (0 bytes)")
    tensors, skipped, metadata = READERS[kind](path)
    if not tensors:
        raise CheckpointError.about(path, "a checkpoint", "it holds no tensors")
    tensors = {name: _finite(path, name, tensor) for name, tensor in tensors.items()}
    return Checkpoint(path, kind, tensors, tuple(skipped), metadata)


def _finite(path: Path, name: str, tensor: np.ndarray) -> np.ndarray:
    if tensor.dtype.kind in "iub":
        return tensor
    if tensor.dtype.kind != "f" and tensor.dtype != ml_dtypes.bfloat16:
        found = f"its tensor {name!r} holds {tensor.dtype}"
        raise CheckpointError.about(path, "a checkpoint of real numbers", found)
    with np.errstate(over="ignore"):
        tensor = np.ascontiguousarray(tensor, "float32").reshape(tensor.shape)
    bad = tensor.size - int(np.count_nonzero(np.isfinite(tensor)))
    if bad:
        found = f"{bad} of the {tensor.size} values of its tensor {name!r} are nan or infinite"
        raise CheckpointError.about(path, "a checkpoint of finite numbers", found)
    return tensor


def _read_torch(path):
    return *pickles.read(path), {}


def _read_safetensors(path):
    import safetensors

    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = dict(file.metadata() or {})
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, AttributeError, TypeError, OSError) as error:
        raise CheckpointError.about(path, SAFETENSORS, f"{error}") from error
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    entries = json.loads(header, object_pairs_hook=list)
    if len(entries) != len({name for name, _ in entries}):
        raise CheckpointError.about(path, SAFETENSORS, "two of its tensors have the same name")
    return tensors, [], metadata


def _read_npz(path):
    with archive.opened(path, NPZ) as members:
        return {n.removesuffix(".npy"): _npy(members, n) for n in members.sizes}, [], {}


def _npy(members: archive.Archive, name: str) -> np.ndarray:
    data = io.BytesIO(members.read(name))
    try:
        version = np.lib.format.read_magic(data)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = header(data)
    except Exception as error:  # NumPy's parser of headers fails in ways of its own
        raise members.error(f"its member {name!r} is not an array ({error})") from error
    if dtype.hasobject or dtype.kind not in "fiub":
        raise members.error(f"its array {name!r} holds {dtype}, not numbers")
    values = np.frombuffer(data.getbuffer()[data.tell() :], np.uint8)
    if values.size != math.prod(shape) * dtype.itemsize:
        found = f"its array {name!r} claims the shape {shape}, but has {values.size} bytes"
        raise members.error(found)
    return values.view(dtype).reshape(shape, order="F" if fortran else "C")


def _read_keras(path):
    with archive.opened(path, KERAS) as members:
        return _hdf5(path, members.read("model.weights.h5"))


def _read_hdf5(path):
    return _hdf5(path, path.read_bytes())


def _hdf5(path: Path, data: bytes):
    try:
        return *hdf5.read(data), {}
    except hdf5.Refused as reason:
        raise CheckpointError.about(path, HDF5, f"{reason}") from reason


READERS = {
    ".safetensors": _read_safetensors,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".npz": _read_npz,
    ".weights.h5": _read_hdf5,
    ".h5": _read_hdf5,
    ".keras": _read_keras,
}


def tensors_of(model) -> dict[str, np.ndarray]:
    """Returns the weights of `model` as `layer/variable`, in Keras layout."""
    return {
        f"{layer.name}/{variable.name}": keras.ops.convert_to_numpy(variable)
        for layer in model.layers
        for variable in layer.weights
    }


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Gives a new name in the folder of `path`; renames it to `path` at the end, or removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Path:
    """Writes arrays to a `.safetensors` file."""
    import safetensors.numpy

    with beside(path) as part:
        part.write_bytes(safetensors.numpy.save(dict(tensors), metadata=dict(metadata)))
    return path


def save(model, path: Path) -> Path:
    """Writes the weights of `model`; see `newnet_tf.weights.save`."""
    kind = suffix(path)
    if kind not in WRITABLE:
        raise CheckpointError(
            f"A file of weights must end in one of {', '.join(WRITABLE)}. Received: {path}"
        )
    if kind == ".safetensors":
        return write(path, tensors_of(model), {"format": "newnet_tf"})
    with beside(path) as part:
        if kind == ".npz":
            np.savez(part, **tensors_of(model))
        elif kind == ".weights.h5":
            model.save_weights(part)
        else:
            model.save(part)
    return path

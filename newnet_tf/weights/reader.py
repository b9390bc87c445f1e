"""Reads checkpoint files into arrays, and writes a model's weights.

Everything in a file is checked before it is used, and nothing in it is executed: pickles are read by
`pickles`, HDF5 by `hdf5`; of a `.keras` file the weights are read and the configuration is not. Floats
are returned as float32.
"""

import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ml_dtypes
import numpy as np

from newnet_tf.utils import io as files
from newnet_tf.utils.lazy import keras
from newnet_tf.weights import SUFFIXES, WRITABLE, CheckpointError, archive, hdf5, pickles, suffix

HDF5 = "an HDF5 file of weights, as Keras saves it"
KERAS = "a .keras archive, as `model.save` writes it"
NPZ = "an archive of NumPy arrays, as `numpy.savez` writes it"
SAFETENSORS = "a safetensors file"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    Args:
        path: path of the file.

        kind: str, its suffix.

        tensors: {name: array}; in Keras files the names are `layer/variable` or `layer/index`.

        skipped: tuple of str, names of entries that are no weights (an optimizer's state, a seed).

        metadata: {key: value}, the metadata of a safetensors file.
    """

    path: Path
    kind: str
    tensors: Mapping[str, np.ndarray]
    skipped: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def read(path: str | os.PathLike) -> Checkpoint:
    """Reads a checkpoint file.

    Args:
        path: path of a `.safetensors`, `.pth`, `.pt`, `.npz`, `.weights.h5`, `.h5` or `.keras` file.

    Returns:
        `Checkpoint`.

    Raises:
        CheckpointError: for a file that is missing, empty, truncated, of another kind, hostile, without
            tensors, or with values that are not finite.
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
        problem = f"its tensor {name!r} holds {tensor.dtype}"
        raise CheckpointError.about(path, "a checkpoint of real numbers", problem)
    with np.errstate(over="ignore"):
        tensor = np.ascontiguousarray(tensor, "float32").reshape(tensor.shape)
    not_finite = tensor.size - int(np.count_nonzero(np.isfinite(tensor)))
    if not_finite:
        problem = (
            f"{not_finite} of the {tensor.size} values of its tensor {name!r} are nan or infinite"
        )
        raise CheckpointError.about(path, "a checkpoint of finite numbers", problem)
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
    with archive.open_archive(path, NPZ) as members:
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
    except Exception as error:  # NumPy's header parser raises errors of many types
        raise members.error(f"its member {name!r} is not an array ({error})") from error
    if dtype.hasobject or dtype.kind not in "fiub":
        raise members.error(f"its array {name!r} holds {dtype}, not numbers")
    values = np.frombuffer(data.getbuffer()[data.tell() :], np.uint8)
    if values.size != math.prod(shape) * dtype.itemsize:
        raise members.error(
            f"its array {name!r} declares the shape {shape}, but has {values.size} bytes"
        )
    return values.view(dtype).reshape(shape, order="F" if fortran else "C")


def _read_keras(path):
    with archive.open_archive(path, KERAS) as members:
        return _hdf5(path, members.read("model.weights.h5"))


def _read_hdf5(path):
    return _hdf5(path, path.read_bytes())


def _hdf5(path: Path, data: bytes):
    try:
        return *hdf5.read(data), {}
    except hdf5.HDF5Error as error:
        raise CheckpointError.about(path, HDF5, f"{error}") from error


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
    """Returns the weights of a model as {`layer/variable`: array}, in Keras' layout."""
    return {
        f"{layer.name}/{variable.name}": keras.ops.convert_to_numpy(variable)
        for layer in model.layers
        for variable in layer.weights
    }


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Path:
    """Writes arrays to a `.safetensors` file."""
    import safetensors.numpy

    data = safetensors.numpy.save(dict(tensors), metadata=dict(metadata))
    files.write_bytes(path, data)
    return path


def save(model, path: Path) -> Path:
    """Writes the weights of `model`; see `newnet_tf.weights.save`."""
    kind = suffix(path)
    if kind not in WRITABLE:
        raise CheckpointError(f"`path` must end in one of {', '.join(WRITABLE)}. Received: {path}")
    if kind == ".safetensors":
        return write(path, tensors_of(model), {"format": "newnet_tf"})
    with files.atomic_write(path) as temporary:
        if kind == ".npz":
            np.savez(temporary, **tensors_of(model))
        elif kind == ".weights.h5":
            model.save_weights(temporary)
        else:
            model.save(temporary)
    return path

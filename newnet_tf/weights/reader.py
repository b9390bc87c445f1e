"""Reads checkpoint files into arrays, and writes a model's weights.

Everything in a file is checked before it is used, and nothing in it is executed: pickles are read by
`pytorch`, HDF5 by `hdf5`, graphs of TensorFlow 1 by `frozen_graph`; of a `.keras` file the weights are
read and the configuration is not. `kinds` tells from the content which kind of file it is.
"""

import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ml_dtypes
import numpy as np

from newnet_tf.utils import io as files
from newnet_tf.utils.lazy import keras
from newnet_tf.weights import (
    WRITABLE,
    CheckpointError,
    archive,
    frozen_graph,
    hdf5,
    kinds,
    pytorch,
    shards,
    suffix,
)

FROZEN_GRAPH = "a frozen graph of TensorFlow 1, with the values of its variables"
HDF5 = "an HDF5 file of weights, as Keras saves it"
KERAS = "a .keras archive, as `model.save` writes it"
NPZ = "an archive of NumPy arrays, as `numpy.savez` writes it"
SAFETENSORS = "a safetensors file"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    Args:
        path: path of the file.

        kind: str, which kind of file it is, see `kinds`.

        tensors: {name: array}; in Keras files the names are `layer/variable` or `layer/index`, in
            PyTorch's the dictionaries' keys come first (`model_ema/conv1.weight`). Reading a tensor
            raises CheckpointError where it holds other values than finite numbers.

        skipped: tuple of str, names of entries that are no weights (an optimizer's state, a seed).

        metadata: {key: value}, the metadata of a safetensors file.
    """

    path: Path
    kind: str
    tensors: Mapping[str, np.ndarray]
    skipped: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


class Tensors(Mapping):
    """{name: array} of a file; each array is checked, and floats become float32, when it is read.

    Args:
        path: path of the file, for errors.

        arrays: {name: array} as they are in the file.

    Raises:
        CheckpointError: for an array that does not hold real numbers.
    """

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]):
        self._path, self._arrays = path, arrays
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub" and array.dtype != ml_dtypes.bfloat16:
                problem = f"its tensor {name!r} holds {array.dtype}"
                raise CheckpointError.about(path, "a checkpoint of real numbers", problem)

    def __getitem__(self, name: str) -> np.ndarray:
        return _finite(self._path, name, self._arrays[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def read(path: str | os.PathLike) -> Checkpoint:
    """Reads a checkpoint file.

    Args:
        path: path of a file of PyTorch (`.pth`, `.pt`, `.bin`, `.ckpt`), of safetensors or the
            `.index.json` of its shards, of NumPy (`.npz`), of Keras (`.weights.h5`, `.h5`,
            `.keras`), or a frozen graph of TensorFlow 1 (`.pb`). The content decides, not the suffix.

    Returns:
        `Checkpoint`.

    Raises:
        CheckpointError: for a file that is missing, empty, truncated, of another kind, hostile, or
            without tensors.
    """
    path = Path(path).expanduser()
    kind = kinds.kind_of(path)
    if kind == kinds.INDEX:
        arrays, skipped = shards.read(path, _read_shard)
        metadata: Mapping[str, str] = {}
    else:
        arrays, skipped, metadata = READERS[kind](path)
    if not arrays:
        raise CheckpointError.about(path, "a checkpoint", "it holds no tensors")
    return Checkpoint(path, kind, Tensors(path, arrays), tuple(skipped), metadata)


def _read_shard(path: Path) -> Mapping[str, np.ndarray]:
    kind = kinds.kind_of(path)
    if kind not in (kinds.PYTORCH, kinds.SAFETENSORS):
        raise CheckpointError.about(path, "a shard of PyTorch or safetensors", f"it is {kind}")
    return READERS[kind](path)[0]


def _finite(path: Path, name: str, tensor: np.ndarray) -> np.ndarray:
    if tensor.dtype.kind in "iub":
        return tensor
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
    return *pytorch.read(path), {}


def _read_safetensors(path):
    import safetensors

    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = dict(file.metadata() or {})
            names = list(file.keys())
            shapes = [file.get_slice(name).get_shape() for name in names]
            archive.check_size(sum(4 * math.prod(shape) for shape in shapes), path, SAFETENSORS)
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
    if not all(type(n) is int and n >= 0 for n in shape):
        raise members.error(f"its array {name!r} declares the shape {shape}")
    values = np.frombuffer(data.getbuffer()[data.tell() :], np.uint8)
    if values.size != math.prod(shape) * dtype.itemsize:
        raise members.error(
            f"its array {name!r} declares the shape {shape}, but has {values.size} bytes"
        )
    return values.view(dtype).reshape(shape, order="F" if fortran else "C")


def _read_keras(path):
    with archive.open_archive(path, KERAS) as members:
        data = members.read("model.weights.h5")
    return _hdf5(path, data)


def _read_hdf5(path):
    return _hdf5(path, path.read_bytes())


def _hdf5(path: Path, data: bytes):
    try:
        return *hdf5.read(data, archive.size_limit(path.stat().st_size)), {}
    except hdf5.HDF5Error as error:
        raise CheckpointError.about(path, HDF5, f"{error}") from error


def _read_frozen_graph(path):
    size = path.stat().st_size
    try:
        return frozen_graph.read(path.read_bytes(), archive.size_limit(size)), [], {}
    except frozen_graph.FrozenGraphError as error:
        raise CheckpointError.about(path, FROZEN_GRAPH, f"{error}") from error


READERS = {
    kinds.PYTORCH: _read_torch,
    kinds.SAFETENSORS: _read_safetensors,
    kinds.NPZ: _read_npz,
    kinds.HDF5: _read_hdf5,
    kinds.KERAS: _read_keras,
    kinds.FROZEN_GRAPH: _read_frozen_graph,
}


def half_kernels(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns tensors with kernels in half precision, to write a file of half the size.

    Batch norm's weights stay as they are: a variance may be too small for half precision.

    Args:
        tensors: mapping from name to array, as of `tensors_of`.
    """
    return {
        name: value.astype(np.float16) if name.endswith("/kernel") else value
        for name, value in tensors.items()
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

    # safetensors writes wrong values of arrays that are not contiguous.
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    data = safetensors.numpy.save(whole, metadata=dict(metadata))
    files.write_bytes(path, data)
    return path


def save(model, path: Path, metadata: Mapping[str, str]) -> Path:
    """Writes the weights of `model`; see `newnet_tf.weights.save`."""
    kind = suffix(path)
    if kind not in WRITABLE:
        raise CheckpointError(f"`path` must end in one of {', '.join(WRITABLE)}. Received: {path}")
    if kind == ".safetensors":
        return write(path, tensors_of(model), {"format": "newnet_tf", **metadata})
    with files.atomic_write(path) as temporary:
        if kind == ".npz":
            np.savez(temporary, **tensors_of(model))
        elif kind == ".weights.h5":
            model.save_weights(temporary)
        else:
            model.save(temporary)
    return path

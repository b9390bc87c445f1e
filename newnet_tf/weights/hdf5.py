"""Reads the HDF5 files that Keras writes, in a child process.

The HDF5 library is written in C, and a damaged file can crash it. So this module starts itself as a
program, sends it the file's bytes and receives arrays: a crash is then an error and does not end the
caller. The program imports nothing of newnet_tf; it follows no link out of the file.
"""

import collections
import io
import json
import math
import os
import subprocess
import sys

import ml_dtypes
import numpy as np

TIMEOUT = 300
OWN_MEMORY = 4 << 30  # address space of the program without the file
COMMAND = (sys.executable, "-P", __file__)


class HDF5Error(Exception):
    """Why a file is not read."""


def read(data: bytes, limit: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Reads weights from an HDF5 file's bytes.

    Args:
        data: bytes of the file.

        limit: int, the bytes that all its arrays may take.

    Returns:
        ({name: array}, names of entries that are no weights such as an optimizer's state). The names
        are `layer/index` in files of Keras 3 and `layer/variable` in older ones.

    Raises:
        HDF5Error: for a file that is damaged, links to another file, or holds something else than
            numbers.
    """
    python_path = os.pathsep.join(filter(None, sys.path))
    try:
        process = subprocess.run(
            (*COMMAND, f"{limit}"),
            input=data,
            capture_output=True,
            check=False,
            timeout=TIMEOUT,
            env=os.environ | {"PYTHONPATH": python_path},
        )
    except subprocess.TimeoutExpired as error:
        raise HDF5Error(f"it is damaged: it was not read in {TIMEOUT} seconds") from error
    if process.returncode:
        raise HDF5Error(f"it is damaged: the HDF5 library crashed on it ({process.returncode})")
    end = process.stdout.index(b"\n") + 1
    result, body = json.loads(process.stdout[:end]), memoryview(process.stdout)[end:]
    if "error" in result:
        raise HDF5Error(result["error"])
    tensors, start = {}, 0
    for name, dtype, shape in result["tensors"]:
        dtype = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        tensors[name] = np.frombuffer(body, dtype, count, start).reshape(shape)
        start += count * dtype.itemsize
    return tensors, result["skipped"]


def _extract(data: bytes, limit: int) -> tuple[dict[str, np.ndarray], list[str]]:
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        datasets: dict[str, h5py.Dataset] = {}

        def collect(name, item):  # not called for soft and external links
            if isinstance(item, h5py.Dataset):
                datasets[name] = item

        file.visititems(collect)
        keys = _keys(datasets)
        weights = {key: datasets[name] for name, key in keys.items() if key}
        declared = sum(_size(dataset) for dataset in weights.values())
        if declared > limit:
            largest = max(weights.values(), key=_size)
            raise HDF5Error(
                f"its datasets declare {declared} bytes, larger than the file of {len(data)} bytes can "
                f"hold; the largest is {_path(largest)!r} of shape {largest.shape}"
            )
        tensors = {key: _value(dataset) for key, dataset in weights.items()}
    return tensors, [name for name, key in keys.items() if key is None]


def _keys(datasets: dict) -> dict[str, str | None]:
    """Returns {dataset: `layer/variable`, or None where it is no weight}; each key is there once.

    In a whole-model file of older Keras a nested model is one group, in which its layers' groups lie.
    """
    keys = {name: _key(name, dataset) for name, dataset in datasets.items()}
    inner = collections.defaultdict(set)
    for name in keys:
        inner[_group(name)].add(name.split("/")[-2:][0])
    for name, key in keys.items():
        if key and len(inner[_group(name)]) > 1 and name.split("/")[-2] != "vars":
            keys[name] = f"{name.split('/')[-2]}/{key.rpartition('/')[2]}"
    count = collections.Counter(filter(None, keys.values()))
    twice = [key for key, number in count.items() if number > 1]
    if twice:
        raise HDF5Error(f"two of its datasets are called {twice[0]!r}, so their layers are unknown")
    return keys


def _group(name: str) -> str:
    """Returns the outermost group of a dataset, which is a layer in files of older Keras."""
    return name.removeprefix("model_weights/").partition("/")[0]


def _size(dataset) -> int:
    """Returns the bytes of a dataset in memory, or of one of its chunks, which may be larger."""
    if dataset.shape is None:
        raise HDF5Error(f"its dataset {_path(dataset)!r} is empty")
    chunk = math.prod(dataset.chunks) if dataset.chunks else 0
    return max(math.prod(dataset.shape), chunk) * max(dataset.dtype.itemsize, 4)


def _key(name: str, dataset) -> str | None:
    """Returns `layer/index` (Keras 3), `layer/variable` (older), or None where it is no weight."""
    parts = name.split("/")
    if parts[0] in ("optimizer", "optimizer_weights", "metrics") or "seed_generator" in parts:
        return None
    if parts[-2:-1] == ["vars"]:
        layer = dataset.parent.attrs.get("name")
        if not isinstance(layer, str):
            raise HDF5Error(f"its group {dataset.parent.name!r} does not name its layer")
        return f"{layer}/{parts[-1]}"
    if parts[0] == "model_weights":
        parts = parts[1:]
    return f"{parts[0]}/{parts[-1].split(':')[0]}"


def _path(dataset) -> str:
    return dataset.name.strip("/")


def _value(dataset) -> np.ndarray:
    if dataset.is_virtual or dataset.external:
        raise HDF5Error(f"its dataset {_path(dataset)!r} points to another file")
    if dataset.attrs.get("dtype") == "bfloat16":
        return np.asarray(dataset[()]).view(ml_dtypes.bfloat16).astype(np.float32)
    if dataset.dtype.kind not in "fiub":
        raise HDF5Error(f"its dataset {_path(dataset)!r} holds {dataset.dtype}, not numbers")
    return np.asarray(dataset[()])


def _limit_memory(limit: int) -> None:
    """Bounds this process's address space, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    most = OWN_MEMORY + 4 * limit
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _main() -> None:
    """The program: reads a file's bytes from stdin, writes a line of JSON and the arrays' bytes."""
    try:
        limit = int(sys.argv[1])
        _limit_memory(limit)
        tensors, skipped = _extract(sys.stdin.buffer.read(), limit)
        specs = [(name, tensor.dtype.str, tensor.shape) for name, tensor in tensors.items()]
        result = {"tensors": specs, "skipped": skipped}
    except HDF5Error as error:
        tensors, result = {}, {"error": f"{error}"}
    except Exception as error:  # the library raises errors of many types
        tensors, result = {}, {"error": f"it is damaged or truncated ({error})"}
    sys.stdout.buffer.write(json.dumps(result).encode() + b"\n")
    for tensor in tensors.values():
        sys.stdout.buffer.write(tensor.tobytes())


if __name__ == "__main__":
    _main()

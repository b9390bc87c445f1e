"""Reads the HDF5 files that Keras writes, in a process of its own.

The HDF5 library is written in C, and damage to a file can crash it. So this module starts itself as a
program, hands it the file's bytes, and gets arrays back: a crash is then an error, and not the end of
the caller. The program needs nothing of newnet_tf; it follows no link out of the file.
"""

import io
import json
import os
import subprocess
import sys

import ml_dtypes
import numpy as np

EXPANSION = 50
PATIENCE = 300
COMMAND = (sys.executable, "-P", __file__)


class Refused(Exception):
    """The reason why a file is not read."""


def read(data: bytes) -> tuple[dict[str, np.ndarray], list[str]]:
    """Reads weights from an HDF5 file's bytes.

    Args:
        data: the file.

    Returns:
        Arrays by name, `layer/index` from Keras 3 and `layer/variable` from before; and the names
        of what is no weight (an optimizer's state, a seed).

    Raises:
        Refused: for a file that is damaged, points elsewhere, or holds something but numbers.
    """
    here = os.pathsep.join(filter(None, sys.path))
    try:
        done = subprocess.run(
            COMMAND,
            input=data,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            env=os.environ | {"PYTHONPATH": here},
        )
    except subprocess.TimeoutExpired as error:
        raise Refused(f"it is damaged: it was not read in {PATIENCE} seconds") from error
    if done.returncode:
        raise Refused(f"it is damaged: the HDF5 library crashed on it ({done.returncode})")
    head, _, body = done.stdout.partition(b"\n")
    answer = json.loads(head)
    if "refused" in answer:
        raise Refused(answer["refused"])
    tensors, start = {}, 0
    for name, dtype, shape in answer["tensors"]:
        dtype = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        tensors[name] = np.frombuffer(body, dtype, count, start).reshape(shape)
        start += count * dtype.itemsize
    return tensors, answer["skipped"]


def _extract(data: bytes) -> tuple[dict[str, np.ndarray], list[str]]:
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        datasets: dict[str, h5py.Dataset] = {}

        def collect(name, item):  # is called for neither soft nor external links
            if isinstance(item, h5py.Dataset):
                datasets[name] = item

        file.visititems(collect)
        named = {name: _name(name, dataset) for name, dataset in datasets.items()}
        tensors = {
            new: _value(name, datasets[name], len(data)) for name, new in named.items() if new
        }
    return tensors, [name for name, new in named.items() if new is None]


def _name(name: str, dataset) -> str | None:
    """Returns `layer/index` (Keras 3), `layer/variable` (before), or None for what is no weight."""
    parts = name.split("/")
    if parts[0] in ("optimizer", "optimizer_weights", "metrics") or "seed_generator" in parts:
        return None
    if parts[-2:-1] == ["vars"]:
        layer = dataset.parent.attrs.get("name")
        if not isinstance(layer, str):
            raise Refused(f"its group {dataset.parent.name!r} does not name its layer")
        return f"{layer}/{parts[-1]}"
    if parts[0] == "model_weights":
        parts = parts[1:]
    return f"{parts[0]}/{parts[-1].split(':')[0]}"


def _value(name: str, dataset, size: int) -> np.ndarray:
    if dataset.is_virtual or dataset.external:
        raise Refused(f"its dataset {name!r} points to another file")
    if dataset.nbytes > EXPANSION * size:
        raise Refused(f"its dataset {name!r} claims the absurd shape {dataset.shape}")
    if dataset.attrs.get("dtype") == "bfloat16":
        return np.asarray(dataset[()]).view(ml_dtypes.bfloat16).astype(np.float32)
    if dataset.dtype.kind not in "fiub":
        raise Refused(f"its dataset {name!r} holds {dataset.dtype}, not numbers")
    return np.asarray(dataset[()])


def _answer() -> None:
    """The program: bytes of a file in, a line of JSON and the arrays' bytes out."""
    try:
        tensors, skipped = _extract(sys.stdin.buffer.read())
        listed = [(name, tensor.dtype.str, tensor.shape) for name, tensor in tensors.items()]
        answer = {"tensors": listed, "skipped": skipped}
    except Refused as reason:
        tensors, answer = {}, {"refused": f"{reason}"}
    except Exception as error:  # the library's errors are of many kinds
        tensors, answer = {}, {"refused": f"it is damaged or cut short ({error})"}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    for tensor in tensors.values():
        sys.stdout.buffer.write(tensor.tobytes())


if __name__ == "__main__":
    _answer()

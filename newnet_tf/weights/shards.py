"""Reads checkpoints in several files, which an index (`*.index.json`) lists tensor by tensor."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from newnet_tf.weights import CheckpointError

EXPECTED = "an index of shards, as `model.safetensors.index.json`"
MAX_BYTES = 1 << 26


def read(
    path: Path, read_file: Callable[[Path], Mapping[str, np.ndarray]]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Reads the shards that an index lists.

    Args:
        path: path of the index: JSON with `weight_map`, {name of a tensor: file beside the index}.

        read_file: callable path -> {name: array}, which reads a shard.

    Returns:
        ({name: array}, names of the shards' tensors that the index does not list).

    Raises:
        CheckpointError: for an index or a shard that is damaged, missing or outside of the folder.
    """
    shards: dict[str, list[str]] = {}
    for tensor, file in _weight_map(path).items():
        shards.setdefault(file, []).append(tensor)
    tensors, skipped = {}, []
    for file, names in shards.items():
        shard = read_file(path.with_name(file))
        missing = [name for name in names if name not in shard]
        if missing:
            problem = f"its shard {file!r} has no tensor {missing[0]!r}"
            raise CheckpointError.about(path, EXPECTED, problem)
        tensors |= {name: shard[name] for name in names}
        skipped += sorted(set(shard) - set(names))
    return tensors, skipped


def _weight_map(path: Path) -> dict[str, str]:
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError.about(path, EXPECTED, f"it is larger than {MAX_BYTES} bytes")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError.about(path, EXPECTED, f"it is not JSON ({error})") from error
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not names:
        keys = ", ".join(map(repr, index)) if isinstance(index, dict) else type(index).__name__
        problem = f"it has no 'weight_map' of tensors to files; it has {keys[:200]}"
        raise CheckpointError.about(path, EXPECTED, problem)
    for file in names.values():
        if not isinstance(file, str) or Path(file).name != file or "\\" in file:
            problem = f"its shard {file!r} is not the name of a file beside it"
            raise CheckpointError.about(path, EXPECTED, problem)
    return names

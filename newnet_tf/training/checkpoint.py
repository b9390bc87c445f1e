"""One file with all that a run needs to go on as if it had never been stopped.

Weights, batch norm's statistics, the optimizer's state, the states of the layers' random numbers,
where the run is and what it has measured. It is a safetensors file: arrays and JSON, no pickle.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from newnet_tf.training import run_files
from newnet_tf.training.recipes import flattened
from newnet_tf.training.run_files import Diverged
from newnet_tf.utils.lazy import keras

NAME = "checkpoint.safetensors"
FORMAT = 1
KEY = "newnet_tf"


@dataclass
class TrainState:
    """Where a run is.

    Args:
        epoch: int, epochs done. step: int, steps done of the epoch under way.
        loss, error: float, sums over those steps. seconds: float, spent on them.
        history: list of mappings, one for each epoch done.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    error: float = 0.0
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}, step {self.step}"


def save(path: Path, model, position: TrainState, fingerprint: Mapping[str, object]) -> None:
    """Writes a checkpoint in one piece; the one before is replaced at the last moment.

    Args:
        path: where to. model: compiled Keras model, its optimizer built.
        position: `TrainState`. fingerprint: what must be the same when the run goes on: recipe, data, model.

    Raises:
        TrainingStopped: where a number is not finite (`Diverged`), or there is no room: nothing is
            written.
    """
    import safetensors.numpy

    tensors = {key: keras.ops.convert_to_numpy(variable) for key, variable in state(model).items()}
    broken = [key for key, value in tensors.items() if not _is_finite(value)]
    if broken:
        raise Diverged(
            f"weights must be finite at {position}. No checkpoint was written of them; "
            f"{kept(path)} Received: NaN or infinity in {broken[0]} and {len(broken) - 1} more"
        )
    said = {"format": FORMAT, "position": dataclasses.asdict(position), "facts": dict(fingerprint)}
    data = safetensors.numpy.save(tensors, metadata={KEY: json.dumps(said)})
    with run_files.on_disk_full("a checkpoint", path):
        run_files.write(path, data)


def restore(path: Path, model, fingerprint: Mapping[str, object]) -> TrainState:
    """Puts a run's state into `model`, if it is the same run.

    Args:
        path, model, fingerprint: as in `save`.

    Returns:
        The `TrainState` to go on from.

    Raises:
        ValueError: for a file that is damaged, or of another recipe, data or network: it says what
            differs.
    """
    import safetensors

    try:
        with safetensors.safe_open(path, "numpy") as file:
            said = json.loads(file.metadata()[KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} must be a checkpoint of `newnet train`. Received: {error}"
        ) from error
    differing = differences(said["facts"], fingerprint)
    if said["format"] != FORMAT:
        differing.insert(0, f"format {said['format']}, now {FORMAT}")
    if differing:
        raise ValueError(
            f"a run must go on with the settings it began with; {path} has others. "
            f"Received: {'; '.join(differing)}"
        )
    variables = state(model)
    shape_mismatches = [
        key
        for key in variables.keys() | tensors.keys()
        if key not in tensors
        or key not in variables
        or tensors[key].shape != tuple(variables[key].shape)
    ]
    if shape_mismatches:
        raise ValueError(
            f"{path} must hold the variables of {model.name}. Received: others, as {min(shape_mismatches)}"
        )
    for key, variable in variables.items():
        variable.assign(tensors[key])
    return TrainState(**said["position"])


def state(model) -> dict[str, object]:
    """Returns all variables of a model and its optimizer, by keys that are the same anywhere."""
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {
        f"{group}.{number:05d}.{variable.name}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Returns what differs between two nested records, one text each: `"recipe.lr 0.1, now 0.2"`."""
    before, now = (flattened(json.loads(json.dumps(facts))) for facts in (before, now))
    keys = [*before, *(key for key in now if key not in before)]
    return [
        f"{key} {before.get(key, 'none')}, now {now.get(key, 'none')}"
        for key in keys
        if before.get(key) != now.get(key)
    ]


def kept(path: Path) -> str:
    """Says in a sentence whether there is a checkpoint to go back to."""
    return f"the last good one is {path}." if path.exists() else "there is none yet."


def _is_finite(value: np.ndarray) -> bool:
    return not np.issubdtype(value.dtype, np.floating) or bool(np.isfinite(value).all())

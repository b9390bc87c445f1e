"""One file with everything that a run needs to resume as if it had never been interrupted.

Weights, batch norm's statistics, the optimizer's state, the states of the layers' random generators,
the position in the run and the history. It is a safetensors file: arrays and JSON, no pickle.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from newnet_tf.training.recipes import flattened
from newnet_tf.training.run_files import Diverged, on_disk_full
from newnet_tf.utils.io import write_bytes
from newnet_tf.utils.lazy import keras

NAME = "checkpoint.safetensors"
FORMAT = 2
KEY = "newnet_tf"


@dataclass
class TrainState:
    """The position of a run.

    Args:
        epoch: int, completed epochs.

        step: int, completed steps of the current epoch.

        sums: mapping from name to what these steps returned (`"loss"`, ...), added up.

        seconds: float, duration of these steps.

        history: list of rows, one for each completed epoch; see `history`.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}, step {self.step}"

    def add(self, values: Mapping[str, float]) -> None:
        """Adds what a step returned to `sums`, and counts the step."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.step += 1


def save(path: Path, model, position: TrainState, fingerprint: Mapping[str, object]) -> None:
    """Writes a checkpoint. The one before is replaced at the end.

    Args:
        path: path of the file.

        model: compiled Keras model, its optimizer built.

        position: `TrainState`.

        fingerprint: mapping, what must be the same when the run resumes: recipe, data, model, task.

    Raises:
        Diverged: if a weight is NaN or infinite; nothing is written.

        TrainingStopped: if there is no room; nothing is written.
    """
    import safetensors.numpy

    tensors = {key: keras.ops.convert_to_numpy(variable) for key, variable in state(model).items()}
    broken = [key for key, value in tensors.items() if not _is_finite(value)]
    if broken:
        raise Diverged(
            f"weights must be finite at {position}. No checkpoint was written of them; "
            f"{last_good(path)} Received: NaN or infinity in {broken[0]} and {len(broken) - 1} more"
        )
    metadata = {
        "format": FORMAT,
        "position": dataclasses.asdict(position),
        "fingerprint": dict(fingerprint),
    }
    data = safetensors.numpy.save(tensors, metadata={KEY: json.dumps(metadata)})
    with on_disk_full("a checkpoint", path):
        write_bytes(path, data)


def restore(path: Path, model, fingerprint: Mapping[str, object]) -> TrainState:
    """Loads a run's state into `model`, if the checkpoint is of the same run.

    Args:
        path, model, fingerprint: as in `save`.

    Returns:
        The `TrainState` to resume from.

    Raises:
        ValueError: if the file is damaged, has another format, or is of another recipe, dataset, model
            or task; the message says what differs.
    """
    import safetensors

    try:
        with safetensors.safe_open(path, "numpy") as file:
            metadata = json.loads(file.metadata()[KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} must be a checkpoint of `newnet train`. Received: {error}"
        ) from error
    if metadata["format"] != FORMAT:
        raise ValueError(
            f"{path} must be a checkpoint of format {FORMAT}; begin the run again in a new folder. "
            f"Received: format {metadata['format']}"
        )
    differing = differences(metadata["fingerprint"], fingerprint)
    if differing:
        raise ValueError(
            f"a run must resume with the settings it began with; {path} has others. "
            f"Received: {'; '.join(differing)}"
        )
    variables = state(model)
    mismatches = [
        key
        for key in variables.keys() | tensors.keys()
        if key not in tensors
        or key not in variables
        or tensors[key].shape != tuple(variables[key].shape)
    ]
    if mismatches:
        raise ValueError(
            f"{path} must hold the variables of {model.name}. "
            f"Received: others, as {min(mismatches)}"
        )
    for key, variable in variables.items():
        variable.assign(tensors[key])
    return TrainState(**metadata["position"])


def read_fingerprint(path: Path) -> dict | None:
    """Returns what a run's checkpoint is of: recipe, data, model, task; None without a readable one.

    Args:
        path: path of the file.
    """
    import safetensors

    try:
        with safetensors.safe_open(path, "numpy") as file:
            return json.loads(file.metadata()[KEY])["fingerprint"]
    except (OSError, safetensors.SafetensorError, TypeError, KeyError, ValueError):
        return None


def state(model) -> dict[str, object]:
    """Returns all variables of a model and its optimizer, by keys that are the same in any process.

    Args:
        model: compiled Keras model, its optimizer built.
    """
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {
        f"{group}.{number:05d}.{variable.name}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Returns what differs between two nested mappings, one text each: `"recipe.lr 0.1, now 0.2"`.

    Args:
        before, now: mappings of JSON values and mappings.
    """
    before, now = (flattened(json.loads(json.dumps(values))) for values in (before, now))
    keys = [*before, *(key for key in now if key not in before)]
    return [
        f"{key} {before.get(key, 'none')}, now {now.get(key, 'none')}"
        for key in keys
        if before.get(key) != now.get(key)
    ]


def last_good(path: Path) -> str:
    """Returns a sentence that says whether there is a checkpoint to resume from."""
    return f"the last good one is {path}." if path.exists() else "there is none yet."


def _is_finite(value: np.ndarray) -> bool:
    return not np.issubdtype(value.dtype, np.floating) or bool(np.isfinite(value).all())

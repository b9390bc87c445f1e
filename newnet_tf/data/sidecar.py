"""A model of one's own on disk: what its images and its outputs mean lies beside it.

`NAME.keras` has `NAME.json` beside it (network, preprocessing) and `NAME.labels.txt` (a class a line);
the labels serve all files of that name, such as `NAME.int8-full.tflite`. Standard library only.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from newnet_tf.models.config import PreprocessConfig


def save(
    model,
    folder: str | os.PathLike,
    name: str,
    preprocess: PreprocessConfig,
    class_names: Sequence[str],
) -> Path:
    """Writes a model with its labels and preprocessing; returns the path of the `.keras` file."""
    from newnet_tf import weights
    from newnet_tf.weights.reader import beside

    path = Path(folder) / f"{name}.keras"
    record = {"model": model.name, "preprocess": dataclasses.asdict(preprocess)}
    save_labels(path, class_names)
    with beside(path.with_suffix(".json")) as part:
        part.write_text(f"{json.dumps(record, indent=2)}\n", encoding="utf-8")
    return weights.save(model, path)


def save_labels(file: str | os.PathLike, class_names: Sequence[str]) -> Path:
    """Writes the labels of a file beside it; returns their path."""
    from newnet_tf.weights.reader import beside

    path = labels_path(file)
    with beside(path) as part:
        part.write_text("".join(f"{label}\n" for label in class_names), encoding="utf-8")
    return path


def labels_path(file: str | os.PathLike) -> Path:
    """Returns where the labels of a file lie: its name up to the first dot, `.labels.txt`."""
    path = Path(file)
    return path.with_name(f"{path.name.split('.')[0]}.labels.txt")


def labels_beside(file: str | os.PathLike) -> tuple[str, ...] | None:
    """Returns the class names that lie beside a file, None where there are none."""
    path = labels_path(file)
    return tuple(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else None


def preprocess_beside(file: str | os.PathLike) -> PreprocessConfig | None:
    """Returns the preprocessing that lies beside a `.keras` file, None where there is none.

    Raises:
        ValueError: for a file that does not hold it; it names the file.
    """
    path = Path(file).with_suffix(".json")
    if not path.is_file():
        return None
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))["preprocess"]
        return PreprocessConfig(**(fields | {key: tuple(fields[key]) for key in ("mean", "std")}))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must hold the preprocessing of {Path(file).name}. "
            f"Received: {type(error).__name__}: {error}"
        ) from error

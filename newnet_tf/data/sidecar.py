"""Files next to a model file that hold its preprocessing and its class names.

`NAME.keras` has `NAME.json` next to it (model's name, preprocessing) and `NAME.labels.txt` (a class a
line). The labels are those of all files of that name, such as `NAME.int8-full.tflite`.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.io import atomic_write, write_text


def save(
    model,
    folder: str | os.PathLike,
    name: str,
    preprocess: PreprocessConfig,
    class_names: Sequence[str],
) -> Path:
    """Writes a model together with its preprocessing and class names.

    Args:
        model: Keras model.

        folder: path.

        name: str, the name of the files, without suffix.

        preprocess: `PreprocessConfig`.

        class_names: str for each class.

    Returns:
        Path of the `.keras` file.
    """
    path = Path(folder) / f"{name}.keras"
    save_info(path, model.name, preprocess, class_names)
    with atomic_write(path) as temporary:
        model.save(temporary)
    return path


def save_info(
    file: str | os.PathLike,
    model_name: str,
    preprocess: PreprocessConfig,
    class_names: Sequence[str] | None = None,
) -> None:
    """Writes preprocessing and class names next to a `.keras` file.

    Args:
        file: path of the `.keras` file.

        model_name: str.

        preprocess: `PreprocessConfig`.

        class_names: str for each class. Default: None, they are unknown.
    """
    fields = {"model": model_name, "preprocess": dataclasses.asdict(preprocess)}
    write_text(Path(file).with_suffix(".json"), f"{json.dumps(fields, indent=2)}\n")
    if class_names is not None:
        save_labels(file, class_names)


def save_labels(file: str | os.PathLike, class_names: Sequence[str]) -> Path:
    """Writes the class names of a model file next to it; returns the path of the labels."""
    path = labels_path(file)
    write_text(path, "".join(f"{label}\n" for label in class_names))
    return path


def labels_path(file: str | os.PathLike) -> Path:
    """Returns the path of a model file's labels: its name up to the first dot, `.labels.txt`."""
    path = Path(file)
    return path.with_name(f"{path.name.split('.')[0]}.labels.txt")


def read_labels(file: str | os.PathLike) -> tuple[str, ...] | None:
    """Returns the class names that are stored next to a model file, or None."""
    path = labels_path(file)
    return tuple(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else None


def read_preprocess(file: str | os.PathLike) -> PreprocessConfig | None:
    """Returns the preprocessing that is stored next to a `.keras` file, or None.

    Raises:
        ValueError: for a file without the fields of `PreprocessConfig`; it names the file.
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

"""The JSON file of an `ExportConfig` next to its TFLite file. Standard library only."""

import json
import os
from pathlib import Path

from newnet_tf.deploy.export_config import ExportConfig


def config_path(file: str | os.PathLike) -> Path:
    """Returns the path of the config of a TFLite file: the same name with the suffix `.json`."""
    return Path(file).with_suffix(".json")


def read_values(file: str | os.PathLike) -> dict | None:
    """Returns the checked JSON values next to a TFLite file, None where there is no such file.

    They hold the config and what `export_tflite` found: the file's digest, its verification.

    Args:
        file: path of the TFLite file.

    Raises:
        ValueError: for a file that is not the JSON of a config; it names the file.
    """
    path = config_path(file)
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        ExportConfig.from_dict(values)
    except ValueError as error:
        raise ValueError(
            f"{path} must be an export config that this version wrote. Received: {error}"
        ) from error
    return values


def read_config(file: str | os.PathLike) -> ExportConfig | None:
    """Returns the config next to a TFLite file, None where there is none.

    Args:
        file: path of the TFLite file.

    Raises:
        ValueError: for a file that is not the JSON of a config; it names the file.
    """
    values = read_values(file)
    return ExportConfig.from_dict(values) if values else None

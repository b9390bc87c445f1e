"""The preprocessing of a model that does not say it: by name, or from a file."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from newnet_tf.models import registry
from newnet_tf.models.config import BGR, IMAGENET_MEAN, IMAGENET_STD, PreprocessConfig

# Those of `keras.applications.imagenet_utils.preprocess_input`, and of models that normalize inside.
WHOLE: dict[str, Any] = {"crop_pct": 1.0, "interpolation": "bilinear"}
PRESETS = {
    "caffe": PreprocessConfig(
        mean=(103.939 / 255, 116.779 / 255, 123.68 / 255),
        std=(1 / 255,) * 3,
        channel_order=BGR,
        **WHOLE,
    ),
    "tf": PreprocessConfig(mean=(0.5,) * 3, std=(0.5,) * 3, **WHOLE),
    "torch": PreprocessConfig(mean=IMAGENET_MEAN, std=IMAGENET_STD, **WHOLE),
    "raw": PreprocessConfig(mean=(0.0,) * 3, std=(1 / 255,) * 3, **WHOLE),
    "unit": PreprocessConfig(mean=(0.0,) * 3, std=(1.0,) * 3, **WHOLE),
}
HELP = (
    "'caffe' (BGR, mean subtracted), 'tf' (-1 to 1), 'torch' (ImageNet's mean and std), 'raw' (0 to "
    "255: the model normalizes by itself), 'unit' (0 to 1), or the name of a model of the zoo"
)


def read_preprocess(
    preprocess: PreprocessConfig | str | os.PathLike | None, preprocess_as: str | None
) -> PreprocessConfig | None:
    """Returns the preprocessing that the user gives; None where he gives none.

    Args:
        preprocess: `PreprocessConfig`; or the path of a JSON file with its fields, as `{"image_size":
            160, "mean": [0, 0, 0], "std": [1, 1, 1]}`, or with them under `preprocess`.

        preprocess_as: str, one of `PRESETS`, or name of a model of the zoo.

    Raises:
        ValueError: for an unknown name, a file that is missing or damaged, or both arguments.
    """
    if preprocess is not None and preprocess_as is not None:
        raise ValueError(
            "`preprocess` and `preprocess_as` must not be given together. "
            f"Received: {preprocess=}, {preprocess_as=}"
        )
    if preprocess_as is not None:
        return PRESETS.get(preprocess_as) or _of_zoo(preprocess_as)
    if preprocess is None or isinstance(preprocess, PreprocessConfig):
        return preprocess
    try:
        values = json.loads(Path(preprocess).read_text(encoding="utf-8"))
        for key in ("config", "metadata", "preprocess"):
            if isinstance(values, Mapping) and key in values:
                values = values[key]
        return PreprocessConfig.from_dict(values)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`preprocess` (--preprocess) must be a JSON file with fields of `PreprocessConfig`. "
            f"Received: {os.fspath(preprocess)}: {error}"
        ) from error


def check_known(preprocess: PreprocessConfig | None, subject: str) -> PreprocessConfig:
    """Returns `preprocess`.

    Raises:
        ValueError: where it is None: the model does not say it, nor does the user.
    """
    if preprocess is None:
        raise ValueError(
            f"the preprocessing of {subject} must be known: pass `preprocess_as` (--preprocess-as) "
            f"{HELP}; or `preprocess` (--preprocess), a JSON file of mean, std and image_size. "
            "Received: neither, and no metadata inside the model"
        )
    return preprocess


def _of_zoo(name: str) -> PreprocessConfig:
    try:
        return registry.preprocess_config(name)
    except ValueError as error:
        raise ValueError(f"`preprocess_as` must be {HELP}. Received: {name!r}") from error

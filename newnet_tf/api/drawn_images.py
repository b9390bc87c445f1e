"""Images with predictions drawn on them, written as files of one folder."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from newnet_tf.utils.io import atomic_write

QUALITY = 92  # of JPEG


def drawn_path(
    folder: str | os.PathLike, source: Any, position: int, taken: Sequence[Path]
) -> Path:
    """Returns the path of a drawn image, which no other image of a call has.

    Args:
        folder: path of the folder.

        source: the image: a path, or another object.

        position: int, of the image in the call.

        taken: sequence of `Path`, those of the call's other images.

    Returns:
        `Path`, as `street.jpg`, `street_2.jpg`, or `image_0.jpg` for what is no path.
    """
    is_path = isinstance(source, str | os.PathLike)
    path = Path(folder) / f"{Path(source).stem if is_path else f'image_{position}'}.jpg"
    chosen, number = path, 1
    while chosen in taken:
        number += 1
        chosen = path.with_stem(f"{path.stem}_{number}")
    return chosen


def write_jpeg(image: np.ndarray, path: Path) -> None:
    """Writes an image as JPEG, whole or not at all.

    Args:
        image: uint8 array (height, width, 3).

        path: `Path` of the file.
    """
    with atomic_write(path) as temporary:
        Image.fromarray(image).save(temporary, "JPEG", quality=QUALITY)

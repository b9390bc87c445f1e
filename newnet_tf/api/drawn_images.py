"""Images with predictions drawn on them, written as files of one folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from newnet_tf.utils.io import atomic_write

QUALITY = 92  # of JPEG


def free_path(path: Path, taken: Sequence[Path]) -> Path:
    """Returns a path that no other image of a call has: `street.jpg`, `street_2.jpg`.

    Args:
        path: `Path`, as it would be.

        taken: sequence of `Path`, those of the call's other images.
    """
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

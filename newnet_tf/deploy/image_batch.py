"""Images that a file is calibrated with or verified on, as the pixels that a network sees."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.data.preprocess import crop_image, normalize
from newnet_tf.models.config import PreprocessConfig


@dataclass(frozen=True, eq=False)
class Samples:
    """Images, resized and cropped.

    Args:
        names: tuple of str. pixels: uint8 array (n, size, size, channels).
        preprocess: `PreprocessConfig`.
    """

    names: tuple[str, ...]
    pixels: np.ndarray
    preprocess: PreprocessConfig

    @property
    def inputs(self) -> np.ndarray:
        """The network's input: float32 array (n, size, size, channels)."""
        return normalize(self.pixels, self.preprocess)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()


def read(source: Iterable, preprocess: PreprocessConfig, argument: str) -> Samples:
    """Reads images.

    Args:
        source: iterable of images: paths, encoded bytes, PIL images or uint8 arrays of any size,
            which are resized and cropped; or float arrays (size, size, channels) already
            preprocessed, which are taken back to whole gray levels.
        preprocess: `PreprocessConfig`.
        argument: str, what the caller calls `source`, for errors.

    Returns:
        `Samples`.

    Raises:
        ValueError: for no image, one image for a list, floats of another shape or range.
        ImageError: for what is no image.
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        raise ValueError(f"`{argument}` must be a list of images. Received: {source!r:.80}")
    names, pixels = [], []
    for number, image in enumerate(source):
        is_path = isinstance(image, (str, os.PathLike))
        names.append(Path(image).name if is_path else f"image {number}")
        is_ready = isinstance(image, np.ndarray) and image.dtype.kind == "f"
        pixels.append(
            _pixels(image, preprocess, argument) if is_ready else crop_image(image, preprocess)
        )
    if not pixels:
        raise ValueError(f"`{argument}` must hold at least one image. Received: none")
    return Samples(tuple(names), np.stack(pixels), preprocess)


def with_extremes(samples: Samples) -> Samples:
    """Adds the first image once more with a black and a white pixel in its corners.

    An input calibrated so has the range of 8-bit pixels: its quantization steps are theirs.
    """
    extra = samples.pixels[:1].copy()
    extra[0, 0, 0], extra[0, -1, -1] = 0, 255
    names = (*samples.names, f"{samples.names[0]} with a black and a white pixel")
    return Samples(names, np.concatenate([samples.pixels, extra]), samples.preprocess)


def _pixels(floats: np.ndarray, preprocess: PreprocessConfig, argument: str) -> np.ndarray:
    levels = (floats - np.float32(preprocess.offset)) / np.float32(preprocess.scale)
    if floats.shape != preprocess.shape or not (levels.min() > -1 and levels.max() < 256):
        raise ValueError(
            f"`{argument}` as floats must be preprocessed for this network: shape "
            f"{preprocess.shape}, pixels 0-255 by mean {preprocess.mean} and std {preprocess.std}. "
            f"Received: shape {floats.shape}, pixels {levels.min():.4g} to {levels.max():.4g}"
        )
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)

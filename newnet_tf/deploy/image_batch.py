"""Images that a file is calibrated with or verified on, as the pixels that a model sees."""

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.data.preprocess import crop_image, normalize
from newnet_tf.models.config import RGB, PreprocessConfig
from newnet_tf.utils import io


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Images, resized and cropped.

    Args:
        names: tuple of str, a name for each image.

        pixels: uint8 array (images, height, width, channels).

        preprocess: `PreprocessConfig`.
    """

    names: tuple[str, ...]
    pixels: np.ndarray
    preprocess: PreprocessConfig

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def inputs(self) -> np.ndarray:
        """The model's input: float32 array (images, height, width, channels)."""
        return normalize(self.pixels, self.preprocess)

    @property
    def sha256(self) -> str:
        """Digest over the pixels."""
        return io.sha256_bytes(self.pixels.tobytes())


def read(images: Iterable, preprocess: PreprocessConfig, argument: str) -> ImageBatch:
    """Reads images.

    Args:
        images: iterable of images: paths, encoded bytes, PIL images or uint8 arrays of any size,
            which are resized and cropped; or float arrays (height, width, channels) already
            preprocessed, which are converted back to whole pixel values.

        preprocess: `PreprocessConfig`.

        argument: str, what the caller calls `images`, for errors.

    Returns:
        `ImageBatch`.

    Raises:
        ValueError: for no image, one image in place of a list, floats of another shape or range.

        ImageError: for what is no image.
    """
    if isinstance(images, str | bytes | os.PathLike):
        raise ValueError(f"`{argument}` must be a list of images. Received: {images!r:.80}")
    names, pixels = [], []
    for number, image in enumerate(images):
        is_path = isinstance(image, str | os.PathLike)
        names.append(Path(image).name if is_path else f"image {number}")
        if isinstance(image, np.ndarray) and image.dtype.kind == "f":
            pixels.append(_denormalize(image, preprocess, argument))
        else:
            pixels.append(crop_image(image, preprocess))
    if not pixels:
        raise ValueError(f"`{argument}` must hold at least one image. Received: none")
    return ImageBatch(tuple(names), np.stack(pixels), preprocess)


def with_extremes(batch: ImageBatch) -> ImageBatch:
    """Adds the first image once more with a black and a white pixel in its corners.

    An input calibrated on it has the range of 8-bit pixels, and so their quantization scale.
    """
    extra = batch.pixels[:1].copy()
    extra[0, 0, 0], extra[0, -1, -1] = 0, 255
    names = (*batch.names, f"{batch.names[0]} with a black and a white pixel")
    return dataclasses.replace(batch, names=names, pixels=np.concatenate([batch.pixels, extra]))


def _denormalize(floats: np.ndarray, preprocess: PreprocessConfig, argument: str) -> np.ndarray:
    """Returns the pixels that normalized floats stand for."""
    pixels = (floats - np.float32(preprocess.offset)) / np.float32(preprocess.scale)
    if floats.shape != preprocess.shape or not (pixels.min() > -1 and pixels.max() < 256):
        raise ValueError(
            f"`{argument}` as floats must be preprocessed for this model: shape "
            f"{preprocess.shape}, pixels 0-255 by mean {preprocess.mean} and std {preprocess.std}. "
            f"Received: shape {floats.shape}, pixels {pixels.min():.4g} to {pixels.max():.4g}"
        )
    pixels = pixels if preprocess.channel_order == RGB else pixels[..., ::-1]
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)

"""Image files to arrays: any format that Pillow opens becomes uint8 RGB, or a clear error.

Gray, and gray with alpha, is repeated into three channels. Palettes are looked up. Alpha is dropped,
not blended (as `convert("RGB")` does and torchvision and timm expect). CMYK and YCCK are converted
without a color profile. Of 16 bits a channel the upper eight are taken, of an animation the first
frame. EXIF orientation is applied unless `exif=False`, as phones and browsers do, here and in
`tf.data`. (torchvision and timm ignore it. Pillow applies it to TIFF files in any case.)
"""

import io
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
ON_ERROR = ("skip", "raise")
FORMATS = "an image must be a whole JPEG, PNG, GIF, WebP, BMP, TIFF or PPM file"


class ImageError(ValueError):
    """An image that cannot be read: the message names it, what was expected and what came."""


@dataclass(frozen=True)
class SkippedImage:
    """An image that could not be read.

    Args:
        path: str, its path or another name.

        reason: str, the error.
    """

    path: str
    reason: str


def read_image(source: object, exif: bool = True) -> np.ndarray:
    """Reads one image as 8-bit RGB.

    Args:
        source: path, bytes of an encoded image, PIL image, or uint8 array: of shape (height, width,
            3), which is returned as it is, or gray, (height, width, 1).

        exif: bool, whether to turn the image as its EXIF orientation says. Default: True.

    Returns:
        uint8 array of shape (height, width, 3).

    Raises:
        ImageError: for anything that is not a whole image of 1 to `PIL.Image.MAX_IMAGE_PIXELS`
            pixels. The message names the file.

    Example:
        >>> read_image("photo.jpg").shape
        (480, 640, 3)
    """
    if isinstance(source, np.ndarray):
        fits = source.ndim == 3 and source.shape[-1] in (1, 3) and source.size
        if source.dtype != np.uint8 or not fits:
            raise ImageError(
                "An image as an array must be uint8 of shape (height, width, 3 or 1). "
                f"Received: dtype={source.dtype}, shape={source.shape}"
            )
        return source if source.shape[-1] == 3 else np.repeat(source, 3, axis=-1)
    name = _name(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if isinstance(source, Image.Image):
                return _rgb(source, exif)
            with Image.open(_openable(source, name)) as image:
                return _rgb(image, exif)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except Image.UnidentifiedImageError:
        raise ImageError(f"{name}: {FORMATS}. Received: a file of no known format") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"an image must have at most {Image.MAX_IMAGE_PIXELS} pixels"
        raise ImageError(f"{name}: {limit}. Received: {error}") from None
    except Exception as error:  # decoders raise anything on damaged bytes, SyntaxError included
        received = f"a truncated or damaged file ({type(error).__name__}: {error})"
        raise ImageError(f"{name}: {FORMATS}. Received: {received}") from error


def list_images(folder: str | os.PathLike) -> list[Path]:
    """Lists the image files in a folder and its subfolders.

    Args:
        folder: path.

    Returns:
        Sorted paths of the files with a suffix in `SUFFIXES`, without hidden ones.

    Raises:
        ImageError: for a folder that does not exist or holds no image.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ImageError(f"`folder` must be an existing folder. Received: {str(folder)!r}")
    files = [p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    visible = [p for p in files if not any(s.startswith(".") for s in p.relative_to(root).parts)]
    if not visible:
        raise ImageError(
            f"`folder` must hold images ({' '.join(SUFFIXES)}). "
            f"Received: {str(folder)!r}, which has none"
        )
    return sorted(visible)


def read_images(
    paths: Iterable[object], on_error: str = "skip", exif: bool = True
) -> "ImageReader":
    """Reads many images, one at a time, and counts those that cannot be read.

    Args:
        paths: sources as `read_image` takes them.

        on_error: `"skip"` (leave unreadable images out, and name them in one warning at the end) or
            `"raise"` (stop at the first). Default: `"skip"`.

        exif: bool, as in `read_image`. Default: True.

    Returns:
        `ImageReader`: iterate over it for (position in `paths`, uint8 array).

    Example:
        >>> reader = read_images(list_images("photos"))
        >>> shapes = {position: image.shape for position, image in reader}
        >>> reader.num_read, [image.path for image in reader.skipped]
    """
    if on_error not in ON_ERROR:
        raise ValueError(f"`on_error` must be among {ON_ERROR}. Received: on_error={on_error!r}")
    return ImageReader(list(paths), on_error, exif)


class ImageReader:
    """Iterates over images, see `read_images`; it can be iterated again, and then counts anew.

    Attributes:
        num_read: int, images read so far.

        skipped: list of `SkippedImage` so far.
    """

    def __init__(self, paths: list[object], on_error: str, exif: bool):
        self.paths = paths
        self.num_read = 0
        self.skipped: list[SkippedImage] = []
        self._skip = on_error == "skip"
        self._exif = exif

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        self.num_read, self.skipped = 0, []
        for position, path in enumerate(self.paths):
            try:
                image = read_image(path, self._exif)
            except ImageError as error:
                if not self._skip:
                    raise
                self.skipped.append(SkippedImage(_name(path), str(error)))
                continue
            self.num_read += 1
            yield position, image
        if self.skipped:
            lines = "".join(f"\n  {image.reason}" for image in self.skipped)
            count = f"{len(self.skipped)} of {len(self.paths)} images skipped"
            warnings.warn(f"{count}:{lines}", stacklevel=2)


def _name(source: object) -> str:
    if isinstance(source, bytes):
        return f"<{len(source)} bytes>"
    if isinstance(source, Image.Image):
        return getattr(source, "filename", "") or f"<PIL image, mode {source.mode}>"
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else type(source).__name__


def _openable(source: object, name: str):
    """Returns what `Image.open` takes, after checks for which Pillow's messages are not clear."""
    if isinstance(source, bytes):
        if not source:
            raise ImageError(f"{FORMATS}. Received: no bytes")
        return io.BytesIO(source)
    if not isinstance(source, (str, os.PathLike)):
        raise ImageError(
            "an image must be a path, bytes, a PIL image or a uint8 array. "
            f"Received: {type(source).__name__}"
        )
    path = Path(source)
    if path.is_dir():
        raise ImageError(f"{FORMATS}. Received: a folder")
    if not path.is_file():
        raise ImageError(f"{FORMATS}. Received: a path where no file is")
    if not path.stat().st_size:
        raise ImageError(f"{FORMATS}. Received: an empty file (0 bytes)")
    return path


def _rgb(image: Image.Image, exif: bool) -> np.ndarray:
    """Decodes, turns and converts an image (its current frame)."""
    image.load()
    sixteen_bits = image.mode.startswith("I;16") or (
        image.mode == "I" and image.format in ("PNG", "PPM")
    )
    if exif:
        image = ImageOps.exif_transpose(image)
    if sixteen_bits:
        gray = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=-1)
    if image.mode in ("I", "F"):
        raise ImageError(
            "an image must have 1, 8 or 16 bits a channel, so that its range is known. "
            f"Received: mode {image.mode!r} (32 bits)"
        )
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns that it drops a palette's alpha
    return np.array(image.convert("RGB"))

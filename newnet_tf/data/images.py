"""Image files to arrays: any format that Pillow opens becomes uint8 RGB, or a clear error.

Gray, and gray with alpha, is repeated into three channels. Palettes are looked up. Alpha is dropped,
not blended (as `convert("RGB")` does and torchvision and timm expect). CMYK and YCCK are converted
without a color profile. Of 16 bits a channel the upper eight are taken, and of an image that uses 8,
10, 12 or 14 of them the upper eight of those, if it is gray (see `scale_16_bits`; color images of that
kind come out dark, which is said); of an animation the first frame.
EXIF orientation is applied unless `exif=False`, as phones and browsers do, here and in `tf.data`.
(torchvision and timm ignore it. Pillow applies it to TIFF files in any case.) HEIC images need the
package pillow-heif.
"""

import io
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from newnet_tf.data.image_files import (
    HEAD,
    SUFFIXES,
    ImageError,
    SkippedImage,
    display_name,
    find_images,
    image_format,
    reads_format,
    unreadable_format,
)
from newnet_tf.utils.progress import note

ON_ERROR = ("skip", "raise")
BITS = (8, 10, 12, 14, 16)  # that the values of a 16-bit image may use
DARK = 64  # a quarter of the range
_NOTED: set[object] = set()
_LOCK = threading.Lock()
FORMATS = "an image must be a whole JPEG, PNG, GIF, WebP, BMP, TIFF or PPM file"


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
                return _rgb(source, exif, name)
            with _open(source, name) as image:
                return _rgb(image, exif, name)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except Image.UnidentifiedImageError:
        received = unreadable_format(_format(source)) or "a file of no known format"
        raise ImageError(f"{name}: {FORMATS}. Received: {received}") from None
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
        Sorted paths of the images, without hidden ones; see `image_files.find_images`, which names
        the other files too.

    Raises:
        ImageError: for a folder that does not exist or holds no image.
    """
    found = find_images(folder)
    if not found.paths:
        reasons = sorted({image.reason for image in found.skipped})
        others = f"; {len(found.skipped)} other files: {', '.join(reasons)}" if reasons else ""
        raise ImageError(
            f"`folder` must hold images ({' '.join(SUFFIXES)}). "
            f"Received: {display_name(folder)!r}, which has none{others}"
        )
    return list(found.paths)


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
    is_path = isinstance(source, (str, os.PathLike))
    return display_name(source) if is_path else type(source).__name__


def _open(source: object, name: str) -> Image.Image:
    """Opens an image; HEIC and AVIF with pillow-heif, if it is installed."""
    try:
        return Image.open(_openable(source, name))
    except Image.UnidentifiedImageError:
        if (found := _format(source)) in ("HEIC", "AVIF") and reads_format(found):
            return Image.open(_openable(source, name))
        raise


def _format(source: object) -> str | None:
    """Returns the format of a file or of bytes by content."""
    if isinstance(source, bytes):
        return image_format(source[:HEAD])
    with open(source, "rb") as file:
        return image_format(file.read(HEAD))


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


def _rgb(image: Image.Image, exif: bool, name: str) -> np.ndarray:
    """Decodes, turns and converts an image (its current frame)."""
    has_16_bits_color = (
        any("16" in str(tile[3]) for tile in getattr(image, "tile", ())) and image.mode == "RGB"
    )
    image.load()
    sixteen_bits = image.mode.startswith("I;16") or (
        image.mode == "I" and image.format in ("PNG", "PPM")
    )
    if exif:
        image = ImageOps.exif_transpose(image)
    if sixteen_bits:
        gray, bits = scale_16_bits(np.asarray(image))
        if bits < BITS[-1]:
            text = (
                f"{name}: a 16-bit image whose values fit in {bits} bits is scaled as one of {bits}"
            )
            _note_once(bits, f"{text} bits")
        return np.repeat(gray[..., None], 3, axis=-1)
    if image.mode in ("I", "F"):
        raise ImageError(
            "an image must have 1, 8 or 16 bits a channel, so that its range is known. "
            f"Received: mode {image.mode!r} (32 bits)"
        )
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns that it drops a palette's alpha
    pixels = np.array(image.convert("RGB"))
    if has_16_bits_color and 0 < pixels.max() < DARK:
        _note_once(
            "dark",
            f"{name}: a color image of 16 bits a channel that uses less than a quarter of its range is "
            "dark, as the upper 8 bits are taken; scale it and save it anew",
        )
    return pixels


def scale_16_bits(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Scales the values of a 16-bit image to 8 bits.

    Cameras, microscopes and scanners store values of 10, 12 or 14 bits in 16 unscaled. The bits in use
    are taken to be the fewest of 8, 10, 12, 14, 16 that the largest value fits in, and the upper eight
    of these are returned.

    Args:
        values: int array of any shape, values in 0-65535.

    Returns:
        (uint8 array of the same shape, int: the bits in use).
    """
    largest = int(values.max(initial=0))
    bits = next(bits for bits in BITS if largest < 2**bits) if largest else BITS[-1]
    return (values.astype(np.uint32) >> (bits - 8)).astype(np.uint8), bits


def _note_once(key: object, text: str) -> None:
    """Writes a note on stderr, once for each key in a process."""
    with _LOCK:
        if key in _NOTED:
            return
        _NOTED.add(key)
    note(f"{text} (said once)")

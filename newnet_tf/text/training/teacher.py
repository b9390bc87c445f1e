"""Score maps of a large text detector, computed once for each image and kept in a folder.

A file `<sha256 of the image file>.npz` holds `region` and `affinity`, float16 (height, width), and
`scale`, cells of the maps a pixel of the image, x and y.
"""

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from newnet_tf.data.image_files import ImageError
from newnet_tf.data.images import read_image
from newnet_tf.data.preprocess import normalize
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.io import DAMAGED_ARCHIVE, atomic_write, sha256
from newnet_tf.utils.progress import note, progress_bar

MAPS = ("region", "affinity")
MULTIPLE = 32  # pixels, of which a fully convolutional detector's input is a multiple
TEXT_FREE = 0.3  # an image whose region scores are all lower holds no text


@dataclass(frozen=True, eq=False)
class ScoreMaps:
    """Score maps of an image.

    Args:
        region, affinity: float arrays (height, width).

        scale: (x, y), cells of the maps a pixel of the image. Cell (row, column) stands for the point
            (column / x, row / y) of the image.
    """

    region: np.ndarray
    affinity: np.ndarray
    scale: tuple[float, float]


def compute_maps(
    predict: Callable, image: np.ndarray, preprocess: PreprocessConfig, long_side: int
) -> ScoreMaps:
    """Returns the score maps of an image.

    Args:
        predict: callable, float32 (1, height, width, 3) -> `{"region", "affinity": (1, h, w, 1)}`,
            such as a CRAFT model's `predict_on_batch`.

        image: uint8 array (height, width, 3).

        preprocess: `PreprocessConfig` of the detector, of which mean and std are used.

        long_side: int, pixels that the longer side is resized to.
    """
    height, width = image.shape[:2]
    factor = long_side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    padding = [(0, -side % MULTIPLE) for side in resized.shape[:2]]
    pixels = np.pad(normalize(resized, preprocess), (*padding, (0, 0)))
    outputs = predict(pixels[None])
    region, affinity = (np.asarray(outputs[name])[0, ..., 0] for name in ("region", "affinity"))
    stride = pixels.shape[0] / region.shape[0]
    rows, columns = (-(-side // int(stride)) for side in resized.shape[:2])
    scale = size[0] / width / stride, size[1] / height / stride
    return ScoreMaps(region[:rows, :columns], affinity[:rows, :columns], scale)


def cache_maps(
    predict: Callable,
    images: Iterable[str | os.PathLike],
    folder: str | os.PathLike,
    preprocess: PreprocessConfig,
    *,
    long_side: int = 1280,
) -> int:
    """Computes the score maps of images and keeps them in a folder; those that are there are kept.

    Args:
        predict, preprocess, long_side: as of `compute_maps`. Default of `long_side`: 1280.

        images: paths of image files. Those that cannot be read are left out and named on stderr.

        folder: path of the folder of maps; one for each detector and `long_side`.

    Returns:
        int, number of images whose maps were computed.

    Example:
        >>> craft = CRAFT(weights="craft_mlt_25k")
        >>> cache_maps(craft.predict_on_batch, list_images("photos"), "maps", PreprocessConfig())
        500
    """
    folder, count = Path(folder), 0
    for path in progress_bar(list(images), "Computing score maps"):
        try:
            target = folder / f"{sha256(path)}.npz"
            if target.is_file():
                continue
            image = read_image(path)
        except (ImageError, OSError) as error:
            note(f"skipped: {path}: {error}")
            continue
        maps = compute_maps(predict, image, preprocess, long_side)
        arrays = {name: np.asarray(getattr(maps, name), np.float16) for name in MAPS}
        with atomic_write(target) as temporary:
            np.savez_compressed(temporary, scale=np.array(maps.scale), **arrays)
        count += 1
    return count


class TeacherMaps:
    """Score maps that `cache_maps` computed, by image.

    Args:
        folder: path of the folder.

    Raises:
        FileNotFoundError: if there is no such folder.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(
                f"a folder of score maps must exist; `cache_maps` makes it. Received: {self.folder}"
            )
        self._digests: dict[str, str] = {}
        self._lock = (
            threading.Lock()
        )  # NumPy parses headers by `ast`, which fails in Python 3.11's threads

    def find(self, path: str | os.PathLike) -> ScoreMaps | None:
        """Returns the maps of an image file, or None if they were not computed.

        Raises:
            ValueError: for a damaged file of maps.
        """
        file = self._file(path)
        if not file.is_file():
            return None
        try:
            with self._lock, np.load(file) as arrays:
                region, affinity = (arrays[name].astype(np.float32) for name in MAPS)
                return ScoreMaps(region, affinity, tuple(float(x) for x in arrays["scale"]))
        except DAMAGED_ARCHIVE as error:
            raise ValueError(
                f"a file of score maps must be whole; remove it. Received: {file}: {error}"
            ) from error

    def holds(self, path: str | os.PathLike) -> bool:
        """Returns whether the maps of an image file were computed."""
        try:
            return self._file(path).is_file()
        except OSError:  # the image is missing
            return False

    def _file(self, path: str | os.PathLike) -> Path:
        key = os.fspath(path)
        if key not in self._digests:
            self._digests[key] = sha256(path)
        return self.folder / f"{self._digests[key]}.npz"

    def text_free(
        self, images: Iterable[str | os.PathLike], threshold: float = TEXT_FREE
    ) -> list[str | os.PathLike]:
        """Returns the images whose maps show no text: backgrounds for synthetic text.

        Args:
            images: paths of image files.

            threshold: float, the region scores of an image without text are all lower. Default: 0.3.
        """
        found = ((image, self.find(image)) for image in images)
        return [image for image, maps in found if maps and maps.region.max() < threshold]


def warp_map(
    values: np.ndarray, scale: tuple[float, float], matrix: np.ndarray, size: int, stride: int
) -> np.ndarray:
    """Returns a score map of a part of an image, as `augment.crop_text` cuts it out.

    Args:
        values: float array (height, width), a map of the whole image.

        scale: of `ScoreMaps`.

        matrix: float array (3, 3), from pixels of the part to pixels of the image, affine.

        size: int, height and width of the part in pixels.

        stride: int, pixels of the part a cell of the result.

    Returns:
        float32 array (size // stride, size // stride) in 0 to 1; 0 outside of the image.
    """
    from_cells = np.array([[stride, 0, -stride / 2], [0, stride, -stride / 2], [0, 0, 1.0]])
    to_cells = np.array([[scale[0], 0, 0.5], [0, scale[1], 0.5], [0, 0, 1.0]])
    data = (to_cells @ matrix @ from_cells).ravel()[:6]
    source = Image.fromarray(np.ascontiguousarray(values, np.float32))
    cells = (size // stride,) * 2
    method = Image.Transform.AFFINE, tuple(data), Image.Resampling.BILINEAR
    return np.clip(np.asarray(source.transform(cells, *method)), 0.0, 1.0)

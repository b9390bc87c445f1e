"""Images for calibration and verification: those of a folder, checked, or sample images."""

import importlib.util
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from newnet_tf.data.images import list_images, read_image, read_images
from newnet_tf.utils.progress import note

# Color photographs in scikit-image's wheel, of different subjects.
SAMPLES = (
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "astronaut.png",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "retina.jpg",
)
CROPS = 64
AREA = (0.08, 1.0)  # of an image, that a crop has
MIN_CROP = 32  # pixels


def image_files(paths: Sequence[str | os.PathLike]) -> list[Path]:
    """Returns image files.

    Args:
        paths: paths of files, which are returned as they are, and of folders, which stand for the
            images in them.
    """
    files = []
    for path in map(Path, paths):
        files += list_images(path) if path.is_dir() else [path]
    return files


def readable_images(
    folder: str | os.PathLike,
    minimum: int,
    argument: str,
    image_size: int,
    paths: Sequence[Path] | None = None,
) -> list[Path]:
    """Returns the images of a folder that can be read, with a note on stderr about the others.

    Args:
        folder: path of the folder.

        minimum: int, the number of readable images that are needed.

        argument: str, the name of the argument or option in messages, such as `"--images"`.

        image_size: int, pixels. Smaller images are returned too, and counted in a note.

        paths: paths of some of its images. Default: all.

    Returns:
        list of paths.

    Raises:
        ValueError: if there are fewer than `minimum` readable images, or no such folder.
    """
    reader = read_images(paths or image_files([folder]))
    readable, small = [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for position, image in reader:
            readable.append(reader.paths[position])
            small += min(image.shape[:2]) < image_size
    for skipped in reader.skipped:
        note(f"skipped: {skipped.reason}")
    count = f"{len(readable)} readable images of {len(reader)} in {folder}"
    if len(readable) < minimum:
        raise ValueError(
            f"{argument} must hold {minimum} readable images or more. Received: {count}"
        )
    if small:
        note(
            f"{argument}: {small} of {len(readable)} images are smaller than {image_size} and are "
            "enlarged"
        )
    note(f"{argument}: {count}")
    return readable


def sample_images() -> list[Path]:
    """Returns photographs that the scikit-image package contains.

    Raises:
        ValueError: if scikit-image is not installed.
    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ValueError(
            "images must be given, or scikit-image be installed, whose wheel contains some "
            "(pip install 'newnet_tf[demo]'). Received: neither"
        )
    folder = Path(spec.origin).parent / "data"
    return [folder / name for name in SAMPLES if (folder / name).exists()]


def sample_crops(count: int = CROPS, seed: int = 0) -> list[np.ndarray]:
    """Returns random square crops of the sample images, half of them flipped.

    Args:
        count: int, the number of crops. Default: 64.

        seed: int, the same seed gives the same crops. Default: 0.

    Returns:
        list of uint8 arrays of shape (size, size, 3).
    """
    random, crops = np.random.RandomState(seed), []
    images = [read_image(path) for path in sample_images()]
    for number in range(count):
        image = images[number % len(images)]
        size = max(MIN_CROP, int(np.sqrt(random.uniform(*AREA)) * min(image.shape[:2])))
        top = random.randint(0, max(1, image.shape[0] - size))
        left = random.randint(0, max(1, image.shape[1] - size))
        crop = image[top : top + size, left : left + size]
        crops.append(np.ascontiguousarray(crop[:, ::-1] if random.rand() < 0.5 else crop))
    return crops

"""Contact sheets of a text detector's training images, with their score maps."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from newnet_tf.data.contact_sheet import draw_samples, draw_tiles, shrink, to_pixels
from newnet_tf.data.datasets.base import Dataset
from newnet_tf.data.image_files import SkippedImage
from newnet_tf.data.words import POLYGONS
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.text.drawing import draw_label

COLUMNS = 6  # images a row, at most
DIMMED = 0.45  # brightness of the image under its maps


def draw_maps_over(
    image: np.ndarray, region: np.ndarray, affinity: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Draws score maps over an image: region red, affinity green, cells of low weight blue.

    Args:
        image: uint8 array (height, width, 3).

        region, affinity: float arrays (h, w) in 0 to 1.

        weight: float array (h, w), 0 for cells without part in the loss. Default: None, all 1.

    Returns:
        uint8 array (height, width, 3).
    """
    left_out = np.zeros_like(region) if weight is None else 1 - weight
    maps = np.clip(np.stack([region, affinity, left_out], axis=-1), 0, 1)
    maps = Image.fromarray(np.round(255 * maps).astype(np.uint8))
    maps = np.asarray(maps.resize(image.shape[1::-1], Image.Resampling.BILINEAR), np.float32)
    return np.clip(image * DIMMED + maps * (1 - DIMMED), 0, 255).astype(np.uint8)


def draw_words(
    dataset: Dataset, *, image_size: int = 256, count: int = 32, seed: int = 0
) -> tuple[Image.Image, tuple[SkippedImage, ...]]:
    """Draws images of a dataset with their words, ignored ones gray, on one page.

    Args:
        dataset: `Dataset` of the task `"text_detection"`.

        image_size, count, seed: as in `data.contact_sheet.draw_samples`.

    Returns:
        (PIL image, images that could not be read).

    Raises:
        ValueError: if no image can be read.
    """

    def draw(image, label, number):
        image, factors = shrink(image, image_size)
        label = {**label, POLYGONS: label[POLYGONS] * factors}
        words = len(label[POLYGONS])
        return draw_label(image, label), f"{words} word{'s' * (words != 1)}"

    return draw_samples(dataset, draw, image_size=image_size, count=count, seed=seed)


def draw_training_images(
    batches: Iterable, preprocess: PreprocessConfig, count: int = 12
) -> Image.Image:
    """Draws training images as they are, and beside each with its score maps, on one page.

    Args:
        batches: iterable of (images, targets), as from `TextLoader.train`.

        preprocess: `PreprocessConfig` that the images were normalized with.

        count: int, at most how many images. Default: 12.

    Returns:
        PIL image.

    Raises:
        ValueError: if there is no image.

    Example:
        >>> page = draw_training_images(loader.train(epoch=0), loader.preprocess)
        >>> page.save("text.png")
    """
    tiles: list[tuple[np.ndarray, str]] = []
    for images, targets in batches:
        maps = [np.asarray(targets[name])[..., 0] for name in ("region", "affinity", "weight")]
        for i, image in enumerate(np.asarray(images)):
            if len(tiles) < 2 * count:
                pixels = to_pixels(image, preprocess)
                tiles.append((pixels, f"{len(tiles) // 2}"))
                tiles.append((draw_maps_over(pixels, *(m[i] for m in maps)), "region, affinity"))
        if len(tiles) == 2 * count:
            break
    if not tiles:
        raise ValueError("`batches` must hold at least one image. Received: none")
    return draw_tiles(tiles, max(tiles[0][0].shape), min(COLUMNS, len(tiles)))

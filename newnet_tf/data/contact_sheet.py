"""A contact sheet: what training sees, to be looked at."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from newnet_tf.data.datasets.base import Dataset
from newnet_tf.models.config import PreprocessConfig

MARGIN, CAPTION, PAPER, INK = 6, 16, (250, 250, 250), (20, 20, 20)
SHOWN = 0.05  # a class with less weight is not in the caption
LETTER = 6  # pixels a letter of Pillow's own font


def contact_sheet(
    batches, source: Dataset, preprocess: PreprocessConfig, count: int = 32, columns: int = 8
) -> Image.Image:
    """Lays the first images of a training pipeline out with their labels.

    Args:
        batches: iterable of (images, targets), as `pipeline.train_input_pipeline` gives them.
        source: `Dataset`, for the names. preprocess: `cards.Preprocess` that normalized them.
        count: int, images. columns: int, images a row.

    Returns:
        PIL image. A caption names an image's classes, with their weights where it is mixed.
    """
    tiles = []
    for images, targets in batches:
        for image, target in zip(np.asarray(images), np.asarray(targets), strict=True):
            if len(tiles) < count:
                tiles.append((pixels(image, preprocess), caption(target, source.class_names)))
        if len(tiles) == count:
            break
    if not tiles:
        raise ValueError("`batches` must hold at least one image. Received: none")
    side = preprocess.image_size
    rows = -(-len(tiles) // columns)
    width, height = side + MARGIN, side + CAPTION + MARGIN
    sheet = Image.new("RGB", (columns * width + MARGIN, rows * height + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (tile, text) in enumerate(tiles):
        left = MARGIN + number % columns * width
        top = MARGIN + number // columns * height
        sheet.paste(Image.fromarray(tile), (left, top))
        draw.text((left, top + side + 1), text[: max(4, side // LETTER)], INK)
    return sheet


def pixels(image: np.ndarray, preprocess: PreprocessConfig) -> np.ndarray:
    """Returns a normalized image as uint8 again."""
    levels = (image * np.array(preprocess.std) + np.array(preprocess.mean)) * 255
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


def caption(target: np.ndarray, names: Sequence[str]) -> str:
    """Names the classes of a target, heaviest first."""
    order = [i for i in np.argsort(-target, kind="stable")[:3] if target[i] >= SHOWN]
    if len(order) == 1 or (len(order) > 1 and target[order[1]] < 2 * SHOWN):
        return names[order[0]]
    return " + ".join(f"{names[i]} {target[i]:.2f}" for i in order)

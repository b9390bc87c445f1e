"""Contact sheets: images as training sees them, augmented and labeled, on one page."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from newnet_tf.data.augment.config import Augmentation
from newnet_tf.data.datasets.base import TRAIN, Dataset, list_samples
from newnet_tf.data.image_files import SkippedImage, display_name
from newnet_tf.data.images import ImageError, read_image
from newnet_tf.data.label_arrays import split_labels
from newnet_tf.models.config import RGB, PreprocessConfig

MARGIN, CAPTION_HEIGHT, BACKGROUND, TEXT = 6, 16, (250, 250, 250), (20, 20, 20)
MIN_WEIGHT = 0.05  # a class with less weight is not in the caption
COLUMNS = 8  # images a row
LETTER_WIDTH = 6  # pixels, of Pillow's own font


def draw_augmentation(
    dataset: Dataset,
    augmentation: Augmentation,
    *,
    image_size: int = 160,
    count: int = 32,
    seed: int = 0,
) -> tuple[Image.Image, object]:
    """Draws training images of a dataset as an augmentation changes them.

    Args:
        dataset: `Dataset` with a split `"train"`.

        augmentation: `Augmentation`.

        image_size: int, height and width of an image. Default: 160.

        count: int, at most how many images. Default: 32.

        seed: int, decides which images and their augmentation. Default: 0.

    Returns:
        (PIL image, `SkippedImages` that could not be read).
    """
    from newnet_tf.data.decode import SkippedImages
    from newnet_tf.data.pipeline import train_input_pipeline

    preprocess, skipped = PreprocessConfig(image_size=image_size), SkippedImages()
    batches = train_input_pipeline(
        dataset,
        preprocess,
        augmentation,
        batch_size=min(count, dataset.split(TRAIN).size),
        seed=seed,
        skipped=skipped,
    )
    return contact_sheet(batches.take(1), dataset.class_names, preprocess, count), skipped


def contact_sheet(
    batches: Iterable,
    class_names: Sequence[str],
    preprocess: PreprocessConfig,
    count: int = 32,
    columns: int = COLUMNS,
) -> Image.Image:
    """Draws the first images of a training pipeline with their labels.

    Args:
        batches: iterable of (images, targets), as from `pipeline.train_input_pipeline`.

        class_names: str for each class.

        preprocess: `PreprocessConfig` that the images were normalized with.

        count: int, at most how many images. Default: 32.

        columns: int, images a row. Default: 8.

    Returns:
        PIL image. A caption names an image's classes, with their weights if it is mixed.

    Raises:
        ValueError: if there is no image.
    """
    tiles = []
    for images, targets in batches:
        for image, target in zip(np.asarray(images), np.asarray(targets), strict=True):
            if len(tiles) < count:
                tiles.append((to_pixels(image, preprocess), caption(target, class_names)))
        if len(tiles) == count:
            break
    if not tiles:
        raise ValueError("`batches` must hold at least one image. Received: none")
    return draw_tiles(tiles, preprocess.image_size, columns)


def draw_samples(
    dataset: Dataset,
    draw: Callable[[np.ndarray, dict, int], tuple[np.ndarray, str]],
    *,
    split: str | None = None,
    image_size: int = 256,
    count: int = 32,
    seed: int = 0,
) -> tuple[Image.Image, tuple[SkippedImage, ...]]:
    """Draws images of a dataset of boxes or words, on one page.

    Args:
        dataset: `Dataset` whose labels are mappings of arrays.

        draw: callable, (uint8 image, label, number of the image) -> (uint8 image with its label drawn,
            of at most `image_size` a side, and what its caption says of it).

        split: str, a split of the dataset. Default: `"train"` if there is one, else the one that
            evaluation uses.

        image_size: int, the longer side of an image, in pixels. Default: 256.

        count: int, at most how many images. Default: 32.

        seed: int, decides which images. Default: 0.

    Returns:
        (PIL image, images that could not be read).

    Raises:
        ValueError: if no image can be read.
    """
    split = TRAIN if split is None and TRAIN in dataset.splits else split
    source = dataset.split(split)
    keys, labels, names = list_samples(source, min(count, source.size), seed)
    tiles, skipped = [], []
    for i, label in enumerate(split_labels(labels)):
        name = display_name(names[i])
        try:
            image = read_image(source.image_source(keys[i]))
        except ImageError as error:
            skipped.append(SkippedImage(name, str(error)))
            continue
        tile, text = draw(image, label, i)
        tiles.append((tile, f"{name.rpartition('/')[2]}: {text}"))
    if not tiles:
        raise ValueError(
            f"{dataset.name} must have a readable image. Received: {skipped[0].reason}"
        )
    return draw_tiles(tiles, image_size, min(COLUMNS, len(tiles))), tuple(skipped)


def shrink(image: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns an image whose longer side is `size`, and its factors of x and y, float32 (2,)."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    resized = Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR)
    return np.asarray(resized), np.array([shape[0] / width, shape[1] / height], np.float32)


def draw_tiles(
    tiles: Sequence[tuple[np.ndarray, str]], size: int, columns: int = COLUMNS
) -> Image.Image:
    """Draws images of up to `size` x `size` pixels in rows, with a line of text below each.

    Args:
        tiles: (uint8 array (height, width, 3), text) for each image.

        size: int, the most pixels of a side.

        columns: int, images a row. Default: 8.
    """
    rows = -(-len(tiles) // columns)
    width, height = size + MARGIN, size + CAPTION_HEIGHT + MARGIN
    sheet = Image.new("RGB", (columns * width + MARGIN, rows * height + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, (tile, text) in enumerate(tiles):
        left = MARGIN + number % columns * width
        top = MARGIN + number // columns * height
        sheet.paste(Image.fromarray(tile), (left, top))
        draw.text((left, top + size + 1), text[: max(4, size // LETTER_WIDTH)], TEXT)
    return sheet


def to_pixels(image: np.ndarray, preprocess: PreprocessConfig) -> np.ndarray:
    """Returns the uint8 pixels of a normalized image."""
    pixels = (image * np.array(preprocess.std) + np.array(preprocess.mean)) * 255
    pixels = pixels if preprocess.channel_order == RGB else pixels[..., ::-1]
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def caption(target: np.ndarray, class_names: Sequence[str]) -> str:
    """Returns the names of the classes of a target, largest weight first."""
    order = [i for i in np.argsort(-target, kind="stable")[:3] if target[i] >= MIN_WEIGHT]
    if len(order) == 1 or (len(order) > 1 and target[order[1]] < 2 * MIN_WEIGHT):
        return class_names[order[0]]
    return " + ".join(f"{class_names[i]} {target[i]:.2f}" for i in order)

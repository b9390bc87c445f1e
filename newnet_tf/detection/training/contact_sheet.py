"""Contact sheets of images with boxes: as they are, or as training sees them."""

import numpy as np
from PIL import Image

from newnet_tf.data.boxes import BOXES, CLASSES, split_labels
from newnet_tf.data.contact_sheet import draw_tiles
from newnet_tf.data.datasets.base import TRAIN, Dataset, list_samples
from newnet_tf.data.image_files import SkippedImage, display_name
from newnet_tf.data.images import ImageError, read_image
from newnet_tf.detection.drawing import draw_label
from newnet_tf.detection.training.augment import BoxAugmentation

COLUMNS = 8  # images a row, at most


def draw_examples(
    dataset: Dataset,
    augmentation: BoxAugmentation | None = None,
    *,
    split: str | None = None,
    image_size: int = 256,
    count: int = 32,
    seed: int = 0,
) -> tuple[Image.Image, tuple[SkippedImage, ...]]:
    """Draws images of a dataset with their boxes, on one page.

    Args:
        dataset: `Dataset` of the task `"detection"`.

        augmentation: `BoxAugmentation`, by which images are changed and resized as for training.
            Default: None, they keep their form.

        split: str, a split of the dataset. Default: `"train"` if there is one, else the one that
            evaluation uses.

        image_size: int, the longer side of an image, in pixels. Default: 256.

        count: int, at most how many images. Default: 32.

        seed: int, decides which images and their augmentation. Default: 0.

    Returns:
        (PIL image, images that could not be read).

    Raises:
        ValueError: if no image can be read.

    Example:
        >>> page, skipped = draw_examples(load_dataset("VOC2007"), BoxAugmentation())
        >>> page.save("boxes.png")
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
        if augmentation is None:
            image, label = _fit(image, label, image_size)
        else:
            random = np.random.default_rng((seed, i))
            image, label = augmentation.apply(image, label, image_size, random)
        boxes = len(label[CLASSES])
        text = f"{name.rpartition('/')[2]}: {boxes} box{'es' * (boxes != 1)}"
        tiles.append((draw_label(image, label, dataset.class_names), text))
    if not tiles:
        raise ValueError(
            f"{dataset.name} must have a readable image. Received: {skipped[0].reason}"
        )
    return draw_tiles(tiles, image_size, min(COLUMNS, len(tiles))), tuple(skipped)


def _fit(image: np.ndarray, label, size: int) -> tuple[np.ndarray, dict]:
    """Returns an image whose longer side is `size`, and its label."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    resized = Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR)
    scales = np.array([shape[0] / width, shape[1] / height] * 2, np.float32)
    return np.asarray(resized), {**label, BOXES: label[BOXES] * scales}

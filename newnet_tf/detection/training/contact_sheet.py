"""Contact sheets of images with boxes: as they are, or as training sees them."""

import numpy as np
from PIL import Image

from newnet_tf.data.boxes import BOXES, CLASSES
from newnet_tf.data.contact_sheet import draw_samples, shrink
from newnet_tf.data.datasets.base import Dataset
from newnet_tf.data.image_files import SkippedImage
from newnet_tf.detection.drawing import draw_label
from newnet_tf.detection.training.augment import BoxAugmentation


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

    def draw(image, label, number):
        if augmentation is None:
            image, factors = shrink(image, image_size)
            label = {**label, BOXES: label[BOXES] * np.tile(factors, 2)}
        else:
            random = np.random.default_rng((seed, number))
            image, label = augmentation.apply(image, label, image_size, random)
        boxes = len(label[CLASSES])
        drawn = draw_label(image, label, dataset.class_names)
        return drawn, f"{boxes} box{'es' * (boxes != 1)}"

    return draw_samples(dataset, draw, split=split, image_size=image_size, count=count, seed=seed)

"""A page of a dataset's images, with what their labels say."""

from typing import TYPE_CHECKING

from newnet_tf.data.augment.config import Augmentation
from newnet_tf.data.contact_sheet import draw_augmentation
from newnet_tf.data.datasets.base import DETECTION, TEXT_DETECTION, Dataset
from newnet_tf.data.image_files import SkippedImage
from newnet_tf.detection.training.augment import BoxAugmentation
from newnet_tf.detection.training.contact_sheet import draw_examples
from newnet_tf.text.training.contact_sheet import draw_words

if TYPE_CHECKING:
    from PIL import Image

# Names of augmentations and their settings.
CLASSIFICATION_AUGMENTATIONS = {
    "resnet": {},
    "color": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "pca_std": 0.1},
    "randaugment": {"randaugment_ops": 2},
    "erasing": {"erasing_prob": 1.0},
    "mixup": {"mixup_alpha": 0.4},
    "cutmix": {"cutmix_alpha": 1.0},
    "none": {"crop": "center", "hflip_prob": 0.0},
}
NO_BOX_AUGMENTATION = {
    "zoom_out_prob": 0.0,
    "iou_crop_prob": 0.0,
    "hflip_prob": 0.0,
    "photometric_prob": 0.0,
}
DETECTION_AUGMENTATIONS = {
    "ssd": {},
    "zoom_out": {"zoom_out_prob": 1.0},
    "iou_crop": {"iou_crop_prob": 1.0},
    "flip": {"hflip_prob": 1.0},
    "color": {"photometric_prob": 1.0},
    "none": None,
}
AUGMENTATIONS = tuple(CLASSIFICATION_AUGMENTATIONS | DETECTION_AUGMENTATIONS)


def show_data(
    dataset: Dataset,
    augmentation: str | None = None,
    *,
    image_size: int = 160,
    count: int = 32,
    seed: int = 0,
) -> "tuple[Image.Image, tuple[SkippedImage, ...]]":
    """Draws training images of a dataset with their classes, boxes or words, on one page.

    Args:
        dataset: `Dataset`, of any task.

        augmentation: str, names separated by `+`. For classification among
            `CLASSIFICATION_AUGMENTATIONS`; for detection among `DETECTION_AUGMENTATIONS`: `"ssd"` is
            all of a training run's. Default: `"resnet"`; for detection `"none"`, the only one for text
            detection.

        image_size: int, height and width of an image. Default: 160.

        count: int, at most how many images. Default: 32.

        seed: int, decides which images and their augmentation. Default: 0.

    Returns:
        (PIL image, images that could not be read).

    Raises:
        ValueError: for an unknown name.

    Example:
        >>> page, skipped = show_data(load_dataset("VOC2007"), "ssd", image_size=320)
        >>> page.save("boxes.png")
    """
    if dataset.task == TEXT_DETECTION:
        if augmentation not in (None, "none"):
            raise ValueError(
                "`augmentation` (--augmentation) of a dataset of text_detection must be none. "
                f"Received: {augmentation!r}"
            )
        return draw_words(dataset, image_size=image_size, count=count, seed=seed)
    is_detection = dataset.task == DETECTION
    known = DETECTION_AUGMENTATIONS if is_detection else CLASSIFICATION_AUGMENTATIONS
    names = (augmentation or ("none" if is_detection else "resnet")).split("+")
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"`augmentation` (--augmentation) of a dataset of {dataset.task} must be among "
            f"{', '.join(known)}, separated by +. Received: {unknown[0]!r}"
        )
    if not is_detection:
        fields = {key: value for name in names for key, value in known[name].items()}
        page, skipped = draw_augmentation(
            dataset, Augmentation(**fields), image_size=image_size, count=count, seed=seed
        )
        return page, skipped.images
    chosen = None
    if names == ["ssd"]:
        chosen = BoxAugmentation()
    elif names != ["none"]:
        fields = {key: value for name in names for key, value in (known[name] or {}).items()}
        chosen = BoxAugmentation(**{**NO_BOX_AUGMENTATION, **fields})
    return draw_examples(dataset, chosen, image_size=image_size, count=count, seed=seed)

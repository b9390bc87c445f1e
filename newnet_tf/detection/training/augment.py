"""Augmentation that moves boxes with the pixels: zoom out, IoU crop, flip, colors. NumPy and Pillow.

Zoom out and IoU crop choose a window in the coordinates of the image, which may reach out of it; the
window is then resized to the model's input in one step, so that no enlarged canvas is ever made.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from newnet_tf.data.augment.color_matrix import COLORS, change_colors
from newnet_tf.data.boxes import BOXES, CROWD, DIFFICULT, Label, choose_boxes
from newnet_tf.detection.overlaps import box_ious
from newnet_tf.utils.checks import check_ranges

Window = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels of the image

MIN_IOUS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)  # 0: any crop; 1: none
CROP_SCALE = (0.3, 1.0)  # sides of a crop, in sides of the window
CROP_RATIO = (0.5, 2.0)  # width over height of a crop
ATTEMPTS = 40  # at a crop, before another least IoU is drawn
ROUNDS = 8  # of attempts, before the crop is given up


@dataclass(frozen=True, kw_only=True)
class BoxAugmentation:
    """Augmentation of training images of object detection (SSD, arXiv 1512.02325, section 2.2).

    The operations follow torchvision's `RandomZoomOut`, `RandomIoUCrop`, `RandomHorizontalFlip` and
    `RandomPhotometricDistort`, without its permutation of channels, and with hue turned in YIQ, so that
    all changes of color are one matrix.

    Args:
        zoom_out_prob: float in [0, 1], how often the image is placed on a larger canvas, filled with
            the mean color. Default: 0.5.

        zoom_out_max: float, 1 or more, sides of the canvas are 1 to this times those of the image.
            Default: 4.

        iou_crop_prob: float in [0, 1], how often a crop is tried, of a least IoU with a box among
            none, 0.1, 0.3, 0.5, 0.7, 0.9, and no crop at all. Boxes whose center lies in the crop are
            kept. Default: 1.

        hflip_prob: float in [0, 1], how often the image is mirrored. Default: 0.5.

        photometric_prob: float in [0, 1], how often each of brightness, contrast, saturation and hue is
            changed. Default: 0.5.

        brightness, contrast, saturation: float in [0, 1), factors are drawn from 1 - this to 1 + this.
            Default: 0.125, 0.5, 0.5.

        hue: float in [0, 0.5], turns of the color circle, drawn from minus this to this. Default: 0.05.

    Raises:
        ValueError: for an argument outside of the above.

    Example:
        >>> image, label = BoxAugmentation().apply(image, label, 320, np.random.default_rng(0))
        >>> image.shape, label["boxes"].shape
        ((320, 320, 3), (2, 4))
    """

    zoom_out_prob: float = 0.5
    zoom_out_max: float = 4.0
    iou_crop_prob: float = 1.0
    hflip_prob: float = 0.5
    photometric_prob: float = 0.5
    brightness: float = 0.125
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.05

    def __post_init__(self):
        bounds = {
            **dict.fromkeys(
                ("zoom_out_prob", "iou_crop_prob", "hflip_prob", "photometric_prob"), (0, 1)
            ),
            **dict.fromkeys(("brightness", "contrast", "saturation"), (0, 0.99)),
            "zoom_out_max": (1, 16),
            "hue": (0, 0.5),
        }
        check_ranges(self, bounds)

    def apply(
        self,
        image: np.ndarray,
        label: Mapping[str, np.ndarray],
        size: int,
        random: np.random.Generator,
        *,
        fill: tuple[int, int, int] = (124, 116, 104),
        interpolation: str = "bilinear",
        antialias: bool = True,
    ) -> tuple[np.ndarray, Label]:
        """Augments an image and resizes it to the model's input.

        Args:
            image: uint8 array (height, width, 3).

            label: mapping of arrays, see `data.boxes`, boxes in pixels of the image.

            size: int, height and width of the result.

            random: NumPy `Generator`, which decides what is done.

            fill: (red, green, blue) in 0 to 255, of the canvas. Default: ImageNet's mean.

            interpolation: `"bilinear"` or `"bicubic"`. Default: `"bilinear"`.

            antialias: bool, as of `PreprocessConfig`. Default: True.

        Returns:
            (uint8 array (size, size, 3), label with boxes in pixels of the result).
        """
        height, width = image.shape[:2]
        window = (0.0, 0.0, float(width), float(height))
        if random.random() < self.zoom_out_prob:
            window = zoom_out(window, self.zoom_out_max, random)
        if random.random() < self.iou_crop_prob:
            window = iou_crop(window, label, random)
        flip = random.random() < self.hflip_prob
        patch, target = resize_window(image, window, size, interpolation, antialias)
        patch = self.jitter_colors(patch, random)
        result = np.empty((size, size, 3), np.uint8)
        result.reshape(size, -1)[:] = np.tile(np.asarray(fill, np.uint8), size)
        left, top = target.left, target.top
        result[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
        label = boxes_in_window(label, window, target, size)
        return horizontal_flip(result, label) if flip else (result, label)

    def jitter_colors(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Changes brightness, contrast, saturation and hue of uint8 pixels, each at random.

        Contrast is changed after brightness or at the end, at random.
        """
        draws = random.random(9)
        names = [name for name, x in zip(COLORS, draws, strict=False) if x < self.photometric_prob]
        if "contrast" in names and draws[8] < 0.5:
            names.remove("contrast")
            names.append("contrast")
        amounts = dict(zip(COLORS, 2 * draws[4:8] - 1, strict=True))
        return change_colors(image, [(name, getattr(self, name) * amounts[name]) for name in names])


@dataclass(frozen=True)
class Target:
    """How the visible part of an image was resized into the result.

    Args:
        left, top: int, where it begins in the result.

        scale: (x, y), pixels of the result a pixel of the image.

        origin: (x, y), pixel of the image that lies at `left`, `top`.
    """

    left: int
    top: int
    scale: tuple[float, float]
    origin: tuple[float, float]


def zoom_out(window: Window, most: float, random: np.random.Generator) -> Window:
    """Returns a window 1 to `most` times as wide and high as another one, which lies in it."""
    x1, y1, x2, y2 = window
    ratio = random.uniform(1.0, most)
    width, height = (x2 - x1) * ratio, (y2 - y1) * ratio
    left = x1 - random.random() * (width - (x2 - x1))
    top = y1 - random.random() * (height - (y2 - y1))
    return left, top, left + width, top + height


def iou_crop(
    window: Window, label: Mapping[str, np.ndarray], random: np.random.Generator
) -> Window:
    """Returns a random part of a window that holds the center of a box, or the window itself.

    The part's sides are 0.3 to 1 times those of the window, its aspect ratio is 0.5 to 2, and its IoU
    with a box in it is at least what was drawn among `MIN_IOUS` (1 stands for no crop). Difficult boxes
    and crowds do not count, unless there are no others. Without boxes any part will do.

    Args:
        window: x1, y1, x2, y2.

        label: mapping of arrays, boxes in the same coordinates.

        random: NumPy `Generator`.
    """
    x1, y1, x2, y2 = window
    width, height = x2 - x1, y2 - y1
    clear = ~(label[DIFFICULT] | label[CROWD])
    boxes = label[BOXES][clear] if clear.any() else label[BOXES]
    for _ in range(ROUNDS):
        least = MIN_IOUS[random.integers(len(MIN_IOUS))]
        if least >= 1:
            return window
        scales = random.uniform(*CROP_SCALE, (ATTEMPTS, 2))
        sides = scales * (width, height)
        starts = random.random((ATTEMPTS, 2)) * ((width, height) - sides) + (x1, y1)
        ratios = sides[:, 0] / sides[:, 1]
        parts = np.concatenate([starts, starts + sides], axis=1)
        fits = (ratios > CROP_RATIO[0]) & (ratios < CROP_RATIO[1])
        if len(boxes):
            inside, ious = _centers_inside(boxes, parts), box_ious(parts, boxes)
            fits &= inside.any(axis=1) & (np.where(inside, ious, -1.0).max(axis=1) >= least)
        if fits.any():
            return tuple(float(x) for x in parts[fits.argmax()])
    return window


def resize_window(
    image: np.ndarray,
    window: Window,
    size: int,
    interpolation: str = "bilinear",
    antialias: bool = True,
) -> tuple[np.ndarray, Target]:
    """Resizes what a window shows of an image.

    Args:
        image: uint8 array (height, width, 3).

        window: x1, y1, x2, y2 in pixels of the image; it may reach out of it.

        size: int, height and width that the whole window is resized to.

        interpolation: `"bilinear"` or `"bicubic"`. Default: `"bilinear"`.

        antialias: bool, whether a pixel is an average over all that it covers. Default: True.

    Returns:
        (uint8 array (h, w, 3) of the part of the window that lies in the image, `Target`).
    """
    spans = []
    for low, high, length in zip(window[:2], window[2:], image.shape[1::-1], strict=True):
        scale = size / (high - low)
        seen = max(low, 0.0), min(high, float(length))
        start = min(round((seen[0] - low) * scale), size - 1)
        stop = max(round((seen[1] - low) * scale), start + 1)
        spans.append((*seen, start, stop - start))
    (x1, x2, left, w), (y1, y2, top, h) = spans
    method = Image.Resampling[interpolation.upper()]
    source, box = Image.fromarray(image), (x1, y1, x2, y2)
    if antialias:
        patch = source.resize((w, h), method, box=box)
    else:
        patch = source.transform((w, h), Image.Transform.EXTENT, box, method)
    return np.asarray(patch), Target(left, top, (w / (x2 - x1), h / (y2 - y1)), (x1, y1))


def boxes_in_window(
    label: Mapping[str, np.ndarray], window: Window, target: Target, size: int
) -> Label:
    """Returns the boxes whose center a window shows, in pixels of the result, clipped to it.

    Args:
        label: mapping of arrays, boxes in pixels of the image.

        window, target, size: of `resize_window`.
    """
    kept = choose_boxes(label, _centers_inside(label[BOXES], np.array([window]))[0])
    scale, origin = np.array(target.scale * 2), np.array(target.origin * 2)
    boxes = (kept[BOXES] - origin) * scale + (target.left, target.top) * 2
    return {**kept, BOXES: np.clip(boxes, 0, size).astype(np.float32)}


def horizontal_flip(image: np.ndarray, label: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Label]:
    """Mirrors an image and its boxes, which are in its pixels."""
    x1, y1, x2, y2 = label[BOXES].T
    width = image.shape[1]
    boxes = np.stack([width - x2, y1, width - x1, y2], axis=-1)
    return image[:, ::-1], {**label, BOXES: boxes}


def _centers_inside(boxes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Returns which boxes' centers lie in which windows, bool (windows, boxes)."""
    centers = (boxes[None, :, :2] + boxes[None, :, 2:]) / 2
    low, high = windows[:, None, :2], windows[:, None, 2:]
    return ((centers > low) & (centers < high)).all(axis=-1)

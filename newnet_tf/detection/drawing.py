"""Boxes drawn on images with their labels, by Pillow."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from newnet_tf.data.boxes import BOXES, CLASSES, CROWD, DIFFICULT
from newnet_tf.task import Prediction
from newnet_tf.utils.palette import text_on

# Twenty colors that differ from their neighbors; a class takes one by its number.
COLORS = (
    "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#bfef45",
    "#fabed4", "#469990", "#dcbeff", "#9a6324", "#fffac8", "#800000", "#aaffc3", "#808000",
    "#ffd8b1", "#000075", "#ffe119", "#a9a9a9",
)  # fmt: skip
MIN_FONT, FONT_SHARE = 10, 28  # pixels; the image's long side over the height of letters
DIFFICULT_MARK, CROWD_MARK = " (difficult)", " (crowd)"


def draw_predictions(image: np.ndarray, predictions: Sequence[Prediction]) -> np.ndarray:
    """Returns an image with the boxes of predictions, their classes and scores.

    The lowest score is drawn first, so that the highest lies on top.

    Args:
        image: uint8 array (height, width, 3).

        predictions: `Prediction`s with boxes in pixels of the image.

    Returns:
        uint8 array (height, width, 3).
    """
    ordered = sorted((p for p in predictions if p.box is not None), key=lambda p: p.score)
    return draw_boxes(
        image,
        [prediction.box for prediction in ordered],
        [_name(prediction) for prediction in ordered],
        [prediction.class_index for prediction in ordered],
    )


def draw_label(
    image: np.ndarray, label: Mapping[str, np.ndarray], class_names: Sequence[str] | None = None
) -> np.ndarray:
    """Returns an image with the boxes of its label; difficult ones and crowds are marked.

    Args:
        image: uint8 array (height, width, 3).

        label: mapping of arrays, see `data.boxes`.

        class_names: str for each class. Default: None, the numbers.

    Returns:
        uint8 array (height, width, 3).
    """
    names = []
    rows = (label[name] for name in (CLASSES, DIFFICULT, CROWD))
    for index, difficult, crowd in zip(*rows, strict=True):
        name = f"class {index}" if class_names is None else class_names[index]
        names.append(name + DIFFICULT_MARK * bool(difficult) + CROWD_MARK * bool(crowd))
    return draw_boxes(image, label[BOXES], names, label[CLASSES])


def draw_boxes(
    image: np.ndarray,
    boxes: Sequence[Sequence[float]],
    names: Sequence[str],
    classes: Sequence[int],
) -> np.ndarray:
    """Returns an image with boxes and a name above each, inside of the image.

    Args:
        image: uint8 array (height, width, 3).

        boxes: x1, y1, x2, y2 of each box in pixels of the image, edges of pixels.

        names: str for each box; "" for none.

        classes: int for each box, decides its color.

    Returns:
        uint8 array (height, width, 3).
    """
    canvas = Image.fromarray(np.ascontiguousarray(image))
    height, width = image.shape[:2]
    brush = ImageDraw.Draw(canvas)
    size = max(MIN_FONT, max(height, width) // FONT_SHARE)
    font, line = ImageFont.load_default(size), max(2, size // 6)
    for box, name, index in zip(boxes, names, classes, strict=True):
        color = COLORS[int(index) % len(COLORS)]
        x1, y1, x2, y2 = _pixels(box, height, width)
        brush.rectangle((x1, y1, x2, y2), outline=color, width=line)
        if not name:
            continue
        left, top, right, bottom = font.getbbox(name)
        wide, high = int(right - left) + 4, int(bottom - top) + 4
        x = max(0, min(x1, width - wide))
        y = y1 - high if y1 >= high else min(y1, max(0, height - high))
        brush.rectangle((x, y, x + wide - 1, y + high - 1), fill=color)
        brush.text((x + 2 - left, y + 2 - top), name, fill=text_on(color), font=font)
    return np.asarray(canvas)


def _pixels(box: Sequence[float], height: int, width: int) -> tuple[int, int, int, int]:
    """Returns the first and the last column and row that a box holds, inside of the image."""
    x1, y1, x2, y2 = (round(float(x)) for x in box)
    left, top = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
    return left, top, min(max(x2 - 1, left), width - 1), min(max(y2 - 1, top), height - 1)


def _name(prediction: Prediction) -> str:
    name = prediction.label
    name = name if name is not None else f"class {prediction.class_index}"
    return f"{name} {100 * prediction.score:.0f} %"

"""From a text detector's score maps to words: connected components and their rectangles.

As CRAFT's authors do it (arXiv 1904.01941, section 3.3; their function `getDetBoxes`), with equal
results on the same maps: cells with a high region or affinity score are joined into components; a
component with a cell of a high region score is a word, whose quadrilateral is the rectangle of least
area around its characters, which are widened before. NumPy and OpenCV only: it runs next to exported
files.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from newnet_tf.data.box_geometry import points_to_original
from newnet_tf.models.config import FIT, LETTERBOX, PreprocessConfig
from newnet_tf.task import Prediction
from newnet_tf.text.config import MULTIPLE, TextConfig
from newnet_tf.text.opencv import import_cv2
from newnet_tf.text.polygons import follow_text

REGION, AFFINITY = MAPS = "region", "affinity"  # names of the outputs
MIN_CELLS = 10  # of a component
SQUARE = 0.1  # sides that differ less make an upright rectangle: the tilt of a square says nothing
TEXT = "text"  # name of the only class


class Words(NamedTuple):
    """The words of an image.

    Args:
        quadrilaterals: float32 array (n, 4, 2), corners x, y, clockwise from the top left.

        scores: float32 array (n,), the highest region score in each word.

        polygons: tuple of n float32 arrays (corners, 2), clockwise: the quadrilaterals, or with
            `TextConfig.polygons` polygons that follow curved text.
    """

    quadrilaterals: np.ndarray
    scores: np.ndarray
    polygons: tuple[np.ndarray, ...]


def find_words(region: np.ndarray, affinity: np.ndarray, config: TextConfig) -> Words:
    """Returns the words that the score maps of an image show.

    Args:
        region: array (height, width) or (height, width, 1), how likely each cell is a character.

        affinity: array of the same shape, how likely each cell lies between characters of a word.

        config: `TextConfig`, its thresholds, `stride` and `polygons`.

    Returns:
        `Words` in pixels of the model's input: cells times `config.stride`. Words come in the order of
        their first cell, row by row.

    Raises:
        ValueError: if shapes differ, or a score is not finite.

        ImportError: if OpenCV is not installed.

    Example:
        >>> words = find_words(outputs["region"][0], outputs["affinity"][0], config)
        >>> words.quadrilaterals.shape, words.scores.shape
        ((12, 4, 2), (12,))
    """
    cv2 = import_cv2()
    region, affinity = check_maps(region, affinity)
    is_text = region > np.float32(config.low_text)
    is_link = affinity > np.float32(config.link_threshold)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (is_text | is_link).view(np.uint8), connectivity=4
    )
    stats = stats.tolist()
    least = np.float32(config.text_threshold)
    boxes, scores, polygons = [], [], []
    for label in range(1, count):
        x, y, width, height, size = stats[label]
        if size < MIN_CELLS:
            continue
        place = np.s_[y : y + height, x : x + width]
        inside = labels[place] == label
        score = region[place][inside].max()
        if score < least:
            continue
        characters = inside & (is_text[place] | ~is_link[place])
        points = _widened(cv2, characters, (x, y), size, region.shape)
        if not len(points):
            continue
        box = _rectangle(cv2, points)
        polygon = follow_text(labels == label, box) if config.polygons else None
        boxes.append(config.stride * box)
        scores.append(score)
        polygons.append(config.stride * (box if polygon is None else polygon))
    return Words(
        np.array(boxes, np.float32).reshape(-1, 4, 2),
        np.array(scores, np.float32),
        tuple(polygons),
    )


def words_in_image(
    outputs: Mapping[str, np.ndarray],
    config: TextConfig,
    image_size: tuple[int, int],
    max_words: int | None = None,
) -> Words:
    """Returns the words of an image in its own pixels.

    Args:
        outputs: mapping, `"region"` and `"affinity"`, each (height, width, 1): the model's outputs for
            one image.

        config: `TextConfig` of the model. Images fill a square input of `image_size` from its upper
            left corner (`resize_mode="letterbox"`), and a free one wholly (`"fit"`).

        image_size: (height, width) of the original image.

        max_words: int or None, the most words, those with the highest scores. Default: None, all.

    Returns:
        `Words` in pixels of the original image, not clipped.

    Raises:
        ValueError, ImportError: as in `find_words`; ValueError for maps of another size than the
            config's.
    """
    region, affinity = _named_maps(outputs)
    rows, columns = np.shape(region)[:2]
    size = (config.stride * rows, config.stride * columns)
    if config.image_size is not None and size != (config.image_size, config.image_size):
        raise ValueError(
            f"score maps of a text detector at {config.image_size} pixels must have "
            f"{config.map_size(config.image_size, config.image_size)} cells. "
            f"Received: {(rows, columns)}"
        )
    found = find_words(region, affinity, config)
    if max_words is not None and len(found.scores) > max_words:
        best = np.sort(np.argsort(-found.scores, kind="stable")[:max_words])
        found = Words(
            found.quadrilaterals[best], found.scores[best], tuple(found.polygons[i] for i in best)
        )
    placed = placement(config)

    def move(points):
        return points_to_original(points, image_size, placed, size).astype(np.float32)

    return Words(
        move(found.quadrilaterals), found.scores, tuple(move(polygon) for polygon in found.polygons)
    )


def placement(config: TextConfig) -> PreprocessConfig:
    """Returns a `PreprocessConfig` that says how images lie in the model's input."""
    if config.image_size is None:
        return PreprocessConfig(image_size=MULTIPLE, resize_mode=FIT)
    return PreprocessConfig(image_size=config.image_size, resize_mode=LETTERBOX)


def as_predictions(
    words: Words, image_size: tuple[int, int], class_names: Sequence[str] | None = None
) -> list[Prediction]:
    """Returns words as `Prediction`s with `polygon` and `box`, the highest score first.

    Args:
        words: `Words` in pixels of the image.

        image_size: (height, width) of the image, to which boxes are clipped; polygons are not.

        class_names: sequence of one str. Default: None, `"text"`.
    """
    label = TEXT if not class_names else class_names[0]
    height, width = image_size
    predictions = []
    for i in np.argsort(-words.scores, kind="stable"):
        polygon = words.polygons[i]
        corners = np.clip(polygon, 0, (width, height))
        predictions.append(
            Prediction(
                label=label,
                class_index=0,
                score=float(words.scores[i]),
                box=(*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()),
                polygon=tuple(map(tuple, polygon.tolist())),
            )
        )
    return predictions


def check_maps(region: np.ndarray, affinity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the score maps of an image as float32 arrays (height, width).

    Args:
        region, affinity: arrays (height, width) or (height, width, 1).

    Raises:
        ValueError: if shapes differ, or a score is not finite.
    """
    maps = []
    for name, values in ((REGION, region), (AFFINITY, affinity)):
        values = np.asarray(values, np.float32)
        if values.ndim == 3 and values.shape[2] == 1:
            values = values[..., 0]
        if values.ndim != 2 or not values.size:
            raise ValueError(
                f"`{name}` must be a map (height, width) or (height, width, 1). "
                f"Received: shape={values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"`{name}` must be finite. Received: NaN or infinity among them")
        maps.append(values)
    if maps[0].shape != maps[1].shape:
        raise ValueError(
            "`region` and `affinity` must have the same shape. "
            f"Received: {maps[0].shape} and {maps[1].shape}"
        )
    return maps[0], maps[1]


def _named_maps(outputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    if not isinstance(outputs, Mapping) or not set(MAPS) <= set(outputs):
        received = sorted(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        raise ValueError(
            f"`outputs` of a text detector must be a mapping with {' and '.join(map(repr, MAPS))}. "
            f"Received: {received}"
        )
    return [outputs[name] for name in MAPS]


def _widened(cv2, mask: np.ndarray, corner: tuple[int, int], size: int, shape: tuple) -> np.ndarray:
    """Returns the outermost points of a component's characters, widened: int32 array (n, 2), x and y.

    Args:
        cv2: the module.

        mask: bool array, the characters in the component's bounding box.

        corner: (x, y) of the bounding box.

        size: int, cells of the component.

        shape: (height, width) of the map.
    """
    (height, width), (x, y) = mask.shape, corner
    margin = int(math.sqrt(size * min(width, height) / (width * height)) * 2)
    left, top = min(margin, x), min(margin, y)
    right = min(margin + 1, shape[1] - x - width)
    bottom = min(margin + 1, shape[0] - y - height)
    wide = np.pad(mask.view(np.uint8), ((top, bottom), (left, right)))
    wide = cv2.dilate(wide, np.ones((1 + margin, 1 + margin), np.uint8))
    rows = np.flatnonzero(wide.any(axis=1))
    first = wide[rows].argmax(axis=1)
    last = wide.shape[1] - 1 - wide[rows, ::-1].argmax(axis=1)
    columns = np.stack([first, last]) + (x - left)
    both = np.stack([columns, np.broadcast_to(rows + (y - top), columns.shape)], axis=-1)
    return both.reshape(-1, 2).astype(np.int32)


def _rectangle(cv2, points: np.ndarray) -> np.ndarray:
    """Returns the rectangle of least area around points: float32 (4, 2), from the top left."""
    box = cv2.boxPoints(cv2.minAreaRect(points))
    sides = np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[1] - box[2])
    if abs(1 - max(sides) / (min(sides) + 1e-5)) <= SQUARE:
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        box = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    return np.roll(box, -int(box.sum(axis=1).argmin()), axis=0)

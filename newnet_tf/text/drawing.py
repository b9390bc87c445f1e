"""Words drawn on images, and score maps as heat maps, by Pillow."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from newnet_tf.data.words import IGNORE, POLYGONS
from newnet_tf.task import Prediction

FOUND, TRUE, IGNORED = "#3cb44b", "#e6194b", "#a9a9a9"
LINE_SHARE = 400  # the image's long side over the width of lines
BLEND = 0.6  # of a heat map over the image
# Colors of a score, from 0 to 1: blue, cyan, green, yellow, red.
STOPS = np.array([(0, 0, 128), (0, 160, 255), (60, 220, 90), (255, 220, 0), (220, 0, 0)], float)


def draw_predictions(image: np.ndarray, predictions: Sequence[Prediction]) -> np.ndarray:
    """Returns an image with the polygons of words.

    Args:
        image: uint8 array (height, width, 3).

        predictions: `Prediction`s with polygons in pixels of the image.

    Returns:
        uint8 array (height, width, 3).
    """
    polygons = [p.polygon for p in predictions if p.polygon is not None]
    return draw_polygons(image, polygons, [FOUND] * len(polygons))


def draw_label(image: np.ndarray, label: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns an image with the words of its label; those that are ignored are gray.

    Args:
        image: uint8 array (height, width, 3).

        label: mapping, see `data.words`.

    Returns:
        uint8 array (height, width, 3).
    """
    colors = [IGNORED if ignore else TRUE for ignore in label[IGNORE]]
    return draw_polygons(image, label[POLYGONS], colors)


def draw_polygons(image: np.ndarray, polygons: Sequence, colors: Sequence[str]) -> np.ndarray:
    """Returns an image with polygons.

    Args:
        image: uint8 array (height, width, 3).

        polygons: corners x, y of each in pixels of the image.

        colors: str for each polygon.

    Returns:
        uint8 array (height, width, 3).
    """
    canvas = Image.fromarray(np.ascontiguousarray(image))
    brush, line = ImageDraw.Draw(canvas), max(1, max(image.shape[:2]) // LINE_SHARE)
    for polygon, color in zip(polygons, colors, strict=True):
        corners = [(float(x), float(y)) for x, y in polygon]
        brush.line([*corners, corners[0]], fill=color, width=line, joint="curve")
    return np.asarray(canvas)


def draw_maps(image: np.ndarray, region: np.ndarray, affinity: np.ndarray) -> np.ndarray:
    """Returns an image with its score maps over it: region at the left, affinity at the right.

    Args:
        image: uint8 array (height, width, 3), all that the maps show.

        region, affinity: arrays (rows, columns) or (rows, columns, 1) of scores.

    Returns:
        uint8 array (height, 2 * width, 3).
    """
    height, width = image.shape[:2]
    parts = []
    for scores in (region, affinity):
        scores = np.asarray(scores, np.float32)
        colors = heat(scores[..., 0] if scores.ndim == 3 else scores)
        wide = Image.fromarray(colors).resize((width, height), Image.Resampling.BILINEAR)
        parts.append(Image.blend(Image.fromarray(np.ascontiguousarray(image)), wide, BLEND))
    return np.concatenate([np.asarray(part) for part in parts], axis=1)


def heat(scores: np.ndarray) -> np.ndarray:
    """Returns the colors of scores, from blue (0 and below) to red (1 and above).

    Args:
        scores: array (rows, columns).

    Returns:
        uint8 array (rows, columns, 3).
    """
    places = np.linspace(0, 1, len(STOPS))
    clipped = np.clip(scores, 0, 1)
    channels = [np.interp(clipped, places, STOPS[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)

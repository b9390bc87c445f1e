"""Brightness, contrast, saturation and hue of an image, changed by one matrix. NumPy and Pillow."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

COLORS = ("brightness", "contrast", "saturation", "hue")
YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
GRAY = YIQ[0]


def color_matrix(changes: Sequence[tuple[str, float]], mean: np.ndarray) -> np.ndarray:
    """Returns several changes of color as one matrix, which is applied to (red, green, blue, 1).

    Args:
        changes: (name, amount), in the order in which they are made: `"brightness"` multiplies by 1 +
            amount, `"contrast"` the distance from the image's mean gray, `"saturation"` that from each
            pixel's gray; `"hue"` turns the colors by `amount` of a circle, in the plane of I and Q of
            YIQ.

        mean: float array (3,), mean red, green and blue of the image in 0-255.

    Returns:
        float array (3, 4).
    """
    matrix = np.eye(3, 4)
    for name, amount in changes:
        if name == "brightness":
            matrix = matrix * (1 + amount)
        elif name == "contrast":
            gray = GRAY @ (matrix @ np.append(mean, 1))
            matrix = matrix * (1 + amount)
            matrix[:, 3] -= amount * gray
        elif name == "saturation":
            matrix = (1 + amount) * matrix - amount * (GRAY @ matrix)
        elif name == "hue":
            angle = 2 * np.pi * amount
            turn = np.eye(3)
            turn[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            matrix = np.linalg.solve(YIQ, turn @ YIQ @ matrix)
        else:
            raise ValueError(f"a change of color must be among {COLORS}. Received: {name!r}")
    return matrix


def change_colors(image: np.ndarray, changes: Sequence[tuple[str, float]]) -> np.ndarray:
    """Changes the colors of an image.

    Args:
        image: uint8 array (height, width, 3).

        changes: as of `color_matrix`.

    Returns:
        uint8 array of the same shape; values are rounded and clipped once, at the end.
    """
    if not changes:
        return image
    source = Image.fromarray(image)
    mean = np.asarray(source.resize((1, 1), Image.Resampling.BOX), float)[0, 0]
    matrix = color_matrix(changes, mean)
    return np.asarray(source.convert("RGB", tuple(matrix.ravel())))

"""An image with its top classes as bars below it, drawn with Pillow."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from newnet_tf.task import Prediction

WIDTH, ROW, MARGIN = 320, 22, 8  # pixels: least width, height of a bar's row, space around
BAR, INK, PAPER = "#97bbf5", "#1f2933", "white"


def bars_below(image: np.ndarray, predictions: Sequence[Prediction]) -> np.ndarray:
    """Returns an image with a bar for each prediction below it.

    Args:
        image: uint8 array (height, width, 3).

        predictions: `Prediction`s, probabilities as scores.

    Returns:
        uint8 array (height + bars, width or 320, 3).
    """
    height, width = image.shape[:2]
    full = max(width, WIDTH)
    canvas = Image.new("RGB", (full, height + 2 * MARGIN + ROW * len(predictions)), PAPER)
    canvas.paste(Image.fromarray(image), ((full - width) // 2, 0))
    brush, font = ImageDraw.Draw(canvas), ImageFont.load_default()
    for row, prediction in enumerate(predictions):
        top = height + MARGIN + row * ROW
        length = round((full - 2 * MARGIN) * min(max(prediction.score, 0.0), 1.0))
        brush.rectangle((MARGIN, top, MARGIN + length, top + ROW - 4), fill=BAR)
        brush.text((MARGIN + 4, top + 3), str(prediction), fill=INK, font=font)
    return np.asarray(canvas)

"""Boxes of a model's input and of the original image: they follow the pixels."""

import numpy as np
import pytest

from newnet_tf.data.box_geometry import to_input, to_original
from newnet_tf.data.preprocess import resize_image
from newnet_tf.models.config import PreprocessConfig

CONFIGS = {
    "crop": PreprocessConfig(image_size=96),
    "crop_raw": PreprocessConfig(image_size=96, interpolation="bilinear", antialias=False),
    "stretch": PreprocessConfig(image_size=96, resize_mode="stretch"),
    "stretch_raw": PreprocessConfig(
        image_size=96, resize_mode="stretch", interpolation="bilinear", antialias=False
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("shape", [(140, 200), (331, 177), (96, 96), (40, 30)])
def test_a_drawn_rectangle_is_found_where_to_original_says(name, shape):
    """Drawn in the image; found by its pixels in the input; mapped back within half a pixel."""
    config = CONFIGS[name]
    height, width = shape
    box = np.array([0.35 * width, 0.4 * height, 0.6 * width, 0.65 * height]).round()
    left, top, right, bottom = box.astype(int)
    image = np.zeros((*shape, 3), np.uint8)
    image[top:bottom, left:right] = 200
    covered = resize_image(image, config)[..., 0] / 200.0
    rows, columns = covered.max(1), covered.max(0)
    size = config.image_size

    def edges(line):  # a side's first pixel is covered by the share that the rectangle takes of it
        inside = np.flatnonzero(line > 0.5)
        return inside[0] + 0.5 - (line[inside[0]] - 0.5), inside[-1] + 0.5 + (
            line[inside[-1]] - 0.5
        )

    (x1, x2), (y1, y2) = edges(columns), edges(rows)
    found = to_original(np.array([x1, y1, x2, y2]) / size, shape, config)
    pixel = max(1.0, *np.divide(shape, size))  # of the input, in pixels of the image
    np.testing.assert_allclose(found, box, atol=0.5 * pixel)
    np.testing.assert_allclose(to_original(to_input(box, shape, config), shape, config), box)


@pytest.mark.parametrize("name", CONFIGS)
def test_positions_are_exact_where_pixels_are_whole(name):
    config = CONFIGS[name]
    if config.resize_mode == "stretch":
        expected, shape = [50, 20, 100, 60], (80, 200)
        box = np.array([0.25, 0.25, 0.5, 0.75])
    else:  # the short side of 109 pixels is not resized: the crop begins at 6.5 -> 6, 45.5 -> 46
        expected, shape = [46 + 24, 6 + 24, 46 + 48, 6 + 72], (109, 187)
        box = np.array([0.25, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(to_original(box, shape, config), expected, atol=0.5)
    np.testing.assert_allclose(to_input(expected, shape, config), box, atol=0.006)


@pytest.mark.parametrize("shape", [(10, 1000), (1000, 10)])
def test_a_strip_is_mapped_about_its_center(shape):
    """Of what is longer than 64 times the short side the center is used: 640 of 1,000 pixels."""
    config = CONFIGS["stretch"]
    along, across = (180.0, 820.0), (0.0, 10.0)
    (x1, x2), (y1, y2) = (along, across) if shape[1] == 1000 else (across, along)
    np.testing.assert_allclose(
        to_original(np.array([[0.0, 0.0, 1.0, 1.0]]), shape, config), [[x1, y1, x2, y2]]
    )
    center = to_original(np.array([0.5, 0.5, 0.5, 0.5]), shape, CONFIGS["crop"])
    np.testing.assert_allclose(center, np.array([shape[1], shape[0]] * 2) / 2, atol=0.5)


def test_an_image_without_size_is_an_error():
    with pytest.raises(ValueError, match=r"`image_size` must be \(height, width\).*\(0, 5\)"):
        to_original(np.zeros(4), (0, 5), CONFIGS["crop"])

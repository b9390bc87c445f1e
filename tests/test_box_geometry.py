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
KEEPING_ASPECT = {
    "letterbox": PreprocessConfig(image_size=96, resize_mode="letterbox"),
    "letterbox_raw": PreprocessConfig(
        image_size=96, resize_mode="letterbox", interpolation="bilinear", antialias=False
    ),
    "fit": PreprocessConfig(image_size=320, resize_mode="fit", magnification=1.5),
}
ALL = {**CONFIGS, **KEEPING_ASPECT}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(140, 200), (331, 177), (96, 96), (40, 30)])
def test_a_drawn_rectangle_is_found_where_to_original_says(name, shape):
    """Drawn in the image; found by its pixels in the input; mapped back within half a pixel."""
    config = ALL[name]
    height, width = shape
    box = np.array([0.35 * width, 0.4 * height, 0.6 * width, 0.65 * height]).round()
    left, top, right, bottom = box.astype(int)
    image = np.zeros((*shape, 3), np.uint8)
    image[top:bottom, left:right] = 200
    covered = resize_image(image, config)[..., 0] / 200.0
    rows, columns = covered.max(1), covered.max(0)
    size = np.array(covered.shape[::-1] * 2)

    def edges(line):  # a side's first pixel is covered by the share that the rectangle takes of it
        inside = np.flatnonzero(line > 0.5)
        return inside[0] + 0.5 - (line[inside[0]] - 0.5), inside[-1] + 0.5 + (
            line[inside[-1]] - 0.5
        )

    (x1, x2), (y1, y2) = edges(columns), edges(rows)
    found = to_original(np.array([x1, y1, x2, y2]) / size, shape, config)
    pixel = max(1.0, *np.divide(shape, covered.shape))  # of the input, in pixels of the image
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


def test_a_letterboxed_image_lies_at_the_upper_left_of_black():
    image = np.full((50, 100, 3), 200, np.uint8)
    found = resize_image(image, KEEPING_ASPECT["letterbox"])
    assert found.shape == (96, 96, 3)
    assert (found[:48] == 200).all()
    assert not found[48:].any()
    box = to_original(np.array([0, 0, 1, 0.5]), (50, 100), KEEPING_ASPECT["letterbox"])
    np.testing.assert_allclose(box, [0, 0, 100, 50])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((60, 100), (96, 160)),  # long side 150, sides 90 and 150
        ((600, 400), (320, 224)),  # long side 320, not 900
        ((5, 6), (32, 32)),
        ((10, 1000), (32, 320)),
    ],
)
def test_fit_magnifies_to_multiples_of_32(shape, expected):
    image = np.zeros((*shape, 3), np.uint8)
    assert resize_image(image, KEEPING_ASPECT["fit"]).shape == (*expected, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize_mode": "letterbox", "magnification": 2.0}, "`magnification` must be positive"),
        ({"resize_mode": "fit", "magnification": 0.0}, "`magnification` must be positive"),
        ({"resize_mode": "fit", "image_size": 16}, "`image_size` must be 32 or more"),
        ({"resize_mode": "pad"}, "`resize_mode` must be among"),
    ],
)
def test_resize_modes_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        PreprocessConfig(**options)


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

"""Pixels and boxes move together: a drawn rectangle is found where its box is, after each operation."""

import dataclasses

import numpy as np
import pytest

from newnet_tf.data.augment.color_matrix import change_colors
from newnet_tf.data.boxes import make_label
from newnet_tf.detection.training.augment import (
    BoxAugmentation,
    horizontal_flip,
    iou_crop,
    resize_window,
    zoom_out,
)

NONE = BoxAugmentation(zoom_out_prob=0, iou_crop_prob=0, hflip_prob=0, photometric_prob=0)
RED, BLUE = (250, 20, 20), (20, 20, 250)
BOXES = [(40, 30, 100, 90), (120, 20, 180, 110)]


@pytest.fixture(scope="module")
def scene():
    """A gray image of 160 x 200 with a red and a blue rectangle, and their label."""
    image = np.full((160, 200, 3), 110, np.uint8)
    for (x1, y1, x2, y2), color in zip(BOXES, (RED, BLUE), strict=True):
        image[y1:y2, x1:x2] = color
    return image, make_label(BOXES, [3, 5], [False, True], [True, False])


def extent(image, channel):
    """Returns the edges of what has the color of one rectangle."""
    others = [c for c in range(3) if c != channel]
    colored = image[..., channel].astype(int) - image[..., others].max(axis=-1)
    rows, columns = np.nonzero(colored > 55)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def check_boxes(image, label, size):
    """Asserts that each box of the label lies where its rectangle does, within a pixel."""
    for box, index, difficult, crowd in zip(*label.values(), strict=True):
        channel = {3: 0, 5: 2}[int(index)]
        np.testing.assert_allclose(box, extent(image, channel), atol=1.0)
        assert (bool(difficult), bool(crowd)) == (index == 5, index == 3)
        assert (box >= 0).all()
        assert (box <= size).all()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"hflip_prob": 1},
        {"zoom_out_prob": 1, "zoom_out_max": 2.5},
        {"iou_crop_prob": 1},
        {"photometric_prob": 1, "hue": 0.03, "saturation": 0.3},
        {"zoom_out_prob": 1, "zoom_out_max": 2, "iou_crop_prob": 1, "hflip_prob": 0.5},
    ],
    ids=["resize", "flip", "zoom_out", "iou_crop", "color", "all"],
)
def test_boxes_stay_on_their_pixels(scene, fields):
    augmentation, kept = dataclasses.replace(NONE, **fields), 0
    for seed in range(25):
        random = np.random.default_rng(seed)
        image, label = augmentation.apply(*scene, 128, random, fill=(110, 110, 110))
        assert image.shape == (128, 128, 3)
        assert label["boxes"].dtype == np.float32
        check_boxes(image, label, 128)
        kept += len(label["classes"])
    assert kept >= 25  # a crop keeps a box


def test_without_operations_the_image_is_resized_as_for_evaluation(scene):
    from newnet_tf.data.preprocess import crop_image
    from newnet_tf.models.config import PreprocessConfig

    config = PreprocessConfig(image_size=96, resize_mode="stretch", interpolation="bilinear")
    image, label = NONE.apply(*scene, 96, np.random.default_rng(0))
    np.testing.assert_array_equal(image, crop_image(scene[0], config))
    np.testing.assert_allclose(label["boxes"][0], (19.2, 18, 48, 54), atol=1e-4)


def test_images_can_be_resized_without_antialiasing(scene):
    from newnet_tf.data.preprocess import crop_image
    from newnet_tf.models.config import PreprocessConfig

    config = PreprocessConfig(
        image_size=48, resize_mode="stretch", interpolation="bilinear", antialias=False
    )
    random = np.random.default_rng(0)
    image, label = NONE.apply(*scene, 48, random, antialias=False)
    np.testing.assert_allclose(image, crop_image(scene[0], config), atol=1)
    np.testing.assert_allclose(label["boxes"][0], (9.6, 9, 24, 27), atol=1e-4)


def test_a_generator_with_the_same_seed_gives_the_same_image(scene):
    first, second = (BoxAugmentation().apply(*scene, 64, np.random.default_rng(7)) for _ in "ab")
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1]["boxes"], second[1]["boxes"])


def test_zoom_out_places_the_image_on_a_filled_canvas(scene):
    window = zoom_out((0, 0, 200, 160), 4, np.random.default_rng(1))
    ratio = (window[2] - window[0]) / 200
    assert 1 < ratio <= 4
    assert (window[3] - window[1]) / 160 == pytest.approx(ratio)
    assert window[0] <= 0
    assert window[1] <= 0
    assert window[2] >= 200
    assert window[3] >= 160
    augmentation = dataclasses.replace(NONE, zoom_out_prob=1)
    image, _ = augmentation.apply(*scene, 64, np.random.default_rng(3), fill=(1, 2, 3))
    share = (image == (1, 2, 3)).all(axis=-1).mean()
    window = zoom_out((0, 0, 200, 160), 4, _after(3, draws=1))
    assert share == pytest.approx(1 - (200 / (window[2] - window[0])) ** 2, abs=0.03)


def test_iou_crop_has_the_bounds_of_its_paper_and_holds_a_box_center():
    label = make_label([(40, 30, 100, 90)], [0])
    whole = (0.0, 0.0, 200.0, 160.0)
    windows = [iou_crop(whole, label, np.random.default_rng(seed)) for seed in range(60)]
    crops = np.array([window for window in windows if window != whole])
    assert 30 < len(crops) < 60  # "no crop" is one of seven choices
    sides = crops[:, 2:] - crops[:, :2]
    assert (sides >= (0.3 * 200 - 1e-6, 0.3 * 160 - 1e-6)).all()
    assert ((sides[:, 0] / sides[:, 1] > 0.5) & (sides[:, 0] / sides[:, 1] < 2)).all()
    assert (crops[:, :2] >= 0).all()
    assert (crops[:, 2:] <= (200, 160)).all()
    assert ((crops[:, 0] < 70) & (crops[:, 2] > 70)).all()
    assert ((crops[:, 1] < 60) & (crops[:, 3] > 60)).all()


def test_iou_crop_counts_difficult_boxes_only_without_others():
    label = make_label([(0, 0, 60, 60), (140, 100, 200, 160)], [0, 0], [False, True])
    for seed in range(30):
        x1, y1, x2, y2 = iou_crop((0.0, 0.0, 200.0, 160.0), label, np.random.default_rng(seed))
        assert x1 < 30 < x2
        assert y1 < 30 < y2
    empty = make_label([], [])
    assert iou_crop((0.0, 0.0, 9.0, 9.0), empty, np.random.default_rng(2))[2] > 0


def test_boxes_with_their_center_outside_of_the_crop_are_dropped():
    image, label = np.zeros((100, 100, 3), np.uint8), make_label([(0, 0, 50, 50)], [0])
    from newnet_tf.detection.training.augment import boxes_in_window

    for window, expected in (((30, 30, 100, 100), 0), ((20, 20, 100, 100), 1)):
        _, target = resize_window(image, window, 40)
        kept = boxes_in_window(label, window, target, 40)
        assert len(kept["boxes"]) == expected
    np.testing.assert_allclose(kept["boxes"], [(0, 0, 15, 15)])  # clipped to the crop


def test_flipping_twice_gives_the_same_label(scene):
    image, label = horizontal_flip(*horizontal_flip(*scene))
    np.testing.assert_array_equal(image, scene[0])
    np.testing.assert_array_equal(label["boxes"], scene[1]["boxes"])


def test_an_image_without_boxes_is_augmented_too(scene):
    image, label = BoxAugmentation().apply(
        scene[0], make_label([], []), 32, np.random.default_rng(0)
    )
    assert image.shape == (32, 32, 3)
    assert label["boxes"].shape == (0, 4)


def test_an_image_of_one_pixel_and_a_narrow_one_are_augmented():
    for shape in ((1, 1, 3), (3, 200, 3)):
        image = np.full(shape, 9, np.uint8)
        label = make_label([(0, 0, shape[1], shape[0])], [0])
        for seed in range(8):
            result, _ = BoxAugmentation().apply(image, label, 32, np.random.default_rng(seed))
            assert result.shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("brightness", 0.5), [(150, 75, 30), (255, 150, 60)]),
        (("contrast", -1.0), [(92, 92, 92), (92, 92, 92)]),  # the mean gray
        (("saturation", -1.0), [(62, 62, 62), (123, 123, 123)]),  # each pixel's gray
        (("hue", 0.0), [(100, 50, 20), (200, 100, 40)]),
    ],
)
def test_changes_of_color_have_known_values(change, expected):
    image = np.array([[(100, 50, 20), (200, 100, 40)]], np.uint8)
    np.testing.assert_allclose(change_colors(image, [change])[0], expected, atol=1)


def test_a_change_of_hue_keeps_the_gray_and_three_thirds_are_a_circle():
    image = np.array([[(120, 100, 90), (90, 120, 100)]], np.uint8)
    turned = change_colors(image, [("hue", 1 / 3)])
    gray = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(turned @ gray, image @ gray, atol=1)
    assert np.abs(turned.astype(int) - image).max() > 10
    whole = change_colors(image, [("hue", 1 / 3)] * 3)
    np.testing.assert_allclose(whole, image, atol=1)


def test_changes_are_made_in_their_order():
    image = np.array([[(100, 50, 20), (200, 100, 40)]], np.uint8)
    changes = [("brightness", 0.05), ("contrast", 0.2), ("saturation", -0.3)]
    step_by_step = image
    for change in changes:
        step_by_step = change_colors(step_by_step, [change])
    np.testing.assert_allclose(change_colors(image, changes), step_by_step, atol=2)


@pytest.mark.parametrize(
    "fields", [{"hflip_prob": 1.5}, {"zoom_out_max": 0.5}, {"hue": "red"}, {"contrast": -1}]
)
def test_settings_out_of_range_are_named(fields):
    name = next(iter(fields))
    with pytest.raises(ValueError, match=f"`{name}` must be a number in .* Received: {name}="):
        BoxAugmentation(**fields)


def _after(seed, draws):
    random = np.random.default_rng(seed)
    for _ in range(draws):
        random.random()
    return random

"""Each operation on pixels: against Pillow's, eagerly and inside tf.data; what magnitudes mean."""

import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from newnet_tf.data.augment import color_ops, randaugment
from newnet_tf.data.augment.config import NONE, Augmentation
from newnet_tf.data.augment.erasing import random_erasing
from newnet_tf.data.crops import random_box
from newnet_tf.data.pipeline import augment_image
from newnet_tf.models.config import PreprocessConfig

SIDE = 64
FILL = (124.0, 116.0, 104.0)


@pytest.fixture(scope="module")
def photo(images):
    """An image of whole levels that uses neither end of the range."""
    image = Image.open(images["coffee.png"]).convert("RGB").resize((SIDE, SIDE))
    return Image.fromarray((np.asarray(image) * 0.8 + 20).astype(np.uint8))


def both_ways(operation, image):
    """What an operation gives eagerly, after checking that it gives the same inside tf.data."""
    levels = tf.constant(np.asarray(image), tf.float32)
    eager = operation(levels).numpy()
    mapped = next(iter(tf.data.Dataset.from_tensors(levels).map(operation))).numpy()
    np.testing.assert_array_equal(eager, mapped)
    assert eager.dtype == np.float32
    return eager


SAME_AS_PILLOW = {
    "auto_contrast": (color_ops.auto_contrast, ImageOps.autocontrast),
    "equalize": (color_ops.equalize, ImageOps.equalize),
    "invert": (color_ops.invert, ImageOps.invert),
    "posterize": (lambda x: color_ops.posterize(x, 3.0), lambda p: ImageOps.posterize(p, 3)),
    "solarize": (lambda x: color_ops.solarize(x, 100.0), lambda p: ImageOps.solarize(p, 100)),
    "solarize_add": (
        lambda x: color_ops.solarize_add(x, 90.0),
        lambda p: p.point([min(255, i + 90) if i < 128 else i for i in range(256)] * 3),
    ),
    "saturation": (
        lambda x: color_ops.saturation(x, 1.7),
        lambda p: ImageEnhance.Color(p).enhance(1.7),
    ),
    "contrast": (
        lambda x: color_ops.contrast(x, 0.4),
        lambda p: ImageEnhance.Contrast(p).enhance(0.4),
    ),
    "brightness": (
        lambda x: color_ops.brightness(x, 1.6),
        lambda p: ImageEnhance.Brightness(p).enhance(1.6),
    ),
    "sharpness": (
        lambda x: color_ops.sharpness(x, 1.9),
        lambda p: ImageEnhance.Sharpness(p).enhance(1.9),
    ),
}


@pytest.mark.parametrize("name", SAME_AS_PILLOW)
def test_color_equals_pillow(photo, name):
    ours, pillows = SAME_AS_PILLOW[name]
    difference = np.abs(both_ways(ours, photo) - np.asarray(pillows(photo), np.float32))
    assert difference.max() <= 1
    assert difference.mean() < 0.05
    assert np.abs(np.asarray(pillows(photo), np.float32) - np.asarray(photo)).mean() > 3


@pytest.mark.parametrize("operation", [color_ops.auto_contrast, color_ops.equalize])
def test_flat_images_stay(operation):
    flat = np.full((8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(both_ways(operation, flat), flat)


MATRICES = {
    "shear_x": lambda v: (1, v, 0, 0, 1, 0),
    "shear_y": lambda v: (1, 0, 0, v, 1, 0),
}


@pytest.mark.parametrize("name", ["rotate", *MATRICES])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_geometry_equals_pillow(photo, name, sign):
    found = both_ways(lambda x: randaugment.apply_operation(x, name, 8.0, sign, FILL), photo)
    fill, bilinear = tuple(map(int, FILL)), Image.Resampling.BILINEAR
    if name == "rotate":
        expected = photo.rotate(sign * 24.0, bilinear, fillcolor=fill)
    else:
        matrix = MATRICES[name](sign * 0.24)
        expected = photo.transform(photo.size, Image.AFFINE, matrix, bilinear, fillcolor=fill)
    difference = np.abs(found - np.asarray(expected, np.float32)).max(axis=-1)
    # They treat the pixels on the image's edge differently: one in twenty at most.
    assert np.quantile(difference, 0.95) <= 1.5
    assert np.abs(found - np.asarray(photo)).mean() > 5


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_translation_moves_whole_pixels(photo, axis, sign):
    found = both_ways(
        lambda x: randaugment.apply_operation(x, f"translate_{axis}", 5.0, sign, FILL), photo
    )
    pixels = np.asarray(photo, np.float32)
    moved = round(0.225 * SIDE)
    expected = np.broadcast_to(np.array(FILL, np.float32), pixels.shape).copy()
    a, b = (slice(moved, None), slice(None, -moved))[:: int(sign)]
    if axis == "x":
        expected[:, b] = pixels[:, a]
    else:
        expected[b] = pixels[a]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "at_nine", "increasing"),
    [("rotate", 27.0, 27.0), ("posterize", 3.0, 1.0), ("solarize", 230.0, 26.0),
     ("solarize_add", 99.0, 99.0), ("contrast", 1.72, 1.81), ("shear_x", 0.27, 0.27),
     ("translate_y", 0.405, 0.405)],
)  # fmt: skip
def test_magnitudes_are_timms(name, at_nine, increasing):
    assert float(randaugment.operation_arguments(9.0, 1.0, False)[name]) == pytest.approx(
        at_nine, abs=1e-4
    )
    assert float(randaugment.operation_arguments(9.0, 1.0, True)[name]) == pytest.approx(
        increasing, abs=1e-4
    )


def test_rand_augment_applies_half_of_what_it_draws(photo):
    pixels = tf.constant(np.asarray(photo), tf.float32)
    seeds = tf.data.Dataset.range(80).map(lambda i: tf.stack([tf.constant(5, tf.int64), i]))
    drawn = seeds.map(lambda s: (randaugment.rand_augment(pixels, s, FILL, count=1), s))
    changed = 0
    for image, seed in drawn:
        eager = randaugment.rand_augment(pixels, seed, FILL, count=1)
        np.testing.assert_array_equal(image, eager)
        np.testing.assert_array_equal(image, np.clip(np.floor(image), 0, 255))
        changed += not np.array_equal(image, pixels)
    assert 25 <= changed <= 55


def torchvision_box(generator):
    """Height and width of one crop, as torchvision's documentation describes it."""
    while True:
        area = generator.uniform(0.08, 1.0) * 375 * 500
        aspect = math.exp(generator.uniform(math.log(3 / 4), math.log(4 / 3)))
        height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if height <= 375 and width <= 500:
            return height, width


def test_random_box_has_torchvisions_distribution():
    seeds = tf.data.Dataset.range(2000).map(lambda i: tf.stack([tf.constant(3, tf.int64), i]))
    boxes = seeds.map(lambda s: random_box((375, 500), s, (0.08, 1.0), (3 / 4, 4 / 3)))
    top, left, height, width = np.array(list(boxes.as_numpy_iterator())).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 375).all()
    assert (left + width <= 500).all()
    share, aspect = height * width / (375 * 500), width / height
    law = np.array([torchvision_box(np.random.default_rng(n)) for n in range(2000)])
    expected = law[:, 0] * law[:, 1] / (375 * 500), law[:, 1] / law[:, 0]
    for found, wanted in zip((share, aspect), expected, strict=True):
        quarters = np.quantile(found, (0.02, 0.25, 0.5, 0.75, 0.98))
        np.testing.assert_allclose(
            quarters, np.quantile(wanted, (0.02, 0.25, 0.5, 0.75, 0.98)), atol=0.05
        )
    assert abs(np.log(aspect)).max() < math.log(4 / 3) + 0.02
    assert (top + height / 2).mean() == pytest.approx(375 / 2, abs=6)
    assert (left + width / 2).mean() == pytest.approx(500 / 2, abs=9)


@pytest.mark.parametrize("shape", [(10, 1000), (1000, 10), (1, 1), (2, 3)])
def test_random_box_of_odd_images_lies_inside(shape):
    for seed in range(20):
        box = random_box(shape, tf.constant([1, seed], tf.int64), (0.08, 1.0), (3 / 4, 4 / 3))
        top, left, height, width = box.numpy()
        assert 0 <= top <= top + height <= shape[0]
        assert 0 <= left <= left + width <= shape[1]
        assert min(height, width) >= 1


def test_erasing_is_noise_once_normalized():
    record, image = PreprocessConfig(image_size=SIDE), tf.zeros((SIDE, SIDE, 3))
    shares, values = [], []
    seeds = tf.data.Dataset.range(60).map(lambda i: tf.stack([tf.constant(9, tf.int64), i]))
    erased = seeds.map(lambda s: (random_erasing(image, s, 0.5, record), s))
    for found, seed in erased.as_numpy_iterator():
        np.testing.assert_allclose(found, random_erasing(image, seed, 0.5, record), atol=1e-3)
        hit = (found != 0).all(axis=-1)
        if hit.any():
            rows, columns = np.where(hit.any(1))[0], np.where(hit.any(0))[0]
            assert hit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            shares.append(hit.mean())
            values.append((found[hit] / 255 - record.mean) / record.std)
    assert 18 <= len(shares) <= 42
    assert min(shares) > 0.015
    assert max(shares) < 0.36
    assert np.concatenate(values).mean() == pytest.approx(0, abs=0.05)
    assert np.concatenate(values).std() == pytest.approx(1, abs=0.05)
    mean = random_erasing(image, tf.constant([9, 1], tf.int64), 1.0, record, "mean").numpy()
    assert set(np.unique(mean[..., 0])) == {0.0, np.float32(255 * record.mean[0])}


def test_color_jitter_and_pca_noise_stay_in_range(photo):
    seed = tf.constant([4, 4], tf.int64)
    jittered = both_ways(lambda x: color_ops.color_jitter(x, seed, (0.4, 0.4, 0.4)), photo)
    lit = both_ways(lambda x: color_ops.pca_noise(x, seed, 0.1), photo)
    for found in (jittered, lit):
        assert found.min() >= 0
        assert found.max() <= 255
    shift = (lit - np.asarray(photo)).reshape(-1, 3)
    assert np.abs(shift - shift[0]).max() < 1e-3  # one shift for all pixels
    assert np.abs(shift[0]).max() > 0.1


def test_every_field_changes_the_image(photo):
    record, seed = PreprocessConfig(image_size=SIDE, crop_pct=1.0), tf.constant([1, 7], tf.int64)
    pixels = tf.constant(np.asarray(photo))
    plain = augment_image(pixels, seed, NONE, record).numpy()
    np.testing.assert_allclose(plain, pixels, atol=0.01)
    for fields in ({"crop": "random_resized"}, {"crop": "random"}, {"hflip_prob": 1.0},
                   {"brightness": 0.5}, {"contrast": 0.5}, {"saturation": 0.5},
                   {"pca_std": 0.5}, {"erasing_prob": 1.0},
                   {"randaugment_ops": 8}):  # fmt: skip
        found = augment_image(
            pixels, seed, Augmentation(**{"crop": "center", "hflip_prob": 0.0} | fields), record
        )
        assert np.abs(found - plain).mean() > 0.1, fields
    flipped = augment_image(pixels, seed, Augmentation(crop="center", hflip_prob=1.0), record)
    np.testing.assert_array_equal(flipped, plain[:, ::-1])


@pytest.mark.parametrize(
    "wrong",
    [{"crop": "padded"}, {"scale": (0.0, 1.0)}, {"scale": (0.5, 0.2)}, {"scale": 0.5},
     {"ratio": (0, 1)}, {"hflip_prob": 1.5}, {"erasing_prob": -0.1}, {"mixup_alpha": -1.0},
     {"label_smoothing": 1.0},
     {"magnitude": 11}, {"randaugment_ops": 2.0}, {"padding": -1}, {"erasing_mode": "black"},
     {"interpolation": "nearest"}, {"brightness": 2.0}],
    ids=str,
)  # fmt: skip
def test_error_names_the_wrong_field(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must .*Received: "):
        Augmentation(**wrong)
    with pytest.raises(TypeError):
        Augmentation(mixup=1.0)

"""EXIF orientation: TensorFlow's path turns images as Pillow does, wherever the tag is."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from newnet_tf.data.crops import center_crop, open_image, resized_crop
from newnet_tf.data.datasets.factory import folder_dataset
from newnet_tf.data.orientation import (
    jpeg_orientation,
    orient,
    oriented_shape,
    png_orientation,
    stored_box,
)
from newnet_tf.data.pipeline import eval_input_pipeline
from newnet_tf.data.preprocess import crop_image, preprocess_image, tf_preprocess
from newnet_tf.models.config import PreprocessConfig

TAG = 0x0112
ALL = range(1, 9)
CONFIG = PreprocessConfig(image_size=48)
FORMATS = {"JPEG": {"quality": 92, "subsampling": 0}, "PNG": {}}
NO_MORE = 0.1  # mean difference to the host may be larger than an untagged file's by this


def encoded(image, kind, orientation=None):
    file, options = io.BytesIO(), dict(FORMATS[kind])
    if orientation:
        options["exif"] = Image.Exif()
        options["exif"][TAG] = orientation
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def photo(images):
    return Image.open(images["coffee.png"]).convert("RGB").resize((150, 110))


def turned(data):
    """The pixels of an encoded image, turned by Pillow."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def both_ways(function, files):
    """What a function gives for encoded images eagerly, after checking that tf.data gives the same."""
    eager = [np.asarray(function(tf.constant(data))) for data in files]
    mapped = tf.data.Dataset.from_tensor_slices(list(files)).map(function).as_numpy_iterator()
    for a, b in zip(eager, mapped, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    return eager


READERS = {"JPEG": jpeg_orientation, "PNG": png_orientation}


@pytest.mark.parametrize("kind", FORMATS)
def test_tag_is_read_from_files_of_pillow(photo, kind):
    files = [encoded(photo, kind), *(encoded(photo, kind, orientation) for orientation in ALL)]
    assert both_ways(READERS[kind], files) == [1, *ALL]


def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def exif_segment(order, kind, orientation):
    """An APP1 segment with two tags, the second of which is the orientation."""
    byte_order = {b"II": "<", b"MM": ">"}[order]
    value = struct.pack(byte_order + ("HH" if kind == 3 else "L"), orientation, *(0,) * (kind == 3))
    tags = struct.pack(byte_order + "HHHL", 2, 0x010F, 2, 1) + b"a\0\0\0"
    tags += struct.pack(byte_order + "HHL", TAG, kind, 1) + value + bytes(4)
    return segment(0xE1, b"Exif\0\0" + order + struct.pack(byte_order + "HL", 42, 8) + tags)


@pytest.mark.parametrize("place", ["first", "after JFIF", "after others"])
@pytest.mark.parametrize("kind", [3, 4], ids=["short", "long"])
@pytest.mark.parametrize("order", [b"II", b"MM"], ids=["little", "big"])
def test_tag_is_read_in_both_byte_orders_and_after_other_segments(photo, order, kind, place):
    plain = encoded(photo, "JPEG")
    others = segment(0xFE, b"a comment") + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")
    others += segment(0xE2, bytes(5000)) + b"\xff"
    before = {
        "first": plain[:2],
        "after JFIF": plain[:20],
        "after others": plain[:20] + others,
    }[place]
    for orientation in ALL:
        rest = plain[2 if place == "first" else 20 :]
        data = before + exif_segment(order, kind, orientation) + rest
        assert int(jpeg_orientation(tf.constant(data))) == orientation
        assert Image.open(io.BytesIO(data)).getexif()[TAG] == orientation


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_bytes_are_no_error(photo, kind):
    data, random = encoded(photo, kind, 6), np.random.default_rng(0)
    read = tf.function(READERS[kind], input_signature=[tf.TensorSpec((), tf.string)])
    for end in range(50, 200):
        assert 1 <= int(read(data[:end])) <= 8
    for _ in range(300):
        damaged = bytearray(data)
        for position in random.integers(2, 90, 4):
            damaged[position] = random.integers(256)
        assert 1 <= int(read(bytes(damaged))) <= 8


@pytest.mark.parametrize("orientation", ALL)
def test_pixels_and_boxes_are_turned_as_by_pillow(photo, orientation):
    data = encoded(photo, "PNG", orientation)
    pixels, expected = np.asarray(photo), turned(data)
    value = tf.constant(orientation)
    np.testing.assert_array_equal(orient(tf.constant(pixels), value), expected)
    shape = oriented_shape(tf.constant(pixels.shape[:2]), value)
    assert tuple(shape.numpy()) == expected.shape[:2]
    top, left, height, width = stored_box(tf.constant([20, 30, 40, 55]), shape, value).numpy()
    part = pixels[top : top + height, left : left + width]
    np.testing.assert_array_equal(orient(tf.constant(part), value), expected[20:60, 30:85])


@pytest.mark.parametrize("kind", FORMATS)
def test_crops_are_those_of_the_turned_image(photo, kind):
    files = [encoded(photo, kind, orientation) for orientation in ALL]

    def crop(data):
        return open_image(data).crop(tf.constant([20, 30, 40, 55]))

    for data, found in zip(files, both_ways(crop, files), strict=True):
        expected = turned(data)
        np.testing.assert_allclose(found, expected[20:60, 30:85], atol=1)
        assert tuple(open_image(tf.constant(data)).shape.numpy()) == expected.shape[:2]


def pixel_values(data):
    """What `tf_preprocess` gives, before its normalization."""
    return (tf_preprocess(CONFIG)(data) * CONFIG.std + CONFIG.mean) * 255


@pytest.mark.parametrize("function", [lambda data: center_crop(data, CONFIG), pixel_values])
@pytest.mark.parametrize("kind", FORMATS)
def test_difference_to_the_host_is_that_of_untagged_files(photo, kind, function):
    """Untagged files of the same turned pixels show how much the two paths differ anyway."""
    tagged = [encoded(photo, kind, orientation) for orientation in ALL]
    untagged = [encoded(Image.fromarray(turned(data)), kind) for data in tagged]
    means = []
    for files in (tagged, untagged):
        pairs = zip(both_ways(function, files), files, strict=True)
        means.append(
            [np.abs(x - crop_image(f, CONFIG).astype(np.float32)).mean() for x, f in pairs]
        )
    for difference, anyway in zip(*means, strict=True):
        assert difference < anyway + NO_MORE


@pytest.mark.parametrize("fold", [1, 2, 4])
def test_large_crops_are_turned_at_lower_resolution(photo, fold):
    side = 48 * fold + 8
    image = photo.resize((side + 40, side + 24))
    files = [encoded(image, "JPEG", orientation) for orientation in ALL]
    box = tf.constant([8, 16, side, side])
    crops = both_ways(lambda data: resized_crop(data, lambda shape: box, 48), files)
    for data, found in zip(files, crops, strict=True):
        image = Image.fromarray(turned(data)).crop((16, 8, 16 + side, 8 + side))
        expected = np.asarray(image.resize((48, 48), Image.Resampling.BILINEAR), np.float32)
        assert np.abs(found - expected).mean() < 5  # a shift by a pixel makes 12


def test_pipeline_turns_every_format(tmp_path, photo):
    """Of WebP and TIFF, which Pillow decodes, as well as of JPEG and PNG."""
    (tmp_path / "only").mkdir()
    exif = Image.Exif()
    exif[TAG] = 6
    for suffix in ("jpg", "png", "webp", "tiff"):
        photo.save(tmp_path / "only" / f"a.{suffix}", exif=exif)
    [(images, _, names)] = eval_input_pipeline(
        folder_dataset(tmp_path), CONFIG, split="all", names=True
    )
    assert len(images) == 4
    for image, name in zip(images.numpy(), names.numpy(), strict=True):
        expected = preprocess_image(name.decode(), CONFIG)
        stored = preprocess_image(name.decode(), CONFIG, exif=False)
        assert np.abs(image - expected).mean() < 0.02, name
        if not name.endswith(b"tiff"):  # which Pillow always turns
            assert np.abs(image - stored).mean() > 0.2, name


def test_serving_signature_turns_encoded_images(tmp_path, photo):
    prepare = tf_preprocess(CONFIG)
    module = tf.Module()
    module.prepare = tf.function(prepare, input_signature=[tf.TensorSpec((), tf.string)])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    for orientation in (1, 3, 6):
        data = encoded(photo, "JPEG", orientation)
        difference = np.abs(loaded.prepare(data) - preprocess_image(data, CONFIG))
        assert difference.mean() < 0.001

"""Preprocessing: torchvision's pixels, and the same pixels on the host, in `tf.data` and in models.

Differences are in pixel values (1/255 of the range), with each config's std undone, so that a bound
means the same for all. Measured: host against torchvision 0.05 (the golden file's float16); tf.data
against host at most 1, 0.003 on average, on JPEG as on PNG (the decoders give equal pixels, and
Pillow's two roundings are repeated).
"""

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from newnet_tf.data import preprocess as module
from newnet_tf.data.images import ImageError
from newnet_tf.data.preprocess import (
    Transform,
    crop_image,
    normalization_layer,
    normalize,
    preprocess_image,
    resize_image,
    tf_preprocess,
)
from newnet_tf.data.resize import LONGEST
from newnet_tf.models.config import PreprocessConfig

GOLDEN = Path(__file__).parent / "golden" / "preprocess.npz"
STRIDE = 8
TO_TORCHVISION = 0.1  # largest difference: half of float16's step at 2.6 is 0.056
LARGEST, MEAN = 1.1, 0.02  # tf.data to host: one other rounding a pixel, rarely
BACKWARDS = {"mean": (0.2, 0.5, 0.7), "std": (0.1, 0.2, 0.3)}
RECORDS = (
    PreprocessConfig(),
    PreprocessConfig(image_size=97, crop_pct=0.882, **BACKWARDS),
    PreprocessConfig(image_size=160, interpolation="bilinear"),
    PreprocessConfig(image_size=192, resize_mode="stretch"),
    PreprocessConfig(image_size=64, mean=(0.4,), std=(0.3,)),
)
RAW = {"interpolation": "bilinear", "antialias": False}
UNROUNDED = (
    PreprocessConfig(image_size=97, crop_pct=0.882, **RAW, **BACKWARDS),
    PreprocessConfig(
        image_size=61, resize_mode="stretch", half_pixel_centers=False, channel_order="BGR", **RAW
    ),
    PreprocessConfig(image_size=40, half_pixel_centers=False, mean=(0.4,), std=(0.3,), **RAW),
)


def levels(a, b, config):
    """Absolute difference in pixel values."""
    return np.abs(np.asarray(a, np.float64) - b) * np.array(config.std) * 255


def golden():
    """[(config, image's name, every eighth of torchvision's pixels)]."""
    with np.load(GOLDEN) as file:
        arrays = dict(file)
    cases = []
    for key in [k for k in arrays if k.startswith("config")]:
        fields = json.loads(str(arrays[key]))
        config = PreprocessConfig(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        )
        for name in ("chelsea.png", "rocket.jpg"):
            cases.append((config, name, arrays[f"{name}{key.removeprefix('config')}"]))
    return cases


GOLDEN_CASES = golden()
IDS = [f"{n}-{r.resize}-{r.image_size}-{r.interpolation}" for r, n, _ in GOLDEN_CASES]


@pytest.mark.parametrize(("config", "name", "expected"), GOLDEN_CASES, ids=IDS)
def test_host_equals_torchvision(images, config, name, expected):
    found = preprocess_image(images[name], config)
    assert found.shape == (config.image_size, config.image_size, 3)
    assert found.dtype == np.float32
    assert levels(found[::STRIDE, ::STRIDE], expected, config).max() < TO_TORCHVISION


VARIANCE = tuple(s**2 for s in PreprocessConfig().std)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": (0.485, 0.456, 0.407)},
        {"mean": (0.406, 0.456, 0.485)},
        {"std": VARIANCE},
        {"std": (0.229, 0.224, 0.226)},
        {"interpolation": "bilinear"},
        {"crop_pct": 0.879},
    ],
    ids=["mean", "bgr", "variance", "std", "interpolation", "resize"],
)
def test_golden_file_detects_a_wrong_config(images, wrong):
    config, name, expected = GOLDEN_CASES[0]
    found = preprocess_image(images[name], dataclasses.replace(config, **wrong))
    assert levels(found[::STRIDE, ::STRIDE], expected, config).max() > 2 * TO_TORCHVISION


def test_golden_file_detects_another_rounding_of_the_crop(images, monkeypatch):
    """0.95 leaves 129 columns and 11 rows over: halves 64.5 -> 64 and 5.5 -> 6, to even."""
    config, name, expected = next(case for case in GOLDEN_CASES if case[0].resize == 235)
    axis = module.plan_axis

    def floored(length, other, preprocess, minimum):
        plan = axis(length, other, preprocess, minimum)
        return plan._replace(offset=(plan.resized - preprocess.image_size) // 2)

    monkeypatch.setattr(module, "plan_axis", floored)
    found = preprocess_image(images[name], config)
    assert levels(found[::STRIDE, ::STRIDE], expected, config).max() > 5


@pytest.mark.parametrize("spare", range(12))
def test_crop_offset_rounds_halves_to_even(spare):
    config = PreprocessConfig(image_size=100, crop_pct=1.0)
    plan = module.plan_axis(100 + spare, 100, config, min)
    assert plan.resized == 100 + spare
    assert plan.offset == round(spare / 2)


def image_files(images):
    """{kind: encoded bytes}: real JPEG and PNG, and other kinds made of a real image."""
    photo = Image.open(images["chelsea.png"]).convert("RGB")
    small = photo.resize((131, 97))
    files = {name: path.read_bytes() for name, path in images.items()}
    made = {
        "gray.jpg": (photo.convert("L"), {}),
        "cmyk.jpg": (photo.convert("CMYK"), {}),
        "progressive.jpg": (photo, {"progressive": True, "subsampling": 2}),
        "gray.png": (photo.convert("L"), {}),
        "alpha.png": (photo.convert("RGBA"), {}),
        "palette.png": (photo.quantize(64), {}),
        "sixteen.png": (Image.fromarray(np.asarray(photo)[..., 0].astype(np.uint16) * 257), {}),
        "animated.gif": (small, {"save_all": True, "append_images": [small.rotate(90)]}),
        "tiny.png": (photo.resize((1, 1)), {}),
        "wide.png": (photo.resize((500, 3)), {}),
        "tall.png": (photo.resize((2, 300)), {}),
    }
    for name, (image, options) in made.items():
        file = io.BytesIO()
        kind = {"jpg": "JPEG"}.get(name[-3:], name[-3:].upper())
        image.save(file, kind, **options)
        files[name] = file.getvalue()
    return files


@pytest.fixture(scope="module")
def files(images):
    return image_files(images)


@pytest.mark.parametrize("config", RECORDS, ids=str)
def test_tf_data_equals_host_on_every_file_format(files, config):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(list(files.values())).map(tf_preprocess(config))
    assert dataset.element_spec.shape == config.shape
    for (name, data), found in zip(files.items(), dataset.as_numpy_iterator(), strict=True):
        difference = levels(preprocess_image(data, config), found, config)
        assert difference.max() < LARGEST, name
        assert difference.mean() < MEAN, name


@pytest.mark.parametrize(
    "config",
    [
        PreprocessConfig(image_size=64, resize_mode="letterbox"),
        PreprocessConfig(image_size=64, resize_mode="fit", magnification=1.3),
        PreprocessConfig(
            image_size=64, resize_mode="letterbox", interpolation="bilinear", antialias=False
        ),
    ],
    ids=["letterbox", "fit", "letterbox without antialiasing"],
)
def test_modes_that_keep_the_aspect_are_the_same_in_tensorflow(files, config):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(list(files.values())).map(tf_preprocess(config))
    for (name, data), found in zip(files.items(), dataset.as_numpy_iterator(), strict=True):
        expected = preprocess_image(data, config)
        assert found.shape == expected.shape, name
        assert levels(expected, found, config).max() < LARGEST, name


@pytest.mark.parametrize("config", UNROUNDED, ids=str)
def test_without_antialiasing_tensorflow_and_host_compute_the_same_floats(files, config):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(list(files.values())).map(tf_preprocess(config))
    for (name, data), found in zip(files.items(), dataset.as_numpy_iterator(), strict=True):
        difference = levels(preprocess_image(data, config), found, config)
        assert difference.max() < 1e-3, name


def interpolated(pixels, height, width, corner):
    """Bilinear interpolation as torch and TensorFlow define it, a pixel at a time, in float64.

    `corner`: where a pixel is sampled: 0.5, its center, or 0, as TensorFlow 1 does.
    """

    def between(size, length):
        for i in range(length):
            place = max((i + corner) * size / length - corner, 0)
            first = int(place)
            yield first, min(first + 1, size - 1), place - first

    result = np.zeros((height, width, pixels.shape[2]))
    for i, (top, bottom, down) in enumerate(between(len(pixels), height)):
        for j, (left, right, across) in enumerate(between(pixels.shape[1], width)):
            first = (1 - across) * pixels[top, left] + across * pixels[top, right]
            second = (1 - across) * pixels[bottom, left] + across * pixels[bottom, right]
            result[i, j] = (1 - down) * first + down * second
    return result


@pytest.mark.parametrize("corner", [0.5, 0.0])
@pytest.mark.parametrize("shape", [(37, 50), (9, 11), (1, 7)])
def test_pixels_without_antialiasing_are_bilinear_interpolation(shape, corner):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    config = PreprocessConfig(
        image_size=16, resize_mode="stretch", half_pixel_centers=bool(corner), **RAW
    )
    expected = interpolated(pixels, 16, 16, corner)
    found = resize_image(pixels, config)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(crop_image(pixels, config), np.round(found))
    assert crop_image(pixels, config).dtype == np.uint8
    np.testing.assert_array_equal(preprocess_image(pixels, config), normalize(found, config))


def test_pixels_without_antialiasing_are_tensorflows(images):
    import tensorflow as tf

    pixels = np.array(Image.open(images["rocket.jpg"]).convert("RGB"))
    config = PreprocessConfig(image_size=64, resize_mode="stretch", **RAW)
    expected = tf.image.resize(pixels, (64, 64), "bilinear", antialias=False)
    np.testing.assert_allclose(resize_image(pixels, config), expected, atol=1e-3)
    legacy = dataclasses.replace(config, half_pixel_centers=False)
    expected = tf.compat.v1.image.resize_bilinear(
        pixels[None], (64, 64), align_corners=False, half_pixel_centers=False
    )[0]
    np.testing.assert_allclose(resize_image(pixels, legacy), expected, atol=1e-3)
    assert np.abs(resize_image(pixels, config) - expected).max() > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"antialias": False},
            "`antialias` must be True, or False with `interpolation='bilinear'`",
        ),
        ({"antialias": 0, "interpolation": "bilinear"}, "Received: antialias=0"),
        ({"half_pixel_centers": False}, "`half_pixel_centers` must be True, or False with"),
        ({"half_pixel_centers": 0, **RAW}, "Received: half_pixel_centers=0"),
    ],
)
def test_antialias_and_half_pixel_centers_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        PreprocessConfig(**options)


def test_records_without_the_resize_options_are_antialiased():
    config = UNROUNDED[1]
    values = json.loads(json.dumps(dataclasses.asdict(config)))
    assert PreprocessConfig.from_dict(values) == config
    del values["half_pixel_centers"], values["antialias"]
    earlier = PreprocessConfig.from_dict(values)
    assert (earlier.antialias, earlier.half_pixel_centers) == (True, True)
    assert "without antialiasing, sampled at pixel corners" in repr(Transform(config))


def test_tf_eagerly_on_pixels_equals_host(images):
    for name in ("chelsea.png", "rocket.jpg"):
        pixels = np.array(Image.open(images[name]).convert("RGB"))
        found = tf_preprocess(RECORDS[0])(pixels)
        difference = levels(preprocess_image(pixels, RECORDS[0]), found, RECORDS[0])
        assert difference.max() < LARGEST
        assert difference.mean() < MEAN


def test_one_channel_is_pillows_gray(images):
    config = PreprocessConfig(image_size=90, crop_pct=1.0, mean=(0.4,), std=(0.3,))
    image = Image.open(images["chelsea.png"]).convert("RGB").crop((0, 0, 90, 90))
    colors, gray = np.array(image), np.array(image.convert("L"))[..., None]
    for source in (image, colors, gray):
        np.testing.assert_array_equal(crop_image(source, config), gray)
    expected = normalize(gray, config)
    np.testing.assert_allclose(expected, (gray / 255 - 0.4) / 0.3, atol=1e-5)
    transform = Transform(config)
    np.testing.assert_array_equal(transform(gray[None]), expected[None])
    for source in (colors, gray):
        np.testing.assert_allclose(transform.tf(source), expected, atol=1e-5)


def test_gray_pixels_are_repeated_for_a_config_of_three_channels(images):
    gray = np.array(Image.open(images["chelsea.png"]).convert("L"))[..., None]
    repeated = np.repeat(gray, 3, axis=-1)
    transform = Transform(RECORDS[2])
    np.testing.assert_array_equal(transform(gray), transform(repeated))
    np.testing.assert_array_equal(transform.tf(gray), transform.tf(repeated))


@pytest.mark.parametrize("wrong", [{"interpolation": "bilinear"}, {"crop_pct": 0.879}], ids=str)
def test_bound_between_host_and_tf_data_detects_a_wrong_config(images, wrong):
    path = images["rocket.jpg"]
    found = tf_preprocess(dataclasses.replace(RECORDS[0], **wrong))(path.read_bytes())
    difference = levels(preprocess_image(path, RECORDS[0]), found, RECORDS[0])
    assert difference.max() > 10 * LARGEST
    assert difference.mean() > 10 * MEAN


def test_tf_preprocess_raises_for_other_input():
    import tensorflow as tf

    transform = tf_preprocess(PreprocessConfig())
    with pytest.raises(ValueError, match="Received: dtype=float32"):
        transform(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ValueError, match=r"shape=\(4, 4, 4\)"):
        transform(np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError):
        transform(b"no image")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("config", [RECORDS[1], RECORDS[-1]], ids=str)
def test_normalization_of_layers_and_tensors_equals_host(config, dtype, tmp_path):
    import keras

    shape = (8, 9, config.channels)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(dtype)
    image = keras.Input(shape, dtype=dtype)
    model = keras.Model(image, [normalization_layer(image, config), normalize(image, config)])
    model.save(tmp_path / "normalize.keras")
    loaded = keras.models.load_model(tmp_path / "normalize.keras")
    expected = normalize(pixels, config)
    tensor = keras.ops.convert_to_tensor(pixels)
    outputs = [*model(pixels), *loaded(pixels), normalize(tensor, config)]
    for found in outputs:
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert isinstance(model.get_layer("normalize"), keras.layers.Rescaling)


def test_normalization_layer_stays_float32_under_mixed_precision():
    import keras

    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        x = normalization_layer(keras.Input((8, 8, 3), dtype="uint8"), PreprocessConfig())
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert x.dtype == "float32"


def test_normalize_subtracts_mean_and_divides_by_std():
    config = RECORDS[1]
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3)).astype(np.uint8)
    expected = (pixels / 255 - np.array(config.mean)) / np.array(config.std)
    found = normalize(pixels, config)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(normalize(pixels.tolist(), config), found)


@pytest.mark.parametrize("shape", [(), (4, 4), (3, 4, 4), (4, 4, 1)])
def test_normalize_needs_three_channels(shape):
    with pytest.raises(ValueError, match=r"shape \(..., 3\). Received: shape="):
        normalize(np.zeros(shape), PreprocessConfig())


def test_normalize_needs_one_channel_for_gray():
    with pytest.raises(ValueError, match=r"shape \(..., 1\). Received: shape=\(4, 4, 3\)"):
        normalize(np.zeros((4, 4, 3)), RECORDS[-1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 20000), (20000, 1), (2000, 1), (7, 3000)])
def test_any_aspect_works_in_bounded_memory(shape):
    config = PreprocessConfig()
    height, width = shape
    for side, other in ((height, width), (width, height)):
        assert module.plan_axis(side, other, config, min).resized <= config.resize * LONGEST
    pixels = np.zeros((*shape, 3), np.uint8)
    ramp = np.linspace(0, 250, max(shape))[:, None]
    pixels[...] = ramp[:, None] if height > width else ramp
    found = crop_image(pixels, config)
    assert found.shape == (224, 224, 3)
    assert np.abs(found.astype(int) - pixels[height // 2, width // 2]).max() <= 2  # the center


def test_transform_takes_one_or_many(images):
    config = PreprocessConfig(image_size=32)
    transform = Transform(config)
    path = images["chelsea.png"]
    image = Image.open(path).convert("RGB")
    pixels = np.array(image)
    expected = preprocess_image(path, config)[None]
    batch = np.stack([pixels, pixels])
    for source in (path, str(path), path.read_bytes(), image, pixels, [path], (pixels,)):
        np.testing.assert_array_equal(transform(source), expected)
    np.testing.assert_array_equal(transform(batch), np.concatenate([expected, expected]))
    assert transform.preprocess is config
    assert transform.tf(pixels).shape == (32, 32, 3)
    assert "center crop 32 px" in repr(transform)
    with pytest.raises(ValueError, match="Received: none"):
        transform([])
    with pytest.raises(ImageError, match="shape="):
        transform(pixels[..., 0])


def test_host_form_loads_no_framework():
    code = (
        "import sys, numpy as np\n"
        "from newnet_tf.models.config import PreprocessConfig\n"
        "from newnet_tf.data.preprocess import Transform, normalize\n"
        "Transform(PreprocessConfig())(np.zeros((9, 9, 3), np.uint8))\n"
        "normalize(np.zeros((9, 3)), PreprocessConfig())\n"
        "found = {'tensorflow', 'keras', 'torch', 'jax'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

"""Reading images: every format becomes uint8 RGB, an unreadable file is a clear error or counted."""

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from newnet_tf.data.images import ImageError, list_images, read_image, read_images

HEIGHT, WIDTH = 24, 32


@pytest.fixture(scope="module")
def colors():
    """Smooth uint8 RGB pixels, whose corners differ."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 8, y * 10, 255 - x * 4 - y * 5], axis=-1).astype(np.uint8)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def as_image(colors, mode):
    return Image.fromarray(colors).convert(mode)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_rgb_is_kept(colors, kind):
    data = encoded(as_image(colors, "RGB"), kind)
    np.testing.assert_array_equal(read_image(data), colors)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_gray_is_repeated(colors, mode):
    gray = as_image(colors, mode)
    image = read_image(encoded(gray, "PNG"))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.dtype == np.uint8
    expected = np.asarray(gray.convert("L"))
    for channel in range(3):
        np.testing.assert_array_equal(image[..., channel], expected)


def test_alpha_is_dropped_not_blended(colors):
    image = as_image(colors, "RGBA")
    image.putalpha(0)
    np.testing.assert_array_equal(read_image(encoded(image, "PNG")), colors)


@pytest.mark.parametrize("transparency", [0, bytes([0, 128, 255])])
def test_palette_with_transparency_keeps_its_colors(colors, transparency):
    palette = as_image(colors, "RGB").quantize(16)
    image = read_image(encoded(palette, "PNG", transparency=transparency))
    np.testing.assert_array_equal(image, np.asarray(palette.convert("RGB")))


def test_cmyk_jpeg_has_the_right_colors(colors):
    image = read_image(encoded(as_image(colors, "CMYK"), "JPEG", quality=100, subsampling=0))
    assert np.abs(image.astype(int) - colors).max() <= 6  # inverted inks would be off by 100s


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PGM"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    values = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    if kind == "PGM":
        data = b"P5\n%d %d\n65535\n" % (WIDTH, HEIGHT) + values.astype(">u2").tobytes()
    else:
        data = encoded(Image.fromarray(values), kind)
    image = read_image(data)
    np.testing.assert_array_equal(image[..., 0], values >> 8)
    assert len(np.unique(image)) == 256


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(colors, kind):
    first, second = as_image(colors, "RGB"), Image.new("RGB", (WIDTH, HEIGHT), "red")
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(first, kind, save_all=True, append_images=[second], **options)
    assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(data))))) == 2
    close = 40 if kind == "GIF" else 0  # 256 colors
    assert np.abs(read_image(data).astype(int) - colors).max() <= close


def test_one_pixel():
    image = Image.new("RGB", (1, 1), (1, 2, 3))
    np.testing.assert_array_equal(read_image(encoded(image, "PNG")), [[[1, 2, 3]]])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_turns_the_image(colors, kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held turned: show it 90 degrees clockwise
    data = encoded(as_image(colors, "RGB"), kind, exif=exif)
    plain = read_image(data, exif=False)
    assert plain.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(read_image(data), np.rot90(plain, k=-1))


def test_path_bytes_and_arrays_give_the_same_pixels(colors, tmp_path):
    path = tmp_path / "a.png"
    image = as_image(colors, "RGB")
    image.save(path)
    for source in (path, str(path), path.read_bytes(), image, colors):
        np.testing.assert_array_equal(read_image(source), colors)


def test_a_gray_array_is_repeated(colors):
    found = read_image(colors[..., :1])
    np.testing.assert_array_equal(found, np.repeat(colors[..., :1], 3, axis=-1))


def test_pil_image_is_not_changed(colors):
    image = as_image(colors, "RGB")
    read_image(image)[:] = 0
    np.testing.assert_array_equal(np.asarray(image), colors)


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """{what is wrong: (file, words that its error must have)}."""
    folder = tmp_path_factory.mktemp("bad")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)  # no byte to spare
    whole = {k: encoded(as_image(noise, "RGB"), k) for k in ("JPEG", "PNG", "GIF", "WEBP")}
    contents = {
        "empty": (b"", "0 bytes"),
        "text": (b"this is no image, whatever its name says\n", "no known format"),
        "zeros": (bytes(1000), "no known format"),
        "float": (encoded(Image.new("F", (3, 3), 0.5), "TIFF"), "mode 'F'"),
    }
    for kind, data in whole.items():
        contents[f"cut_{kind}"] = (data[: len(data) * 9 // 10], "truncated or damaged")
    damaged = bytearray(whole["PNG"])
    damaged[len(damaged) // 2] ^= 0xFF
    contents["flipped_PNG"] = (bytes(damaged), "truncated or damaged")
    files = {}
    for name, (data, words) in contents.items():
        files[name] = (folder / f"{name}.jpg", words)
        files[name][0].write_bytes(data)
    files["missing"] = (folder / "nowhere.jpg", "no file is")
    files["folder"] = (folder, "a folder")
    return files


NAMES = ("empty", "text", "zeros", "float", "cut_JPEG", "cut_PNG", "cut_GIF", "cut_WEBP")


@pytest.mark.parametrize("name", [*NAMES, "flipped_PNG", "missing", "folder"])
def test_bad_file_is_a_clear_error(bad_files, name):
    path, words = bad_files[name]
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert str(path) in message
    assert "an image must" in message
    assert words in message.split("Received: ")[1]


@pytest.mark.parametrize("cut", range(0, 700, 7))
def test_jpeg_cut_anywhere_is_an_error(colors, cut):
    data = encoded(as_image(colors, "RGB"), "JPEG")
    with pytest.raises(ImageError, match="bytes"):
        read_image(data[: min(cut, len(data) - 3)])


@pytest.mark.parametrize("factor", [1.5, 3])  # Pillow warns from 1, raises from 2
def test_absurdly_large_is_an_error(monkeypatch, tmp_path, factor):
    path = tmp_path / "huge.png"
    Image.new("RGB", (200, 100)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(20000 / factor))
    with pytest.raises(ImageError, match=r"huge\.png: an image must have at most \d+ pixels"):
        read_image(path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
    ],
    ids=["rank", "dtype", "empty", "channels"],
)
def test_array_must_be_uint8_rgb(array):
    with pytest.raises(ImageError, match=r"Received: dtype=.*shape="):
        read_image(array)


def test_error_names_the_type_of_another_source():
    with pytest.raises(ImageError, match="Received: int"):
        read_image(3)


def test_list_images_is_sorted_recursive_and_visible(tmp_path, colors):
    for name in ("b.PNG", "a/z.jpeg", "a/b/c.webp", ".hidden.png", ".cache/x.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = [p.relative_to(tmp_path).as_posix() for p in list_images(tmp_path)]
    assert found == ["a/b/c.webp", "a/z.jpeg", "b.PNG"]


def test_list_images_without_any(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ImageError, match="which has none"):
        list_images(tmp_path)
    with pytest.raises(ImageError, match="existing folder"):
        list_images(tmp_path / "nowhere")


def test_read_images_skips_counts_and_names(bad_files, colors, tmp_path):
    good = tmp_path / "good.png"
    as_image(colors, "RGB").save(good)
    bad = [bad_files["empty"][0], bad_files["cut_PNG"][0]]
    reader = read_images([bad[0], good, bad[1], good])
    with pytest.warns(UserWarning, match=r"2 of 4 images skipped:\n.*empty.*\n.*cut_PNG"):
        positions = [position for position, _ in reader]
    assert positions == [1, 3]
    assert reader.num_read == 2
    assert [b.path for b in reader.skipped] == [str(b) for b in bad]
    assert "0 bytes" in reader.skipped[0].reason


def test_read_images_raises_if_asked(bad_files):
    with pytest.raises(ImageError, match="0 bytes"):
        list(read_images([bad_files["empty"][0]], on_error="raise"))
    with pytest.raises(ValueError, match="Received: on_error='ignore'"):
        read_images([], on_error="ignore")

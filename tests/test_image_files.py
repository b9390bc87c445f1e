"""Files of a folder: images by content, links once, any bytes as names, everything else named."""

import io
import os
import time

import numpy as np
import pytest
from PIL import Image

from newnet_tf.data import image_files, images
from newnet_tf.data.image_files import (
    SkippedImage,
    display_name,
    find_images,
    image_format,
    summarize_skipped,
)
from newnet_tf.data.images import ImageError, read_image

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def encoded(kind, color=(200, 30, 40)):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), color).save(file, kind)
    return file.getvalue()


def names(found, root):
    return [path.relative_to(root).as_posix() for path in found.paths]


def write(root, **files):
    for name, data in files.items():
        (root / name).write_bytes(data)
    return root


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WebP", "BMP", "TIFF", "PPM"])
def test_format_is_known_by_content(kind):
    assert image_format(encoded(kind)[:32]) == kind


def test_heic_is_told_from_other_containers():
    assert image_format(HEIC) == "HEIC"
    assert image_format(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf") == "AVIF"
    assert image_format(b"\0\0\0\x1cftypisom\0\0\0\0isomiso2mp41") is None  # a video
    assert [image_format(data) for data in (b"", b"BM and text", b"Portrait", b"%PDF")] == [
        None
    ] * 4


def test_images_are_found_by_content_where_the_suffix_does_not_tell(tmp_path):
    contents = {
        "a.jfif": encoded("JPEG"),
        "b": encoded("PNG"),
        "c.dat": encoded("WebP"),
        "d.jpg": b"damaged",  # named when it is read
        "e.txt": b"text",
        "f.dng": encoded("TIFF"),
    }
    found = find_images(write(tmp_path, **contents))
    assert names(found, tmp_path) == ["a.jfif", "b", "c.dat", "d.jpg"]
    assert [(os.path.basename(s.path), s.reason) for s in found.skipped] == [
        ("e.txt", "no image"),
        ("f.dng", "a raw file of a camera; convert it to JPEG or TIFF"),
    ]


def test_what_systems_leave_behind_is_ignored_silently(tmp_path):
    for folder in ("@eaDir", "__MACOSX", ".cache", "a"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, **{"x.jpg": encoded("JPEG")})
    write(tmp_path, **{"Thumbs.db": b"1", ".DS_Store": b"1", "._x.jpg": b"1", "desktop.ini": b"1"})
    found = find_images(tmp_path)
    assert (names(found, tmp_path), found.skipped) == (["a/x.jpg"], ())


def test_heic_that_cannot_be_read_is_named_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "reads_format", lambda name: False)
    monkeypatch.setattr(images, "reads_format", lambda name: False)
    write(tmp_path, **{"a.heic": HEIC, "b.jpg": HEIC})
    found = find_images(tmp_path)
    assert "pip install pillow-heif" in found.skipped[0].reason
    with pytest.raises(
        ImageError, match=r"b\.jpg.*a HEIC image; to read it: pip install pillow-heif"
    ):
        read_image(found.paths[0])


def test_links_are_followed_once(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "a", outside / "deep"):
        folder.mkdir(parents=True)
        write(folder, **{"x.jpg": encoded("JPEG")})
    for name in ("b", "c"):
        (root / name).symlink_to(outside)
    (outside / "back").symlink_to(root)
    (root / "a" / "loop").symlink_to(root / "a")
    (root / "a" / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "a" / "y.jpg").symlink_to(outside / "deep" / "x.jpg")
    found = find_images(root)
    assert names(found, root) == ["a/x.jpg", "a/y.jpg", "b/deep/x.jpg"]
    reasons = {os.path.relpath(s.path, root): s.reason for s in found.skipped}
    again = "a link to a folder that is read already"
    assert reasons == {
        "a/loop": again,
        "a/lost.jpg": "a link to nothing",
        "b/back": again,
        "c": again,
    }


def test_names_of_any_bytes_are_read_and_shown(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg")
    with open(path, "wb") as file:
        file.write(encoded("JPEG"))
    found = find_images(tmp_path)
    assert read_image(found.paths[0]).shape == (6, 8, 3)
    assert display_name(found.paths[0]).endswith("/caf\\xe9.jpg")
    os.truncate(path, 9)
    with pytest.raises(ImageError, match=r"caf\\xe9.jpg: an image must") as caught:
        read_image(found.paths[0])
    str(caught.value).encode()  # can be printed


def test_a_large_folder_is_listed_in_seconds(tmp_path):
    for number in range(2000):
        open(tmp_path / f"{number}.jpg", "w").close()
    begin = time.monotonic()
    assert len(find_images(tmp_path).paths) == 2000
    assert time.monotonic() - begin < 2


def test_skipped_files_are_summarized_by_reason():
    skipped = tuple(SkippedImage(f"{i}.txt", "no image") for i in range(5))
    skipped += (SkippedImage("a.jpg", "a.jpg: an image must be whole. Received: no bytes"),)
    assert summarize_skipped(skipped).splitlines() == [
        "5 files left out: no image (0.txt, 1.txt, 2.txt, ...)",
        "1 file left out: an image must be whole. Received: no bytes (a.jpg)",
    ]


def sixteen_bits(values):
    file = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint16)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_values_of_fewer_bits_in_16_are_scaled_by_the_bits_in_use(bits, capsys, monkeypatch):
    monkeypatch.setattr(images, "_NOTED", set())
    values = np.linspace(0, 2**bits - 1, 600).astype(np.uint16).reshape(20, 30)
    for _ in range(2):
        pixels = read_image(sixteen_bits(values))
        np.testing.assert_array_equal(pixels[..., 0], values >> (bits - 8))
    assert pixels.max() == 255
    note = f"whose values fit in {bits} bits is scaled as one of {bits} bits"
    assert capsys.readouterr().err.count(note) == 1


def test_full_range_and_black_images_of_16_bits_stay_as_they_were(capsys, monkeypatch):
    monkeypatch.setattr(images, "_NOTED", set())
    values = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    np.testing.assert_array_equal(read_image(sixteen_bits(values))[..., 0], values >> 8)
    assert not read_image(sixteen_bits(0 * values)).any()
    assert capsys.readouterr().err == ""

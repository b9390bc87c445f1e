"""The page in headless Chromium: its predictions are Python's, and all requests go to its host."""

import contextlib
import http.server
import json
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import small_network
from PIL import Image, PngImagePlugin

from newnet_tf.cli import main
from newnet_tf.data.images import read_image
from newnet_tf.deploy import DEFAULT_PRECISIONS, Runner
from newnet_tf.web import EngineError, build_site, litert_js
from tools import browser
from tools.check_web import (
    CLEAR,
    FIVE,
    PREDICTED,
    PREDICTIONS,
    READY,
    choose,
    difference,
    opened,
    pixels_of,
    served,
    use,
)

pytestmark = pytest.mark.slow
# How far a probability may lie from Python's. Another order of summing moves a float32 logit by 1e-5 at
# most; integers are the same, but for int8-dynamic, where so small a move may take an activation to the
# next of its 256 steps.
TOLERANCES = {"int8-full": 1e-6, "fp32": 1e-5, "fp16": 1e-5, "int8-dynamic": 1e-3}
FAILED = "!document.querySelector('#error').hidden && document.querySelector('#error').textContent"
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module", autouse=True)
def needed():
    """Skips where there is no Chromium, or LiteRT.js cannot be had."""
    if browser.executable() is None:
        pytest.skip("Chromium is not here (apt-get install chromium)")
    try:
        litert_js.files()
    except EngineError as error:
        pytest.skip(f"LiteRT.js is not to be had here: {error}")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder with the small network's files."""
    results = small_network.exported(tmp_path_factory.getbasetemp())
    return results["fp32"].file.parent


@pytest.fixture(scope="module")
def folder(exported, tmp_path_factory, images):
    """A site of the small network."""
    files = [exported / f"small.{precision}.tflite" for precision in reversed(DEFAULT_PRECISIONS)]
    names = [f"kind {number}" for number in range(small_network.CLASSES)]
    folder = tmp_path_factory.mktemp("web") / "site"
    return build_site(files, folder, names, example=images["chelsea.png"]).folder


def compare(page, folder, exported, images):
    """Puts images through the page by all its models, and through Python's LiteRT."""
    about = json.loads((folder / "site.json").read_text(encoding="utf-8"))
    for model in about["models"]:
        runner = Runner(exported / f"{about['model']}.{model['kind']}.tflite")
        use(page, model["kind"])
        for image in images:
            assert difference(page, runner, about["labels"], image) <= TOLERANCES[model["kind"]]
            if image.suffix == ".png":  # without loss: decoders cannot differ
                assert np.array_equal(pixels_of(page), read_image(image))


@pytest.fixture
def five(images):
    """Five photographs of scikit-image's."""
    return [images["chelsea.png"].with_name(name) for name in FIVE]


def test_predictions_are_those_of_python_on_several_threads(folder, exported, five):
    with served(folder) as address, browser.chromium() as page:
        opened(page, address)
        assert "threads" in page.run("return document.querySelector('#engine').textContent")
        compare(page, folder, exported, five)
        assert_all_from(page, address)


def test_predictions_are_those_of_python_on_a_plain_host_in_a_subfolder(folder, exported, five):
    with plain_host(folder.parent) as host, browser.chromium() as page:
        address = f"{host}/{folder.name}/"
        opened(page, address)
        assert page.run("return document.querySelector('#engine').textContent") == "1 thread."
        compare(page, folder, exported, five)
        assert_all_from(page, address)


def assert_all_from(page, address):
    asked = [a.removeprefix("blob:") for a in page.requests if a != "about:blank"]
    assert len(asked) > 15
    host = address[: address.index("/", len("http://")) + 1]  # all that an image's blob: names
    assert [a for a in asked if not a.startswith(host)] == []


@contextlib.contextmanager
def plain_host(folder):
    """Serves a folder as `python -m http.server` does, without any header of ours."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://localhost:{running.server_port}"
        running.shutdown()


def test_turned_images_and_odd_files(folder, tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (70, 110, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter
    Image.fromarray(noise).save(tmp_path / "turned.png", exif=exif)
    gray = Image.fromarray(noise[..., 0])
    gray.save(tmp_path / "gray.png")
    Image.fromarray(noise).quantize(64).save(tmp_path / "palette.png")
    tall = np.repeat(noise, 30, axis=0)  # more rows than one strip
    Image.fromarray(tall).save(tmp_path / "tall.png")
    gamma = PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", struct.pack(">I", 100_000))  # of linear light: a viewer would brighten it
    Image.fromarray(noise).save(tmp_path / "gamma.png", pnginfo=gamma)
    with served(folder) as address, browser.chromium() as page:
        opened(page, address)
        for name in ("turned.png", "gray.png", "palette.png", "tall.png", "gamma.png"):
            choose(page, tmp_path / name)
            assert np.array_equal(pixels_of(page), read_image(tmp_path / name)), name


def test_errors_in_plain_words(folder, images, tmp_path):
    (tmp_path / "notes.png").write_text("not an image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    cut = images["chelsea.png"].read_bytes()[:40]
    (tmp_path / "cut.png").write_bytes(cut)
    with served(folder) as address, browser.chromium() as page:
        opened(page, address)
        for name, message in (
            ("notes.png", "cannot be read as an image"),
            ("empty.jpg", "This file is empty."),
            ("cut.png", "cannot be read as an image"),
        ):
            page.choose("#file", tmp_path / name)
            assert message in page.wait(FAILED)
            assert page.run(PREDICTIONS) == []
            choose(page, images["coffee.png"])  # still works afterwards
            assert page.run("return document.querySelector('#error').hidden")
        setting = {"permission": {"name": "camera"}, "setting": "denied", "origin": address[:-1]}
        page.send("Browser.setPermission", **setting)
        page.run("document.querySelector('#camera').click()")
        assert "camera" in page.wait(FAILED)


def test_camera(folder):
    with served(folder) as address, browser.chromium(*CAMERA) as page:
        opened(page, address)
        page.run("document.querySelector('#camera').click()")
        page.wait(PREDICTED)
        assert page.run("return document.querySelector('#camera').ariaPressed") == "true"
        assert page.run("return !document.querySelector('#video').hidden")
        page.run("document.querySelector('#camera').click()")
        page.wait(
            "document.querySelector('#video').hidden && !document.querySelector('#predictions li')"
        )


def test_works_without_a_network_after_one_visit(folder):
    with browser.chromium() as page:
        with served(folder) as address:
            opened(page, address)
            page.wait("document.querySelector('#offline').textContent")
            with_network = _example(page)
        page.go("about:blank")
        page.go(address)  # nobody answers there any more
        page.wait(READY)
        assert _example(page) == with_network
        use(page, "fp32")  # not used before
        assert page.run("return document.querySelector('#error').hidden")
        assert len(page.run(PREDICTIONS)) == 5


def _example(page):
    page.run(CLEAR)
    page.run("document.querySelector('#example').click()")
    page.wait(PREDICTED)
    return page.run(PREDICTIONS)


def test_a_page_opened_as_a_file_says_what_to_do(folder):
    with browser.chromium() as page:
        page.open((folder / "index.html").as_uri())
        assert "newnet web FOLDER --serve" in page.wait(FAILED)


def test_a_network_with_weights_on_five_photographs(tmp_path, five, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["web", "efficientnet_lite0", "-o", "site"]) == 0
    assert "site: " in capsys.readouterr().out
    with served(Path("site")) as address, browser.chromium() as page:
        opened(page, address)
        compare(page, Path("site"), Path("site.export"), five)
        assert _example(page)[0][0] in ("tiger cat", "tabby", "Egyptian cat")

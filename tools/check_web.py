"""Compares a site's predictions in Chromium with Python's LiteRT, times both, and takes docs/web.png.

    newnet web efficientnet_lite0 -o build/web
    python tools/check_web.py build/web --screenshot docs/web.png

The image's pixels are those that the page decoded, handed to Python: decoders of JPEG differ.
"""

import argparse
import base64
import contextlib
import io
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from newnet_tf.data.preprocess import preprocess_image
from newnet_tf.data.sample_images import sample_images
from newnet_tf.deploy import Runner
from newnet_tf.utils import tables
from newnet_tf.utils.progress import note
from newnet_tf.web import server
from tools import browser

# scikit-image's: three PNG, two JPEG
FIVE = ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg", "retina.jpg")
RUNS = 15
HEADERS = {"several threads": {}, "1 thread": {"headers": {}}}
READY = "document.querySelector('#status').textContent.startsWith('Ready')"
IDLE = "document.querySelector('#models').getAttribute('aria-busy') !== 'true'"
PREDICTED = "document.querySelectorAll('#predictions li').length"
PREDICTIONS = """return [...document.querySelectorAll('#predictions li')].map(
  (item) => [item.children[0].textContent, Number(item.children[1].value)])"""
CLEAR = "document.querySelector('#predictions').replaceChildren()"
# keeps the chosen file, which the page forgets
KEEP = """document.querySelector('#file').addEventListener(
  'change', (event) => (window.chosenFile = event.target.files[0]), true)"""
PIXELS = """
const { decode, pixelsOf } = await import("./decode.js");
const { data, width, height } = pixelsOf(await decode(window.chosenFile));
let text = "";
for (let at = 0; at < data.length; at += 4) text += String.fromCharCode(...data.subarray(at, at + 3));
return [btoa(text), width, height];
"""
DESKTOP = {"width": 1120}
PHONE = {"width": 390, "height": 700, "mobile": True, "deviceScaleFactor": 0.66}
DARK = [{"name": "prefers-color-scheme", "value": "dark"}]
COLORS = 256


@contextlib.contextmanager
def served(folder: Path, **options) -> Iterator[str]:
    """Serves a site; gives its address."""
    with server(folder, 0, **options) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{running.server_port}/"
        finally:
            running.shutdown()
            thread.join()


def opened(page: browser.Browser, address: str, **view) -> browser.Browser:
    """Opens a site and waits until it takes images."""
    page.open(address, **view)
    page.wait(READY)
    page.run(KEEP)
    return page


def use(page: browser.Browser, kind: str) -> None:
    """Has the page switch to the model of a kind, e.g. `"fp32"`."""
    page.run(f"document.getElementById('{kind}').click()")
    page.wait(IDLE)


def choose(page: browser.Browser, file: Path) -> list:
    """Gives the page an image; returns its classes and their probabilities."""
    page.run(CLEAR)
    page.choose("#file", file)
    page.wait(PREDICTED)
    return page.run(PREDICTIONS)


def pixels_of(page: browser.Browser) -> np.ndarray:
    """Returns the chosen image as the page decodes it, uint8 (height, width, 3)."""
    text, width, height = page.run(PIXELS)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 3)


def difference(page: browser.Browser, runner: Runner, labels: list[str], file: Path) -> float:
    """Puts an image through the page and, from the page's pixels, through Python.

    Returns:
        The largest difference between the five probabilities.

    Raises:
        ValueError: where the five best classes or their order differ.
    """
    predictions = choose(page, file)
    logits = runner(preprocess_image(pixels_of(page), runner.config.preprocess)[None])[0].astype(
        np.float64
    )
    scores = np.exp(logits - logits.max())
    scores /= scores.sum()
    best = np.argsort(-logits, kind="stable")[:5]
    expected = [labels[index] for index in best]
    names = [name for name, _ in predictions]
    if names != expected:
        raise ValueError(f"{file.name}: the page must predict {expected}. Received: {names}")
    return float(np.abs([score for _, score in predictions] - scores[best]).max())


def _times(page: browser.Browser, runner: Runner, file: Path) -> tuple[float, float]:
    """Medians over rounds: the page's time in ms, and its ratio to Python's moments later."""
    call = runner.timed_call(preprocess_image(file, runner.config.preprocess)[None])
    taken = []
    for _ in range(RUNS):
        choose(page, file)
        text = page.run("return document.querySelector('#times').textContent")
        in_page = float(text.split()[1])  # "Model 12 ms · …"
        begun = time.perf_counter()
        call()
        taken.append((in_page, in_page / (1e3 * (time.perf_counter() - begun))))
    return tuple(statistics.median(column) for column in zip(*taken, strict=True))


def _rows(folder: Path, exported: Path, images: list[Path]) -> Iterator[dict]:
    about = json.loads((folder / "site.json").read_text(encoding="utf-8"))
    for threads, options in HEADERS.items():
        with served(folder, **options) as address, browser.chromium() as page:
            opened(page, address)
            text = page.run("return document.querySelector('#engine').textContent").strip(". ")
            for model in about["models"]:
                runner = Runner(exported / f"{about['model']}.{model['kind']}.tflite")
                note(f"{model['kind']}, {text} ({threads} wanted)")
                use(page, model["kind"])
                worst = max(difference(page, runner, about["labels"], p) for p in images)
                took, ratio = _times(page, runner, images[0])
                yield {
                    "file": model["kind"],
                    "page": text,
                    "largest difference": f"{worst:.1e}",
                    "ms": f"{took:.0f}",
                    "to Python, 1 thread": f"{ratio:.2f}",
                }


def _screenshot(folder: Path, target: Path) -> None:
    """A desktop's page and, dark, a phone's, side by side."""
    with served(folder) as address:
        phone = _shot(address, PHONE, DARK)
        desktop = _shot(address, DESKTOP | {"height": phone.height})
    both = Image.new("RGB", (desktop.width + phone.width, max(desktop.height, phone.height)))
    both.paste(desktop, (0, 0))
    both.paste(phone, (desktop.width, 0))
    both.quantize(COLORS, dither=Image.Dither.NONE).save(target, optimize=True)


def _shot(address: str, view: dict, features: Sequence[dict] = ()) -> Image.Image:
    with browser.chromium() as page:
        opened(page, address, **view)
        page.call("Emulation.setEmulatedMedia", features=list(features))
        page.wait("document.querySelector('#offline').textContent")
        page.run("document.querySelector('#example').click()")
        page.wait(PREDICTED)
        page.run("await new Promise((resolve) => setTimeout(resolve, 400))")  # bars grow
        return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--exported", type=Path, help="default: <site>.export")
    parser.add_argument("--screenshot", type=Path, metavar="PNG")
    arguments = parser.parse_args()
    if browser.executable() is None:
        sys.exit("Chromium must be installed (apt-get install chromium). Received: none")
    exported = arguments.exported or arguments.site.with_name(f"{arguments.site.name}.export")
    images = [sample_images()[0].with_name(name) for name in FIVE]
    if arguments.screenshot:
        _screenshot(arguments.site, arguments.screenshot)
    print(tables.table(list(_rows(arguments.site, exported, images))))


if __name__ == "__main__":
    main()

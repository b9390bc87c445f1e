"""The page of a detector: its JavaScript decodes boxes as Python does, in node and in the browser."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tiny_detector
from PIL import Image

from newnet_tf.data.box_geometry import to_original
from newnet_tf.data.preprocess import crop_image, preprocess_image
from newnet_tf.deploy import Runner, export_tflite
from newnet_tf.detection.decoder_spec import decoder_spec
from newnet_tf.detection.postprocess import postprocess
from newnet_tf.web import EngineError, build_site, litert_js, page, site
from tools import browser
from tools.check_web import choose, opened, pixels_of, served, use

DETECT = """
import { readFileSync } from "node:fs";
const load = (file) =>
  import(`data:text/javascript;base64,${readFileSync(file).toString("base64")}`);
const { makeAnchors, detect, toPixels } = await load(process.argv[1]);
const { planAxis } = await load(process.argv[2]);
for (const each of JSON.parse(readFileSync(0, "utf8"))) {
  const { decoder, config, width, height } = each;
  const anchors = makeAnchors(decoder.maps);
  const outputs = { boxes: Float32Array.from(each.boxes), scores: Float32Array.from(each.scores) };
  const axes = [planAxis(width, height, config), planAxis(height, width, config)];
  const found = detect(outputs, anchors, decoder).map(({ label, score, box }) => [
    label, score, ...toPixels(box, ...axes, config.image_size),
  ]);
  console.log(JSON.stringify({ anchors: [...anchors], found }));
}
"""

BOXES = """return [...document.querySelectorAll('#boxes rect.box')].map(
  (box) => ['x', 'y', 'width', 'height'].map((name) => Number(box.getAttribute(name))))"""
TAGS = "return [...document.querySelectorAll('#boxes text')].map((text) => text.textContent)"


@pytest.mark.parametrize(
    "options", [{"style": "tf"}, {"style": "torchvision", "top_k": 20}], ids=str
)
def test_boxes_of_the_page_are_python_s(options):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here, which runs the page's modules outside a browser")
    config = tiny_detector.config(**options)
    sizes = [(480, 640), (33, 17), (10, 1000)]
    outputs = [tiny_detector.outputs(config.style, seed) for seed in range(len(sizes))]
    cases = [
        {
            "boxes": rows["boxes"].ravel().tolist(),
            "scores": rows["scores"].ravel().tolist(),
            "decoder": decoder_spec(config),
            "config": site._page_preprocess(tiny_detector.PREPROCESS),
            "width": width,
            "height": height,
        }
        for rows, (height, width) in zip(outputs, sizes, strict=True)
    ]
    scripts = [Path(page.STATIC, name) for name in ("detect.js", "preprocess.js")]
    run = subprocess.run(
        [node, "--input-type=module", "-e", DETECT, *scripts],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    replies = map(json.loads, run.stdout.splitlines())
    for rows, size, reply in zip(outputs, sizes, replies, strict=True):
        expected = postprocess(rows, config)
        assert len(expected.scores) > 10
        np.testing.assert_allclose(reply["anchors"], config.anchors.ravel(), atol=1e-7)
        found = np.array(reply["found"])
        np.testing.assert_array_equal(found[:, 0], expected.classes)
        np.testing.assert_allclose(found[:, 1], expected.scores, atol=1e-6)
        boxes = to_original(expected.boxes, size, tiny_detector.PREPROCESS)
        np.testing.assert_allclose(found[:, 2:], boxes, atol=0.01)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The tiny detector's files: fp32, int8-full, and with uint8 pixels as input."""
    random = np.random.default_rng(0)
    images = list(random.integers(0, 256, (8, 40, 50, 3), np.uint8))
    known, folder = tiny_detector.metadata(), tmp_path_factory.mktemp("detector")
    given = {"calibration_images": images, "verify": False}
    results = [
        *export_tflite(
            tiny_detector.model(), known, folder, precisions=["fp32", "int8-full"], **given
        ),
        *export_tflite(tiny_detector.model(), known, folder, embed_normalization=True, **given),
    ]
    return [result.file for result in results]


@pytest.mark.slow
def test_boxes_in_the_browser_are_python_s(exported, tmp_path, images):
    if browser.executable() is None:
        pytest.skip("Chromium is not here (apt-get install chromium)")
    try:
        litert_js.files()
    except EngineError as error:
        pytest.skip(f"LiteRT.js is not to be had here: {error}")
    folder = build_site(exported, tmp_path / "site", tiny_detector.CLASS_NAMES).folder
    strip = tmp_path / "strip.png"  # of which only the center is used
    random = np.random.default_rng(3)
    Image.fromarray(random.integers(0, 256, (9, 700, 3), np.uint8)).save(strip)
    with served(folder) as address, browser.chromium() as tab:
        opened(tab, address)
        for file in exported:
            runner = Runner(file)
            use(tab, runner.config.kind)
            for image in (images["chelsea.png"], strip):
                rows = choose(tab, image)
                compare(tab, rows, runner)
        tab.run(
            "const range = document.querySelector('#threshold'); range.value = 95; range.oninput()"
        )
        assert tab.run("return document.querySelector('#found').textContent") == "No objects found"
        assert tab.run(BOXES) == []


def compare(tab, rows, runner):
    """Compares what the page shows of the chosen image with Python's detections of its pixels."""
    pixels = pixels_of(tab)
    image = preprocess_image(pixels, tiny_detector.PREPROCESS)
    if runner.expects_uint8_pixels:
        image = crop_image(pixels, tiny_detector.PREPROCESS)
    outputs = {name: values[0] for name, values in runner(image[None]).items()}
    expected = postprocess(outputs, tiny_detector.config(), score_threshold=0.3)
    names = [tiny_detector.CLASS_NAMES[label] for label in expected.classes]
    assert len(names) > 3
    assert [name for name, _ in rows] == names[:20]
    np.testing.assert_allclose([score for _, score in rows], expected.scores[:20], atol=1e-5)
    found = np.array(tab.run(BOXES))[::-1]  # the best is drawn last
    found[:, 2:] += found[:, :2]
    boxes = to_original(expected.boxes, pixels.shape[:2], tiny_detector.PREPROCESS)
    np.testing.assert_allclose(found, boxes, atol=0.5)
    tags = [f"{name} {100 * s:.0f} %" for name, s in zip(names, expected.scores, strict=True)]
    assert tab.run(TAGS)[::-1] == tags

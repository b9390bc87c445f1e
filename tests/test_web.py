"""The site's folder is complete, and its preprocessing is the Python side's, bit for bit."""

import base64
import hashlib
import http.server
import io
import json
import re
import shutil
import subprocess
import tarfile
import threading
import urllib.request
from pathlib import Path

import keras
import numpy as np
import pytest
import small_network
import tiny_task
from PIL import Image

import newnet_tf
from newnet_tf.cli import main
from newnet_tf.data.images import read_image
from newnet_tf.data.preprocess import crop_image, preprocess_image
from newnet_tf.deploy import Runner, export_tflite
from newnet_tf.inference.loaded import LoadedModel
from newnet_tf.models.config import INCEPTION, PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.web import EngineError, build_site, litert_js, page, server, site

NAMES = [f"kind_{number}" for number in range(small_network.CLASSES)]
OURS = (".html", ".css", ".js", ".json", ".webmanifest")
OWN_NAMES = ("http://www.w3.org/2000/svg",)  # a name, not an address that is loaded


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The small network's files: int8-full, fp32."""
    results = small_network.exported(tmp_path_factory.getbasetemp())
    return [results[precision].file for precision in ("int8-full", "fp32")]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive that looks like LiteRT.js's, and its digest."""
    path = tmp_path_factory.mktemp("npm") / litert_js.ARCHIVE
    with tarfile.open(path, "w:gz") as tar:
        for name, member in litert_js.MEMBERS.items():
            data = (
                b'import { x } from "@litertjs/wasm-utils";'
                if name == litert_js.MODULE
                else b"wasm"
            )
            about = tarfile.TarInfo(member)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return path, hashlib.sha512(path.read_bytes()).hexdigest()


@pytest.fixture
def assets(archive, monkeypatch):
    path, digest = archive
    monkeypatch.setattr(litert_js, "SHA512", digest)
    return path


@pytest.fixture
def built(files, assets, images, tmp_path):
    return build_site(files, tmp_path / "site", NAMES, "A <title>", images["chelsea.png"], assets)


def info(built):
    return json.loads((built.folder / "site.json").read_text(encoding="utf-8"))


def test_every_file_that_is_named_is_there(built):
    about = info(built)
    page = (built.folder / "index.html").read_text(encoding="utf-8")
    manifest = json.loads((built.folder / "site.webmanifest").read_text(encoding="utf-8"))
    named = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    named |= {icon["src"] for icon in manifest["icons"]}
    named |= {model["file"] for model in about["models"]} | {about["example"]} | set(about["files"])
    for script in built.folder.glob("*.js"):
        calls = r'(?:import|from|Worker|fetch|register)\s?\(?"([^"\n]+)"'
        named |= set(re.findall(calls, script.read_text(encoding="utf-8")))
    assert {"app.js", "engine.js", "sw.js", "./preprocess.js", "LICENSES.txt"} <= named
    assert [name for name in named if not (built.folder / name).exists()] == []
    on_disk = {
        p.relative_to(built.folder).as_posix() for p in built.folder.rglob("*") if p.is_file()
    }
    assert set(built.files) == on_disk
    assert built.size == sum((built.folder / name).stat().st_size for name in built.files)


def test_nothing_is_loaded_from_elsewhere(built):
    for name in built.files:
        if name.endswith(OURS) or name == "icon.svg":
            text = (built.folder / name).read_text(encoding="utf-8")
            addresses = [a for a in re.findall(r"\w+://[^\s\"'`<)]+", text) if a not in OWN_NAMES]
            assert addresses == [], name
    page = (built.folder / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="(/[^"]*)"', page) == []  # a site may lie in a subfolder
    assert "default-src &#x27;none&#x27;" in page


def test_the_record_describes_the_files(built, files):
    about = info(built)
    assert [m["kind"] for m in about["models"]] == ["int8-full", "fp32"]
    for model, file in zip(about["models"], files, strict=True):
        data = (built.folder / model["file"]).read_bytes()
        assert data == file.read_bytes()
        assert model["bytes"] == len(data)
        assert model["sha256"] == hashlib.sha256(data).hexdigest()
    assert about["labels"][1] == "kind 1"
    assert (about["format"], about["task"]) == (4, "classification")
    assert {m["output_type"] for m in about["models"]} == {Runner(files[0]).output_type}
    assert about["outputs"][0]["shape"] == [1, small_network.CLASSES]
    assert "A &lt;title&gt;" in (built.folder / "index.html").read_text(encoding="utf-8")
    module = built.folder / about["engine"]["folder"] / "core.js"
    assert module.read_text() == 'import { x } from "./loader.js";'
    assert "Apache License" in (built.folder / "LICENSES.txt").read_text(encoding="utf-8")


def test_a_site_made_again_drops_only_its_own_old_files(built, files, assets):
    other = built.folder / "CNAME"
    other.write_text("example.org")
    again = build_site(files[1:], built.folder, NAMES, assets=assets)
    assert other.exists()
    assert not (built.folder / "example.png").exists()
    assert [p.name.split(".")[1] for p in (built.folder / "models").iterdir()] == ["fp32"]
    left = {p.relative_to(built.folder).as_posix() for p in built.folder.rglob("*") if p.is_file()}
    assert left == {*again.files, "CNAME"}


def cases():
    """Images of many shapes, with the preprocessing to put them through."""
    random = np.random.default_rng(0)
    bilinear = PreprocessConfig(image_size=32, crop_pct=0.9, interpolation="bilinear")
    gray = PreprocessConfig(
        image_size=28, crop_pct=1.0, interpolation="bilinear", mean=(0.1307,), std=(0.3081,)
    )
    strip = PreprocessConfig(image_size=16)
    shapes = [(451, 300, PreprocessConfig()), (300, 451, INCEPTION), (640, 427, bilinear)]
    shapes += [
        (97, 61, PreprocessConfig(image_size=64)),
        (224, 224, PreprocessConfig(crop_pct=1.0)),
        (1, 1, bilinear),
    ]
    shapes += [(3, 700, strip), (1500, 2, strip), (130, 2, strip), (123, 77, gray), (28, 28, gray)]
    for width, height, preprocess in shapes:
        yield random.integers(0, 256, (height, width, 3), np.uint8), preprocess
    caffe = PreprocessConfig(
        image_size=32, mean=(0.4, 0.5, 0.6), std=(1 / 255,) * 3, channel_order="BGR"
    )
    yield random.integers(0, 256, (50, 70, 3), np.uint8), caffe
    raw = {"interpolation": "bilinear", "antialias": False}
    for options in (
        {"resize_mode": "stretch"},
        {"resize_mode": "stretch", "interpolation": "bilinear"},
        {"resize_mode": "stretch", **raw},
        {"resize_mode": "stretch", "half_pixel_centers": False, **raw},
        {"half_pixel_centers": False, "mean": (0.5,), "std": (0.3,), **raw},
    ):
        preprocess = PreprocessConfig(image_size=40, **options)
        for width, height in ((131, 62), (7, 500), (23, 17)):
            yield random.integers(0, 256, (height, width, 3), np.uint8), preprocess
    for preprocess in (PreprocessConfig(), bilinear, gray):  # overshoot at edges must be cut off
        yield np.uint8(random.random((90, 120, 1)) > 0.5).repeat(3, 2) * np.uint8(255), preprocess


@pytest.fixture(scope="module")
def node():
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not here, which runs the page's modules outside a browser")
    return path


def test_preprocessing_equals_the_python_side_bit_for_bit(images, node):
    photographs = [(read_image(path), PreprocessConfig()) for path in images.values()]
    tried = [*photographs, *cases()]
    lines = []
    for number, (image, preprocess) in enumerate(tried):
        height, width = image.shape[:2]
        if number % 2:  # as a canvas gives them, with a fourth channel
            image = np.dstack([image, np.full((height, width), 255, np.uint8)])
        about = {"width": width, "height": height, "config": site._page_preprocess(preprocess)}
        lines.append(json.dumps({"data": base64.b64encode(image).decode(), **about}))
    run = subprocess.run(
        [node, Path(__file__).with_name("preprocess_cases.mjs"), page.STATIC / "preprocess.js"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    replies = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(replies) == len(tried)
    for (image, preprocess), reply in zip(tried, replies, strict=True):
        pixels, floats = (base64.b64decode(data) for data in reply)
        expected = crop_image(image, preprocess)
        assert np.array_equal(np.frombuffer(pixels, np.uint8), expected.ravel()), image.shape
        floats = np.frombuffer(floats, np.float32)
        expected = preprocess_image(image, preprocess)
        assert np.array_equal(floats, expected.ravel()), (image.shape, preprocess)


PROBABILITIES = """
import { readFileSync } from "node:fs";
const source = readFileSync(process.argv[1]).toString("base64");
const { probabilities } = await import(`data:text/javascript;base64,${source}`);
const cases = JSON.parse(readFileSync(0, "utf8"));
const results = cases.map(([outputs, ...how]) => probabilities(Float32Array.from(outputs), ...how));
console.log(JSON.stringify(results.map((values) => [...values])));
"""


def test_probabilities_are_as_the_outputs_are_declared(node):
    """Not as their sum may suggest: outputs that add up to 1 may be a multi-label model's."""
    one, several = "classification", "multilabel_classification"
    softmax = np.exp([2.0, 0.0, -1.0]) / np.exp([2.0, 0.0, -1.0]).sum()
    sigmoid = 1 / (1 + np.exp([-2.0, 0.0, 1.0]))
    cases = [
        ([2, 0, -1], one, "logits", softmax),
        ([1000, 0, -1000], one, "logits", [1, 0, 0]),
        ([0.5, 0.3, 0.2], one, "probabilities", [0.5, 0.3, 0.2]),
        ([2, 0, -1], several, "logits", sigmoid),
        ([0.5, 0.3, 0.2], several, "sigmoid", [0.5, 0.3, 0.2]),
        ([0.5, 0.5], several, "logits", [0.62246, 0.62246]),
        ([-9.9], one, "logits", [1 - 5.0172e-5, 5.0172e-5]),
        ([0.99994], one, "sigmoid", [0.00006, 0.99994]),
    ]
    run = subprocess.run(
        [node, "--input-type=module", "-e", PROBABILITIES, page.STATIC / "outputs.js"],
        input=json.dumps([case[:3] for case in cases]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for (*case, expected), result in zip(cases, json.loads(run.stdout), strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-6, err_msg=str(case))


def test_a_page_for_a_binary_classifier_without_names(tmp_path, assets):
    image = keras.Input((32, 32, 3))
    x = keras.layers.AveragePooling2D(8)(image)
    outputs = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Flatten()(x))
    preprocess = PreprocessConfig(image_size=32, channel_order="BGR")
    [result] = export_tflite(
        *(keras.Model(image, outputs), preprocess, tmp_path / "out"), verify=False
    )
    about = info(build_site([result.file], tmp_path / "site", assets=assets))
    assert about["labels"] == ["class 0", "class 1"]
    assert about["models"][0]["output_type"] == "sigmoid"
    assert about["preprocess"]["channel_order"] == "BGR"
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "Classifies images into 2 classes." in page
    with pytest.raises(ValueError, match=r"must name 2 classes\. Received: 1"):
        build_site([result.file], tmp_path / "site", ["cat"], assets=assets)


def test_the_page_of_a_multi_label_model_says_so():
    text = page.static_files("Signs", 1500, "multilabel_classification")["index.html"].decode()
    assert "Says which of 1,500 classes an image shows, each on its own." in text


def test_the_server_sends_what_threads_need(built):
    with server(built.folder, 0) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{served.server_port}"
        with urllib.request.urlopen(f"{address}/", timeout=10) as answer:
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        wasm = f"{address}/litert-{litert_js.VERSION}/litert_wasm_internal.wasm"
        with urllib.request.urlopen(wasm, timeout=10) as answer:
            assert answer.headers["Content-Type"] == "application/wasm"
        with pytest.raises(OSError, match=f"`port` must be free.*{served.server_port}"):
            server(built.folder, served.server_port)
        served.shutdown()
    with pytest.raises(ValueError, match="must be a site"):
        server(built.folder / "models", 0)


@pytest.fixture
def registry(archive, tmp_path, monkeypatch):
    """An npm registry on this machine, and an empty `NEWNET_HOME`; gives the registry's folder."""
    folder = tmp_path / "registry"
    place = folder / "@litertjs/core/-/core-2.5.3.tgz"
    place.parent.mkdir(parents=True)
    shutil.copy(archive[0], place)
    monkeypatch.setattr(litert_js, "SHA512", archive[1])
    monkeypatch.setenv("NEWNET_HOME", str(tmp_path / "home"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{served.server_port}/")
        yield place
        served.shutdown()


def test_the_engine_is_fetched_once_from_the_registry_that_npm_is_set_to(registry):
    assert set(litert_js.files()) == set(litert_js.MEMBERS)
    registry.unlink()
    assert set(litert_js.files()) == set(litert_js.MEMBERS)  # from the copy that was kept
    litert_js._cache_path().write_bytes(b"damaged")
    with pytest.raises(EngineError, match=r"npm pack @litertjs/core@2\.5\.3.*--assets"):
        litert_js.files()


def test_an_engine_of_another_digest_is_refused(registry, tmp_path):
    registry.write_bytes(b"something else")
    with pytest.raises(EngineError, match="must have the sha512"):
        litert_js.files()
    assert not litert_js._cache_path().exists()
    (tmp_path / "assets").mkdir()
    with pytest.raises(EngineError, match="where it is not"):
        litert_js.files(tmp_path / "assets")


def test_what_a_page_cannot_run_is_refused(files, assets, tmp_path):
    folder = tmp_path / "site"
    with pytest.raises(ValueError, match=r"must name 10 classes\. Received: 2"):
        build_site(files, folder, ["a", "b"], assets=assets)
    with pytest.raises(ValueError, match="of different kinds"):
        build_site([files[0], files[0]], folder, assets=assets)
    with pytest.raises(ValueError, match="at least one"):
        build_site([], folder, assets=assets)
    with pytest.raises(ValueError, match="`example` must be a file"):
        build_site(files, folder, example="movie.mp4", assets=assets)
    bare = tmp_path / "bare.tflite"
    data = files[1].read_bytes()
    bare.write_bytes(data[: data.index(b"PK\x03\x04")])  # without the record behind it
    with pytest.raises(ValueError, match="Received: no record"):
        build_site([bare], folder, assets=assets)
    assert not folder.exists()
    folder.mkdir()
    (folder / "index.html").write_text("mine")
    with pytest.raises(ValueError, match=r"must be new, or a site.*another index\.html"):
        build_site(files, folder, assets=assets)
    assert (folder / "index.html").read_text() == "mine"


def test_there_is_no_page_for_another_task(tmp_path, assets):
    with tiny_task.registered():
        [result] = export_tflite(
            *(tiny_task.trained_model(), tiny_task.preprocess(), tmp_path / "out"),
            verify=False,
            task=tiny_task.task(),
        )
        message = r"there is one for classification, .*\. Received: a model for 'tiny_point'"
        with pytest.raises(ValueError, match=message):
            build_site([result.file], tmp_path / "site", assets=assets)
        with pytest.raises(ValueError, match=message):
            newnet_tf.make_web_page(result.file, tmp_path / "site", assets=assets)
        known = ModelMetadata(name="tiny", task=tiny_task.NAME, preprocess=tiny_task.preprocess())
        loaded = LoadedModel(model=tiny_task.trained_model(), metadata=known)
        with pytest.raises(ValueError, match=message):
            newnet_tf.make_web_page(loaded, tmp_path / "site", assets=assets)
    assert not (tmp_path / "site").exists()


def test_integer_input_is_refused(tmp_path, assets):
    [result] = export_tflite(
        small_network.network(),
        small_network.PREPROCESS,
        tmp_path / "out",
        precisions=["int8-full"],
        calibration_images=small_network.images(),
        io_dtype="int8",
        verify=False,
    )
    with pytest.raises(ValueError, match=r"--io-dtype float32. Received: int8"):
        build_site([result.file], tmp_path / "site", assets=assets)


def test_the_command_makes_a_site_of_exported_files(files, assets, tmp_path, capsys):
    folder = tmp_path / "site"
    arguments = ["web", *map(str, files), "-o", str(folder), "--assets", str(assets.parent)]
    assert main(arguments) == 0
    assert re.search(r"site: \d+ files, 0\.\d MB", capsys.readouterr().out)
    about = json.loads((folder / "site.json").read_text(encoding="utf-8"))
    assert about["labels"][:2] == ["class 0", "class 1"]
    assert about["title"] == "small"
    assert Runner(files[0]).config.model == about["model"]
    assert main(["web", "lenet5", "-o", str(folder)]) == 1
    assert "must be trained" in capsys.readouterr().err


def test_examples_are_images_that_every_browser_opens(built):
    with Image.open(built.folder / info(built)["example"]) as image:
        assert image.format == "PNG"

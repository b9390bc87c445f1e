"""Exported TFLite files to a folder that any static host can serve.

Everything that the page loads lies in the folder and is named relative to it. Large files never
change under their name: models carry their digest, the engine its version; so they may be cached
for good.
"""

import hashlib
import html
import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

import newnet_tf
from newnet_tf.data.preprocess import LONGEST
from newnet_tf.deploy.runtime import Runner
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.web import litert_js, serve

STATIC = Path(__file__).with_name("static")
PAGE, RECORD, LICENSE = "index.html", "site.json", "LICENSES.txt"
# What the worker offers the user, by precision.
TITLES = {
    "fp32": "32-bit floats",
    "fp16": "16-bit floats",
    "int8-dynamic": "8-bit weights",
    "int8-full": "8-bit integers",
}
EXAMPLES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Site:
    """A site that was written: its folder, its files relative to it, their size in bytes."""

    folder: Path
    files: tuple[str, ...]
    size: int


def build(
    models: Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    example: str | os.PathLike | None = None,
    assets: str | os.PathLike | None = None,
) -> Site:
    """Writes a site that classifies images in the browser with one network.

    Args:
        models: TFLite files of one network with their recipes beside them, of float32 input or of
            pixels; the page opens with the first and offers the others.
        folder: where to. What an earlier site left there is replaced, other files stay.
        class_names: str for each class. Default: `"class 0"` and so on.
        title: str, the page's. Default: the network's name.
        example: an image that the page offers, JPEG, PNG or WebP. Default: none.
        assets: where the archive of LiteRT.js lies, see `engine.files`.

    Raises:
        ValueError: for files that the page cannot run, or that do not belong together.
        EngineError: where LiteRT.js is not to be had.

    Example:
        >>> build(["out/own.int8-full.tflite", "out/own.fp32.tflite"], "site", ["daisy", "rose"])
    """
    folder = Path(folder)
    if (folder / PAGE).exists() and not (folder / RECORD).exists():
        raise ValueError(
            f"`folder` must be new, or a site. Received: {folder}, with another {PAGE}"
        )
    runners = [Runner(file) for file in models]
    preprocess = _together(runners)
    names = class_names or [f"class {number}" for number in range(runners[0].classes)]
    if len(names) != runners[0].classes:
        raise ValueError(
            f"`class_names` must name {runners[0].classes} classes. Received: {len(names)}"
        )
    example = example and Path(example)
    if example and (example.suffix.lower() not in EXAMPLES or not example.is_file()):
        raise ValueError(f"`example` must be a file {' '.join(EXAMPLES)}. Received: {example}")
    contents = _static(title or runners[0].recipe.model, len(names))
    home = f"litert-{litert_js.VERSION}"
    contents[f"{home}/{litert_js.LOADER}"] = contents.pop(litert_js.LOADER)
    contents |= {
        f"{home}/{name}": data for name, data in litert_js.files(assets and Path(assets)).items()
    }
    described = []
    for runner in runners:
        about, data = _model(runner)
        contents[about["file"]] = data
        described.append(about)
    shown = f"example{example.suffix.lower()}" if example else None
    if shown:
        contents[shown] = example.read_bytes()
    record = {
        "title": title or runners[0].recipe.model,
        "network": runners[0].recipe.model,
        "made_by": f"newnet_tf {newnet_tf.__version__}",
        "preprocess": _for_page(preprocess),
        "labels": [name.replace("_", " ") for name in names],
        "models": described,
        "engine": {"package": litert_js.PACKAGE, "version": litert_js.VERSION, "folder": home},
        "example": shown,
    }
    # what a visitor may need without a network; of the engine, the page adds the build that it runs
    kept = [name for name in contents if not name.startswith((f"{home}/", "_"))]
    record["files"] = ["./", *kept, f"{home}/{litert_js.LOADER}", RECORD]
    contents[RECORD] = json.dumps(record, indent=1, ensure_ascii=False).encode()
    _write(folder, contents)
    return Site(folder, tuple(sorted(contents)), sum(map(len, contents.values())))


def _together(runners: Sequence[Runner]) -> PreprocessConfig:
    """Returns the preprocessing of files that one page can run, or says which it cannot."""
    if not runners:
        raise ValueError("`models` must hold at least one TFLite file. Received: none")
    for runner in runners:
        if runner.recipe is None:
            raise ValueError(
                f"{runner.file} must have its recipe beside it. Received: no .json file"
            )
        if runner.dtype != np.float32 and not runner.expects_uint8_pixels:
            raise ValueError(
                f"{runner.file} must take float32, or pixels: export it with --io float32. "
                f"Received: {np.dtype(runner.dtype).name}"
            )
    of = {(r.recipe.weights, r.recipe.preprocess, r.classes): r.file.name for r in runners}
    kinds = [r.recipe.kind for r in runners]
    if len(of) > 1 or len(set(kinds)) < len(kinds):
        names = ", ".join(r.file.name for r in runners)
        raise ValueError(
            f"`models` must be one network's files of different kinds. Received: {names}"
        )
    return runners[0].recipe.preprocess


def _model(runner: Runner) -> tuple[dict, bytes]:
    data = runner.file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    stem = re.sub(r"[^\w.-]", "_", runner.recipe.stem, flags=re.ASCII)  # safe in an address
    about = {
        "title": TITLES[runner.recipe.precision],
        "kind": runner.recipe.kind,
        "file": f"models/{stem}.{digest[:8]}.tflite",
        "bytes": len(data),
        "sha256": digest,
        "expects_uint8_pixels": runner.expects_uint8_pixels,
        "output": runner.output_type,
    }
    return about, data


def _for_page(preprocess: PreprocessConfig) -> dict:
    """The record's numbers as the page computes with them; scale and offset as float32."""
    return {
        "size": preprocess.image_size,
        "resize": preprocess.resize,
        "interpolation": preprocess.interpolation,
        "channels": preprocess.channels,
        "scale": np.asarray(preprocess.scale, np.float32).tolist(),
        "offset": np.asarray(preprocess.offset, np.float32).tolist(),
        "longest": LONGEST,
    }


def _static(title: str, classes: int) -> dict[str, bytes]:
    contents = {file.name: file.read_bytes() for file in sorted(STATIC.iterdir())}
    page = Template(contents[PAGE].decode())
    filled = page.substitute(
        title=html.escape(title), classes=f"{classes:,}", policy=html.escape(serve.POLICY)
    )
    manifest = {
        "name": title,
        "start_url": "./",
        "display": "standalone",
        "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"}],
    }
    contents[PAGE] = filled.encode()
    contents["site.webmanifest"] = json.dumps(manifest, ensure_ascii=False).encode()
    contents["_headers"] = serve.headers_file().encode()
    contents[LICENSE] = _licenses(contents.pop("APACHE-2.0.txt"))
    return contents


def _licenses(apache: bytes) -> bytes:
    head = (
        f"The files in litert-{litert_js.VERSION}/ but {litert_js.LOADER} are LiteRT.js, the npm package "
        f"{litert_js.PACKAGE} {litert_js.VERSION},\nCopyright Google LLC, under the Apache License 2.0. "
        f"{litert_js.MODULE} is changed in one word: it imports ./{litert_js.LOADER}.\n"
        "The page itself is part of newnet_tf, under the same license. The network's weights are "
        "under\nthe license that they were published with.\n\n"
    )
    return head.encode() + apache


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    """Puts all files in place when all are written, the record last; drops those no longer used."""
    try:
        earlier = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        earlier = []
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=".web-"))
    try:
        for name, data in contents.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(data)
        for name in sorted(contents, key=lambda name: name == RECORD):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(staging / name, folder / name)
    finally:
        shutil.rmtree(staging)
    for name in earlier:
        file = folder / name
        if name not in contents and folder in file.resolve().parents and file.is_file():
            file.unlink()

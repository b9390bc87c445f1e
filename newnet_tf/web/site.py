"""A static website from exported TFLite files.

Everything that the page loads is in the folder and named relative to it. Large files never change under
their name (models carry their digest, the engine its version), so that browsers may cache them.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf import __version__
from newnet_tf.data.resize import LONGEST
from newnet_tf.deploy.decoder import decoder_of
from newnet_tf.deploy.export_config import ExportConfig
from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.deploy.runtime import Runner
from newnet_tf.models.config import CENTER_CROP, STRETCH, PreprocessConfig
from newnet_tf.utils import io
from newnet_tf.web import litert_js
from newnet_tf.web.page import DETECTION, PAGE, TASKS, static_files

RECORD = "site.json"
FORMAT = 4  # raise it when keys of `site.json` change
# What the page calls a precision.
TITLES = {
    "fp32": "32-bit floats",
    "fp16": "16-bit floats",
    "int8-dynamic": "8-bit weights",
    "int8-full": "8-bit integers",
}
EXAMPLES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Site(os.PathLike):
    """A website. It can be used as a path.

    Args:
        folder: `Path`.

        files: tuple of str, its files, relative to the folder.

        size: int, bytes of all files.
    """

    folder: Path
    files: tuple[str, ...]
    size: int

    def __fspath__(self) -> str:
        return os.fspath(self.folder)

    def __str__(self) -> str:
        return f"{self.folder}: {len(self.files)} files, {self.size / 1e6:.1f} MB"


def build_site(
    files: Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    example: str | os.PathLike | None = None,
    assets: str | os.PathLike | None = None,
) -> Site:
    """Writes a website that runs one model in the browser.

    Args:
        files: paths of TFLite files of one model with their configs next to them, with float32 input or
            with uint8 pixels. The page starts with the first and offers the others.

        folder: path of the site. Files of an earlier site are replaced; others stay.

        class_names: str for each class. Default: `"class 0"` and so on.

        title: str, title of the page. Default: the model's name.

        example: path of an image that the page offers, JPEG, PNG or WebP. Default: none.

        assets: path of LiteRT.js' archive, or of a folder with it, see `litert_js.files`.

    Returns:
        A `Site`.

    Raises:
        ValueError: if the page cannot run the files, they are not of one model, or there is no page for
            their task.

        EngineError: if LiteRT.js cannot be downloaded.

    Example:
        >>> build_site(["out/own.int8-full.tflite", "out/own.fp32.tflite"], "site", ["daisy", "rose"])
    """
    folder = Path(folder)
    check_folder(folder)
    runners = [Runner(file) for file in files]
    config = _shared_config(runners)
    decoder = decoder_of(config, runners[0].outputs)
    scores = runners[0].classes
    classes = decoder["classes"] if decoder else config.metadata.count_classes(scores)
    names = class_names or [f"class {number}" for number in range(classes)]
    if len(names) != classes:
        raise ValueError(f"`class_names` must name {classes} classes. Received: {len(names)}")
    example = example and Path(example)
    check_example(example)
    title = title or config.model
    contents = static_files(title, len(names), config.task)
    engine_folder = f"litert-{litert_js.VERSION}"
    contents[f"{engine_folder}/{litert_js.LOADER}"] = contents.pop(litert_js.LOADER)
    engine_files = litert_js.files(assets and Path(assets))
    contents |= {f"{engine_folder}/{name}": data for name, data in engine_files.items()}
    models = []
    for runner in runners:
        description, data = _model(runner)
        contents[description["file"]] = data
        models.append(description)
    example_name = f"example{example.suffix.lower()}" if example else None
    if example_name:
        contents[example_name] = example.read_bytes()
    engine = {
        "package": litert_js.PACKAGE,
        "version": litert_js.VERSION,
        "folder": engine_folder,
    }
    info = {
        "format": FORMAT,
        "title": title,
        "model": config.model,
        "task": config.task,
        "decoder": decoder,
        "outputs": [{"name": spec.name, **spec.to_dict()} for spec in runners[0].outputs],
        "written_by": f"newnet_tf {__version__}",
        "preprocess": _page_preprocess(config.preprocess),
        "labels": [name.replace("_", " ") for name in names],
        "models": models,
        "engine": engine,
        "example": example_name,
    }
    # What a visitor may need offline. The page adds the build of the engine that it runs.
    offline = [name for name in contents if not name.startswith((f"{engine_folder}/", "_"))]
    info["files"] = ["./", *offline, f"{engine_folder}/{litert_js.LOADER}", RECORD]
    contents[RECORD] = json.dumps(info, indent=1, ensure_ascii=False).encode()
    _write(folder, contents)
    return Site(folder, tuple(sorted(contents)), sum(map(len, contents.values())))


def check_folder(folder: Path) -> None:
    """Raises ValueError if `folder` has a page that is not of a site of ours."""
    if (folder / PAGE).exists() and not (folder / RECORD).exists():
        raise ValueError(
            f"`output` must be new, or a site. Received: {folder}, with another {PAGE}"
        )


def check_example(example: Path | None) -> None:
    """Raises ValueError if `example` is no image that every browser can read."""
    if example and (example.suffix.lower() not in EXAMPLES or not example.is_file()):
        raise ValueError(f"`example` must be a file {' '.join(EXAMPLES)}. Received: {example}")


def check_task(task: str) -> None:
    """Raises ValueError for a task that there is no page for."""
    if task not in TASKS:
        raise ValueError(
            f"there must be a page for the model's task; there is one for {', '.join(TASKS)}. "
            f"Received: a model for {task!r}"
        )


def check_record(runner: Runner) -> ExportConfig:
    """Returns the config of a file; raises ValueError if the page cannot run it."""
    if runner.config is None:
        raise ValueError(
            f"{runner.file} must be a file that `newnet export` wrote, with its record inside. "
            "Received: no record"
        )
    check_task(runner.config.task)
    if runner.config.task != DETECTION:
        runner.check_classifier()
    elif not decoder_of(runner.config, runner.outputs):
        raise ValueError(
            f"{runner.file} must return raw boxes and scores, which the page decodes: export it "
            f"without post-processing. Received: outputs {[spec.name for spec in runner.outputs]}"
        )
    return runner.config


def _shared_config(runners: Sequence[Runner]) -> ExportConfig:
    """Returns the config of the first of several files, which one page must be able to run."""
    if not runners:
        raise ValueError("`files` must hold at least one TFLite file. Received: none")
    for runner in runners:
        check_record(runner)
        if runner.dtype != np.float32 and not runner.expects_uint8_pixels:
            raise ValueError(
                f"{runner.file} must take float32, or pixels: export it with --io-dtype float32. "
                f"Received: {np.dtype(runner.dtype).name}"
            )
    configs = [runner.config for runner in runners]
    models = {(c.weights, c.preprocess, r.classes) for c, r in zip(configs, runners, strict=True)}
    kinds = {config.kind for config in configs}
    if len(models) > 1 or len(kinds) < len(configs):
        names = ", ".join(runner.file.name for runner in runners)
        raise ValueError(
            f"`files` must be files of one model, of different kinds. Received: {names}"
        )
    return configs[0]


def _model(runner: Runner) -> tuple[dict, bytes]:
    """Returns the description of one model file, and its bytes."""
    data, config = runner.file.read_bytes(), runner.config
    digest = io.sha256_bytes(data)
    stem = re.sub(r"[^\w.-]", "_", config.stem, flags=re.ASCII)  # safe in an address
    description = {
        "title": TITLES.get(config.precision, config.precision),
        "kind": config.kind,
        "file": f"models/{stem}.{digest[:8]}.tflite",
        "bytes": len(data),
        "sha256": digest,
        "expects_uint8_pixels": runner.expects_uint8_pixels,
        "output_type": config.output_type,
        "outputs": Graph(data).output_names,  # in the order of the file
    }
    return description, data


def _page_preprocess(preprocess: PreprocessConfig) -> dict:
    """Returns a config's numbers as the page computes with them; scale and offset as float32."""
    if preprocess.resize_mode not in (CENTER_CROP, STRETCH):
        raise ValueError(
            f"the page's models must resize images with {CENTER_CROP!r} or {STRETCH!r}. "
            f"Received: resize_mode={preprocess.resize_mode!r}"
        )
    return {
        "image_size": preprocess.image_size,
        "resize": preprocess.resize,
        "resize_mode": preprocess.resize_mode,
        "interpolation": preprocess.interpolation,
        "antialias": preprocess.antialias,
        "half_pixel_centers": preprocess.half_pixel_centers,
        "channels": preprocess.channels,
        "channel_order": preprocess.channel_order,
        "scale": np.asarray(preprocess.scale, np.float32).tolist(),
        "offset": np.asarray(preprocess.offset, np.float32).tolist(),
        "max_aspect": LONGEST,
    }


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    """Writes all files, then renames them into place, the record last; removes obsolete ones."""
    try:
        earlier = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        earlier = []
    with io.staging_folder(folder, "web") as staging:
        for name, data in contents.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(data)
        for name in sorted(contents, key=lambda name: name == RECORD):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(staging / name, folder / name)
    for name in earlier:
        file = folder / name
        if name not in contents and folder in file.resolve().parents and file.is_file():
            file.unlink()

"""Bundles: all that an app needs of a model in one folder or zip.

`model.json` describes input and outputs of the .tflite files. The code for Android, iOS and C++ is
generated from it (`codegen`). It lists the digest of every other file and has a digest of its own, so
that a changed bundle is refused. With the stored images and expected outputs anybody can check, with
NumPy and LiteRT only, that the files give the same outputs elsewhere (`templates/check.py`).
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from newnet_tf.data.preprocess import normalize
from newnet_tf.deploy import config_file, image_batch
from newnet_tf.deploy.bundle import codegen
from newnet_tf.deploy.bundle.check import check_bundle
from newnet_tf.deploy.bundle.info import (
    EXPECTED,
    INFO,
    Provenance,
    make_info,
    model_inputs,
    named_outputs,
)
from newnet_tf.deploy.converter import ExportError
from newnet_tf.deploy.export_config import CLASSIFICATION, DEFAULT_CALIBRATION_METHOD
from newnet_tf.deploy.export_result import ExportResult
from newnet_tf.deploy.flatbuffer import metadata
from newnet_tf.deploy.image_batch import ImageBatch
from newnet_tf.deploy.runtime import Runner
from newnet_tf.deploy.tflite import export_tflite
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import get_task
from newnet_tf.utils import io

if TYPE_CHECKING:
    from newnet_tf.task import Task

ZIP = ".zip"
EXAMPLES = 4  # images whose outputs are stored


@dataclass(frozen=True)
class Bundle(os.PathLike):
    """A bundle. It can be used as a path.

    Args:
        path: `Path` of the folder or zip.

        digest: str, sha256 of its description.

        info: dict, the content of `model.json`.
    """

    path: Path
    digest: str
    info: dict

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return f"{self.path}: {len(self.info['sha256']) + 1} files, digest {self.digest}"


def make_bundle(
    model: Any,
    preprocess: PreprocessConfig,
    path: str | os.PathLike,
    name: str,
    provenance: Provenance,
    examples: Iterable,
    class_names: Sequence[str] | None = None,
    *,
    task: "str | Task" = CLASSIFICATION,
    precisions: Sequence[str] = ("fp32", "int8-full"),
    calibration_images: Iterable | None = None,
    validation_images: Iterable | None = None,
    exclude_layers: Sequence[str] = (),
    calibration_method: str = DEFAULT_CALIBRATION_METHOD,
    io_dtype: str = "float32",
    embed_normalization: bool = False,
    output_type: str = "logits",
) -> Bundle:
    """Writes a bundle. It appears as a whole, after its files gave the expected outputs.

    Args:
        model: Keras model, as in `export_tflite`.

        preprocess: `PreprocessConfig` of its weights.

        path: path of a new folder, of an earlier bundle to replace, or of a file ending in `.zip`.

        name: str, the model's name in file names.

        provenance: `Provenance` of the weights.

        examples: images whose pixels and outputs are stored; the first four are used.

        class_names: str for each class. Default: their numbers, for classification.

        task: str or `Task`. Default: `"classification"`.

        precisions: names of precisions, as in `export_tflite`. Default: `("fp32", "int8-full")`.

        calibration_images: images, as in `export_tflite`.

        validation_images: images, as in `export_tflite`.

        exclude_layers: names of layers, as in `export_tflite`.

        calibration_method: str, as in `export_tflite`. Default: `"mse"`.

        io_dtype: str, as in `export_tflite`. Default: `"float32"`.

        embed_normalization: bool, as in `export_tflite`. Default: False.

        output_type: str, as in `export_tflite`. Default: `"logits"`.

    Returns:
        A `Bundle`.

    Raises:
        FileExistsError: if `path` exists and is no bundle.

        ExportError, ValueError: as `export_tflite`, and if metadata would change an output.

        BundleError: if the finished bundle does not give the expected outputs.

    Example:
        >>> make_bundle(model, preprocess, "lite0.zip", "efficientnet_lite0",
        ...             Provenance(license="MIT"), ["cat.jpg"], precisions=["fp32"],
        ...             validation_images=["cat.jpg", "cup.jpg"])
    """
    path = Path(path)
    check_path(path)
    task = get_task(task)
    batch = image_batch.read(list(examples)[:EXAMPLES], preprocess, "examples")
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.stem}-"))
    try:
        folder = staging / "new"
        results = export_tflite(
            model,
            preprocess,
            folder,
            name=name,
            precisions=precisions,
            calibration_images=calibration_images,
            validation_images=validation_images,
            exclude_layers=exclude_layers,
            calibration_method=calibration_method,
            io_dtype=io_dtype,
            embed_normalization=embed_normalization,
            output_type=output_type,
            task=task,
        )
        runners = [_embed_metadata(result, provenance, class_names) for result in results]
        if class_names is None and runners[0].is_classifier:
            class_names = [str(number) for number in range(runners[0].classes)]
        info = make_info(runners, results, provenance, class_names, batch)
        _write_files(folder, info, runners, class_names, batch)
        check_bundle(folder, info["digest"])
        if path.suffix == ZIP:
            (staging / "zip").write_bytes(_zip(folder, path.stem))
            os.replace(staging / "zip", path)
        else:
            if path.exists():
                os.replace(path, staging / "old")
            os.replace(folder, path)
    finally:
        shutil.rmtree(staging)
    return Bundle(path, info["digest"], info)


def check_path(path: Path) -> None:
    """Raises FileExistsError if `path` exists and is no bundle."""
    is_bundle = path.is_file() if path.suffix == ZIP else (path / INFO).is_file()
    if path.exists() and not is_bundle:
        raise FileExistsError(f"`output` must be new, or be a bundle. Received: {str(path)!r}")


def _embed_metadata(
    result: ExportResult, provenance: Provenance, class_names: Sequence[str] | None
) -> Runner:
    """Embeds metadata in an exported file, and checks that it changes nothing else."""
    config, file = result.config, result.file
    before = Runner(file)
    noise = np.random.default_rng(0).integers(0, 256, (2, *config.preprocess.shape), np.uint8)
    inputs = noise if before.expects_uint8_pixels else normalize(noise, config.preprocess)
    outputs, delegation = named_outputs(before, inputs), str(before.delegation())
    kind = (
        "Image classifier" if before.is_classifier else config.task.replace("_", " ").capitalize()
    )
    classes = f", {before.classes} classes" if before.is_classifier else ""
    description = {
        "name": config.model,
        "description": f"{kind}{classes}, {config.kind}",
        "author": provenance.author or "not stated",
        "license": provenance.license or "not stated",
    }
    if before.is_classifier:
        description["output"] = config.output_type
    data = metadata.embed(
        file.read_bytes(),
        config.preprocess,
        before.expects_uint8_pixels,
        description,
        class_names if before.is_classifier else None,
    )
    file.write_bytes(data)
    values = json.loads(config_file.config_path(file).read_text(encoding="utf-8")) | {
        "bytes": len(data),
        "sha256": io.sha256_bytes(data),
    }
    _write_json(config_file.config_path(file), values)
    after = Runner(file)
    same = all(np.array_equal(v, outputs[name]) for name, v in named_outputs(after, inputs).items())
    if not same or str(after.delegation()) != delegation:
        raise ExportError(
            f"{file.name} must give the same outputs bit for bit, and be delegated as before, with "
            f"metadata inside. Received: {after.delegation()}, before {delegation}"
        )
    return after


def _write_files(
    folder: Path,
    info: dict,
    runners: Sequence[Runner],
    class_names: Sequence[str] | None,
    batch: ImageBatch,
) -> None:
    """Writes all files but the .tflite files and their configs; adds the digests to `info`."""
    if class_names:
        labels = "".join(f"{name}\n" for name in class_names)
        (folder / info["labels"]).write_text(labels, encoding="utf-8")
    expected = {
        f"{runner.file.name}/{name}": values
        for runner in runners
        for name, values in named_outputs(runner, model_inputs(runner, batch)).items()
    }
    np.savez_compressed(folder / EXPECTED, pixels=batch.pixels, **expected)
    for name, text in codegen.generate(info).items():
        (folder / name).write_text(text, encoding="utf-8")
    info["sha256"] = {file.name: io.sha256(file) for file in sorted(folder.iterdir())}
    content = json.dumps(json.loads(json.dumps(info)), sort_keys=True)
    info["digest"] = io.sha256_bytes(content.encode())
    _write_json(folder / INFO, info)


def _zip(folder: Path, top: str) -> bytes:
    files = {f"{top}/{file.name}": file.read_bytes() for file in sorted(folder.iterdir())}
    return metadata.archive(files)


def _write_json(path: Path, values: Mapping) -> None:
    text = json.dumps(values, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")

"""Bundles: all that an app needs of a model in one folder or zip.

`model.json` describes input and outputs of the .tflite files. The code for Android, iOS and C++ is
generated from it (`codegen`). It lists the digest of every other file and has a digest of its own, so
that a changed bundle is refused. With the stored images and expected outputs anybody can check, with
NumPy and LiteRT only, that the files give the same outputs elsewhere (`templates/check.py`).
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from newnet_tf.deploy import config_file, image_batch
from newnet_tf.deploy.bundle import codegen
from newnet_tf.deploy.bundle.check import check_bundle
from newnet_tf.deploy.bundle.info import (
    EXPECTED,
    INFO,
    make_info,
    model_inputs,
    named_outputs,
)
from newnet_tf.deploy.export_options import DEFAULT_CALIBRATION_METHOD
from newnet_tf.deploy.image_batch import ImageBatch
from newnet_tf.deploy.runtime import Runner
from newnet_tf.deploy.tflite import export_tflite
from newnet_tf.deploy.verification import Verification
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
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
    metadata: ModelMetadata | PreprocessConfig,
    path: str | os.PathLike,
    examples: Iterable,
    *,
    task: "str | Task | None" = None,
    precisions: Sequence[str] = ("fp32", "int8-full"),
    calibration_images: Iterable | None = None,
    validation_images: Iterable | None = None,
    exclude_layers: Sequence[str] = (),
    calibration_method: str = DEFAULT_CALIBRATION_METHOD,
    io_dtype: str = "float32",
    embed_normalization: bool = False,
    output_type: str | None = None,
    package: str = codegen.PACKAGE,
) -> Bundle:
    """Writes a bundle of a model. It appears as a whole, after its files gave the expected outputs.

    Args:
        model, metadata, task, precisions, calibration_images, validation_images, exclude_layers,
            calibration_method, io_dtype, embed_normalization, output_type: as in `export_tflite`.

        path: path of a new folder, of an earlier bundle to replace, or of a file ending in `.zip`.

        examples: images whose pixels and outputs are stored; the first four are used.

        package: str, package of the Kotlin code. Default: `"com.example.app"`.

    Returns:
        A `Bundle`.

    Raises:
        FileExistsError: if `path` exists and is no bundle.

        ExportError, ValueError: as `export_tflite`.

        BundleError: if the finished bundle does not give the expected outputs.

    Example:
        >>> model = newnet_tf.create_model("efficientnet_lite0")
        >>> make_bundle(model, newnet_tf.get_metadata(model), "lite0.zip", ["cat.jpg"],
        ...             precisions=["fp32"], validation_images=["cat.jpg", "cup.jpg"])
    """
    path = Path(path)
    check_path(path)
    codegen.check_package(package)
    with io.staging_folder(path.parent, path.stem) as staging:
        results = export_tflite(
            model,
            metadata,
            staging / "new",
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
        verifications = [result.verification for result in results]
        files = [result.file for result in results]
        return _finish(staging, path, files, verifications, examples, package)


def bundle_files(
    files: Sequence[str | os.PathLike],
    path: str | os.PathLike,
    examples: Iterable,
    *,
    package: str = codegen.PACKAGE,
) -> Bundle:
    """Writes a bundle of TFLite files that were exported before.

    Args:
        files: paths of TFLite files of one model, of different precisions, with their records inside.

        path, examples, package: as in `make_bundle`.

    Returns:
        A `Bundle`.

    Raises:
        FileExistsError: if `path` exists and is no bundle.

        ValueError: for a file without a record, files of several models, or an untrained one.

        BundleError: if the finished bundle does not give the expected outputs.

    Example:
        >>> files = newnet_tf.export("rexnet_100", "out", precisions=["fp32", "int8-full"])
        >>> bundle_files(files, "rexnet.zip", ["cat.jpg"])
    """
    path, sources = Path(path), [Path(file) for file in files]
    check_path(path)
    codegen.check_package(package)
    configs = [config_file.read_config(source) for source in sources]
    if not sources or any(config is None for config in configs):
        missing = [str(s) for s, c in zip(sources, configs, strict=True) if c is None]
        raise ValueError(
            "`files` must be TFLite files that `export` wrote, with their records inside. "
            f"Received: {', '.join(missing) or 'no file'}"
        )
    if len({config.metadata for config in configs}) > 1:
        raise ValueError(
            "`files` must be of one model, with the same preprocessing, classes and outputs. "
            f"Received: {', '.join(source.name for source in sources)}"
        )
    with io.staging_folder(path.parent, path.stem) as staging:
        folder = staging / "new"
        folder.mkdir()
        copies = []
        for source in sources:
            copies.append(Path(shutil.copy2(source, folder / source.name)))
            description = config_file.description_path(source)
            if description.is_file():
                shutil.copy2(description, folder / description.name)
        return _finish(staging, path, copies, [None] * len(copies), examples, package)


def _finish(
    staging: Path,
    path: Path,
    files: Sequence[Path],
    verifications: Sequence[Verification | None],
    examples: Iterable,
    package: str,
) -> Bundle:
    """Adds all that belongs to the files, checks the bundle, and renames it into place."""
    folder = staging / "new"
    runners = [Runner(file) for file in files]
    preprocess = runners[0].config.preprocess
    batch = image_batch.read(list(examples)[:EXAMPLES], preprocess, "examples")
    info = make_info(runners, verifications, batch)
    _write_files(folder, info, runners, batch, package)
    check_bundle(folder, info["digest"])
    if path.suffix == ZIP:
        (staging / "zip").write_bytes(_zip(folder, path.stem))
        os.replace(staging / "zip", path)
    else:
        if path.exists():
            os.replace(path, staging / "old")
        os.replace(folder, path)
    return Bundle(path, info["digest"], info)


def check_path(path: Path) -> None:
    """Raises FileExistsError if `path` exists and is no bundle."""
    is_bundle = path.is_file() if path.suffix == ZIP else (path / INFO).is_file()
    if path.exists() and not is_bundle:
        raise FileExistsError(f"`output` must be new, or be a bundle. Received: {str(path)!r}")


def _write_files(
    folder: Path,
    info: dict,
    runners: Sequence[Runner],
    batch: ImageBatch,
    package: str,
) -> None:
    """Writes all files but the .tflite files and their configs; adds the digests to `info`."""
    class_names = runners[0].config.metadata.class_names
    if class_names:
        (folder / info["labels"]).write_text(io.lines_of(class_names), encoding="utf-8")
    expected = {
        f"{runner.file.name}/{name}": values
        for runner in runners
        for name, values in named_outputs(runner, model_inputs(runner, batch)).items()
    }
    np.savez_compressed(folder / EXPECTED, pixels=batch.pixels, **expected)
    for name, text in codegen.generate(info, package).items():
        (folder / name).write_text(text, encoding="utf-8")
    info["sha256"] = {file.name: io.sha256(file) for file in sorted(folder.iterdir())}
    content = json.dumps(json.loads(json.dumps(info)), sort_keys=True)
    info["digest"] = io.sha256_bytes(content.encode())
    _write_json(folder / INFO, info)


def _zip(folder: Path, top: str) -> bytes:
    files = {f"{top}/{file.name}": file.read_bytes() for file in sorted(folder.iterdir())}
    return config_file.archive(files)


def _write_json(path: Path, values: Mapping) -> None:
    text = json.dumps(values, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")

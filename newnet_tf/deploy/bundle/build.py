"""All that an app needs of a network, in one folder or zip: files, labels, a record, code, a check.

`model.json` says what the .tflite files take and give; the code for Android, iOS and C++ is generated
from it (`snippets`). It lists the digest of every other file and carries its own, so that a bundle that
was changed is refused. Stored images and the answers to them let anybody see, with NumPy and LiteRT
alone, whether the files answer as they did here (`templates/check.py`).
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from newnet_tf.data.preprocess import normalize
from newnet_tf.deploy import export_config, image_batch
from newnet_tf.deploy.bundle import codegen
from newnet_tf.deploy.bundle.check import check_bundle
from newnet_tf.deploy.converter import ExportError
from newnet_tf.deploy.export_config import PIXELS
from newnet_tf.deploy.flatbuffer import metadata
from newnet_tf.deploy.runtime import Runner
from newnet_tf.deploy.tflite import ExportResult, export_tflite
from newnet_tf.deploy.verification import MIN_PROBABILITY
from newnet_tf.models.config import PreprocessConfig

RECORD, ANSWERS, FORMAT, ZIP = "model.json", "answers.npz", 1, ".zip"
EXAMPLES = 4  # images whose answers are stored
# How far an answer may lie from the stated one, in spreads of the answers, on another machine or by
# another interpreter. EfficientNet-Lite0 and 2 by tflite-runtime 2.14 (`results/runtimes.csv`): 2e-6 in
# fp32 and fp16, 0.18 in int8-dynamic, 0.23 in int8-full (0.25 and 0.43 with earlier recipes).
EXACT, ROUNDED = 0.001, 1.0


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where weights come from: license (SPDX), who trained them, on what, their tag or file."""

    license: str | None = None
    author: str | None = None
    dataset: str | None = None
    weights: str | None = None


@dataclass(frozen=True)
class Bundle:
    """A bundle that was made: its path, the digest of its record, and the record, `model.json`."""

    path: Path
    digest: str
    record: dict


def make_bundle(
    model,
    preprocess: PreprocessConfig,
    path: str | os.PathLike,
    name: str,
    provenance: Provenance,
    examples: Iterable,
    class_names: Sequence[str] | None = None,
    **export,
) -> Bundle:
    """Writes a bundle. It appears as a whole, after it has answered as it says.

    Args:
        model, preprocess: as in `export_tflite`.
        path: a new folder, an earlier bundle to replace, or a file ending in `.zip`.
        name: str, the network's name in file names.
        provenance: `Provenance` of the weights.
        examples: images whose pixels and answers are stored; the first four are taken.
        class_names: names of the classes in order. Default: their numbers.
        **export: the other arguments of `export_tflite`, among them `precisions` and `validation_images`.

    Returns:
        A `Bundle`.

    Raises:
        FileExistsError: where something that is no bundle has that name.
        ExportError, ValueError: as `export_tflite`, and where metadata would change an answer.
        BundleError: where the finished bundle does not answer as it says.

    Example:
        >>> make_bundle(model, record, "lite0.zip", "efficientnet_lite0", Provenance(license="MIT"),
        ...             ["cat.jpg"], precisions=["fp32"], images=["cat.jpg", "cup.jpg"])
    """
    path = Path(path)
    is_zip = path.suffix == ZIP
    if path.exists() and not (path.is_file() if is_zip else (path / RECORD).is_file()):
        raise FileExistsError(f"`path` must be new, or hold a bundle. Received: {str(path)!r}")
    shown = image_batch.read(list(examples)[:EXAMPLES], preprocess, "examples")
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.stem}-"))
    try:
        folder = staging / "new"
        results = export_tflite(model, preprocess, folder, name=name, **export)
        runners = [_embed(result, provenance, class_names) for result in results]
        record = _record(runners, results, provenance, shown)
        _write(folder, record, runners, class_names, shown)
        check_bundle(folder, record["digest"])
        if is_zip:
            (staging / "zip").write_bytes(_zipped(folder, path.stem))
            os.replace(staging / "zip", path)
        else:
            if path.exists():
                os.replace(path, staging / "old")
            os.replace(folder, path)
    finally:
        shutil.rmtree(staging)
    return Bundle(path, record["digest"], record)


def _embed(result: ExportResult, provenance: Provenance, class_names) -> Runner:
    """Puts metadata into an exported file, unless it would change anything; returns its Runner."""
    recipe, file = result.recipe, result.file
    before = Runner(file)
    facts = {
        "name": recipe.model,
        "description": f"Image classifier, {before.classes} classes, {recipe.kind}",
        "author": provenance.author or "not stated",
        "license": provenance.license or "not stated",
        "output": recipe.output_type,
    }
    inside = metadata.embed(
        file.read_bytes(), recipe.preprocess, before.expects_uint8_pixels, facts, class_names
    )
    noise = np.random.default_rng(0).integers(0, 256, (2, *recipe.preprocess.shape), np.uint8)
    inputs = noise if before.expects_uint8_pixels else normalize(noise, recipe.preprocess)
    answers, delegated = before(inputs), str(before.delegation())
    file.write_bytes(inside)
    record = json.loads(export_config.sidecar(file).read_text(encoding="utf-8"))
    record |= {"bytes": len(inside), "sha256": hashlib.sha256(inside).hexdigest()}
    _write_json(export_config.sidecar(file), record)
    after = Runner(file)
    if not np.array_equal(after(inputs), answers) or str(after.delegation()) != delegated:
        raise ExportError(
            f"{file.name} must answer the same bit for bit and be taken by XNNPACK as before when "
            f"metadata is inside. Received: {after.delegation()}, before {delegated}"
        )
    return after


def _record(runners, results, provenance: Provenance, shown: image_batch.Samples) -> dict:
    """What is in `model.json` but for digests."""
    recipe = results[0].recipe
    tensors = [_tensors(runner, recipe) for runner in runners]
    if any(found != tensors[0] for found in tensors):
        raise ExportError(f"all files must take and give the same. Received: {tensors}")
    given, scores = tensors[0]
    config = recipe.preprocess
    return {
        "format": FORMAT,
        "name": recipe.model,
        "license": provenance.license,
        "provenance": {
            **asdict(provenance),
            "sha256_of_weights": recipe.weights,
            "sha256_of_graph": recipe.graph,
            "versions": dict(recipe.versions),
        },
        "labels": f"{runners[0].file.name.split('.')[0]}.labels.txt",
        "image": {
            "size": config.size,
            "resize": config.resize,
            "interpolation": config.interpolation,
            "colors": "RGB" if config.channels == 3 else "gray",
            "range": [0, 255],
            "mean": config.mean,
            "std": config.std,
            "normalized_by": "the file" if given["takes"] == PIXELS else "you",
        },
        "input": given,
        "output": scores,
        "files": [
            _file(runner, result, shown) for runner, result in zip(runners, results, strict=True)
        ],
        "answers": {"file": ANSWERS, "images": list(shown.names)},
    }


def _tensors(runner: Runner, recipe) -> tuple[dict, dict]:
    """What a file takes and gives, read from the file."""
    image, scores = runner.tensors()
    normalized = (
        {}
        if runner.expects_uint8_pixels
        else {
            "scale": recipe.preprocess.scale,
            "offset": recipe.preprocess.offset,
        }
    )
    takes = PIXELS if runner.expects_uint8_pixels else "normalized"
    return {"takes": takes, **image, **normalized}, {"name": runner.output_type, **scores}


def _file(runner: Runner, result: ExportResult, shown: image_batch.Samples) -> dict:
    """One .tflite file's entry."""
    answers = _answers(runner, shown)
    if runner.output_type == "probabilities":
        answers = np.log(np.maximum(answers, MIN_PROBABILITY))
    spread = float(answers.std(0).mean()) if len(answers) > 1 else float(answers.std())
    bound = EXACT if result.recipe.precision.startswith("fp") else ROUNDED
    return {
        "file": runner.file.name,
        "precision": result.recipe.precision,
        "bytes": runner.file.stat().st_size,
        "recipe": export_config.sidecar(runner.file).name,
        "xnnpack": str(runner.delegation()),
        "verification": result.verification and result.verification.record(),
        "largest_difference": bound * spread,
    }


def _answers(runner: Runner, shown: image_batch.Samples) -> np.ndarray:
    return runner(shown.pixels if runner.expects_uint8_pixels else shown.inputs)


def _write(folder: Path, record: dict, runners, class_names, shown: image_batch.Samples) -> None:
    """Writes all but the .tflite files and their recipes; puts the digests into `record`."""
    names = class_names or [str(number) for number in range(runners[0].classes)]
    labels = "".join(f"{name}\n" for name in names)
    (folder / record["labels"]).write_text(labels, encoding="utf-8")
    answers = {runner.file.name: _answers(runner, shown) for runner in runners}
    np.savez_compressed(folder / ANSWERS, pixels=shown.pixels, **answers)
    for name, text in codegen.generate(record).items():
        (folder / name).write_text(text, encoding="utf-8")
    record["sha256"] = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
    whole = json.loads(json.dumps(record))
    record["digest"] = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
    _write_json(folder / RECORD, record)


def _zipped(folder: Path, top: str) -> bytes:
    files = {f"{top}/{file.name}": file.read_bytes() for file in sorted(folder.iterdir())}
    return metadata.archive(files)


def _write_json(path: Path, record: Mapping) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()

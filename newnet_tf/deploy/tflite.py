"""Keras model to TFLite files: exported, checked, verified, and only then given their names.

One SavedModel is exported with a fixed batch of 1 (a dynamic batch cuts the graph into pieces) and
converted once for each precision; `graph` adds what the recipe wants before and behind.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from newnet_tf.deploy import (
    converter,
    export_config,
    fingerprint,
    image_batch,
    verification as verification,
)
from newnet_tf.deploy.converter import ExportError
from newnet_tf.deploy.export_config import BEST, DEPLOYMENT, TIMING, Calibration, ExportConfig
from newnet_tf.deploy.quantization.precisions import PRECISIONS, calibrated, uses_calibration_images
from newnet_tf.deploy.runtime import Delegation, Runner
from newnet_tf.deploy.verification import Verification
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import keras

BATCH = 16


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """One TFLite file that was written, or found already there.

    Args:
        file: `Path`. recipe: `ExportConfig`. delegation: what XNNPACK takes of it.
        verification: `Verification`, None for a file for timing only.
        cached: bool, whether an earlier file with the same digest was kept.
    """

    file: Path
    recipe: ExportConfig
    delegation: Delegation
    verification: Verification | None
    cached: bool


def export_tflite(
    model,
    preprocess: PreprocessConfig,
    out_dir: str | os.PathLike,
    name: str | None = None,
    precisions: Sequence[str] = ("fp32",),
    calibration_images: Iterable | None = None,
    exclude_layers: Sequence[str] = (),
    calibration_method: str = BEST,
    io_dtype: str = "float32",
    embed_normalization: bool = False,
    output_type: str = "logits",
    verify: bool = True,
    validation_images: Iterable | None = None,
    threads: int = 1,
    force: bool = False,
    require_full_delegation: bool = True,
) -> list[ExportResult]:
    """Writes TFLite files of a model, with their recipes beside them, each verified.

    A file is asserted to hold builtin operators only, no TRANSPOSE that the model itself has not,
    all its weights, to be taken by XNNPACK whole and in one partition (`"int16x8"`, which XNNPACK
    does not know, excepted), and to answer as the model does. Files appear all together at the end;
    if one fails, none does.

    Args:
        model: Keras model from images to class scores, with its weights; ends in logits or in a
            softmax layer.
        preprocess: `cards.Preprocess` of its weights.
        out_dir: folder, made if need be.
        name: str, the model's name in file names. Default: `model.name`.
        precisions: among `PRECISIONS`, such as `"fp32"`, `"int8-full"`. Those of
            litert-quantizer need that package.
        calibration_images: images to measure on, see `samples.read`: about 100 of the kind that the
            network will see. `"int8-full"`, `"int16x8"` and `"litert-static"` need them;
            `"int8-dynamic"` and `"int8-weights"` answer closer to the model with them.
        exclude_layers: names of layers that stay float32, for `"int8-full"`.
        calibration_method: how ranges of maps are chosen for `"int8-full"`, one of `recipes.RANGES`.
        io_dtype, embed_normalization, output_type: what goes in and comes out, see `ExportConfig`.
        verify: bool, whether to compare with the model. With False the recipes say `"timing only"`.
        validation_images: images to verify on, two or more of different things, like `calibration_images`.
        threads: int, threads of the verifying interpreter.
        force: bool, whether to make files anew whose recipe's digest has not changed.
        require_full_delegation: bool, whether XNNPACK must take each file whole. With False, which is for timing, a
            file that it takes in part comes through, and the result's `delegation` says so.

    Returns:
        An `ExportResult` for each precision.

    Raises:
        ValueError: for an argument outside of the above.
        DegenerateOutputsError: where the model's own outputs do not vary from image to image.
        ExportError: where a file comes out wrong, with the figures.

    Example:
        >>> model = newnet_tf.create("efficientnet_lite0")
        >>> record = newnet_tf.preprocess("efficientnet_lite0").record
        >>> export_tflite(model, record, "build", precisions=["fp16"], images=["cat.jpg", "cup.jpg"])
    """
    export_config.check_options(precisions, io_dtype, embed_normalization, output_type)
    if verify and validation_images is None:
        raise ValueError(
            "`validation_images` must be given unless `verify=False`. Received: validation_images=None"
        )
    needed = calibrated(precisions)
    if needed and calibration_images is None:
        raise ValueError(
            f"`calibration_images` must be given for {needed[0]!r}. Received: calibration_images=None"
        )
    export_config.check_exclude_layers(precisions, exclude_layers)
    export_config.check_ranges(["int8-full"], calibration_method)
    _check_makers(precisions)
    fingerprint.check_side(model, preprocess)
    logits = fingerprint.logits_model(model)
    judge, measured = None, None
    if verify:
        judge = Judge(logits, image_batch.read(validation_images, preprocess, "validation_images"))
    if calibration_images is not None and any(map(uses_calibration_images, precisions)):
        measured = image_batch.with_extremes(
            image_batch.read(calibration_images, preprocess, "calibration_images")
        )
    plain = ExportConfig(
        model=name or model.name,
        precision=precisions[0],
        preprocess=preprocess,
        weights=fingerprint.weights_digest(logits),
        graph=fingerprint.graph_digest(logits),
        versions=fingerprint.versions(),
        io_dtype=io_dtype,
        embed_normalization=embed_normalization,
        output_type=output_type,
        exclude_layers=tuple(exclude_layers),
        purpose=DEPLOYMENT if verify else TIMING,
    )
    wanted = [
        _with_precision(plain, p, calibration_method, measured) for p in dict.fromkeys(precisions)
    ]
    with _staging(Path(out_dir)) as staging:
        there = [r for r in wanted if not force and _is_there(staging.parent, r)]
        missing = [r for r in wanted if r not in there]
        converter.write(logits, missing, measured, staging, _say)
        results = []
        for recipe in wanted:
            results.append(
                _check(recipe, staging, judge, threads, recipe in there, require_full_delegation)
            )
        for path in staging.glob("*.*"):
            os.replace(path, staging.parent / path.name)
    return results


def verify_tflite(
    model, file: str | os.PathLike, validation_images: Iterable, threads: int = 1
) -> Verification:
    """Verifies a file that `export_tflite` wrote against the model that it was made from.

    Args:
        model: Keras model with the weights of the export.
        file: path of the TFLite file, its recipe beside it.
        validation_images: two or more, of different things, see `samples.read`.
        threads: int, threads of the interpreter.

    Returns:
        A `Verification`; ask its `passed`.

    Raises:
        ModelFileError: for a file that cannot be run.
        ValueError: for a file without recipe, or a model with other weights.
        DegenerateOutputsError: as in `export_tflite`.
    """
    runner = Runner(file, threads)
    if runner.recipe is None:
        raise ValueError(f"{runner.file} must have its recipe beside it. Received: no .json file")
    logits = fingerprint.logits_model(model)
    found = fingerprint.weights_digest(logits)
    if found != runner.recipe.weights:
        raise ValueError(
            f"`model` must have the weights that {runner.file} was made from (sha256 "
            f"{runner.recipe.weights:.12}…). Received: model {model.name!r} with {found:.12}…"
        )
    judge = Judge(
        logits, image_batch.read(validation_images, runner.recipe.preprocess, "validation_images")
    )
    return judge(runner, runner.recipe)


class Judge:
    """Compares files with a model's logits on the same images."""

    def __init__(self, logits, validation_images: image_batch.Samples):
        self.images = validation_images
        inputs = validation_images.inputs
        batches = [inputs[i : i + BATCH] for i in range(0, len(inputs), BATCH)]
        self._reference = np.concatenate(
            [keras.ops.convert_to_numpy(logits(batch, training=False)) for batch in batches]
        )
        verification.check_outputs_vary(self._reference)

    def __call__(self, runner: Runner, recipe: ExportConfig) -> Verification:
        inputs = self.images.pixels if runner.expects_uint8_pixels else self.images.inputs
        return verification.verify(self._reference, runner, inputs, recipe)


def _check(
    recipe: ExportConfig,
    staging: Path,
    judge,
    threads: int,
    cached: bool,
    require_full_delegation: bool,
) -> ExportResult:
    """Runs one file, new in `staging` or old beside it, and writes its record into `staging`."""
    name, folder = f"{recipe.stem}.tflite", staging.parent
    runner = Runner((folder if cached else staging) / name, threads)
    delegation = runner.delegation()
    found = judge(runner, recipe) if judge else None
    size = runner.file.stat().st_size
    verdict = found or "not verified (timing only)"
    _say(f"{name}: {size / 1e6:.2f} MB{', kept' * cached}, XNNPACK {delegation}; {verdict}")
    if (
        require_full_delegation
        and PRECISIONS[recipe.precision].delegated
        and not delegation.fully_delegated
    ):
        raise ExportError(
            f"{name} must be taken by XNNPACK whole, in one partition. Received: {delegation}"
        )
    if found and not found.passed:
        raise ExportError(
            f"{name} must answer as the model does, within the tolerance of {recipe.precision!r}. "
            f"Received: {'; '.join(found.reasons)} ({found}); nothing was written"
        )
    if found or not cached:
        record = {
            "file": name,
            "bytes": size,
            "sha256": _sha256(runner.file),
            "delegated": str(delegation),
            "verification": found and {**found.record(), "sources": list(judge.images.names)},
        }
        text = json.dumps({**record, **recipe.record()}, indent=2, ensure_ascii=False)
        export_config.sidecar(staging / name).write_text(f"{text}\n", encoding="utf-8")
    return ExportResult(
        file=folder / name,
        recipe=recipe,
        delegation=delegation,
        verification=found,
        cached=cached,
    )


def _check_makers(precisions: Iterable[str]) -> None:
    """Raises ValueError where a precision's package is not installed."""
    for precision in precisions:
        maker = PRECISIONS[precision].maker
        if maker and not fingerprint.versions_of(maker):
            raise ValueError(
                f"{precision!r} needs {maker}: `pip install 'newnet_tf[quantizer]'`. "
                "Received: it is not installed"
            )


def _with_precision(
    plain: ExportConfig, precision: str, ranges: str, measured: image_batch.Samples | None
) -> ExportConfig:
    maker, fields = PRECISIONS[precision].maker, {"precision": precision}
    if maker:
        fields["versions"] = {**plain.versions, **fingerprint.versions_of(maker)}
    if measured and uses_calibration_images(precision):
        fields["calibration"] = Calibration(
            sources=measured.names, count=len(measured.names), sha256=measured.sha256
        )
    fields["ranges"] = ranges if precision == "int8-full" else None
    return dataclasses.replace(plain, **fields)


def _is_there(folder: Path, recipe: ExportConfig) -> bool:
    """Whether an undamaged file of this very recipe lies in `folder`."""
    file = folder / f"{recipe.stem}.tflite"
    try:
        record = export_config.read(file) or {}
    except ValueError:
        return False
    same = record.get("digest") == recipe.digest
    return same and file.is_file() and record.get("sha256") == _sha256(file)


@contextlib.contextmanager
def _staging(folder: Path):
    """Gives a hidden folder inside `folder`, gone afterwards; so is `folder` if new and empty."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=".export-"))
    try:
        yield staging
    finally:
        shutil.rmtree(staging)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

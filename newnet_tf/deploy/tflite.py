"""Export of a Keras model to TFLite files: converted, checked, verified, then renamed into place.

One SavedModel is exported with a fixed batch of 1 (a dynamic batch splits the graph) and converted once
for each precision; `io_adapters` adds what the config asks for at the input and the outputs.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from newnet_tf.deploy import (
    config_file,
    converter,
    export_options,
    fingerprint,
    image_batch,
    model_outputs,
    source_model,
)
from newnet_tf.deploy.advice import advice
from newnet_tf.deploy.converter import ExportError
from newnet_tf.deploy.export_config import DEPLOYMENT, TIMING, ExportConfig
from newnet_tf.deploy.export_options import DEFAULT_CALIBRATION_METHOD
from newnet_tf.deploy.export_result import ExportResult
from newnet_tf.deploy.precision_config import check_packages, with_precision
from newnet_tf.deploy.quantization.precisions import (
    PRECISIONS,
    uses_calibration_images,
)
from newnet_tf.deploy.runtime import Runner
from newnet_tf.deploy.verifier import Verifier, check_images
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import LOGITS, ModelMetadata
from newnet_tf.utils import io
from newnet_tf.utils.progress import note

if TYPE_CHECKING:
    from newnet_tf.task import Task


def export_tflite(
    model: Any,
    metadata: ModelMetadata | PreprocessConfig,
    out_dir: str | os.PathLike,
    name: str | None = None,
    precisions: Sequence[str] = ("fp32",),
    calibration_images: Iterable | None = None,
    exclude_layers: Sequence[str] = (),
    calibration_method: str = DEFAULT_CALIBRATION_METHOD,
    io_dtype: str = "float32",
    embed_normalization: bool = False,
    embed_postprocess: bool = False,
    output_type: str | None = None,
    verify: bool = True,
    validation_images: Iterable | None = None,
    threads: int = 1,
    force: bool = False,
    require_full_delegation: bool = True,
    task: "str | Task | None" = None,
) -> list[ExportResult]:
    """Writes TFLite files of a model, each verified, with their metadata inside.

    Each file is checked: it holds builtin operators only, no TRANSPOSE that the model itself has not,
    and all its weights; XNNPACK takes it in one partition (`"int16x8"`, which XNNPACK does not know,
    excepted); and its outputs are those of the model, within the tolerance of its precision. Files
    appear all together at the end; if one fails, none does.

    Args:
        model: built `keras.Model` with one image input: functional, `Sequential`, with nested models or
            augmentation inside, of mixed precision. A classifier has one output of class scores. For
            another task it may have several outputs, which keep their names.

        metadata: `ModelMetadata` of the model, or its `PreprocessConfig` alone: then what else is known
            of the model is taken (`newnet_tf.get_metadata`), and its end says what its outputs are.

        out_dir: path of a folder, created if it does not exist.

        name: str, the model's name in file names. Default: that of the metadata.

        precisions: sequence of str among `PRECISIONS`, such as `"fp32"`, `"int8-full"`. Those of
            litert-quantizer need that package. Default: `("fp32",)`.

        calibration_images: images to measure on, see `image_batch.read`: about 100 of the kind that
            the model will see. `"int8-full"`, `"int16x8"` and `"litert-static"` need them;
            `"int8-dynamic"` and `"int8-weights"` are more accurate with them.

        exclude_layers: names of layers that stay float32, for `"int8-full"`.

        calibration_method: str, how activation ranges are chosen for `"int8-full"`, one of
            `CALIBRATION_METHODS`. Default: `"mse"`.

        io_dtype: `"float32"` (default), `"int8"` or `"uint8"`, see `ExportConfig`.

        embed_normalization: bool, whether the file takes uint8 pixels and normalizes them. Default:
            False.

        embed_postprocess: bool, whether the file returns results instead of raw outputs: of a detector
            the boxes after non-maximum suppression, by `TFLite_Detection_PostProcess`. Default: False.

        output_type: `"logits"`, `"probabilities"` or `"sigmoid"`, what a classifier's file returns, see
            `ModelMetadata`. Default: what the model returns; logits where outputs are integers.

        verify: bool, whether to compare with the model. With False the configs say `"timing only"`.
            Default: True.

        validation_images: images to verify on, two or more of different things, in the form of
            `calibration_images`.

        threads: int, threads of the interpreter that verifies. Default: 1.

        force: bool, whether to export again what has not changed. Default: False.

        require_full_delegation: bool, whether XNNPACK must take each file in one partition. With
            False, which is for timing, other files are written too, and the result's `delegation`
            says so. Default: True.

        task: str or `Task`, what the outputs mean. Default: that of the metadata.

    Returns:
        List of `ExportResult`, one for each precision.

    Raises:
        ValueError: for an argument outside of the above.

        DegenerateOutputsError: where the model's own outputs do not vary from image to image.

        ExportError: where a file is wrong, with the figures.

    Example:
        >>> model = newnet_tf.create_model("efficientnet_lite0")
        >>> preprocess = newnet_tf.model_card("efficientnet_lite0").preprocess
        >>> images = ["cat.jpg", "cup.jpg"]
        >>> export_tflite(model, preprocess, "build", precisions=["fp16"], validation_images=images)
    """
    export_options.check_options(precisions, io_dtype, embed_normalization, output_type)
    check_images(precisions, calibration_images, validation_images, verify)
    export_options.check_exclude_layers(precisions, exclude_layers)
    export_options.check_calibration_method(["int8-full"], calibration_method)
    check_packages(precisions)
    source = source_model.source_model(model, metadata, name, task)
    if io_dtype != "float32" and output_type is None:
        output_type = LOGITS  # probabilities in steps of 1/256 would be too coarse
    output_type, appended = source.resolve_output_type(output_type)
    export_options.check_options(precisions, io_dtype, embed_normalization, output_type)
    preprocess = source.metadata.preprocess
    export_options.check_embedding(preprocess, embed_normalization)
    operator = source_model.checked_operator(source, embed_postprocess)
    verifier, calibration = None, None
    if verify:
        images = image_batch.read(validation_images, preprocess, "validation_images")
        verifier = Verifier(source, images)
    if calibration_images is not None and any(map(uses_calibration_images, precisions)):
        calibration = image_batch.with_extremes(
            image_batch.read(calibration_images, preprocess, "calibration_images")
        )
    base = ExportConfig(
        metadata=dataclasses.replace(source.metadata, output_type=output_type),
        precision=precisions[0],
        graph=fingerprint.graph_digest(source.graph),
        versions=fingerprint.versions(),
        io_dtype=io_dtype,
        embed_normalization=embed_normalization,
        embed_postprocess=embed_postprocess,
        model_output_type=source.metadata.output_type,
        appended_activation=appended,
        exclude_layers=tuple(exclude_layers),
        purpose=DEPLOYMENT if verify else TIMING,
        **model_outputs.signatures(
            source.graph,
            preprocess,
            output_type,
            io_dtype,
            embed_normalization,
            operator=operator,
        ),
    )
    configs = [
        with_precision(base, precision, calibration_method, calibration)
        for precision in dict.fromkeys(precisions)
    ]
    with _staging(Path(out_dir)) as staging:
        cached = [c for c in configs if not force and _is_cached(staging.parent, c)]
        missing = [config for config in configs if config not in cached]
        converter.convert(source.graph, missing, calibration, staging, note, operator)
        results = []
        for config in configs:
            folder = staging.parent if config in cached else staging
            runner = Runner(folder / f"{config.stem}.tflite", threads)
            if require_full_delegation:
                _check_delegation(runner, config)
            results.append(_check(runner, config, staging, verifier, config in cached))
        for path in staging.glob("*.*"):
            os.replace(path, staging.parent / path.name)
    return results


def _check(
    runner: Runner, config: ExportConfig, staging: Path, verifier: Verifier | None, cached: bool
) -> ExportResult:
    """Verifies one file, new or cached, and writes its config into `staging`."""
    name, delegation = runner.file.name, runner.delegation()
    if verifier:
        note(f"{name}: comparing with the model on {len(verifier.images)} images")
    verified = verifier(runner, config) if verifier else None
    size = runner.file.stat().st_size
    note(
        f"{name}: {size / 1e6:.2f} MB{', cached' * cached}, XNNPACK {delegation}; "
        f"{verified or 'not verified (timing only)'}"
    )
    if verified and not verified.passed:
        raise ExportError(
            f"{name} must give the model's outputs within the tolerance of {config.precision!r}. "
            f"Received: {'; '.join(verified.reasons)} ({verified}); nothing was written"
            f"{advice(config.precision)}"
        )
    is_first_check = verified and cached and runner.config.purpose != config.purpose
    if is_first_check:  # it was exported for timing only, and its record says so
        (staging / name).write_bytes(config_file.with_config(runner.file, config))
    config_file.write_labels(staging, config)
    if verifier or not cached:
        values = {
            "file": name,
            "bytes": size,
            "sha256": io.sha256(staging / name if is_first_check else runner.file),
            "delegated": str(delegation),
            "verification": None,
        }
        if verifier and verified:
            names = list(verifier.images.names)
            values["verification"] = {**verified.to_dict(), "image_names": names}
        text = json.dumps({**values, **config.to_dict()}, indent=2, ensure_ascii=False)
        path = config_file.description_path(staging / name)
        path.write_text(f"{text}\n", encoding="utf-8")
    return ExportResult(
        file=staging.parent / name,
        config=config,
        delegation=delegation,
        verification=verified,
        cached=cached,
    )


def _check_delegation(runner: Runner, config: ExportConfig) -> None:
    """Raises ExportError unless XNNPACK takes a file in one partition, if it takes its precision."""
    delegation = runner.delegation()
    at_end = 1 if config.embed_postprocess else 0  # the custom operator
    is_whole = delegation.partitions == 1 and len(delegation.fallback_ops) == at_end
    if PRECISIONS[config.precision].delegated and not is_whole:
        raise ExportError(
            f"{runner.file.name} must be taken by XNNPACK whole, in one partition. "
            f"Received: {delegation}"
        )


def _is_cached(folder: Path, config: ExportConfig) -> bool:
    """Whether an undamaged file of this very config lies in `folder`."""
    file = folder / f"{config.stem}.tflite"
    try:
        earlier = config_file.read_config(file)
    except ValueError:
        return False
    return earlier is not None and earlier.digest == config.digest


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Gives a hidden folder inside `folder`, removed afterwards; so is `folder` if new and empty."""
    is_new = not folder.exists()
    try:
        with io.staging_folder(folder, "export") as staging:
            yield staging
    finally:
        if is_new and not any(folder.iterdir()):
            folder.rmdir()

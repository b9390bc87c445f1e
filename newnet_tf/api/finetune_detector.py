"""Finetuning of a detector, which `newnet_tf.finetune` begins for a dataset with boxes."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from newnet_tf.api.arguments import check_model
from newnet_tf.api.evaluate import evaluate_split
from newnet_tf.api.finetune_exports import export_precisions
from newnet_tf.data.datasets.base import DETECTION, TEST, TRAIN, VALIDATION, Dataset, Split
from newnet_tf.deploy.converter import ExportError
from newnet_tf.detection.evaluation.coco_eval import import_faster_coco_eval
from newnet_tf.evaluation.result_table import save_result
from newnet_tf.finetuning import detector_report
from newnet_tf.finetuning.detector import (
    CACHED_VIEWS,
    HEAD_EPOCHS,
    MIN_STEPS,
    DetectorRun,
    finetune_detector,
)
from newnet_tf.finetuning.detector_build import build_detector
from newnet_tf.finetuning.detector_config import check_settings, split_overrides
from newnet_tf.finetuning.detector_result import DetectorFile, DetectorFinetuneResult
from newnet_tf.inference.loading import load_predictor
from newnet_tf.models import registry
from newnet_tf.models.config.metadata import get_metadata, set_metadata
from newnet_tf.models.model_file import save_model
from newnet_tf.training.progress import fit_batch_size
from newnet_tf.utils.progress import note
from newnet_tf.visualization import html_page


def is_detector(model: Any) -> bool:
    """Returns whether a name is that of a detector; imports no TensorFlow.

    Raises:
        ValueError: for an unknown name.
    """
    return isinstance(model, str) and registry.resolve(model)[0].card.task == DETECTION


def check_detector(
    model: str,
    weights: str | os.PathLike | None,
    changes: Mapping[str, Any],
    settings: Mapping[str, Any],
    only_classifiers: Mapping[str, Any],
) -> None:
    """Checks the arguments of `finetune` for a detector before TensorFlow is imported.

    Args:
        model, weights, changes: as in `finetune`; `changes` are its `overrides`.

        settings: mapping, the arguments of `detector_config.check_settings` by name.

        only_classifiers: mapping, arguments that a detector does not take, by name.

    Raises:
        ValueError: for the first that cannot be right.

        ImportError: if faster-coco-eval is not installed.
    """
    for name, value in only_classifiers.items():
        if value is not None:
            raise ValueError(
                f"`{name}` must be left out for a detector. Received: {name}={value!r}"
            )
    check_settings(**settings)
    check_model(model, weights=weights, allow_untrained=True)
    import_faster_coco_eval()  # each epoch ends with an evaluation
    split_overrides(changes)


def _variant(model: str, dataset: Dataset) -> Any:
    """Returns the variant of a detector, and the tag in its name or None."""
    variant, tag = registry.resolve(model)
    if variant.card.task != DETECTION:
        raise ValueError(
            f"`model` must be a detector, as {dataset.name} has boxes: ssdlite_{model} is one on this "
            f"backbone. Received: {model}, whose task is {variant.card.task!r}"
        )
    if dataset.task != DETECTION:
        raise ValueError(
            f"`dataset` (--data) must have boxes for {model}. Received: {dataset}, of the task "
            f"{dataset.task!r}"
        )
    return variant, tag


def finetune_on_boxes(
    model: str,
    dataset: Dataset,
    *,
    output_dir: str | os.PathLike | None,
    weights: str | os.PathLike | None,
    epochs: int | None,
    image_size: int | None,
    head_only: bool,
    head_epochs: int | None,
    frozen_stride: int | None,
    score_function: str | None,
    cached_views: int | None,
    backbone_lr_scale: float,
    batch_norm: str,
    seed: int,
    overrides: Mapping[str, Any],
    precisions: Sequence[str],
    save_results: bool,
) -> DetectorFinetuneResult:
    """Finetunes a detector; arguments and result as of `newnet_tf.finetune`."""
    variant, tag = _variant(model, dataset)
    output_dir = Path(output_dir or Path("runs") / f"{dataset.name}-{variant.card.name}")
    own = {"epochs": epochs, "seed": seed}
    changes = dict(overrides) | {name: value for name, value in own.items() if value is not None}
    recipe, augmentation = split_overrides(changes)
    train, test, name = _splits(dataset)
    recipe = fit_batch_size(recipe, train.size, MIN_STEPS)
    if recipe.warmup >= recipe.epochs:
        recipe = dataclasses.replace(recipe, warmup=recipe.epochs / 2)
    if summary := dataset.skipped_summary():
        note(summary)
    chosen = os.fspath(weights) if weights else tag or variant.card.default_weights
    arguments = (variant, chosen, dataset.classes, image_size, score_function, seed)
    built = build_detector(*arguments, recipe.dtype)
    known = get_metadata(built)
    preprocess = dataclasses.replace(known.preprocess, antialias=True, half_pixel_centers=True)
    known = dataclasses.replace(
        known,
        preprocess=preprocess,
        class_names=tuple(dataset.class_names),
        trained=True,
        weights=f"{known.weights or 'backbone'}, finetuned",
        dataset=dataset.name,
    )
    run = DetectorRun(
        dataset=dataset,
        metadata=known,
        output_dir=output_dir,
        recipe=recipe,
        head_epochs=HEAD_EPOCHS if head_epochs is None else head_epochs,
        augmentation=augmentation,
        backbone_lr_scale=backbone_lr_scale,
        batch_norm=batch_norm,
        all_layers=not head_only,
        frozen_stride=frozen_stride,
        cached_views=CACHED_VIEWS if cached_views is None else cached_views,
    )
    fits = finetune_detector(built, run)
    if recipe.dtype != "float32":
        trained, built = built, build_detector(*arguments)
        built.set_weights(trained.get_weights())
    set_metadata(built, known)
    file = output_dir / f"{known.name}.keras"
    save_model(built, file, known)
    found = evaluate_split(load_predictor(built), test)
    result = DetectorFinetuneResult(
        model=built,
        metadata=known,
        dataset=dataset,
        output_dir=output_dir,
        train=train,
        test=test,
        fits=fits,
        result=dataclasses.replace(found, dataset=dataset.name, split=name),
        settings=f"{recipe}; {augmentation}; head epochs {run.head_epochs}, cached views "
        f"{run.cached_views}, backbone learning rate scale {backbone_lr_scale}, batch norm "
        f"{batch_norm}, frozen stride {frozen_stride}",
        seed=seed,
        skipped=dataset.skipped + found.skipped,
        model_file=file,
    )
    result = _with_report(result)  # before the exports, whose errors end the function
    failures: list[ExportError] = []
    if precisions:
        exports, failures = _export(result, precisions)
        result = _with_report(dataclasses.replace(result, exports=exports))
    if save_results:
        data = f"{dataset.name}, finetuned"
        note(f"wrote {save_result(result.result, result.name, data, 'fp32', known.weights)}")
    if failures:
        written = ", ".join(file.name for file in result.files)
        raise ExportError(f"{failures[0]}\nwritten: {written}")
    return result


def _splits(dataset: Dataset) -> tuple[Split, Split, str]:
    """Returns the images to train on, those to test on (validation, else test), and their name."""
    name = next((name for name in (VALIDATION, TEST) if name in dataset.splits), None)
    if TRAIN not in dataset.splits or name is None:
        raise ValueError(
            f"`dataset` (--data) must have images to train and to test on. Received: {dataset}"
        )
    train = dataset.split(TRAIN)
    counts = train.class_counts(dataset.classes)
    missing = [dataset.class_names[i] for i in np.flatnonzero(counts == 0)]
    if missing:
        note(f"without a training box, so never detected: {', '.join(missing)}")
    return train, dataset.split(name), name


def _with_report(result: DetectorFinetuneResult) -> DetectorFinetuneResult:
    path = html_page.write(
        result.output_dir / "report.html",
        f"{result.name} on {result.dataset.name}",
        detector_report.sections(result),
    )
    return dataclasses.replace(result, report=Path(path))


def _export(
    result: DetectorFinetuneResult, precisions: Sequence[str]
) -> tuple[tuple[DetectorFile, ...], list[ExportError]]:
    """Exports TFLite files and evaluates them; returns them, and the errors of those refused."""
    exported, failures = export_precisions(result, precisions)
    files = []
    for file in exported:
        found = evaluate_split(load_predictor(file), result.test)
        difference = found.metrics["mAP50"] - result.metrics["mAP50"]
        verification = getattr(file, "verification", None)
        files.append(DetectorFile(Path(file), found, difference, verification))
    return tuple(files), failures

"""`newnet_tf.finetune`: a pretrained model on classes of your own."""

import dataclasses
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from newnet_tf import weights as checkpoints
from newnet_tf.api.evaluate import evaluate_split
from newnet_tf.api.export import export
from newnet_tf.data.datasets.base import Dataset
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.deploy.export_config import check_options
from newnet_tf.deploy.quantization.precisions import uses_calibration_images
from newnet_tf.evaluation.accuracy_table import save_accuracy
from newnet_tf.evaluation.paired import compare
from newnet_tf.finetuning import run_files
from newnet_tf.finetuning.full_finetune import BATCH_NORM
from newnet_tf.finetuning.result import ExportedFile, FinetuneResult
from newnet_tf.finetuning.run import FinetuneConfig, evaluation_split, run_stages
from newnet_tf.inference.loaded import LoadedModel, set_model_info
from newnet_tf.inference.loading import load_predictor
from newnet_tf.inference.model import REPLACED_ACTIVATION
from newnet_tf.models import activations, registry
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.training.overrides import override
from newnet_tf.training.recipe_registry import get_recipe
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.progress import note
from newnet_tf.utils.quiet import start_keras

CALIBRATION_IMAGES = VERIFICATION_IMAGES = 100


def finetune(
    model: str,
    dataset: Dataset | str | os.PathLike,
    *,
    output_dir: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    epochs: int | None = None,
    image_size: int | None = None,
    validation_split: float = 0.2,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
    linear_probe: bool = False,
    backbone_lr_scale: float = 0.25,
    batch_norm: str | None = None,
    holdout_fraction: float = 0.1,
    overrides: Mapping[str, object] | None = None,
    activation: str | None = None,
    preprocess_as: str | None = None,
    precisions: Sequence[str] = (),
    save_results: bool = False,
) -> FinetuneResult:
    """Finetunes a pretrained model on classes of your own; writes model, report and exported files.

    First a linear classifier is fitted to the frozen features, which are computed once and cached.
    Then all layers are trained, the pretrained ones at a lower learning rate, none above the largest
    stable one. The test images (the validation split) choose nothing: the model is that of the last
    epoch, or the linear probe if all layers came out worse on held-out training images. An
    interrupted run with the same `output_dir` and arguments is resumed.

    Args:
        model: str, name of a model of the zoo.

        dataset: `Dataset`, or what `load_dataset` takes, e.g. a folder with one folder of images for
            each class.

        output_dir: path of the run's folder. Default: `runs/DATASET-MODEL`.

        weights: str or path, tag or checkpoint file to start from. Default: the model's public weights.

        epochs: int, of the second stage. Default: the recipe's.

        image_size: int, height and width of the model's input. Default: that of the weights.

        validation_split: float in (0, 1), fraction of a folder without splits that is not trained on
            but evaluated. Default: 0.2.

        seed: int, of split, holdout, order and augmentation. Default: 0.

        data_dir: path, where tensorflow-datasets keeps its datasets. Default: its own folder.

        linear_probe: bool, whether to end after the first stage. Default: False.

        backbone_lr_scale: float >= 0, the pretrained layers' learning rate as a fraction of the
            classifier's. Default: 0.25.

        batch_norm: `"frozen"` (as in inference) or `"trained"`. Default: `"frozen"`, but `"trained"`
            with `activation`, which changes what batch norm normalizes.

        holdout_fraction: float in [0, 1), fraction of the training images that only decide which
            stage's model is kept; 0 keeps the second. Default: 0.1.

        overrides: mapping from field to value, changes of the recipe `"finetune"` of the second stage,
            e.g. `{"lr": 0.01}`; a learning rate given here is not capped. Default: none.

        activation: one of `"relu"`, `"relu6"`, `"hard_swish"`, which replaces SiLU; for hardware
            without SiLU. Default: None.

        preprocess_as: str, name of a model of the zoo whose preprocessing is used. Default: the
            weights' own.

        precisions: str among `deploy.quantization.precisions.PRECISIONS`, TFLite files to export, e.g.
            `("fp32", "int8-full")`. They are calibrated on training images. Default: none.

        save_results: bool, whether to write the accuracies into `newnet_tf/results/accuracy.csv`.
            Default: False.

    Returns:
        A `FinetuneResult`. `evaluate`, `predict` and `export` take it, its `.model` and its folder.

    Raises:
        ValueError: if there is no such model or dataset, the model has no weights, or an argument is
            outside of the above.

        ExportError: if an exported file's outputs differ from the model's; all other files are
            written before.

    Example:
        >>> dataset = newnet_tf.load_dataset("flowers/")
        >>> result = newnet_tf.finetune("efficientnet_lite0", dataset, epochs=4)
        >>> print(newnet_tf.evaluate(result.model, dataset.split("validation")))
    """
    precisions = tuple(precisions)
    if precisions:
        check_options(precisions, "float32", False, "logits")
    _check_arguments(backbone_lr_scale, batch_norm, holdout_fraction, image_size)
    changes = dict(overrides or {})
    recipe = None if linear_probe else _recipe(changes, epochs, seed)
    if not isinstance(dataset, Dataset):
        dataset = load_dataset(
            dataset, validation_split=validation_split, seed=seed, data_dir=data_dir
        )
    evaluation_split(dataset)
    built, weights_name, preprocess = _build(
        model, dataset, weights, preprocess_as, image_size, activation
    )
    config = FinetuneConfig(
        weights=weights_name,
        dataset=dataset,
        preprocess=preprocess,
        output_dir=Path(output_dir or Path("runs") / f"{dataset.name}-{built.name}"),
        recipe=recipe,
        seed=seed,
        backbone_lr_scale=backbone_lr_scale,
        batch_norm=batch_norm or ("trained" if activation else "frozen"),
        holdout_fraction=holdout_fraction,
        cap_lr="lr" not in changes,
    )
    result = run_files.write_files(run_stages(built, config))
    set_model_info(_loaded(result))
    result = run_files.write_report(result)  # before the exports, whose errors end the function
    if precisions:
        result = dataclasses.replace(result, exports=_export(result, precisions))
        result = run_files.write_report(result)
    if save_results:
        note(f"wrote {_save_results(result)}")
    return result


def _check_arguments(
    backbone_lr_scale: float,
    batch_norm: str | None,
    holdout_fraction: float,
    image_size: int | None,
) -> None:
    if batch_norm not in (None, *BATCH_NORM) or backbone_lr_scale < 0:
        raise ValueError(
            f"`batch_norm` must be among {BATCH_NORM}, `backbone_lr_scale` not negative. "
            f"Received: {batch_norm=}, {backbone_lr_scale=}"
        )
    if not 0 <= holdout_fraction < 1:
        raise ValueError(
            "`holdout_fraction` (--holdout-fraction) must lie in [0, 1). "
            f"Received: {holdout_fraction=}"
        )
    if image_size is not None and image_size < 1:
        raise ValueError(f"`image_size` (--image-size) must be positive. Received: {image_size}")


def _recipe(changes: dict[str, object], epochs: int | None, seed: int) -> Recipe:
    if epochs is not None:
        changes = changes | {"epochs": epochs}
    return override(get_recipe("finetune"), changes | {"seed": seed})


def _build(
    name: str,
    dataset: Dataset,
    weights: str | os.PathLike | None,
    preprocess_as: str | None,
    image_size: int | None,
    activation: str | None,
) -> tuple[Any, str, PreprocessConfig]:
    """Returns the model with a new classifier, the name of its weights, and its preprocessing."""
    if not isinstance(name, str):
        raise ValueError(
            "`model` must be the name of a model of the zoo; pass your own checkpoint as `weights`. "
            f"Received: {type(name).__name__}"
        )
    variant, tag = registry.resolve(name)
    chosen = os.fspath(weights) if weights else tag or variant.card.default_weights
    if chosen is None:
        raise ValueError(
            f"{variant.card.name} has no public weights; pass a checkpoint file as `weights` "
            "(--weights). Received: no weights"
        )
    is_file = checkpoints.is_file(chosen)
    preprocess = registry.preprocess_config(
        preprocess_as or variant.card.name, None if is_file else chosen
    )
    if image_size:
        preprocess = dataclasses.replace(preprocess, image_size=image_size)
    start_keras()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the new classifier is the purpose here
        model = variant.build(weights=chosen, classes=dataset.classes, input_shape=preprocess.shape)
    if activation is not None:
        model = activations.replace_activation(model, REPLACED_ACTIVATION, activation)
    return model, Path(chosen).name if is_file else chosen, preprocess


def _loaded(result: FinetuneResult) -> LoadedModel:
    return LoadedModel(
        model=result.model,
        name=result.name,
        preprocess=result.preprocess,
        class_names=result.class_names,
        is_trained=True,
        weights=f"{result.weights}, {result.kept_stage}",
    )


def _export(result: FinetuneResult, precisions: Sequence[str]) -> tuple[ExportedFile, ...]:
    """Exports TFLite files, calibrated on training images, and evaluates them on the test images."""
    calibration_images = None
    if any(map(uses_calibration_images, precisions)):
        calibration_images = run_files.readable_sources(result, result.train, CALIBRATION_IMAGES)
    exported = export(
        result.model,
        result.output_dir,
        precisions=precisions,
        calibration_images=calibration_images,
        validation_images=run_files.readable_sources(result, result.test, VERIFICATION_IMAGES),
    )
    files = []
    for tflite in exported:
        accuracy = evaluate_split(load_predictor(tflite), result.test)
        comparison = compare(result.result, accuracy)
        verification = getattr(tflite, "verification", None)
        files.append(ExportedFile(Path(tflite), accuracy, comparison, verification))
    return tuple(files)


def _save_results(result: FinetuneResult) -> Path:
    for stage in result.stages:
        path = save_accuracy(
            stage.result,
            result.name,
            f"{result.dataset.name}, finetuned",
            weights=f"{result.weights}, {stage.name}",
            note=stage.note,
        )
    return path

"""`newnet_tf.finetune`: a pretrained model on classes of your own."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from newnet_tf.api.data_arguments import check_data, refuse_text
from newnet_tf.api.finetune_detector import check_detector, finetune_on_boxes, is_detector
from newnet_tf.api.finetune_exports import export_files, save_stages
from newnet_tf.api.finetune_setup import check_arguments, pretrained_model
from newnet_tf.data.datasets.base import DETECTION, Dataset
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.deploy.converter import ExportError
from newnet_tf.deploy.export_options import check_options
from newnet_tf.finetuning import run_files
from newnet_tf.finetuning.config import FinetuneConfig, check_run, evaluation_split
from newnet_tf.finetuning.detector_result import DetectorFinetuneResult
from newnet_tf.finetuning.result import FinetuneResult
from newnet_tf.finetuning.run import all_layers_stage, linear_probe_stage
from newnet_tf.models.config.metadata import set_metadata
from newnet_tf.training.overrides import override
from newnet_tf.training.recipe_registry import get_recipe
from newnet_tf.training.recipes import Recipe
from newnet_tf.training.run_files import Diverged
from newnet_tf.utils.progress import note
from newnet_tf.utils.quiet import start_keras


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
    images_dir: str | os.PathLike | None = None,
    linear_probe: bool = False,
    head_epochs: int | None = None,
    frozen_stride: int | None = None,
    score_function: str | None = None,
    cached_views: int | None = None,
    backbone_lr_scale: float = 0.25,
    batch_norm: str | None = None,
    holdout_fraction: float = 0.1,
    class_weight: str | Mapping[str, float] | None = None,
    early_stopping: int | None = None,
    overrides: Mapping[str, object] | None = None,
    activation: str | None = None,
    preprocess_as: str | None = None,
    precisions: Sequence[str] = (),
    save_results: bool = False,
) -> FinetuneResult | DetectorFinetuneResult:
    """Finetunes a pretrained model on classes of your own; writes model, report and exported files.

    A classifier: first a linear classifier is fitted to the frozen features, which are computed once
    and cached. Then all layers are trained, the pretrained ones at a lower learning rate, none above
    the largest stable one. The test images (the validation split) choose nothing: the model is that
    of the last epoch, or the linear probe if all layers came out worse on held-out images. The files of
    the first stage are written before the second begins, and stay if that fails. With few images the
    batch size is lowered, to four steps an epoch. An interrupted run with the same `output_dir` and
    arguments is resumed.

    A detector (`ssdlite_...`): first its new layers are trained on a frozen backbone, then all layers,
    by the recipe `finetuning.detector.RECIPE` and `BoxAugmentation`.

    Args:
        model: str, name of a model of the zoo.

        dataset: `Dataset`, or what `load_dataset` takes, e.g. a folder with one folder of images for
            each class, or a CSV file of paths and labels. With several labels an image the model gives
            each class a probability of its own. For a detector images with boxes, e.g. a COCO, VOC or
            YOLO folder.

        output_dir: path of the run's folder. Default: `runs/DATASET-MODEL`.

        weights: str or path, tag or checkpoint file to start from. Default: the model's public weights.

        epochs: int, of the second stage. Default: the recipe's.

        image_size: int, height and width of the model's input. Default: that of the weights.

        validation_split: float in (0, 1), fraction of a folder without splits that is not trained on
            but evaluated. Default: 0.2.

        seed: int, of split, holdout, order and augmentation. Default: 0.

        data_dir: path, where tensorflow-datasets keeps its datasets. Default: its own folder.

        images_dir: path, the folder that the paths of a CSV file start from. Default: its own folder.

        linear_probe: bool, whether to end after the first stage. Default: False.

        head_epochs: int >= 0, of a detector's first stage; 0 leaves it out. Default: 5.

        frozen_stride: int or None, a detector's backbone up to its feature map at this stride (2, 4, 8,
            16 or 32) stays as it is in the second stage too; with 8 or 16 a step takes much less time.
            Default: None, all layers are trained.

        score_function: `"softmax"` (trained by cross entropy with hard negatives) or `"sigmoid"` (by
            the focal loss), of a detector. Default: None, softmax, whatever the style's own is; but
            that of `weights` if they have score layers of as many classes as the data, which are kept.

        cached_views: int >= 0, augmented views of each training image whose features at stride 16 are
            computed once, kept in files for a detector's first stage, and trained on if it has more
            epochs than that; 0 computes them anew in each epoch. Default: 4.

        backbone_lr_scale: float >= 0, the pretrained layers' learning rate as a fraction of the
            classifier's. Default: 0.25.

        batch_norm: `"frozen"` (as in inference) or `"trained"`. Default: `"frozen"`, but `"trained"`
            with `activation`, which changes what batch norm normalizes.

        holdout_fraction: float in [0, 1), fraction of the training images that only decide which
            stage's model is kept; 0 keeps the second. Two images of each class are always trained on.
            Default: 0.1.

        class_weight: weights of the classes in the loss of both stages: `"balanced"` (each class has
            the same weight in total) or a mapping from class name to weight. Default: None, all 1.

        early_stopping: int, how many epochs of the second stage in a row may be no better on the
            held-out images than the best one before it ends; its model is that of the best epoch.
            Default: None, all epochs are trained, and the model is that of the last.

        overrides: mapping from field to value, changes of the recipe `"finetune"` of the second stage,
            e.g. `{"lr": 0.01}`; a learning rate given here is not capped. Of a detector changes of its
            recipe and augmentation, e.g. `{"batch_size": 16, "augmentation.hflip_prob": 0}`. Default:
            none.

        activation: one of `"relu"`, `"relu6"`, `"hard_swish"`, which replaces SiLU; for hardware
            without SiLU. Default: None.

        preprocess_as: str, name of a model of the zoo whose preprocessing is used. Default: the
            weights' own.

        precisions: str among `deploy.quantization.precisions.PRECISIONS`, TFLite files to export, e.g.
            `("fp32", "int8-full")`. They are calibrated on training images. Default: none.

        save_results: bool, whether to write the accuracies into `newnet_tf/results/accuracy.csv`.
            Default: False.

    Returns:
        A `FinetuneResult`, or a `DetectorFinetuneResult`. `evaluate`, `predict` and `export` take it,
        its `.model` and its folder.

    Raises:
        ValueError: if there is no such model or dataset, the model has no weights, a class has no
            training image, `output_dir` holds a run with other settings, or an argument is outside of
            the above.

        ExportError: if an exported file's outputs differ from the model's; all other files are
            written before.

    Example:
        >>> dataset = newnet_tf.load_dataset("flowers/")
        >>> result = newnet_tf.finetune("efficientnet_lite0", dataset, epochs=4)
        >>> print(newnet_tf.evaluate(result.model, dataset.split("validation")))
    """
    precisions = tuple(precisions)
    if precisions:
        check_options(precisions, "float32", False, None)
    check_arguments(backbone_lr_scale, batch_norm, holdout_fraction, image_size)
    changes = dict(overrides or {})
    only_detectors = {
        "head_epochs": head_epochs,
        "frozen_stride": frozen_stride,
        "score_function": score_function,
        "cached_views": cached_views,
    }
    has_boxes = is_detector(model)
    if has_boxes:
        only_classifiers = {
            "class_weight": class_weight,
            "early_stopping": early_stopping,
            "preprocess_as": preprocess_as,
            "activation": activation,
        }
        check_detector(model, weights, changes, only_detectors, only_classifiers)
    else:
        _refuse(only_detectors)
    recipe = None
    if not linear_probe and not has_boxes:
        fields = {
            "epochs": epochs,
            "class_weight": class_weight,
            "early_stopping": early_stopping,
            "seed": seed,
        }
        recipe = _recipe(changes | {name: v for name, v in fields.items() if v is not None})
    check_data(dataset, validation_split=validation_split, images_dir=images_dir)
    if not has_boxes:
        pretrained = pretrained_model(model, weights, preprocess_as, image_size, activation)
    if not isinstance(dataset, Dataset):
        start_keras()  # without TensorFlow's messages
        dataset = load_dataset(
            dataset,
            validation_split=validation_split,
            seed=seed,
            data_dir=data_dir,
            images_dir=images_dir,
        )
    refuse_text(dataset)
    if has_boxes or dataset.task == DETECTION:
        return finetune_on_boxes(
            model,
            dataset,
            output_dir=output_dir,
            weights=weights,
            epochs=epochs,
            image_size=image_size,
            head_only=linear_probe,
            **only_detectors,
            backbone_lr_scale=backbone_lr_scale,
            batch_norm=batch_norm or "frozen",
            seed=seed,
            overrides=changes,
            precisions=precisions,
            save_results=save_results,
        )
    evaluation_split(dataset)
    config = FinetuneConfig(
        weights=pretrained.weights_name,
        dataset=dataset,
        preprocess=pretrained.preprocess,
        output_dir=Path(output_dir or Path("runs") / f"{dataset.name}-{pretrained.name}"),
        recipe=recipe,
        seed=seed,
        backbone_lr_scale=backbone_lr_scale,
        batch_norm=batch_norm or ("trained" if activation else "frozen"),
        holdout_fraction=holdout_fraction,
        cap_lr="lr" not in changes,
    )
    check_run(config)
    if dataset.skipped:
        note(dataset.skipped_summary())
    result = _run(pretrained.build(dataset), config)
    if precisions:
        exports, failures = export_files(result, precisions)
        result = run_files.write_report(dataclasses.replace(result, exports=exports))
        if failures:
            written = ", ".join(file.name for file in result.files)
            raise ExportError(
                f"{failures[0]}\n{result.output_dir} holds all else: {written}. `newnet export "
                f"{result.output_dir} --calibration-images DIR` tries again with other images"
            )
    if save_results:
        note(f"wrote {save_stages(result)}")
    return result


def _refuse(only_detectors: Mapping[str, object]) -> None:
    """Raises ValueError for arguments of a detector, given for a classifier."""
    for name, value in only_detectors.items():
        if value is not None:
            raise ValueError(
                f"`{name}` (--{name.replace('_', '-')}) must be left out for a classifier; detectors "
                f"(ssdlite_...) have it. Received: {name}={value!r}"
            )


def _recipe(changes: Mapping[str, object]) -> Recipe:
    return override(get_recipe("finetune"), changes)


def _run(built: Any, config: FinetuneConfig) -> FinetuneResult:
    """Does both stages. What the first has made is written before the second begins."""
    result, features = linear_probe_stage(built, config)
    result = run_files.write_files(result)
    if config.recipe is not None:
        try:
            result = all_layers_stage(built, config, config.recipe, result, features)
        except Diverged as error:
            result = dataclasses.replace(result, failure=str(error))
            note(result.verdict)
        except BaseException:
            note(f"the model of the linear probe is {result.model_file}")
            run_files.write_report(result)
            raise
        result = run_files.write_files(result)
    set_metadata(result.model, result.metadata)
    return run_files.write_report(result)  # before the exports, whose errors end the function

"""`newnet_tf.export`: files for phones, servers and browsers, verified against the model."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newnet_tf.api.image_sets import Images, calibration_set, validation_set
from newnet_tf.data import sidecar
from newnet_tf.deploy import export_config
from newnet_tf.inference.loaded import LoadedModel
from newnet_tf.inference.model import load_model
from newnet_tf.models.config import PreprocessConfig

FORMATS = ("tflite", "saved_model", "onnx")
FOLDER = Path("build/export")  # default folder


def export(
    model: Any,
    output: str | os.PathLike = FOLDER,
    *,
    format: str = "tflite",
    precisions: Sequence[str] = ("fp32",),
    calibration_images: Images = None,
    validation_images: Images = None,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | None = None,
    class_names: Sequence[str] | None = None,
    classes: int | None = None,
    activation: str | None = None,
    io_dtype: str = "float32",
    embed_normalization: bool = False,
    output_type: str = "logits",
    exclude_layers: Sequence[str] = (),
    calibration_method: str = export_config.DEFAULT_CALIBRATION_METHOD,
    verify: bool = True,
    force: bool = False,
) -> list[os.PathLike]:
    """Exports a model to TFLite or ONNX files or to a SavedModel.

    TFLite and ONNX files are verified: one whose outputs are not the model's within the tolerance of
    its precision is not written. TFLite files have their `ExportConfig` next to them as JSON, and
    known class names as `NAME.labels.txt`.

    Args:
        model: what `load_model` takes: name of a model of the zoo, path of a `.keras` file or of a
            run's folder, result of `train` or `finetune`, `LoadedModel` or `keras.Model`.

        output: path of a folder, created if it does not exist. Default: `build/export`.

        format: `"tflite"` (default), `"saved_model"` or `"onnx"`.

        precisions: names among `newnet_tf.deploy.PRECISIONS`, such as `"fp32"`, `"fp16"`,
            `"int8-dynamic"`, `"int8-full"`, for TFLite. Default: `("fp32",)`.

        calibration_images: images to measure activation ranges on, of the kind that the model will
            see: a list of images, path of a folder (about 100 images) or `Split` of a dataset, of
            which 100 are drawn. Default: crops of scikit-image's photographs where a precision needs
            images.

        validation_images: images to verify on, two or more of different things, in the same forms.
            Default: scikit-image's photographs.

        weights: str or path, as in `load_model`.

        preprocess_as: str, as in `load_model`.

        preprocess: `PreprocessConfig`, as in `load_model`.

        class_names: one str for each class, as in `load_model`.

        classes: int, as in `load_model`.

        activation: str, as in `load_model`.

        io_dtype: `"float32"` (default), or with `"int8-full"` only `"int8"` or `"uint8"`.

        embed_normalization: bool, whether TFLite files take uint8 pixels in 0-255 and normalize them.
            Default: False.

        output_type: `"logits"` (default) or `"probabilities"`, for TFLite and ONNX files of a
            classifier. A classifier's SavedModel always returns probabilities.

        exclude_layers: names of layers that stay float32, with `"int8-full"` only. `quantize` finds
            those that lose most.

        calibration_method: str, how activation ranges are chosen for `"int8-full"`: `"mse"` (default),
            `"min-max"`, `"percentile"` or `"entropy"`.

        verify: bool, whether to compare the files with the model. False is for untrained models: the
            files are marked "timing only". Default: True.

        force: bool, whether to write files again that have not changed. Default: False.

    Returns:
        List of results that can be used as paths: `ExportResult` for each precision, or one
        `OnnxResult`, or the path of the SavedModel.

    Raises:
        ValueError: if an argument has another value, or the model has no trained weights.

        ExportError: if a file does not give the model's outputs, or XNNPACK does not take it whole.

    Example:
        >>> files = newnet_tf.export("rexnet_100", "out", precisions=["fp32", "int8-full"])
        >>> newnet_tf.load_predictor(files[1])("cat.jpg")
    """
    if format not in FORMATS:
        raise ValueError(f"`format` must be among {FORMATS}. Received: format={format!r}")
    export_config.check_options(precisions, io_dtype, embed_normalization, output_type)
    export_config.check_exclude_layers(precisions, exclude_layers)
    export_config.check_calibration_method(["int8-full"], calibration_method)
    loaded = load_model(
        model,
        weights=weights,
        preprocess_as=preprocess_as,
        preprocess=preprocess,
        class_names=class_names,
        classes=classes,
        activation=activation,
    )
    if format == "saved_model":
        return [_to_saved_model(loaded, Path(output))]
    if verify:
        check_trained(loaded)
    size = loaded.preprocess.image_size
    validation = validation_set(validation_images, size) if verify else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if format == "onnx":
            from newnet_tf.deploy import export_onnx

            result = export_onnx(
                loaded.model,
                loaded.preprocess,
                output,
                name=loaded.name,
                validation_images=validation,
                output_type=output_type,
                verify=verify,
                task=loaded.task,
            )
            save_labels(loaded, result)
            return [result]
        from newnet_tf.deploy import export_tflite

        results = export_tflite(
            loaded.model,
            loaded.preprocess,
            output,
            name=loaded.name,
            precisions=precisions,
            calibration_images=calibration_set(calibration_images, precisions, size),
            exclude_layers=exclude_layers,
            calibration_method=calibration_method,
            io_dtype=io_dtype,
            embed_normalization=embed_normalization,
            output_type=output_type,
            verify=verify,
            validation_images=validation,
            force=force,
            task=loaded.task,
        )
        save_labels(loaded, results[0])
        return list(results)


def check_trained(loaded: LoadedModel) -> None:
    """Raises ValueError for a model without weights, whose outputs prove nothing."""
    if not loaded.is_trained:
        raise ValueError(
            f"{loaded.name} has no weights here, and an untrained model proves nothing: pass "
            "`weights` (--weights FILE), or export it with `verify=False` (--no-verify), for timing "
            "only. Received: neither"
        )


def save_labels(loaded: LoadedModel, file: os.PathLike) -> None:
    """Writes the class names of a model next to a file of it, where they are known."""
    if loaded.class_names:
        sidecar.save_labels(file, loaded.class_names)


def _to_saved_model(loaded: LoadedModel, output: Path) -> Path:
    from newnet_tf.deploy import export_saved_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return export_saved_model(
            loaded.model,
            output / loaded.name,
            loaded.preprocess,
            loaded.class_names,
            task=loaded.task,
        )

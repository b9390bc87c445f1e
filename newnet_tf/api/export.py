"""`newnet_tf.export`: files for phones, servers and browsers, verified against the model."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newnet_tf.api.arguments import (
    check_choice,
    check_images,
    check_model,
    check_output_folder,
)
from newnet_tf.api.image_sets import (
    MIN_CALIBRATION,
    MIN_VALIDATION,
    Images,
    calibration_set,
    validation_set,
    verified_on,
)
from newnet_tf.deploy import export_options
from newnet_tf.inference.loaded import LoadedModel
from newnet_tf.inference.model import load_model
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.io import file_stem
from newnet_tf.utils.progress import note

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
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    classes: int | None = None,
    task: str | None = None,
    outputs: str | None = None,
    activation: str | None = None,
    allow_untrained: bool = False,
    io_dtype: str = "float32",
    embed_normalization: bool = False,
    embed_postprocess: bool = False,
    output_type: str | None = None,
    exclude_layers: Sequence[str] = (),
    calibration_method: str = export_options.DEFAULT_CALIBRATION_METHOD,
    verify: bool = True,
    force: bool = False,
) -> list[os.PathLike]:
    """Exports a model to TFLite or ONNX files or to a SavedModel.

    TFLite and ONNX files are verified: one whose outputs are not the model's within the tolerance of
    its precision is not written. Every file holds its `ModelMetadata`; for people, TFLite files also
    have a description next to them as JSON, and known class names are in `NAME.labels.txt`.

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

        preprocess: `PreprocessConfig` or path, as in `load_model`.

        class_names: names or path, as in `load_model`.

        classes: int, as in `load_model`.

        task: str, as in `load_model`.

        outputs: str, what the model's outputs are, as in `load_model`.

        activation: str, as in `load_model`.

        allow_untrained: bool, whether to take a model with newly initialized weights. Its files are
            marked, and not verified. Default: False.

        io_dtype: `"float32"` (default), or with `"int8-full"` only `"int8"` or `"uint8"`.

        embed_normalization: bool, whether TFLite files take uint8 pixels in 0-255 and normalize them.
            Default: False.

        embed_postprocess: bool, whether TFLite or ONNX files of a detector return boxes, classes and
            scores after non-maximum suppression (the operators `TFLite_Detection_PostProcess` and
            `NonMaxSuppression`), instead of raw outputs for code outside of the file. Default: False.

        output_type: `"logits"`, `"probabilities"` or `"sigmoid"`, for TFLite and ONNX files of a
            classifier. Default: what the model returns. A classifier's SavedModel always returns
            probabilities.

        exclude_layers: names of layers that stay float32, with `"int8-full"` only. `quantize` finds
            those that lose most.

        calibration_method: str, how activation ranges are chosen for `"int8-full"`: `"mse"` (default),
            `"min-max"`, `"percentile"` or `"entropy"`.

        verify: bool, whether to compare the files with the model. With False they are marked "timing
            only". Default: True.

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
    check_choice("format", format, FORMATS)
    if embed_postprocess and format == "saved_model":
        raise ValueError(
            "`embed_postprocess` (--embed-postprocess) must come with format 'tflite' or 'onnx'. "
            f"Received: format={format!r}"
        )
    export_options.check_options(precisions, io_dtype, embed_normalization, output_type)
    export_options.check_exclude_layers(precisions, exclude_layers)
    export_options.check_calibration_method(["int8-full"], calibration_method)
    given = {
        "weights": weights,
        "preprocess_as": preprocess_as,
        "preprocess": preprocess,
        "class_names": class_names,
        "classes": classes,
        "task": task,
        "outputs": outputs,
        "activation": activation,
    }
    check_model(model, **given, allow_untrained=allow_untrained)
    check_images("calibration_images", calibration_images, MIN_CALIBRATION, "--calibration-images")
    check_images("validation_images", validation_images, MIN_VALIDATION, "--images")
    check_output_folder(output)
    if isinstance(model, str | os.PathLike):
        note(f"{os.fspath(model)}: loading the model")
    loaded = load_model(model, **given)
    loaded.check_trained(allow_untrained)
    if format == "saved_model":
        return [_to_saved_model(loaded, Path(output))]
    verify = verify and loaded.is_trained
    size = loaded.preprocess.image_size
    validation = validation_set(validation_images, size) if verify else None
    with verified_on(validation_images), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if format == "onnx":
            from newnet_tf.deploy import export_onnx

            result = export_onnx(
                loaded.model,
                loaded.metadata,
                output,
                validation_images=validation,
                output_type=output_type,
                embed_postprocess=embed_postprocess,
                verify=verify,
            )
            return [result]
        from newnet_tf.deploy import export_tflite

        results = export_tflite(
            loaded.model,
            loaded.metadata,
            output,
            precisions=precisions,
            calibration_images=calibration_set(calibration_images, precisions, size),
            exclude_layers=exclude_layers,
            calibration_method=calibration_method,
            io_dtype=io_dtype,
            embed_normalization=embed_normalization,
            embed_postprocess=embed_postprocess,
            output_type=output_type,
            verify=verify,
            validation_images=validation,
            force=force,
        )
        return list(results)


def _to_saved_model(loaded: LoadedModel, output: Path) -> Path:
    from newnet_tf.deploy import export_saved_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return export_saved_model(loaded.model, output / file_stem(loaded.name), loaded.metadata)

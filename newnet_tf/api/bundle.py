"""`newnet_tf.bundle`: all that an app needs of a model in one folder or zip."""

import dataclasses
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from newnet_tf.api.arguments import check_images, check_model
from newnet_tf.api.image_sets import (
    MIN_CALIBRATION,
    MIN_VALIDATION,
    Images,
    calibration_set,
    validation_set,
    verified_on,
)
from newnet_tf.data.sample_images import sample_images
from newnet_tf.deploy import export_options
from newnet_tf.deploy.bundle.build import Bundle, bundle_files, check_path, make_bundle
from newnet_tf.deploy.bundle.codegen import PACKAGE, check_package
from newnet_tf.deploy.config_file import read_config
from newnet_tf.inference.model import load_model
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.io import file_stem

FOLDER = Path("build/bundle")  # default folder


def bundle(
    model: Any,
    output: str | os.PathLike | None = None,
    *,
    precisions: Sequence[str] = ("fp32", "int8-full"),
    calibration_images: Images = None,
    validation_images: Images = None,
    license: str | None = None,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    classes: int | None = None,
    task: str | None = None,
    outputs: str | None = None,
    activation: str | None = None,
    exclude_layers: Sequence[str] = (),
    calibration_method: str = export_options.DEFAULT_CALIBRATION_METHOD,
    io_dtype: str = "float32",
    embed_normalization: bool = False,
    output_type: str | None = None,
    package: str = PACKAGE,
) -> Bundle:
    """Writes a bundle: `.tflite` files, labels, `model.json`, code for phones, and a check.

    The files are verified as by `export`. They contain TFLite metadata. The Kotlin, Swift and C++ code
    is generated from `model.json`. `check.py` in the bundle needs LiteRT and NumPy only.

    Args:
        model: what `load_model` takes: name of a model of the zoo, path of a `.keras` file or of a
            run's folder, result of `train` or `finetune`, `LoadedModel` or `keras.Model`; or the path
            of a `.tflite` file that `export` wrote, or a list of those of one model, which are bundled
            as they are.

        output: path of a new folder, of an earlier bundle to replace, or of a file ending in `.zip`.
            Default: `build/bundle/NAME`.

        precisions: names of precisions, as in `export`. Default: `("fp32", "int8-full")`.

        calibration_images: list of images or path of a folder, about 100 images. Default: crops of
            scikit-image's photographs.

        validation_images: list of images or path of a folder, to verify on. Default: scikit-image's
            photographs.

        license: str, SPDX identifier of your own weights. Default: the license of published weights.

        weights: str or path, as in `load_model`.

        preprocess_as: str, as in `load_model`.

        preprocess: `PreprocessConfig` or path, as in `load_model`.

        class_names: names or path, as in `load_model`.

        classes: int, as in `load_model`.

        task: str, as in `load_model`.

        outputs: str, what the model's outputs are, as in `load_model`.

        activation: str, as in `load_model`.

        exclude_layers: names of layers that stay float32, with `"int8-full"` only.

        calibration_method: str, how activation ranges are estimated. Default: `"mse"`.

        io_dtype: `"float32"` (default), or with `"int8-full"` only `"int8"` or `"uint8"`.

        embed_normalization: bool, whether the files take uint8 pixels in 0-255. Default: False.

        output_type: `"logits"`, `"probabilities"` or `"sigmoid"`, what a classifier's files return.
            Default: what the model returns.

        package: str, package of the Kotlin code. Default: `"com.example.app"`.

    Returns:
        A `Bundle`. It prints as its path and its digest, for `check_bundle`.

    Raises:
        FileExistsError: if `output` exists and is no bundle.

        ValueError: if an argument has another value, or the model has no trained weights.

        ExportError: if a file does not give the model's outputs.

    Example:
        >>> print(newnet_tf.bundle("efficientnet_lite0", "lite0.zip"))
        >>> files = newnet_tf.export("rexnet_100", "out", precisions=["fp32", "int8-full"])
        >>> newnet_tf.bundle(files, "rexnet.zip")
    """
    export_options.check_options(precisions, io_dtype, embed_normalization, output_type)
    export_options.check_exclude_layers(precisions, exclude_layers)
    check_package(package)
    if output is not None:
        check_path(Path(output))
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
    files = _tflite_files(model, given)
    if files:
        examples = _examples(validation_images)
        name = file_stem(read_config(files[0]).model) if read_config(files[0]) else files[0].stem
        return bundle_files(files, output or FOLDER / name, examples, package=package)
    check_model(model, **given)
    check_images("calibration_images", calibration_images, MIN_CALIBRATION, "--calibration-images")
    check_images("validation_images", validation_images, MIN_VALIDATION, "--images")
    loaded = load_model(model, **given)
    loaded.check_trained()
    image_size = loaded.preprocess.image_size
    validation = validation_set(validation_images, image_size)
    calibration = calibration_set(calibration_images, precisions, image_size)
    metadata = loaded.metadata
    if license is not None:
        metadata = dataclasses.replace(metadata, license=license)
    with verified_on(validation_images), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_bundle(
            loaded.model,
            metadata,
            FOLDER / file_stem(loaded.name) if output is None else output,
            _examples(validation),
            precisions=precisions,
            calibration_images=calibration,
            validation_images=validation,
            exclude_layers=exclude_layers,
            calibration_method=calibration_method,
            io_dtype=io_dtype,
            embed_normalization=embed_normalization,
            output_type=output_type,
            package=package,
        )


def _tflite_files(model: Any, given: Mapping[str, Any]) -> list[Path]:
    """Returns the paths where `model` is a TFLite file or a list of them, else none."""
    models = list(model) if isinstance(model, (list, tuple)) else [model]
    paths = [Path(m) for m in models if isinstance(m, (str, os.PathLike))]
    if len(paths) < len(models) or not all(path.suffix == ".tflite" for path in paths):
        return []
    if extra := [name for name, value in given.items() if value is not None]:
        raise ValueError(
            f"{', '.join(f'`{name}`' for name in extra)} must be None for .tflite files, which say it. "
            f"Received: {', '.join(map(str, paths))}"
        )
    return paths


def _examples(validation_images: Any) -> Sequence:
    """Returns images to store: scikit-image's, whose license allows it, else some of the user's."""
    try:
        return sample_images()
    except ValueError:
        return validation_set(validation_images, 0)

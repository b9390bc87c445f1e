"""`newnet_tf.make_web_page`: a website that runs a model in the browser."""

import contextlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newnet_tf.api.arguments import check_images, check_model, check_output_folder
from newnet_tf.api.image_sets import (
    MIN_CALIBRATION,
    MIN_VALIDATION,
    Images,
    calibration_set,
    validation_set,
    verified_on,
)
from newnet_tf.data.labels import imagenet_names
from newnet_tf.data.sample_images import sample_images
from newnet_tf.deploy.export_options import check_options
from newnet_tf.deploy.runtime import Runner
from newnet_tf.deploy.tflite import export_tflite
from newnet_tf.inference.loaded import resolve_names
from newnet_tf.inference.model import load_model
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.progress import note
from newnet_tf.web import litert_js
from newnet_tf.web.site import (
    Site,
    build_site,
    check_example,
    check_folder,
    check_record,
    check_task,
)

FOLDER = Path("build/web")  # default folder


def make_web_page(
    model: Any,
    output: str | os.PathLike = FOLDER,
    *,
    precisions: Sequence[str] = ("int8-full", "fp32"),
    calibration_images: Images = None,
    validation_images: Images = None,
    title: str | None = None,
    example: str | os.PathLike | None = None,
    assets: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    classes: int | None = None,
    task: str | None = None,
    outputs: str | None = None,
    activation: str | None = None,
) -> Site:
    """Writes a website that runs a model in the visitor's browser, for any static host.

    The model is exported and verified as by `export`; the exported files stay in the folder
    `OUTPUT.export`. Images never leave the visitor's device.

    Args:
        model: what `load_model` takes: name of a model of the zoo, path of a `.keras` file or of a
            run's folder, result of `train` or `finetune`, `LoadedModel` or `keras.Model`; or the path
            of an exported `.tflite` file, or a list of those of one model.

        output: path of the site's folder. Default: `build/web`.

        precisions: names of precisions, as in `export`; the page starts with the first. Default:
            `("int8-full", "fp32")`.

        calibration_images: list of images or path of a folder, about 100 images. Default: crops of
            scikit-image's photographs.

        validation_images: list of images or path of a folder, to verify on. Default: scikit-image's
            photographs.

        title: str, title of the page. Default: the model's name.

        example: path of an image that the page offers, JPEG, PNG or WebP. Default: a cat for
            ImageNet's classes, else none.

        assets: path of LiteRT.js' archive as `npm pack` writes it, or of a folder with it. Default: a
            download.

        weights: str or path, as in `load_model`.

        preprocess_as: str, as in `load_model`.

        preprocess: `PreprocessConfig` or path, as in `load_model`.

        class_names: names or path, as in `load_model`.

        classes: int, as in `load_model`.

        task: str, as in `load_model`.

        outputs: str, what the model's outputs are, as in `load_model`.

        activation: str, as in `load_model`.

    Returns:
        A `Site`.

    Raises:
        ValueError: if an argument has another value, the model has no trained weights, there is no page
            for its task, or the page cannot run the files.

        ExportError: if a file does not give the model's outputs.

        EngineError: if LiteRT.js cannot be downloaded.

    Example:
        >>> site = newnet_tf.make_web_page("efficientnet_lite0", "site")
        >>> print(site)
        site: 26 files, 35.5 MB
    """
    output = Path(output)
    check_output_folder(output)
    check_folder(output)
    if assets is not None:
        litert_js.files(Path(assets))  # refuses what is none
    check_example(example and Path(example))
    check_options(precisions, "float32", False, None)
    models = [os.fspath(m) for m in model] if isinstance(model, (list, tuple)) else [model]
    if all(isinstance(m, (str, os.PathLike)) and os.fspath(m).endswith(".tflite") for m in models):
        _check_alone(weights, activation, classes)
        files = [Path(m) for m in models]
        metadata = check_record(Runner(files[0])).metadata
        names = metadata.class_names
        if class_names is not None:
            names = resolve_names(class_names, Runner(files[0]).outputs[0].shape, metadata)
    elif len(models) > 1:
        raise ValueError(
            "`model` must be one model, or .tflite files of one model. "
            f"Received: {', '.join(models)}"
        )
    else:
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
        check_model(models[0], **given)
        check_images(
            "calibration_images", calibration_images, MIN_CALIBRATION, "--calibration-images"
        )
        check_images("validation_images", validation_images, MIN_VALIDATION, "--images")
        loaded = load_model(models[0], **given)
        check_task(loaded.task)
        loaded.check_trained()
        image_size = loaded.preprocess.image_size
        with verified_on(validation_images), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = export_tflite(
                loaded.model,
                loaded.metadata,
                output.with_name(f"{output.name}.export"),
                precisions=precisions,
                calibration_images=calibration_set(calibration_images, precisions, image_size),
                validation_images=validation_set(validation_images, image_size),
            )
        files, names = [result.file for result in results], loaded.class_names
    if example is None and names == imagenet_names():
        with contextlib.suppress(ValueError):  # scikit-image is not installed
            example = sample_images()[0]
    note("collecting the page's files and LiteRT.js")
    return build_site(files, output, names, title, example, assets)


def _check_alone(
    weights: str | os.PathLike | None, activation: str | None, classes: int | None
) -> None:
    if weights is not None or activation is not None or classes is not None:
        raise ValueError(
            "`weights`, `activation` and `classes` must be None for .tflite files. "
            f"Received: {weights=}, {activation=}, {classes=}"
        )

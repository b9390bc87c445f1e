"""`newnet_tf.bundle`: all that an app needs of a model in one folder or zip."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newnet_tf.api.image_sets import Images, calibration_set, validation_set
from newnet_tf.data.sample_images import sample_images
from newnet_tf.deploy import export_config
from newnet_tf.deploy.bundle.build import Bundle, check_path, make_bundle
from newnet_tf.deploy.bundle.info import Provenance
from newnet_tf.inference.loaded import LoadedModel
from newnet_tf.inference.model import load_model
from newnet_tf.models import activations, registry
from newnet_tf.models.config import PreprocessConfig

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
    preprocess: PreprocessConfig | None = None,
    class_names: Sequence[str] | None = None,
    classes: int | None = None,
    activation: str | None = None,
    exclude_layers: Sequence[str] = (),
    calibration_method: str = export_config.DEFAULT_CALIBRATION_METHOD,
    io_dtype: str = "float32",
    embed_normalization: bool = False,
    output_type: str = "logits",
) -> Bundle:
    """Writes a bundle: `.tflite` files, labels, `model.json`, code for phones, and a check.

    The files are verified as by `export`. They contain TFLite metadata. The Kotlin, Swift and C++ code
    is generated from `model.json`. `check.py` in the bundle needs LiteRT and NumPy only.

    Args:
        model: what `load_model` takes: name of a model of the zoo, path of a `.keras` file or of a
            run's folder, result of `train` or `finetune`, `LoadedModel` or `keras.Model`.

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

        preprocess: `PreprocessConfig`, as in `load_model`.

        class_names: str for each class, as in `load_model`.

        classes: int, as in `load_model`.

        activation: str, as in `load_model`.

        exclude_layers: names of layers that stay float32, with `"int8-full"` only.

        calibration_method: str, how activation ranges are estimated. Default: `"mse"`.

        io_dtype: `"float32"` (default), or with `"int8-full"` only `"int8"` or `"uint8"`.

        embed_normalization: bool, whether the files take uint8 pixels in 0-255. Default: False.

        output_type: `"logits"` (default) or `"probabilities"`, for classification.

    Returns:
        A `Bundle`. It prints as its path and its digest, for `check_bundle`.

    Raises:
        FileExistsError: if `output` exists and is no bundle.

        ValueError: if an argument has another value, or the model has no trained weights.

        ExportError: if a file does not give the model's outputs.

    Example:
        >>> print(newnet_tf.bundle("efficientnet_lite0", "lite0.zip"))
        lite0.zip: 12 files, digest 3a0109b5...
    """
    export_config.check_options(precisions, io_dtype, embed_normalization, output_type)
    export_config.check_exclude_layers(precisions, exclude_layers)
    if output is not None:
        check_path(Path(output))
    loaded = load_model(
        model,
        weights=weights,
        preprocess_as=preprocess_as,
        preprocess=preprocess,
        class_names=class_names,
        classes=classes,
        activation=activation,
    )
    loaded.check_trained()
    image_size = loaded.preprocess.image_size
    validation = validation_set(validation_images, image_size)
    calibration = calibration_set(calibration_images, precisions, image_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_bundle(
            loaded.model,
            loaded.preprocess,
            FOLDER / loaded.name if output is None else output,
            loaded.name,
            provenance(loaded, license),
            _examples(validation),
            loaded.class_names,
            task=loaded.task,
            precisions=precisions,
            calibration_images=calibration,
            validation_images=validation,
            exclude_layers=exclude_layers,
            calibration_method=calibration_method,
            io_dtype=io_dtype,
            embed_normalization=embed_normalization,
            output_type=output_type,
        )


def provenance(loaded: LoadedModel, license: str | None = None) -> Provenance:
    """Returns the origin of a model's weights: from its card, or as far as it is known.

    Args:
        loaded: `LoadedModel`.

        license: str, SPDX identifier, in place of the card's.
    """
    name = activations.split_name(loaded.name)[0]
    if name in registry.list_models() and loaded.weights:
        card = registry.model_card(name)
        if loaded.weights in {card.default_weights, *(w.tag for w in card.weights)}:
            published = card.select(loaded.weights)
            return Provenance(
                license=license or published.license,
                author=published.author,
                dataset=published.dataset,
                weights=published.tag,
            )
    return Provenance(license=license, weights=loaded.weights or None)


def _examples(validation_images: Sequence) -> Sequence:
    """Returns images to store: scikit-image's, whose license allows it, else some of the user's."""
    try:
        return sample_images()
    except ValueError:
        return validation_images

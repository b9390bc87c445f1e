"""Checks of arguments that need no TensorFlow: public functions call them before they load anything."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from newnet_tf import weights as checkpoints
from newnet_tf.classification.class_matching import check_class_names, read_class_names
from newnet_tf.data.image_files import find_images, summarize_skipped
from newnet_tf.deploy.export_options import OUTPUT_TYPES
from newnet_tf.inference.loaded import LoadedModel
from newnet_tf.inference.loading import EXPORTED
from newnet_tf.inference.model import KERAS_FILES, REPLACED_ACTIVATION, run_model_file
from newnet_tf.inference.preprocessing import read_preprocess
from newnet_tf.models import registry
from newnet_tf.models.activations import KINDS
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.task import TASKS
from newnet_tf.utils.suggest import suggestion

ACTIVATIONS = tuple(kind for kind in KINDS if kind != REPLACED_ACTIVATION)


def check_model(
    model: Any,
    *,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    classes: int | None = None,
    task: str | None = None,
    outputs: str | None = None,
    activation: str | None = None,
    allow_untrained: bool = False,
    exported: bool = False,
) -> None:
    """Checks what `load_model` takes: names, tags, that files exist and can be read.

    Args:
        model, weights, preprocess_as, preprocess, class_names, classes, task, outputs, activation: as
            in `load_model`.

        allow_untrained: bool, whether a model without published weights is taken. Default: False.

        exported: bool, whether `.tflite` and `.onnx` files are taken too. Default: False.

    Raises:
        ValueError: for the first argument that cannot be right.
    """
    read_preprocess(preprocess, preprocess_as)
    check_choice("task", task, TASKS)
    check_choice("outputs", outputs, OUTPUT_TYPES)
    check_choice("activation", activation, ACTIVATIONS)
    check_positive(classes=classes)
    names = read_class_names(class_names)
    if weights is not None and checkpoints.is_file(weights):
        check_file("weights", weights)
    if not isinstance(model, (str, os.PathLike)):
        return
    name = os.fspath(model)
    if Path(name).is_dir():
        if not (exported and (Path(name) / "saved_model.pb").is_file()):
            run_model_file(name)
    elif name.endswith((*EXPORTED, *KERAS_FILES)):
        if name.endswith(EXPORTED) and not exported:
            raise ValueError(
                "`model` must have layers: a model of the zoo, a .keras or .h5 file, or a run's "
                f"folder. Received: {name}, an exported file"
            )
        check_file("model", name)
    else:
        _check_zoo_model(name, weights, names, classes, allow_untrained)


def _check_zoo_model(
    name: str,
    weights: str | os.PathLike | None,
    class_names: Sequence[str] | None,
    classes: int | None,
    allow_untrained: bool,
) -> None:
    variant, tag = registry.resolve(name)
    card = variant.card
    chosen = weights or tag or card.default_weights
    if chosen is not None and checkpoints.is_file(chosen):
        return
    published = None if chosen is None else card.select(str(chosen))
    if published is None:
        metadata = ModelMetadata(name=card.name, preprocess=card.preprocess, trained=False)
        LoadedModel(None, metadata).check_trained(allow_untrained)  # type: ignore[arg-type]
    if class_names is not None:
        known = published.classes if published else card.classes
        check_class_names(class_names, classes or known)


def check_choice(name: str, value: object, known: Sequence[str] | dict) -> None:
    """Raises ValueError unless `value` is None or among `known`; objects are not checked."""
    if isinstance(value, str) and value not in known:
        raise ValueError(
            f"`{name}` ({option(name)}) must be among {', '.join(known)}. "
            f"Received: {value!r}{suggestion(value, known)}"
        )


def check_positive(**numbers: int | None) -> None:
    """Raises ValueError unless each number is None or 1 or more."""
    for name, value in numbers.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(
                f"`{name}` ({option(name)}) must be a positive whole number. Received: {value!r}"
            )


def check_file(name: str, path: str | os.PathLike | None) -> None:
    """Raises ValueError unless `path` is None or an existing file."""
    if path is not None and not Path(path).is_file():
        received = "a folder" if Path(path).is_dir() else "no such file"
        raise ValueError(
            f"`{name}` ({option(name)}) must be an existing file. "
            f"Received: {os.fspath(path)}: {received}"
        )


def check_output_folder(path: str | os.PathLike | None) -> None:
    """Raises ValueError where files cannot be written into `path`, as a file lies there."""
    if path is None:
        return
    for place in (Path(path), *Path(path).absolute().parents):
        if place.is_dir():
            return
        if place.exists():
            raise ValueError(
                f"`output` (--output) must be a folder, existing or new. "
                f"Received: {os.fspath(path)}, where {place} is a file"
            )


def check_images(name: str, images: Any, least: int, flag: str) -> None:
    """Checks that a folder exists and holds images; they are not read. Other values pass.

    Args:
        name: str, the argument's name, such as `"validation_images"`.

        images: as of the public functions; a path is that of a folder.

        least: int, number of images that are needed.

        flag: str, the option of the command line, such as `"--images"`.

    Raises:
        ValueError: for a folder that is missing or has fewer images.
    """
    if not isinstance(images, (str, os.PathLike)):
        return
    folder, what = Path(images), f"`{name}` ({flag}) must be a folder of {least} images or more. "
    if not folder.is_dir():
        received = "a file" if folder.is_file() else "no such folder"
        raise ValueError(f"{what}Received: {os.fspath(images)}: {received}")
    found = find_images(folder)
    if len(found.paths) < least:
        skipped = summarize_skipped(found.skipped)
        raise ValueError(
            f"{what}Received: {os.fspath(images)}: {len(found.paths)}{skipped and f'; {skipped}'}"
        )


def option(name: str) -> str:
    """Returns the option of an argument: `--class-names` is called `--labels`."""
    return OPTIONS.get(name) or f"--{name.replace('_', '-')}"


OPTIONS = {"class_names": "--labels", "model": "MODEL", "format": "--to", "images": "IMAGE"}
